"""What a failure of SSL 2.0 means: a table by the reason that our engine gives.

Reasons that OpenSSL has for TLS as well, such as ``no shared cipher``, are in
`txtransport.diagnosis.openssl_errors`. A summary ends the sentence "the handshake failed: …".
"""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.rule import Rule
from txtransport.errors import Diagnosis

__all__ = ["SSL2_RULES"]

_LOOK: Final = "Look at the peer's log, and whether something between the two changes what is sent"
_BROKEN: Final = Diagnosis("other", "the peer sent a message that is none of SSL 2.0's", _LOOK)
_CHANGED: Final = Diagnosis(
    "other",
    "a record of SSL 2.0 is not what the peer has sent, or the peer made other keys of what was "
    "agreed on",
    _LOOK,
)
_ATTACK: Final = Diagnosis(
    "other",
    "the client's key does not have the size of its cipher, as in attacks on old servers "
    "(CVE-2016-0703)",
    "If the client is none of a scanner's or an attacker's, try it with another cipher",
)
_NO_PROOF: Final = Diagnosis(
    "malformed",
    "the peer could not prove that it has the key of the certificate that it has shown",
    "The certificate and the key that the peer is configured with must belong together; if they "
    "do, someone else has shown its certificate",
)
_KIND: Final = "SSL 2.0 knows only X.509 certificates with an RSA key, without intermediate ones"
_REFUSED: Final = (
    "It must trust the authority of local_cert itself: SSL 2.0 shows no intermediate "
    "certificates. A client needs local_cert where the server demands a certificate"
)

SSL2_RULES: Final = (
    Rule(
        "peer speaks ssl 3.0 or tls",
        Diagnosis(
            "no-common-version",
            "the peer speaks SSL 3.0 or TLS, and this side SSL 2.0 alone",
            "Use tls:// in the place of sslv2://, which is broken; or sslv3:// if the peer has "
            "nothing newer",
        ),
    ),
    Rule(
        "peer error no cipher",
        Diagnosis(
            "no-common-cipher",
            "the peer says that it has none of our ciphers",
            "Look at ciphers on both sides; those of 40 bits must be named here",
        ),
    ),
    Rule(
        "peer error certificate",
        Diagnosis(
            "peer-alert", "the peer refused our certificate, or that there was none", _REFUSED
        ),
    ),
    Rule(
        "peer error no certificate",
        Diagnosis("peer-alert", "the peer has no certificate that it could show", "It needs one"),
    ),
    Rule(
        "peer error unsupported certificate type",
        Diagnosis("peer-alert", "the peer cannot read our kind of certificate", _KIND),
    ),
    Rule(
        "peer error",
        Diagnosis("peer-alert", "the peer says that something is wrong, and not what", _LOOK),
    ),
    Rule("bad mac decode", _CHANGED),
    Rule("wrong number of key bits", _ATTACK),
    Rule("challenge is different", _NO_PROOF),
    Rule("bad checksum", _NO_PROOF),
    Rule("connection id is different", _CHANGED),
    Rule("read wrong packet length", _BROKEN),
    Rule("read wrong packet type", _BROKEN),
    Rule(
        "record too small",
        Diagnosis("other", "the peer sends records without data, one after another", _LOOK),
    ),
    Rule(
        "ssl session id is different",
        Diagnosis("other", "the server goes on with a session that this client has not", _LOOK),
    ),
    Rule(
        "unknown certificate type",
        Diagnosis("malformed", "the peer's certificate is of a kind that is not known", _KIND),
    ),
    Rule(
        "public key is not rsa",
        Diagnosis("malformed", "the key of the peer's certificate is no RSA key", _KIND),
    ),
    Rule(
        "unreadable certificate",
        Diagnosis("malformed", "the peer's certificate cannot be read", _KIND),
    ),
    Rule(
        "message too long",
        Diagnosis(
            "other",
            "our certificate has no room in a message of SSL 2.0",
            "It may have 32 KiB: give another in local_cert",
            fault="ours",
        ),
    ),
)
"""By the reason of `txtransport.tls.legacy.ssl2`, which are OpenSSL 1.0's where it had some."""
