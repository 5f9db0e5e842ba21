"""Lines about this side's own settings: files, options, URLs."""

from __future__ import annotations

from typing import Final

from txtransport.diagnosis.tools.row import rows_for
from txtransport.errors import Diagnosis

__all__ = ["CONFIGURATION", "KEY", "our_fault"]


def our_fault(cause: str, summary: str, remedy: str) -> Diagnosis:
    """A diagnosis whose fault is this side's own.

    Args:
        cause: A word for programs.
        summary: What happened, the rest of a sentence.
        remedy: What to do, a sentence without its full stop.
    """
    return Diagnosis(cause, summary, remedy, fault="ours")


KEY: Final = our_fault(
    "bad-file",
    "the private key does not belong to the certificate, or cannot be read",
    "Name a certificate and the key that belongs to it (local_cert, local_pk), the leaf first "
    "in its file, and the right passphrase",
)
_FILE: Final = our_fault(
    "bad-file",
    "a certificate or key file is missing, unreadable, or not PEM",
    "See that the program may read it and that it holds -----BEGIN CERTIFICATE----- "
    "(local_cert) and a key (local_pk); DER must be converted first",
)
_PASSPHRASE: Final = our_fault(
    "bad-file",
    "the private key is encrypted, and its passphrase is missing or wrong",
    "Say passphrase= or passphrase_file=, or store the key without one",
)
_PHP_TRANSPORT: Final = our_fault(
    "unavailable",
    "PHP has no transport of that name: it is spelt in lower case only, and SSL 2 and 3 are gone",
    "Write tls:// (tls and ssl are one) with PHP's openssl extension; here any case will do",
)

CONFIGURATION: Final = (
    *rows_for(
        KEY,
        OpenSSL=r"key values mismatch",
        Go=r"private key does not match public key",
        curl=r"unable to set private key file:",
        PHP=r"unable to set private key file",
    ),
    *rows_for(_PASSPHRASE, OpenSSL=r"bad decrypt|bad password read"),
    *rows_for(
        _FILE,
        OpenSSL=r"pem routines:[^:]{0,60}:no start line|pem no start line|could not (?:open|read)"
        r"[a-z ]{0,40} (?:certificate|private key)",
        Python=r"\[ssl\] pem lib",
        curl=r"could not load pem client certificate",
        PHP=r"unable to set local cert chain file|failed setting local cert chain file",
        Go=r"failed to find any pem data in",
    ),
    *rows_for(
        our_fault(
            "bad-file", "the file with revoked certificates cannot be read", "Look at crl=FILE"
        ),
        curl=r"error loading crl file",
    ),
    *rows_for(
        our_fault(
            "invalid-option",
            "none of the ciphers in the list exists, or is allowed, here",
            "Look at ciphers; its names are OpenSSL's, and those of TLS 1.3 are not set by it",
        ),
        OpenSSL=r"no cipher match",
        Python=r"no cipher can be selected",
        curl=r"failed setting cipher list",
    ),
    *rows_for(
        our_fault(
            "invalid-option",
            "this side is to check whom the certificate is for, and was not told the name",
            "Say peer_name=NAME, if the URL does not hold it",
        ),
        Python=r"check hostname requires server hostname",
        Go=r"either servername or insecureskipverify must be specified",
    ),
    *rows_for(
        our_fault(
            "invalid-option",
            "the name is to be checked and the certificate not, which Python refuses",
            "Keep both checks, and name the authority with cafile=FILE",
        ),
        Python=r"cannot set verify mode to cert none when check hostname",
    ),
    *rows_for(
        our_fault(
            "invalid-url",
            "the URL's scheme is not one for this function",
            "Use the module that belongs to the scheme: https for https://",
        ),
        Node=r"err invalid protocol|protocol \S{1,20} not supported\. expected",
    ),
    *rows_for(_PHP_TRANSPORT, PHP=r"unable to find the socket transport"),
    *rows_for(
        our_fault(
            "invalid-url",
            "PHP cannot tell host and port apart in this address",
            "Name the port, and put an IPv6 address in brackets: tcp://[fe80::1%eth0]:80",
        ),
        PHP=r"failed to parse (?:ipv6 )?address|hostname must not contain null bytes",
    ),
    *rows_for(
        our_fault(
            "upgrade",
            "TLS is on already, or was tried and failed: PHP cannot begin it twice on a stream",
            "Close the connection and open a new one; after a failure never write to the old one, "
            "which is in the clear",
        ),
        PHP=r"ssl/tls already set-up for this stream",
    ),
    *rows_for(
        our_fault(
            "unavailable",
            "this kind of stream cannot do TLS in PHP (udp, unix, udg)",
            "Use tcp://; here tls+unix:// is TLS over a local socket",
        ),
        PHP=r"does not support ssl/crypto",
    ),
    *rows_for(
        our_fault(
            "invalid-option",
            "PHP is to switch to TLS and was not told which versions",
            "Give stream_socket_enable_crypto() STREAM_CRYPTO_METHOD_TLS_CLIENT",
        ),
        PHP=r"crypto method\) must be specified",
    ),
    *rows_for(
        Diagnosis(
            "tls-not-offered",
            "the server does not offer STARTTLS, or not to us",
            "Have TLS switched on there, or use its port with TLS from the start; someone in "
            "between can take the offer away, so do not go on in the clear",
        ),
        Python=r"starttls extension not supported by server",
        curl=r"starttls (?:not supported|not available|denied)|curl\W{1,3}\(64\)",
    ),
)  # fmt: skip
