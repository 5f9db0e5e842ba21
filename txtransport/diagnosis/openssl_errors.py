"""What a failed handshake means: a table by OpenSSL's reason, a table by the peer's alert.

A summary ends the sentence "the handshake failed: …" and a remedy is a sentence of its
own, both without a full stop.
"""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.rule import Rule, indexed
from txtransport.diagnosis.ssl2_errors import SSL2_RULES
from txtransport.errors import Diagnosis

__all__ = ["ALERT_RULES", "OF_ALERT", "OF_REASON", "REASON_RULES"]

_VERSIONS: Final = "Compare the versions of both: min_version and max_version here"
_OLD: Final = (
    f"{_VERSIONS}; an old device may speak tlsv1.0:// or sslv3:// and nothing newer "
    "(docs/legacy.md)"
)
_CIPHERS: Final = "Look at ciphers and security_level"
_PROTOCOLS: Final = "Look at alpn_protocols on both sides"
_NO_GROUP: Final = Diagnosis(
    "no-common-cipher", "no group for the key exchange is left to offer", _CIPHERS
)

REASON_RULES: Final = (
    Rule(
        "unsupported protocol",
        Diagnosis("no-common-version", "the two sides have no version of TLS in common", _OLD),
    ),
    Rule(
        "version too low",
        Diagnosis("no-common-version", "the peer's version of TLS is too old", _VERSIONS),
    ),
    # OpenSSL before 1.1.1, of a record of another version than the one agreed on.
    Rule(
        "wrong ssl version",
        Diagnosis("no-common-version", "the peer speaks another version of SSL or TLS", _OLD),
    ),
    # OpenSSL says the same of plain text, which txtransport.tls.failure recognises first.
    Rule(
        "wrong version number",
        Diagnosis("no-common-version", "the peer speaks another version of TLS", _VERSIONS),
    ),
    Rule(
        "no protocols available",
        Diagnosis(
            "no-common-version",
            "no version of TLS is left to offer",
            "Look at min_version and max_version; those before 1.2 need security_level=0",
            fault="ours",
        ),
    ),
    Rule(
        "no shared cipher",
        Diagnosis(
            "no-common-cipher",
            "the two sides have no cipher in common",
            f"{_CIPHERS}, and whether there is a certificate for the name that was asked for",
        ),
    ),
    # SSL_R_EXCESSIVE_MESSAGE_SIZE: all certificates together may have 100 KiB
    # (SSL_CTX_set_max_cert_list(3)).
    Rule(
        "excessive message size",
        Diagnosis(
            "other",
            "the peer sent a message of the handshake that is too large, such as a whole bundle "
            "of authorities as its chain",
            "The peer must send its certificate with the authorities above it, and no others",
        ),
    ),
    Rule(
        "no suitable signature algorithm",
        Diagnosis(
            "no-common-cipher",
            "there is no certificate that the client can make use of",
            "Look whether there is one for the name that was asked for (local_cert, "
            "SNI_server_certs), at the kind of its key, and at the security_level of both",
            fault="ours",
        ),
    ),
    Rule(
        "no ciphers available",
        Diagnosis("no-common-cipher", "no cipher is left to offer", _CIPHERS, fault="ours"),
    ),
    Rule("no suitable key share", _NO_GROUP),
    Rule("no suitable groups", _NO_GROUP),
    Rule(
        "wrong cipher returned",
        Diagnosis("no-common-cipher", "the peer chose a cipher that was not offered", _CIPHERS),
    ),
    Rule(
        "dh key too small",
        Diagnosis(
            "no-common-cipher",
            "the peer's key exchange is too weak",
            "The peer must be renewed; security_level=1 lets it pass",
        ),
    ),
    Rule(
        "no application protocol",
        Diagnosis(
            "no-common-protocol",
            "the two sides have no application protocol in common",
            _PROTOCOLS,
        ),
    ),
    Rule(
        "peer did not return a certificate",
        Diagnosis(
            "client-certificate-required",
            "the client showed no certificate, and verify_peer=yes demands one",
            "The client needs local_cert; verify_peer=optional lets it come without",
        ),
    ),
    Rule(
        "ee key too small",
        Diagnosis("other", "the peer's key is too short", "The peer must renew its certificate"),
    ),
    Rule(
        "unsafe legacy renegotiation disabled",
        Diagnosis(
            "other",
            "the peer does not know of secure renegotiation (RFC 5746), and may be attacked",
            "The peer must be renewed",
        ),
    ),
)
"""By the reason that OpenSSL gives on this side of the handshake (ssl_err.c)."""

OF_REASON: Final = indexed((*REASON_RULES, *SSL2_RULES))

ALERT_RULES: Final = (
    Rule(
        70, Diagnosis("no-common-version", "the peer speaks none of our versions of TLS", _VERSIONS)
    ),
    Rule(71, Diagnosis("no-common-cipher", "the peer finds our ciphers too weak", _CIPHERS)),
    Rule(
        112,
        Diagnosis(
            "peer-alert",
            "the peer does not know the name that we asked for (SNI)",
            "Use a name that it serves, or peer_name=NAME",
            fault="ours",
        ),
    ),
    Rule(
        116,
        Diagnosis(
            "client-certificate-required",
            "the peer demands a client certificate",
            "Give one with local_cert=FILE",
            fault="ours",
        ),
    ),
    Rule(
        120,
        Diagnosis(
            "no-common-protocol",
            "the peer speaks none of our application protocols (ALPN)",
            _PROTOCOLS,
        ),
    ),
)
"""By the number of the peer's alert (RFC 8446, 6).

Alerts that mean different things on different sides, or with and without a
certificate of our own, are in `txtransport.tls.failure`.
"""

OF_ALERT: Final = indexed(ALERT_RULES)
