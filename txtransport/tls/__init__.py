"""TLS: the policy, its files, its contexts, and what came of a handshake."""
