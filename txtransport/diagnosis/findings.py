"""What a failed handshake comes to, as far as a table can say it.

By OpenSSL's reason on our side, by the peer's alert, and what to do about a
certificate that was refused.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen


@frozen
class Finding:
    """The parts of a `txtransport.errors.HandshakeFailed`.

    Attributes:
        cause: One of `txtransport.errors.CAUSES`.
        text: What happened, the rest of a sentence.
        remedy: What to do, a sentence without its full stop; or nothing.
        permanent: Whether trying again cannot help.
        fault: Whose it is, one of `txtransport.errors.FAULTS`.
    """

    cause: str
    text: str
    remedy: str
    permanent: bool = True
    fault: str = "peer"


@frozen
class Advice:
    """What to do about a certificate.

    Attributes:
        remedy: A sentence without its full stop.
        fault: Whose it is, one of `txtransport.errors.FAULTS`.
    """

    remedy: str
    fault: str = "peer"


_VERSIONS: Final = "Compare the versions of both: min_version and max_version here"
_CIPHERS: Final = "Look at ciphers and security_level"

OF_REASON: Final = {
    "unsupported protocol": Finding(
        "no-common-version", "the two sides have no version of TLS in common", _VERSIONS
    ),
    "version too low": Finding(
        "no-common-version", "the peer's version of TLS is too old", _VERSIONS
    ),
    # Said of TLS records alone; plain text has been told apart by then.
    "wrong version number": Finding(
        "no-common-version", "the peer speaks another version of TLS", _VERSIONS
    ),
    "no protocols available": Finding(
        "no-common-version",
        "no version of TLS is left to speak",
        "Look at min_version and max_version; those before 1.2 need security_level=0",
        fault="ours",
    ),
    "no shared cipher": Finding(
        "no-common-cipher",
        "the two sides have no cipher in common",
        f"{_CIPHERS}, and whether there is a certificate for the name that was asked for",
    ),
    "no suitable signature algorithm": Finding(
        "no-common-cipher",
        "there is no certificate that the client can make use of",
        "Look whether there is one for the name that was asked for (local_cert, "
        "SNI_server_certs), at the kind of its key, and at the security_level of both",
        fault="ours",
    ),
    "no ciphers available": Finding(
        "no-common-cipher", "no cipher is left to offer", _CIPHERS, fault="ours"
    ),
    "no suitable key share": Finding(
        "no-common-cipher", "no group for the key exchange is left to offer", _CIPHERS
    ),
    "no suitable groups": Finding(
        "no-common-cipher", "no group for the key exchange is left to offer", _CIPHERS
    ),
    "wrong cipher returned": Finding(
        "no-common-cipher", "the peer chose a cipher that was not offered", _CIPHERS
    ),
    "dh key too small": Finding(
        "no-common-cipher",
        "the peer's key exchange is too weak",
        "The peer must be renewed; security_level=1 lets it pass",
    ),
    "no application protocol": Finding(
        "no-common-protocol",
        "the two sides have no application protocol in common",
        "Look at alpn_protocols on both sides",
    ),
    "peer did not return a certificate": Finding(
        "client-certificate-required",
        "the client showed no certificate, and verify_peer=yes demands one",
        "The client needs local_cert; verify_peer=optional lets it come without",
    ),
    "ee key too small": Finding(
        "other", "the peer's key is too short", "The peer must renew its certificate"
    ),
    "unsafe legacy renegotiation disabled": Finding(
        "other",
        "the peer does not know of secure renegotiation (RFC 5746), and may be attacked",
        "The peer must be renewed",
    ),
}
"""By the reason that OpenSSL has on our side."""

OF_ALERT: Final = {
    70: Finding("no-common-version", "the peer speaks none of our versions of TLS", _VERSIONS),
    71: Finding("no-common-cipher", "the peer finds our ciphers too weak", _CIPHERS),
    112: Finding(
        "peer-alert",
        "the peer does not know the name that we asked for (SNI)",
        "Use a name that it serves, or peer_name=NAME",
        fault="ours",
    ),
    116: Finding(
        "client-certificate-required",
        "the peer demands a client certificate",
        "Give one with local_cert=FILE",
        fault="ours",
    ),
    120: Finding(
        "no-common-protocol",
        "the peer speaks none of our application protocols (ALPN)",
        "Look at alpn_protocols on both sides",
    ),
}
"""By the number of the peer's alert, where nothing else matters."""

OF_CERTIFICATE: Final = {
    "wrong-name": "Connect by a name that it is for, or say peer_name=NAME if another is meant",
    "unknown-issuer": "Name the authority with cafile=FILE; if it is a public one, the peer "
    "forgets to send its intermediate certificate",
    "self-signed": "Trust this one with cafile=FILE, a copy of the certificate itself",
    "expired": "The peer must renew it; check this machine's clock if the dates look right",
    "not-yet-valid": "Check this machine's clock and the peer's",
    "wrong-purpose": "It needs the extended key usage for servers (serverAuth), or on a "
    "client for clients (clientAuth), and a key usage for handshakes (digitalSignature)",
    "revoked": "The peer must get a new one; do not trust it meanwhile",
    "fingerprint": "If the change is expected, renew the digest; if not, someone is in between",
}
"""What to do about a certificate that was refused, by cause."""

FAULT_OF_CERTIFICATE: Final = {
    "unknown-issuer": "ours",
    "self-signed": "ours",
    "not-yet-valid": "ours",
    "fingerprint": "someone-between",
}
"""Whose fault it is, where it is not the peer's."""

MISSING_INTERMEDIATE: Final = (
    "The peer forgets to send its intermediate certificate, which is to be had at {place}: it "
    "belongs into the server's file behind the leaf. Until then cafile=FILE with it and with the "
    "authority above it will do"
)

EXPIRED_AUTHORITY: Final = (
    "An authority must be renewed: the peer must send the new one behind its leaf or, if it is a "
    "root, cafile needs it here; check this machine's clock if the dates look right"
)

_STRONGER: Final = "The peer must renew it with {what}; security_level={level} lets it pass"
_NO_AUTHORITY: Final = Advice(
    "The peer must get one from a real authority, which has CA:TRUE (basicConstraints) and the "
    "key usage keyCertSign"
)
_CONSTRAINED: Final = Advice(
    "The peer must get one from an authority that may vouch for its names (nameConstraints)"
)
_LONG_KEY: Final = "a key of at least 2048 bits (RSA) or 256 (EC)"

OF_X509: Final = {
    3: Advice("Put the list of its issuer into the file of crl, or leave crl out", "ours"),
    7: Advice(
        "Two authorities have the same name: the peer's is another than the one in cafile, or "
        "someone pretends to be it"
    ),
    12: Advice("Fetch the present list of its issuer for the file of crl", "ours"),
    22: Advice("Raise verify_depth if the chain is as it should be", "ours"),
    24: _NO_AUTHORITY,
    25: Advice(
        "The peer must get one from an authority nearer to the root, or that authority must be "
        "issued anew with a greater pathlen (basicConstraints)"
    ),
    32: _NO_AUTHORITY,
    34: Advice("The peer must get one without that extension, or in which it is not critical"),
    47: _CONSTRAINED,
    48: _CONSTRAINED,
    66: Advice(_STRONGER.format(what=_LONG_KEY, level=0)),
    67: Advice(_STRONGER.format(what="an authority that has " + _LONG_KEY, level=0)),
    68: Advice(_STRONGER.format(what="a signature of SHA-256", level=0)),
    79: _NO_AUTHORITY,
}
"""What to do, by OpenSSL's number (x509_vfy.h), where the cause alone says too little."""
