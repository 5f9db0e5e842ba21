"""Lines of two sides that have too little in common: versions, ciphers, protocols."""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.findings import OF_REASON, Finding
from txtransport.diagnosis.tools.alerts import MANGLED
from txtransport.diagnosis.tools.row import said

_VERSIONS: Final = OF_REASON["unsupported protocol"]
CIPHERS: Final = OF_REASON["no shared cipher"]

IN_COMMON: Final = (
    *(
        row
        for reason, finding in OF_REASON.items()
        # Almost always plain text, where no one has looked at the bytes.
        if reason != "wrong version number"
        for row in said(finding, OpenSSL=rf"(?<!alert ){reason}\b")
    ),
    *said(
        _VERSIONS,
        Go=(
            r"server selected unsupported protocol version",
            r"client offered only unsupported versions",
        ),
        Java=r"no appropriate protocol",
        GnuTLS=r"a packet with illegal or unsupported version",
    ),
    *said(
        OF_REASON["no protocols available"],
        Go=r"no supported versions satisfy minversion and maxversion",
        curl=r"sslversion max incompatible with curl sslversion",
    ),
    *said(
        CIPHERS,
        Go=r"no cipher suite supported by both client and server",
        Java=r"no cipher suites in common",
        GnuTLS=r"could not negotiate a supported cipher suite",
    ),
    *said(
        Finding(
            "no-common-cipher",
            "the other side signs with what is too weak today (SHA-1), as TLS 1.0 and 1.1 do",
            "It must be renewed and speak TLS 1.2; security_level=0 lets it pass",
        ),
        OpenSSL=r"legacy sigalg disallowed or unsupported",
    ),
    *said(
        OF_REASON["no application protocol"],
        Go=r"client requested unsupported application protocols",
    ),
    *said(
        OF_REASON["peer did not return a certificate"],
        Go=r"client didn.t provide a certificate",
    ),
    *said(MANGLED, OpenSSL=r"decryption failed or bad record mac", Go=r"tls: bad record mac"),
)  # fmt: skip
