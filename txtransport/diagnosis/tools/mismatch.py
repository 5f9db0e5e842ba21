"""Lines about two sides that have no version, cipher or application protocol in common."""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.openssl_errors import OF_REASON
from txtransport.diagnosis.tools.alerts import UNDECRYPTABLE
from txtransport.diagnosis.tools.row import rows_for
from txtransport.errors import Diagnosis

__all__ = ["CIPHERS", "MISMATCHES"]

_VERSIONS: Final = OF_REASON["unsupported protocol"]
CIPHERS: Final = OF_REASON["no shared cipher"]

MISMATCHES: Final = (
    *(
        row
        for reason, diagnosis in OF_REASON.items()
        # In other tools' lines this is almost always plain text: diagnosis/tools/plaintext.py.
        if reason != "wrong version number"
        for row in rows_for(diagnosis, OpenSSL=rf"(?<!alert ){reason}\b")
    ),
    *rows_for(
        _VERSIONS,
        Go=(
            r"server selected unsupported protocol version",
            r"client offered only unsupported versions",
        ),
        Java=r"no appropriate protocol",
        GnuTLS=r"a packet with illegal or unsupported version",
    ),
    *rows_for(
        OF_REASON["no protocols available"],
        Go=r"no supported versions satisfy minversion and maxversion",
        curl=r"sslversion max incompatible with curl sslversion",
    ),
    *rows_for(
        CIPHERS,
        Go=r"no cipher suite supported by both client and server",
        Java=r"no cipher suites in common",
        GnuTLS=r"could not negotiate a supported cipher suite",
    ),
    *rows_for(
        Diagnosis(
            "no-common-cipher",
            "the other side signs with what is too weak today (SHA-1), as TLS 1.0 and 1.1 do",
            "It must be renewed and speak TLS 1.2; security_level=0 lets it pass",
        ),
        OpenSSL=r"legacy sigalg disallowed or unsupported",
    ),
    *rows_for(
        OF_REASON["no application protocol"],
        Go=r"client requested unsupported application protocols",
    ),
    *rows_for(
        OF_REASON["peer did not return a certificate"],
        Go=r"client didn.t provide a certificate",
    ),
    *rows_for(
        UNDECRYPTABLE,
        OpenSSL=r"decryption failed or bad record mac",
        Go=r"tls: bad record mac",
    ),
)  # fmt: skip
