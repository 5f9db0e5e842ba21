"""The known error lines of other tools, and what each comes to.

A row is a pattern over text as `txtransport.traces.folded` spells it: lower case,
blanks for underscores, one line. So ``CERT_HAS_EXPIRED`` and ``certificate has
expired`` look alike, and one pattern serves all who pass OpenSSL's words on. No
pattern has a repetition within a repetition, nor one without a bound.

The rows stand in order: `TELLING` ones name a reason, and of those the earlier
says more; `VAGUE` ones say only that something failed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from attrs import frozen

from txtransport.tls.alerts import ALERTS
from txtransport.tls.findings import (
    FAULT_OF_CERTIFICATE,
    OF_ALERT,
    OF_CERTIFICATE,
    OF_REASON,
    Finding,
)


@frozen
class Explanation:
    """What a line means.

    Attributes:
        pattern: A regular expression over folded text. Its groups ``wanted`` and
            ``names``, if it has them, are the name that was asked for and those
            that the certificate is for.
        tool: Whose words they are.
        meaning: What happened, the rest of a sentence.
        remedy: What to do, a sentence without its full stop.
        cause: One of `txtransport.errors.CAUSES` where one fits, or else a word
            like those of the other errors.
        fault: Whose it usually is, one of `txtransport.errors.FAULTS`.
        permanent: Whether trying again cannot help.
    """

    pattern: str
    tool: str
    meaning: str
    remedy: str
    cause: str
    fault: str = "peer"
    permanent: bool = True


def _said(finding: Finding, **patterns: str | tuple[str, ...]) -> Iterator[Explanation]:
    """One row for each way in which a tool says it."""
    for tool, ways in patterns.items():
        for pattern in (ways,) if isinstance(ways, str) else ways:
            yield Explanation(
                pattern,
                tool,
                finding.text,
                finding.remedy,
                finding.cause,
                finding.fault,
                finding.permanent,
            )


def _certificate(cause: str, text: str, remedy: str = "", fault: str = "") -> Finding:
    return Finding(
        cause,
        text,
        remedy or OF_CERTIFICATE[cause],
        fault=fault or FAULT_OF_CERTIFICATE.get(cause, "peer"),
    )


# --- certificates ------------------------------------------------------------------

# A name as tools put it: in quotes of any kind, or bare.
_WANTED: Final = r"['`\"\u2018]?(?P<wanted>[0-9a-z*.:-]{1,253})"

_WRONG_NAME: Final = _certificate(
    "wrong-name",
    "the certificate is for another name or address than the one that was asked for",
)
_NO_SAN: Final = _certificate(
    "wrong-name",
    "the certificate has its name only in the Common Name, where no one looks any more",
    "Have it issued anew with the name as a subject alternative name (subjectAltName)",
)
_EXPIRED: Final = _certificate("expired", "the certificate, or one above it, has expired")
_NOT_YET: Final = _certificate("not-yet-valid", "the certificate is not valid yet")
_SELF_SIGNED: Final = _certificate(
    "self-signed", "the certificate is signed by no one but itself, and is not trusted here"
)
_OWN_ROOT: Final = _certificate(
    "unknown-issuer",
    "the chain ends at an authority of its own, which is not trusted here: one within a "
    "company, or a proxy or virus scanner that looks into TLS",
    "If you know that authority, name it with cafile=FILE; if not, someone is in between",
)
_UNKNOWN: Final = _certificate(
    "unknown-issuer",
    "the certificate's issuer is not known here: its authority is not trusted, or the peer "
    "does not send the intermediate certificate",
)
_ALONE: Final = _certificate(
    "unknown-issuer",
    "the certificate came without the intermediate one above it, or its authority is not "
    "trusted here",
    "The peer's file must hold the leaf and behind it the intermediate certificates "
    "(fullchain.pem); for an authority of your own say cafile=FILE",
    fault="peer",
)
_NO_AUTHORITIES: Final = Finding(
    "bad-file",
    "the file or folder with the authorities to trust cannot be read, or holds none",
    "Install the system's authorities (ca-certificates), or name a PEM file that exists "
    "with cafile=FILE",
    fault="ours",
)
_PURPOSE: Final = _certificate(
    "wrong-purpose", "the certificate is not made for this use: a client's on a server, or so"
)
_REVOKED: Final = _certificate("revoked", "the certificate has been revoked by its issuer")
_NO_AUTHORITY: Final = Finding(
    "unknown-issuer",
    "a certificate in the chain has signed another and is no authority's",
    "Have the chain issued properly: an authority needs CA:TRUE in its basic constraints",
)
_TOO_LONG: Final = Finding(
    "other",
    "the chain of certificates is longer than is allowed",
    "Raise verify_depth, if the chain is as it should be",
    fault="ours",
)
_NO_LIST: Final = Finding(
    "other",
    "revocation is to be checked, and the authority's list (CRL) is missing or too old",
    "Fetch the authority's current list and name it with crl=FILE, or do without",
    fault="ours",
)
_WEAK: Final = Finding(
    "other",
    "a key or signature in the chain is too weak for this side's security level",
    "The peer must renew its certificate; until then security_level=1 lets it pass",
)
_PINNED: Final = _certificate("fingerprint", "the certificate or key is not the one expected")

_CERTIFICATES: Final = (
    *_said(
        _WRONG_NAME,
        Node=(
            rf"host: {_WANTED}\.? is not (?:in the cert.s altnames: (?P<names>[^}}\]]{{1,300}})"
            r"|cert.s cn)",
            r"err tls cert altname invalid|does(?: not|n.t) match certificate.s altnames",
        ),
        Go=(
            rf"certificate is valid for (?P<names>[^)]{{1,300}}), not {_WANTED}",
            rf"certificate is not valid for any names, but wanted to match {_WANTED}",
            rf"cannot validate certificate for {_WANTED} because it doesn.t contain any ip sans",
        ),
        curl=(
            rf"certificate subject name .?(?P<names>[^ ']{{1,253}}). does not match target "
            rf"(?:host ?name|ipv[46] address) {_WANTED}",
            rf"no alternative certificate subject name matches target "
            rf"(?:host ?name|ipv[46] address) {_WANTED}",
        ),
        PHP=(
            rf"peer certificate cn=.?(?P<names>[^ ']{{1,253}}). did not match expected "
            rf"cn={_WANTED}",
            rf"subjectaltname did not match expected name {_WANTED}",
        ),
        Python=(
            rf"mismatch, certificate is not valid for {_WANTED}",
            rf"hostname {_WANTED}. doesn.t match",
        ),
        Twisted=(
            rf"(?:dns|srv|uri)mismatch\(mismatched id=[a-z]{{3}} id\(hostname=b{_WANTED}",
            r"ipaddressmismatch\(mismatched id=ipaddress id\(ip=ipv[46]address\(" + _WANTED,
            r"service identity\.(?:exceptions\.)?verificationerror",
        ),
        Java=(
            rf"no subject alternative (?:dns |ip )?(?:names?|address) matching (?:ip address )?"
            rf"{_WANTED}",
            rf"no name matching {_WANTED} found",
        ),
        GnuTLS=rf"certificate.s owner does not match hostname {_WANTED}",
        OpenSSL=r"(?:hostname|ip address) mismatch",
    ),
    *_said(
        _NO_SAN,
        Go=r"certificate relies on legacy common name field",
        PHP=r"unable to locate peer certificate cn",
        curl=r"unable to obtain common name from peer certificate",
        Java=r"no subject alternative names present",
    ),
    *_said(
        _NOT_YET,
        Go=r"has expired or is not yet valid: current time \S{1,40} is before",
        Java=r"certificatenotyetvalidexception",
        OpenSSL=r"certificate is not yet valid|cert not yet valid",
        GnuTLS=r"not yet (?:been )?activated|uses not yet valid certificate",
    ),
    *_said(
        _EXPIRED,
        Go=r"certificate has expired or is not yet valid",
        Java=r"certificateexpiredexception",
        OpenSSL=r"(?<!crl )(?:certificate|\bcert) has expired",
        GnuTLS=r"the certificate of .{1,255} has expired",
    ),
    *_said(
        _OWN_ROOT,
        OpenSSL=r"self.signed certificate in certificate chain",
        Node=r"self signed cert in chain",
    ),
    *_said(
        _SELF_SIGNED,
        OpenSSL=r"self.signed certificate",
        Node=r"depth zero self signed cert",
    ),
    *_said(
        _ALONE,
        OpenSSL=r"unable to verify the first certificate",
        Node=r"unable to verify leaf signature",
    ),
    *_said(
        _UNKNOWN,
        OpenSSL=r"unable to get (?:local )?issuer certificate",
        Node=r"unable to get issuer cert",
        Go=(
            r"certificate signed by unknown authority",
            r"x509: .{1,200} certificate is not trusted",
        ),
        Java=r"pkix path building failed|unable to find valid certification path",
        GnuTLS=(
            r"server certificate verification failed\. cafile",
            r"doesn.t have a known issuer|the certificate of .{1,255} is not trusted",
        ),
    ),
    *_said(
        _NO_AUTHORITIES,
        Go=r"failed to load system roots and no roots provided",
        curl=r"error setting certificate (?:verify locations|file)",
        PHP=r"failed loading ca(?:file stream| names from cafile)|no valid certs found cafile",
        Python=r"no certificate or crl found",
        Java=r"trustanchors parameter must be non-empty",
    ),
    *_said(
        _PURPOSE,
        OpenSSL=r"(?:unsuitable|unsupported) certificate purpose|\binvalid purpose\b",
        Go=r"certificate specifies an incompatible key usage",
        Java=r"extended key usage does not permit",
    ),
    *_said(
        _REVOKED,
        OpenSSL=r"(?<!alert )(?<!alert: )\bcert(?:ificate)? revoked",
        Java=r"certificate has been revoked",
    ),
    *_said(
        _NO_AUTHORITY,
        OpenSSL=r"invalid (?:non-)?ca(?: certificate|\b)",
        Go=r"certificate is not authorized to sign other certificates",
    ),
    *_said(
        _TOO_LONG,
        OpenSSL=r"cert(?:ificate)? chain too long|path length (?:constraint )?exceeded",
        Go=r"too many intermediates for path length constraint",
    ),
    *_said(
        _NO_LIST,
        OpenSSL=r"unable to get (?:certificate )?crl|\bcrl has expired",
        curl=r"no ocsp response received",
    ),
    *_said(
        _WEAK,
        OpenSSL=r"(?:certificate key|\bca (?:key|md)) too (?:weak|small)|digest algorithm too weak",
    ),
    *_said(
        _PINNED,
        PHP=r"peer fingerprint match failure",
        curl=r"public key does not match pinned public key",
    ),
)  # fmt: skip


# --- plain text ----------------------------------------------------------------------

_PLAINTEXT: Final = Finding(
    "plaintext-peer",
    "what came is not TLS; almost always the other side speaks plain text at that port, "
    "where TLS comes after a command (STARTTLS) or not at all",
    "For mail on port 587 use tls://HOST:587?starttls=smtp, or TLS from the start on port 465; "
    "other protocols alike, see starttls=. For HTTP use http://, or the port of https (443)",
    fault="ours",
)
_HTTP_PEER: Final = Finding(
    "plaintext-peer",
    "the server answered in plain HTTP where TLS (https) was expected",
    "Use http:// or tcp:// for this port, or switch TLS on at the server; a proxy is named "
    "with http:// also in HTTPS_PROXY",
    fault="ours",
)
_PLAIN_CLIENT: Final = Finding(
    "plaintext-peer",
    "a client spoke plain HTTP to a port that speaks TLS",
    "The client's URL must begin with https://; behind a proxy that ends TLS, the port must "
    "be one in the clear",
)
_TLS_PEER: Final = Finding(
    "other",
    "this side speaks plain text, and the other side answered in TLS",
    "Use https:// or tls:// for this port",
    fault="ours",
)

_PLAIN: Final = (
    *_said(
        _HTTP_PEER,
        Go=r"server gave http response to https client|oversized record received with length 20527",
    ),
    *_said(
        _PLAIN_CLIENT,
        OpenSSL=r"(?:routines:[^:]{0,60}:|\[ssl: |', )'?https? (?:proxy )?request\b",
        Go=r"client sent an http request to an https server",
        nginx=r"plain http request was sent to https port",
    ),
    *_said(
        _TLS_PEER,
        Go=r"malformed http (?:response|request|version) .{0,20}\\x15\\x03",
        curl=r"received http/0\.9 when not allowed",
    ),
    *_said(
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


# --- what the peer says: alerts ------------------------------------------------------

_FOR_SERVERS: Final = (
    "In a server's log it is a client's verdict: give the client your authority, and "
    "local_cert the intermediate certificates"
)
_OWN_CERTIFICATE: Final = Finding(
    "peer-alert",
    "the other side refuses the certificate of this one",
    f"{_FOR_SERVERS}. On a client: show another certificate with local_cert=FILE",
    fault="ours",
)
_OWN_EXPIRED: Final = Finding(
    "peer-alert",
    "the other side says that this side's certificate has expired or is revoked",
    "Renew local_cert, and see that the running program has loaded the new file",
    fault="ours",
)
_OWN_UNKNOWN: Final = Finding(
    "peer-alert",
    "the other side does not know the authority of this side's certificate",
    f"{_FOR_SERVERS}. On a client: the server does not accept certificates of that authority",
    fault="ours",
)
_MANGLED: Final = Finding(
    "other",
    "a record came that could not be decrypted: something on the way changes the bytes, or one "
    "side has a fault",
    "Try without the proxy, balancer or virus scanner in between, and with a current OpenSSL",
    fault="network",
)
_OF_ALERT: Final = {
    **OF_ALERT,
    20: _MANGLED,
    40: Finding(
        "no-common-cipher",
        "the other side found nothing acceptable in what this one offers: ciphers, groups, "
        "signatures or versions",
        "Compare ciphers, min_version and security_level of both; a server that wants a client "
        "certificate (local_cert), or a name that it serves (peer_name), may say the same",
    ),
    42: _OWN_CERTIFICATE,
    43: _OWN_CERTIFICATE,
    44: _OWN_EXPIRED,
    45: _OWN_EXPIRED,
    46: _OWN_CERTIFICATE,
    48: _OWN_UNKNOWN,
    51: _MANGLED,
    80: Finding(
        "peer-alert",
        "the other side failed for a reason of its own, which it does not tell (internal error)",
        "Look at its log. A server without a certificate says so, and a Twisted server to a "
        "client that offers protocols: try without alpn_protocols",
        permanent=False,
    ),
}

# Where it is not OpenSSL's words, by number: crypto/tls/alert.go, gnutls_alert_get_name(3).
_IN_GO: Final = {
    44: "revoked certificate",
    45: "expired certificate",
    46: "unknown certificate",
    48: "unknown certificate authority",
    50: "error decoding message",
    51: "error decrypting message",
    70: "protocol version not supported",
    71: "insufficient security level",
}
_IN_GNUTLS: Final = {
    40: "handshake failed",
    42: "certificate is bad",
    43: "certificate is not supported",
    44: "certificate was revoked",
    45: "certificate is expired",
    46: "unknown certificate",
    48: "ca is unknown",
    49: "access was denied",
    70: "error in protocol version",
    112: "the server name sent was not recognized",
    116: "certificate is required",
    120: "no supported application protocol could be negotiated",
}
# "bad certificate status response" is not "bad certificate".
_NO_MORE: Final = r"(?! (?:status|authority))"


def _alerts() -> Iterator[Explanation]:
    for alert in ALERTS:
        if alert.number == 0:
            continue
        finding = _OF_ALERT.get(alert.number) or Finding(
            "peer-alert",
            f"the other side ended it with the alert {alert.name!r} ({alert.number})",
            "Look at its log for the reason",
        )
        name = alert.name
        yield from _said(
            finding,
            OpenSSL=(
                rf"\b(?:sslv3|tlsv1|tlsv13|tls)(?: alert)? {name}{_NO_MORE}",
                rf"\balert number {alert.number}\b",
            ),
            Go=rf"remote error: tls: {_IN_GO.get(alert.number, name)}{_NO_MORE}",
            Java=rf"received fatal alert: {name}{_NO_MORE}",
        )
        if alert.number in _IN_GNUTLS:
            yield from _said(
                finding, GnuTLS=rf"gnutls handshake\(\) failed: {_IN_GNUTLS[alert.number]}"
            )


# --- what the two sides have in common -----------------------------------------------

_VERSIONS: Final = OF_REASON["unsupported protocol"]
_CIPHERS: Final = OF_REASON["no shared cipher"]

_IN_COMMON: Final = (
    *(
        row
        for reason, finding in OF_REASON.items()
        # Almost always plain text, where no one has looked at the bytes.
        if reason != "wrong version number"
        for row in _said(finding, OpenSSL=rf"(?<!alert ){reason}\b")
    ),
    *_said(
        _VERSIONS,
        Go=(
            r"server selected unsupported protocol version",
            r"client offered only unsupported versions",
        ),
        Java=r"no appropriate protocol",
        GnuTLS=r"a packet with illegal or unsupported version",
    ),
    *_said(
        OF_REASON["no protocols available"],
        Go=r"no supported versions satisfy minversion and maxversion",
        curl=r"sslversion max incompatible with curl sslversion",
    ),
    *_said(
        _CIPHERS,
        Go=r"no cipher suite supported by both client and server",
        Java=r"no cipher suites in common",
        GnuTLS=r"could not negotiate a supported cipher suite",
    ),
    *_said(
        Finding(
            "no-common-cipher",
            "the other side signs with what is too weak today (SHA-1), as TLS 1.0 and 1.1 do",
            "It must be renewed and speak TLS 1.2; security_level=0 lets it pass",
        ),
        OpenSSL=r"legacy sigalg disallowed or unsupported",
    ),
    *_said(
        OF_REASON["no application protocol"],
        Go=r"client requested unsupported application protocols",
    ),
    *_said(
        OF_REASON["peer did not return a certificate"],
        Go=r"client didn.t provide a certificate",
    ),
    *_said(_MANGLED, OpenSSL=r"decryption failed or bad record mac", Go=r"tls: bad record mac"),
)  # fmt: skip


# --- what this side was told -----------------------------------------------------------


def _ours(cause: str, text: str, remedy: str) -> Finding:
    return Finding(cause, text, remedy, fault="ours")


_KEY: Final = _ours(
    "bad-file",
    "the private key does not belong to the certificate, or cannot be read",
    "Name the two that were made together (local_cert, local_pk), the leaf first in its file, "
    "and the right passphrase",
)
_FILE: Final = _ours(
    "bad-file",
    "a certificate or key file is missing, unreadable, or not PEM",
    "See that the program may read it and that it holds -----BEGIN CERTIFICATE----- "
    "(local_cert) and a key (local_pk); DER must be converted first",
)
_PASSPHRASE: Final = _ours(
    "bad-file",
    "the private key is encrypted, and its passphrase is missing or wrong",
    "Say passphrase= or passphrase_file=, or store the key without one",
)
_PHP_TRANSPORT: Final = _ours(
    "unavailable",
    "PHP has no transport of that name: it is spelt in lower case only, and SSL 2 and 3 are gone",
    "Write tls:// (tls and ssl are one) with PHP's openssl extension; here any case will do",
)

_TOLD: Final = (
    *_said(
        _KEY,
        OpenSSL=r"key values mismatch",
        Go=r"private key does not match public key",
        curl=r"unable to set private key file:",
        PHP=r"unable to set private key file",
    ),
    *_said(_PASSPHRASE, OpenSSL=r"bad decrypt|bad password read"),
    *_said(
        _FILE,
        OpenSSL=r"pem routines:[^:]{0,60}:no start line|pem no start line|could not (?:open|read)"
        r"[a-z ]{0,40} (?:certificate|private key)",
        Python=r"\[ssl\] pem lib",
        curl=r"could not load pem client certificate",
        PHP=r"unable to set local cert chain file|failed setting local cert chain file",
        Go=r"failed to find any pem data in",
    ),
    *_said(
        _ours("bad-file", "the file with revoked certificates cannot be read", "Look at crl=FILE"),
        curl=r"error loading crl file",
    ),
    *_said(
        _ours(
            "invalid-option",
            "none of the ciphers in the list exists, or is allowed, here",
            "Look at ciphers; its names are OpenSSL's, and those of TLS 1.3 are not set by it",
        ),
        OpenSSL=r"no cipher match",
        Python=r"no cipher can be selected",
        curl=r"failed setting cipher list",
    ),
    *_said(
        _ours(
            "invalid-option",
            "this side is to check whom the certificate is for, and was not told the name",
            "Say peer_name=NAME, if the URL does not hold it",
        ),
        Python=r"check hostname requires server hostname",
        Go=r"either servername or insecureskipverify must be specified",
    ),
    *_said(
        _ours(
            "invalid-option",
            "the name is to be checked and the certificate not, which Python refuses",
            "Keep both checks, and name the authority with cafile=FILE",
        ),
        Python=r"cannot set verify mode to cert none when check hostname",
    ),
    *_said(
        _ours(
            "invalid-url",
            "the URL's scheme is not one for this function",
            "Use the module that belongs to the scheme: https for https://",
        ),
        Node=r"err invalid protocol|protocol \S{1,20} not supported\. expected",
    ),
    *_said(_PHP_TRANSPORT, PHP=r"unable to find the socket transport"),
    *_said(
        _ours(
            "invalid-url",
            "PHP cannot tell host and port apart in this address",
            "Name the port, and put an IPv6 address in brackets: tcp://[fe80::1%eth0]:80",
        ),
        PHP=r"failed to parse (?:ipv6 )?address|hostname must not contain null bytes",
    ),
    *_said(
        _ours(
            "upgrade",
            "TLS is on already, or was tried and failed: PHP cannot begin it twice on a stream",
            "Close the connection and open a new one; after a failure never write to the old one, "
            "which is in the clear",
        ),
        PHP=r"ssl/tls already set-up for this stream",
    ),
    *_said(
        _ours(
            "unavailable",
            "this kind of stream cannot do TLS in PHP (udp, unix, udg)",
            "Use tcp://; here tls+unix:// is TLS over a local socket",
        ),
        PHP=r"does not support ssl/crypto",
    ),
    *_said(
        _ours(
            "invalid-option",
            "PHP is to switch to TLS and was not told which versions",
            "Give stream_socket_enable_crypto() STREAM_CRYPTO_METHOD_TLS_CLIENT",
        ),
        PHP=r"crypto method\) must be specified",
    ),
    *_said(
        Finding(
            "tls-not-offered",
            "the server does not offer STARTTLS, or not to us",
            "Have TLS switched on there, or use its port with TLS from the start; someone in "
            "between can take the offer away, so do not go on in the clear",
        ),
        Python=r"starttls extension not supported by server",
        curl=r"starttls (?:not supported|not available|denied)|curl\W{1,3}\(64\)",
    ),
)  # fmt: skip


# --- ends ------------------------------------------------------------------------------

_CLOSED: Final = Finding(
    "closed",
    "the other side closed the connection without a word of TLS about why",
    "Is the port one for TLS? A firewall, a full server, a name that it does not serve (SNI) or "
    "a missing client certificate look alike; on a server it may be a health check or a scan",
    permanent=False,
)
_RESET: Final = Finding(
    "closed",
    "the connection was cut off (reset), by the other side or by something on the way",
    "Try another network to tell a firewall from the peer; look at the peer's log at that time",
    fault="network",
    permanent=False,
)
_TIMEOUT: Final = Finding(
    "timeout",
    "the TLS handshake did not come to an end in time",
    "The port may wait for plain text first (587: tls://HOST:587?starttls=smtp), or a firewall "
    "drops packets, large ones above all (MTU)",
    permanent=False,
)
_REFUSED: Final = Finding(
    "refused",
    "no one listens at that port, or a firewall says no; it did not come to TLS",
    "Is the service running, and at that address and port?",
    permanent=False,
)
_NO_NAME: Final = Finding(
    "no-such-name",
    "the name could not be looked up; it did not come to TLS",
    "Is it spelt well, and is the name server reachable? In PHP an IPv6 address needs brackets",
    fault="network",
    permanent=False,
)

_ENDS: Final = (
    *_said(
        _CLOSED,
        OpenSSL=r"unexpected eof while reading|no peer certificate available",
        Python=r"eof occurred in violation of protocol",
        Node=r"disconnected before secure tls connection was established|socket hang up",
        Go=r"tls handshake error from \S{1,80} eof|tls: unexpected eof",
        GnuTLS=r"the tls connection was non-properly terminated",
        Java=r"remote host (?:terminated the handshake|closed connection)"
        r"|ssl peer shut down incorrectly",
        Twisted=r"connection to the other side was lost in a non-clean|error\.connectionlost"
        r"|connectionlost\(",
        curl=r"empty reply from server|ssl error syscall in connection",
    ),
    *_said(
        _TIMEOUT,
        PHP=r"ssl: handshake timed out|accept failed: connection timed out",
        Python=r"handshake operation timed out",
        Go=r"tls handshake timeout",
        curl=r"ssl connection timeout",
        Twisted=r"user timeout caused connection failure",
    ),
    *_said(
        _RESET,
        Node=r"\beconnreset\b",
        PHP=r"ssl: connection reset by peer",
        OpenSSL=r"connection reset by peer|:errno=104",
        Java=r"socketexception: connection reset",
        GnuTLS=r"error in the (?:pull|push) function",
    ),
    *_said(
        _REFUSED,
        Node=r"\beconnrefused\b",
        curl=r"failed to connect to \S{1,253} port|couldn.t connect to server",
        OpenSSL=r"connection (?:was )?refused|connect:errno=111",
    ),
    *_said(
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


TELLING: Final = (*_CERTIFICATES, *_PLAIN, *_alerts(), *_IN_COMMON, *_TOLD, *_ENDS)
"""The rows that name a reason, the one that says most first."""


# --- only that it failed -----------------------------------------------------------------

_UNVERIFIED: Final = Finding(
    "other",
    "the certificate was refused, and the line does not say why: untrusted, expired, without "
    "its intermediate, or for another name",
    "Ask for the reason: openssl s_client -connect HOST:PORT -servername HOST prints it behind "
    "'verify error'",
)
_FAILED: Final = Finding(
    "other",
    "TLS did not come about, and the line does not say why",
    "Look at the lines before it: the reason stands there, or in the other side's log",
)
_NOT_SENT: Final = Finding(
    "closed",
    "the connection ended while something was sent or received",
    "Look at the text behind the number; a server that wants a client certificate says so only "
    "then (local_cert)",
    permanent=False,
)


def _curl(number: int) -> str:
    """How curl, and those who use it, give its exit code."""
    return rf"\bcurl\W{{1,3}}(?:error |exit code |exited with )?\(?{number}\b"


VAGUE: Final = (
    *_said(_UNVERIFIED, OpenSSL=r"certificate verify failed", curl=(_curl(60), _curl(51))),
    *_said(_KEY, curl=_curl(58)),
    *_said(_NO_AUTHORITIES, curl=_curl(77)),
    *_said(_NO_LIST, curl=(_curl(82), _curl(91))),
    *_said(_UNKNOWN, curl=_curl(83)),
    *_said(_PINNED, curl=_curl(90)),
    *_said(OF_ALERT[116], curl=_curl(98)),
    *_said(_CIPHERS, curl=_curl(59)),
    *_said(
        _ours("invalid-option", "the engine for keys (PKCS#11 or such) is not there", "Install it"),
        curl=rf"{_curl(53)}|{_curl(54)}|{_curl(66)}",
    ),
    *_said(_NOT_SENT, curl=rf"{_curl(55)}|{_curl(56)}|{_curl(80)}"),
    *_said(
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
"""The rows that say only that something failed."""


# --- how it is said to each tool -----------------------------------------------------------

_TRUST: Final = {
    "OpenSSL": "-CAfile FILE",
    "curl": "--cacert FILE",
    "Python": "ssl.create_default_context(cafile=FILE)",
    "Node": "NODE_EXTRA_CA_CERTS=FILE in the environment",
    "Go": "SSL_CERT_FILE=FILE in the environment, or RootCAs in tls.Config",
    "PHP": "cafile in the context's ssl options, or openssl.cafile in php.ini",
    "Twisted": "optionsForClientTLS(hostname, trustRoot=…)",
    "Java": "keytool -importcert, and -Djavax.net.ssl.trustStore=FILE",
    "GnuTLS": "git -c http.sslCAInfo=FILE, wget --ca-certificate=FILE",
}
_NAME: Final = {
    "OpenSSL": "-servername NAME -verify_hostname NAME",
    "curl": "--connect-to NAME:PORT:ADDRESS:PORT",
    "Python": "wrap_socket(…, server_hostname=NAME)",
    "Node": "servername: NAME",
    "Go": "ServerName in tls.Config",
    "PHP": "peer_name in the context's ssl options",
    "Twisted": "optionsForClientTLS(NAME)",
}
_IDENTITY: Final = {
    "OpenSSL": "-cert FILE -key FILE",
    "curl": "--cert FILE --key FILE",
    "Python": "load_cert_chain(FILE, KEYFILE)",
    "Node": "cert: and key:",
    "Go": "Certificates in tls.Config",
    "PHP": "local_cert and local_pk in the context's ssl options",
    "Twisted": "optionsForClientTLS(…, clientCertificate=…)",
    "Java": "-Djavax.net.ssl.keyStore=FILE",
}
_BY_COMMAND: Final = {
    "OpenSSL": "-starttls smtp",
    "curl": "smtp:// with --ssl-reqd, in place of smtps://",
    "Python": "SMTP(…).starttls(context=…), in place of SMTP_SSL",
    "Node": "secure: false with requireTLS: true, in nodemailer",
    "Go": "smtp.Client's StartTLS, in place of tls.Dial",
    "PHP": "tcp://, the dialogue, then stream_socket_enable_crypto()",
    "Twisted": "ESMTPSenderFactory, or transport.startTLS() after the dialogue",
}
_VERSION: Final = {
    "OpenSSL": "-tls1_2 and the like, to try each",
    "curl": "--tlsv1.2, --tls-max 1.2",
    "Python": "minimum_version of the context",
    "Node": "minVersion:",
    "Go": "MinVersion in tls.Config",
    "PHP": "crypto_method in the context's ssl options",
    "Twisted": "raiseMinimumTo=, lowerMaximumSecurityTo= of CertificateOptions",
}

IN_TOOL: Final = {
    "unknown-issuer": _TRUST,
    "self-signed": _TRUST,
    "wrong-name": _NAME,
    "client-certificate-required": _IDENTITY,
    "plaintext-peer": _BY_COMMAND,
    "no-common-version": _VERSION,
}
"""By cause and tool: where the tool has what the remedy calls by our name."""
