"""What to tell a stranger who knocks at the wrong door, in the stranger's own words.

Whoever speaks HTTP to a port of TLS gets a plain answer that names the right
URL, as the web's own servers give it; a browser shows it. Nothing of what the
stranger sent is repeated but a host's name.
"""

from __future__ import annotations

import re
from typing import Final

_REQUEST: Final = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE) [^\r\n]* HTTP/1\.")
_HOST: Final = re.compile(
    rb"\r?\nHost: *([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\r?\n",
    re.IGNORECASE,
)
_LONGEST: Final = 4096
"""Bytes of a request that are looked at."""


def plain_http_answer(received: bytes) -> bytes:
    """The answer to a request in plain HTTP, on a port of TLS.

    Args:
        received: The first bytes of the client.

    Returns:
        A whole answer (RFC 9110, 15.5.1), after which the connection is to be
        closed; nothing for whoever does not speak HTTP.
    """
    begun = received[:_LONGEST]
    if _REQUEST.match(begun) is None:
        return b""
    host = _HOST.search(begun)
    place = b"".join(part or b"" for part in host.groups()) + b"/" if host else b"\xe2\x80\xa6"
    text = b"This port speaks TLS: use https://" + place + b"\n"
    return (
        b"HTTP/1.1 400 Bad Request\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: %d\r\n"
        b"Connection: close\r\n\r\n%s" % (len(text), text)
    )
