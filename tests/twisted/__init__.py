"""Twisted's own tests of endpoints and their connections, over ours (`tests.twisted.pairs`)."""
