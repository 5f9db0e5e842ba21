"""TLS on a Twisted transport: negotiation, handshake, deadlines and the end."""
