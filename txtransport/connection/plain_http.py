"""The answer to a client that speaks plain HTTP to a port for TLS.

It names the https URL, as web servers do, so that a browser can show it.
Nothing of what the client sent is repeated but the name of a host.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["plain_http_answer"]

_REQUEST: Final = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH|TRACE) [^\r\n]* HTTP/1\.")
_HOST: Final = re.compile(
    rb"\r?\nHost: *([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?\r?\n",
    re.IGNORECASE,
)
_MAX_REQUEST: Final = 4096
"""How many bytes of a request are looked at."""


def plain_http_answer(received: bytes) -> bytes:
    """A response to a request in plain HTTP that says to use https.

    Args:
        received: The first bytes of the client.

    Returns:
        A whole response of status 400 (RFC 9110, 15.5.1), after which the
        connection is to be closed; empty if the bytes are no HTTP request.
    """
    request = received[:_MAX_REQUEST]
    if _REQUEST.match(request) is None:
        return b""
    host = _HOST.search(request)
    # Without a host that can be repeated, an ellipsis.
    url = b"".join(part or b"" for part in host.groups()) + b"/" if host else b"\xe2\x80\xa6"
    text = b"This port speaks TLS: use https://" + url + b"\n"
    return (
        b"HTTP/1.1 400 Bad Request\r\n"
        b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: %d\r\n"
        b"Connection: close\r\n\r\n%s" % (len(text), text)
    )
