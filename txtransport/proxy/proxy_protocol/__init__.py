"""The PROXY protocol of HAProxy: who a connection is from, in a header before its first byte.

A balancer passes connections on, and the server behind it sees the balancer's address.
With the PROXY protocol the balancer begins each connection with a header, in the clear
and before TLS, that has the client's address. Version 1 is a line of text, version 2 is
binary and can tell more: the server's name that the client has asked for (SNI), its
certificate, a number for the logs.

Pure functions over bytes: `reader.read_header` reads a header of either version, and
`reader.write_header` makes one.

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""
