"""For test suites: a certificate authority that makes what tests need."""
