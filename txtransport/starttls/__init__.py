"""The plaintext dialogues that lead to TLS, one file for each protocol.

wire.py explains what a dialogue is, negotiation.py runs one, protocols.py is the
table of all of them. Nothing here knows Twisted or OpenSSL.
"""
