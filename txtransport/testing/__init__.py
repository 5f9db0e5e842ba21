"""For test suites, ours and our users': a certificate authority for development."""
