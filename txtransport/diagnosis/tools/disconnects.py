"""Lines about connections that ended early, or could not be made."""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.tools.row import rows_for
from txtransport.errors import Diagnosis

__all__ = ["DISCONNECTS"]

_CLOSED: Final = Diagnosis(
    "closed",
    "the other side closed the connection without a word of TLS about why",
    "Is the port one for TLS? A firewall, a full server, a name that it does not serve (SNI) or "
    "a missing client certificate look alike; on a server it may be a health check or a scan",
    permanent=False,
)
_RESET: Final = Diagnosis(
    "closed",
    "the connection was cut off (reset), by the other side or by something on the way",
    "Try another network to tell a firewall from the peer; look at the peer's log at that time",
    fault="network",
    permanent=False,
)
_TIMEOUT: Final = Diagnosis(
    "timeout",
    "the TLS handshake did not come to an end in time",
    "The port may wait for plain text first (587: tls://HOST:587?starttls=smtp), or a firewall "
    "drops packets, large ones above all (MTU)",
    permanent=False,
)
_REFUSED: Final = Diagnosis(
    "refused",
    "no one listens at that port, or a firewall says no; it did not come to TLS",
    "Is the service running, and at that address and port?",
    permanent=False,
)
_NO_NAME: Final = Diagnosis(
    "no-such-name",
    "the name could not be looked up; it did not come to TLS",
    "Is it spelt well, and is the name server reachable? In PHP an IPv6 address needs brackets",
    fault="network",
    permanent=False,
)

DISCONNECTS: Final = (
    *rows_for(
        _CLOSED,
        OpenSSL=r"unexpected eof while reading|no peer certificate available",
        Python=r"eof occurred in violation of protocol|tls/ssl connection has been closed \(eof\)",
        Node=r"disconnected before secure tls connection was established|socket hang up",
        Go=r"tls handshake error from \S{1,80} eof|tls: unexpected eof",
        GnuTLS=r"the tls connection was non-properly terminated",
        Java=r"remote host (?:terminated the handshake|closed connection)"
        r"|ssl peer shut down incorrectly",
        Twisted=r"connection to the other side was lost in a non-clean|error\.connectionlost"
        r"|connectionlost\(",
        curl=r"empty reply from server|ssl error syscall in connection",
    ),
    *rows_for(
        _TIMEOUT,
        PHP=r"ssl: handshake timed out|accept failed: connection timed out",
        Python=r"handshake operation timed out",
        Go=r"tls handshake timeout",
        curl=r"ssl connection timeout",
        Twisted=r"user timeout caused connection failure",
    ),
    *rows_for(
        _RESET,
        Node=r"\beconnreset\b",
        PHP=r"ssl: connection reset by peer",
        OpenSSL=r"connection reset by peer|:errno=104",
        Java=r"socketexception: connection reset",
        GnuTLS=r"error in the (?:pull|push) function",
    ),
    *rows_for(
        _REFUSED,
        Node=r"\beconnrefused\b",
        curl=r"failed to connect to \S{1,253} port|couldn.t connect to server",
        OpenSSL=r"connection (?:was )?refused|connect:errno=111",
    ),
    *rows_for(
        _NO_NAME,
        Node=r"getaddrinfo e[a-z ]{5,12}\b",
        curl=r"could not resolve host",
        PHP=r"getaddrinfo for \S{1,253} failed",
        Go=r"no such host",
        Python=r"name or service not known|nodename nor servname",
        Java=r"unknownhostexception",
        Twisted=r"dns lookup failed|dnslookuperror",
    ),
)  # fmt: skip
