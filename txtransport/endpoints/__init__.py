"""Twisted endpoints from a URL: client, server, datagram and endpoint strings."""
