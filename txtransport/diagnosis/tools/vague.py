"""Lines that say only that something failed, and not why."""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.openssl_errors import OF_ALERT
from txtransport.diagnosis.tools.certificates import NO_AUTHORITIES, NO_LIST, PINNED, UNKNOWN
from txtransport.diagnosis.tools.configuration import KEY, our_fault
from txtransport.diagnosis.tools.mismatch import CIPHERS
from txtransport.diagnosis.tools.row import rows_for
from txtransport.errors import Diagnosis

__all__ = ["VAGUE"]

_UNVERIFIED: Final = Diagnosis(
    "other",
    "the certificate was refused, and the line does not say why: untrusted, expired, without "
    "its intermediate, or for another name",
    "Ask for the reason: txtransport probe tls://HOST:PORT tells it, and shows the certificates",
)
_FAILED: Final = Diagnosis(
    "other",
    "TLS did not come about, and the line does not say why",
    "Look at the lines before it: the reason stands there, or in the other side's log; or ask "
    "txtransport probe tls://HOST:PORT",
)
_NOT_SENT: Final = Diagnosis(
    "closed",
    "the connection ended while something was sent or received",
    "Look at the text behind the number; a server that wants a client certificate says so only "
    "then (local_cert)",
    permanent=False,
)


def _curl(number: int) -> str:
    """A pattern for an exit code of curl, as curl itself and programs that use it print it."""
    return rf"\bcurl\W{{1,3}}(?:error |exit code |exited with )?\(?{number}\b"


VAGUE: Final = (
    *rows_for(_UNVERIFIED, OpenSSL=r"certificate verify failed", curl=(_curl(60), _curl(51))),
    *rows_for(KEY, curl=_curl(58)),
    *rows_for(NO_AUTHORITIES, curl=_curl(77)),
    *rows_for(NO_LIST, curl=(_curl(82), _curl(91))),
    *rows_for(UNKNOWN, curl=_curl(83)),
    *rows_for(PINNED, curl=_curl(90)),
    *rows_for(OF_ALERT[116], curl=_curl(98)),
    *rows_for(CIPHERS, curl=_curl(59)),
    *rows_for(
        our_fault(
            "invalid-option", "the engine for keys (PKCS#11 or such) is not there", "Install it"
        ),
        curl=rf"{_curl(53)}|{_curl(54)}|{_curl(66)}",
    ),
    *rows_for(_NOT_SENT, curl=rf"{_curl(55)}|{_curl(56)}|{_curl(80)}"),
    *rows_for(
        _FAILED,
        curl=_curl(35),
        Node=r"\beproto\b",
        PHP=r"failed to enable crypto|ssl operation failed with code 1"
        r"|unable to connect to (?:tls|ssl)\S{0,260} \(unknown error\)",
        Go=r"tls handshake error from",
        GnuTLS=r"gnutls handshake\(\) failed|a tls fatal alert has been received",
        Java=r"sslhandshakeexception",
        Python=r"\bssl\.sslerror",
        OpenSSL=r"ssl handshake failure|ssl error syscall|ssl error ssl",
    ),
)  # fmt: skip
