"""The dialogues that lead from clear text to TLS, one file a protocol."""
