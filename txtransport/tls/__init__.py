"""One TLS connection in memory: from a policy and its files to a verified session.

The only folder that knows OpenSSL. Nothing in it knows Twisted.
"""
