"""Lines of tools that expected TLS and received plain text, and the other way round."""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.tools.row import rows_for
from txtransport.errors import Diagnosis

__all__ = ["PLAINTEXT"]

_PLAINTEXT: Final = Diagnosis(
    "plaintext-peer",
    "what came is not TLS; almost always the other side speaks plain text at that port, "
    "where TLS comes after a command (STARTTLS) or not at all",
    "For mail on port 587 use tls://HOST:587?starttls=smtp, or TLS from the start on port 465; "
    "other protocols work alike, see starttls=. For HTTP use http://, or the port of https (443)",
    fault="ours",
)
_HTTP_PEER: Final = Diagnosis(
    "plaintext-peer",
    "the server answered in plain HTTP where TLS (https) was expected",
    "Use http:// or tcp:// for this port, or switch TLS on at the server; a proxy is named "
    "with http:// also in HTTPS_PROXY",
    fault="ours",
)
_PLAIN_CLIENT: Final = Diagnosis(
    "plaintext-peer",
    "a client spoke plain HTTP to a port that speaks TLS",
    "The client's URL must begin with https://; behind a proxy that ends TLS, the port must "
    "be one without TLS",
)
_TLS_PEER: Final = Diagnosis(
    "other",
    "this side speaks plain text, and the other side answered in TLS",
    "Use https:// or tls:// for this port",
    fault="ours",
)

PLAINTEXT: Final = (
    *rows_for(
        _HTTP_PEER,
        Go=r"server gave http response to https client|oversized record received with length 20527",
    ),
    *rows_for(
        _PLAIN_CLIENT,
        OpenSSL=r"(?:routines:[^:]{0,60}:|\[ssl: |', )'?https? (?:proxy )?request\b",
        Go=r"client sent an http request to an https server",
        nginx=r"plain http request was sent to https port",
    ),
    *rows_for(
        _TLS_PEER,
        Go=r"malformed http (?:response|request|version) .{0,20}\\x15\\x03",
        curl=r"received http/0\.9 when not allowed",
    ),
    *rows_for(
        _PLAINTEXT,
        OpenSSL=(
            r"wrong version number",
            r"packet length too long|record layer failure|\bhello:unknown protocol",
        ),
        Go=(
            r"first record does not look like a tls handshake",
            r"oversized record received with length",
            r"unsupported sslv2 handshake received",
        ),
        GnuTLS=r"an unexpected tls packet was received|a tls packet with unexpected length",
        Java=r"unrecognized ssl message",
    ),
)  # fmt: skip
