"""What is said to a proxy, and by one, before the bytes are those of somewhere else.

The dialogues are generators over a `txtransport.starttls.wire.Wire`, as those before TLS
are, and know no socket: http_connect.py and socks5.py have both sides of their protocol
each. target.py has what they are asked for. proxy_protocol/ has the header by which HAProxy
and others say whose connection they pass on. Nothing here knows Twisted or OpenSSL.
"""
