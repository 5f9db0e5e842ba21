"""Servers of every kind that a probe meets, each on loopback, and what must be said of it.

One row is one target. `GROUPS` has the rows; `test_targets` probes each of them and
compares the first two lines of the report, as a terminal of 80 columns shows them, and
the exit status. The port of a server is told as ``12345``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from twisted.internet.protocol import Factory

from tests import certificates
from tests.cli.probe.peers import BANNERS, AbortsAtOnce, ProbingTestCase, scripted_peer
from tests.loopback import Recorders
from txtransport.cli.probe import recorder
from txtransport.cli.terminal import wrap
from txtransport.diagnosis.x509_errors import OF_CAUSE
from txtransport.testing.devcert import Authority, Issued, self_signed

__all__ = ["GROUPS", "Target"]

Start = Callable[[ProbingTestCase], Awaitable[str]]
"""Starts a server until the test is over; returns the URL to probe."""


@frozen
class Target:
    """One server, and the beginning of what a probe says of it.

    Attributes:
        name: What it is.
        start: Starts it.
        lines: The first two lines of the report.
        status: The exit status.
        options: For the probe.
        warn_days: As for ``--warn-days``.
    """

    name: str
    start: Start
    lines: tuple[str, str]
    status: int = 1
    options: Mapping[str, Any] = field(factory=dict)
    warn_days: int | None = None


NOW: Final = datetime.now(timezone.utc)
_YEAR: Final = timedelta(days=365)


# --- certificates ----------------------------------------------------------------


def _issued(*names: str, **keywords: Any) -> Issued:
    return certificates.authority().issue(*names or ("localhost",), **keywords)


def _with_chain(made: Issued, *chain: x509.Certificate) -> Issued:
    return Issued(made.certificate, made.key, chain)


def _of_two() -> tuple[Issued, x509.Certificate, x509.Certificate]:
    """A leaf with two authorities between it and the root, the lower one first."""
    made = certificates.authority().intermediate("upper").intermediate("lower").issue("localhost")
    lower, upper = made.chain
    return made, lower, upper


def _weak() -> bytes:
    """Key and certificate of 1024-bit RSA, which OpenSSL's security level 2 refuses."""
    authority = certificates.authority()
    key = rsa.generate_private_key(65537, 1024)
    model = _issued().certificate
    builder = x509.CertificateBuilder(
        model.issuer,
        model.subject,
        key.public_key(),
        x509.random_serial_number(),
        model.not_valid_before_utc,
        model.not_valid_after_utc,
        [each for each in model.extensions if not _is_about_key(each)],
    )
    return Issued(builder.sign(authority.key, hashes.SHA256()), key).pem


def _is_about_key(extension: x509.Extension[Any]) -> bool:
    return isinstance(extension.value, (x509.SubjectKeyIdentifier, x509.KeyUsage))


def _revocation_list(made: Issued) -> str:
    listed = certificates.authority().revocation_list(made.certificate)
    return certificates.written("target-crl.pem", listed)


# --- servers ---------------------------------------------------------------------


def _tls(made: Issued | bytes | None = None, **options: Any) -> Start:
    """A server of TLS, good but for its certificate or its options."""

    async def start(case: ProbingTestCase) -> str:
        pem = made.pem if isinstance(made, Issued) else made
        site = certificates.site() if pem is None else certificates.written("target.pem", pem)
        return await case.tls_peer(local_cert=site, **options)

    return start


def _version(version: str) -> Start:
    """A server that speaks one version of TLS."""

    async def start(case: ProbingTestCase) -> str:
        port = await case.listening(
            f"tlsv{version}://127.0.0.1:0", Recorders(), local_cert=certificates.site()
        )
        return f"tls://localhost:{port}"

    return start


def _says(*words: bytes, end: str = "stay", url: str = "tls://localhost:{port}") -> Start:
    """A server in the clear that says that: the first at once, the others in answer."""

    async def start(case: ProbingTestCase) -> str:
        port = await case.listening("tcp://127.0.0.1:0", scripted_peer(*words, end=end))
        return url.format(port=port)

    return start


def _starttls(*words: bytes, protocol: str = "smtp", end: str = "stay") -> Start:
    return _says(*words, end=end, url="tls://localhost:{port}?starttls=" + protocol)


def _asked_in_the_clear(start_other: Start) -> Start:
    """Another server, probed as HOST:PORT."""

    async def start(case: ProbingTestCase) -> str:
        return (await start_other(case)).removeprefix("tls://")

    return start


async def _closed_port(case: ProbingTestCase) -> str:
    return f"tls://localhost:{case.free_port()}"


async def _full_port(case: ProbingTestCase) -> str:
    return f"tls://127.0.0.1:{case.full_port()}"


async def _no_such_name(case: ProbingTestCase) -> str:
    # The other targets of the same test are still to be found.
    case.resolving(localhost=["127.0.0.1"])
    return "tls://mail.exmaple.com:46500"


async def _direct_tls_with_starttls(case: ProbingTestCase) -> str:
    return f"{await case.tls_peer()}?starttls=smtp"


async def _aborts_behind_tls(case: ProbingTestCase) -> str:
    factory: Any = Factory.forProtocol(AbortsAtOnce)
    return await case.tls_peer(factory)


async def _postgres_before_17(case: ProbingTestCase) -> str:
    # It hangs up at a ClientHello; that it is PostgreSQL is only known by its port.
    url = await case.plain_peer(scripted_peer(b"", b"", end="close"))
    case.patch(recorder, "USUAL_STARTTLS", {int(url.rpartition(":")[2]): "postgres"})
    return url


_GREETING: Final = (b"220 mx.example.com ESMTP Postfix\r\n", b"250-mx\r\n250 STARTTLS\r\n")
_HALF: Final = b"\x16\x03\x03\x00\x7a\x02\x00"


def _alert(number: int) -> bytes:
    return bytes((0x15, 3, 3, 0, 2, 2, number))


def _target(name: str, start: Start, first: str, second: str, **keywords: Any) -> Target:
    """A row; the probe trusts the tests' authority, and has two seconds, unless told otherwise."""
    fields = {field: keywords.pop(field) for field in ("status", "warn_days") if field in keywords}
    options = {"cafile": certificates.cafile(), "timeout": 2, **keywords}
    lines = (first, second)
    given = {name: value for name, value in options.items() if value is not None}
    return Target(name, start, lines, options=given, **fields)


def _first_line(text: str) -> str:
    return wrap(text, 80, "  ")[0].strip()


def _certificates() -> Iterator[Target]:
    """Servers whose certificate or chain is good, bad, or not as it should be."""
    made, lower, upper = _of_two()
    revoked = _issued()
    stranger = Authority.create("CA of another company")
    below = certificates.authority().intermediate("below")
    expired_authority = certificates.authority().intermediate("old", now=NOW - 2 * _YEAR, days=365)
    place = "http://ca.example/below.crt"
    yield _target(
        "good",
        _tls(),
        "tls://localhost:12345: connected, verified",
        "TLSv1.3; certificate valid to YYYY-MM-DD, 89 days left.",
        status=0,
    )
    yield _target(
        "expired",
        _tls(_issued(now=NOW - timedelta(days=99), days=90)),
        "tls://localhost:12345: not connected (expired)",
        "The peer's certificate was refused: it has expired, on YYYY-MM-DD hh:mm UTC,",
    )
    yield _target(
        "future",
        _tls(_issued(now=NOW + timedelta(days=9))),
        "tls://localhost:12345: not connected (not-yet-valid)",
        "The peer's certificate was refused: it is not valid yet, but from YYYY-MM-DD",
    )
    yield _target(
        "wrong name",
        _tls(_issued("mail.example.com")),
        "tls://localhost:12345: not connected (wrong-name)",
        "The peer's certificate was refused: it is for mail.example.com, not for",
    )
    yield _target(
        "name in CN only",
        _tls(_issued(common_name="localhost", alternative_names=())),
        "tls://localhost:12345: not connected (wrong-name)",
        "The peer's certificate was refused: it has no subject alternative name (SAN),",
    )
    yield _target(
        "self-signed",
        _tls(self_signed("localhost")),
        "tls://localhost:12345: not connected (self-signed)",
        _first_line(f"The peer's certificate was refused: {OF_CAUSE['self-signed'].summary}."),
    )
    yield _target(
        "unknown authority",
        _tls(stranger.issue("localhost")),
        "tls://localhost:12345: not connected (unknown-issuer)",
        "The peer's certificate was refused: its issuer is not known here: 'CN=CA of",
    )
    yield _target(
        "root of an unknown authority sent",
        _tls(_with_chain(stranger.issue("localhost"), stranger.certificate)),
        "tls://localhost:12345: not connected (unknown-issuer)",
        "The peer's certificate (an authority, depth 1) was refused: its chain ends at",
    )
    yield _target(
        "missing intermediate",
        _tls(_with_chain(below.issue("localhost"))),
        "tls://localhost:12345: not connected (unknown-issuer)",
        "The peer's certificate was refused: its issuer is not known here: 'CN=below'.",
    )
    yield _target(
        "missing intermediate, with its place",
        _tls(_with_chain(below.issue("localhost", issuer_place=place))),
        "tls://localhost:12345: not connected (unknown-issuer)",
        "The peer's certificate was refused: its issuer is not known here: 'CN=below'.",
    )
    yield _target(
        "wrong intermediate",
        _tls(_with_chain(below.issue("localhost"), upper)),
        "tls://localhost:12345: not connected (unknown-issuer)",
        "The peer's certificate was refused: its issuer is not known here: 'CN=below'.",
    )
    yield _target(
        "doubled intermediate",
        _tls(_with_chain(made, lower, lower, upper)),
        "tls://localhost:12345: connected, verified",
        "TLSv1.3; certificate valid to YYYY-MM-DD, 89 days left.",
        status=0,
    )
    yield _target(
        "chain out of order",
        _tls(_with_chain(made, upper, lower)),
        "tls://localhost:12345: connected, verified",
        "TLSv1.3; certificate valid to YYYY-MM-DD, 89 days left.",
        status=0,
    )
    yield _target(
        "expired intermediate",
        _tls(expired_authority.issue("localhost")),
        "tls://localhost:12345: not connected (expired)",
        "The peer's certificate (an authority, depth 1) was refused: it has expired, on",
    )
    yield _target(
        "wrong purpose",
        _tls(_issued(purpose="client")),
        "tls://localhost:12345: not connected (wrong-purpose)",
        "The peer's certificate was refused: it is not made for this purpose (key usage",
    )
    yield _target(
        "weak key",
        _tls(_weak(), security_level=0),
        "tls://localhost:12345: not connected (other)",
        "The peer's certificate was refused: its key is too short for the security",
    )
    yield _target(
        "revoked",
        _tls(revoked),
        "tls://localhost:12345: not connected (revoked)",
        "The peer's certificate was refused: its issuer has revoked it.",
        crl=_revocation_list(revoked),
    )
    yield _target(
        "another fingerprint",
        _tls(),
        "tls://localhost:12345: not connected (fingerprint)",
        "The peer's certificate was refused: its SHA-256 fingerprint is",
        peer_fingerprint="ab" * 32,
    )
    yield _target(
        "days that run out",
        _tls(_issued(days=12)),
        "tls://localhost:12345: connected, verified, and soon expired",
        "The certificate CN=localhost has 11 days left, fewer than --warn-days 14.",
        warn_days=14,
    )
    yield _target(
        "days enough",
        _tls(_issued(days=15)),
        "tls://localhost:12345: connected, verified",
        "TLSv1.3; certificate valid to YYYY-MM-DD, 14 days left.",
        warn_days=14,
        status=0,
    )
    yield _target(
        "not verified",
        _tls(),
        "tls://localhost:12345: connected, NOT verified",
        "The options do not demand a trusted chain and the right name.",
        verify_peer="no",
        cafile=None,
    )


def _agreements() -> Iterator[Target]:
    """Servers that do not come to terms with us."""
    yield _target(
        "client certificate wanted",
        _tls(verify_peer="yes", cafile=certificates.cafile()),
        "tls://localhost:12345: not connected (client-certificate-required)",
        "The peer demands a client certificate; the peer ended the handshake with the",
    )
    yield _target(
        "client certificate wanted, TLS 1.2",
        _tls(verify_peer="yes", cafile=certificates.cafile(), max_version="1.2"),
        "tls://localhost:12345: not connected (client-certificate-required)",
        "The peer demands a client certificate; the peer ended the handshake with the",
    )
    yield _target(
        "TLS 1.1 only",
        _version("1.1"),
        "tls://localhost:12345: not connected (no-common-version)",
        "The peer speaks none of our versions of TLS; the peer ended the handshake with",
    )
    yield _target(
        "TLS 1.0 only",
        _version("1.0"),
        "tls://localhost:12345: not connected (no-common-version)",
        "The peer speaks none of our versions of TLS; the peer ended the handshake with",
    )
    yield _target(
        "SNI refused",
        _says(b"", _alert(112), end="close"),
        "tls://localhost:12345: not connected (peer-alert)",
        "The peer does not know the name that we asked for (SNI); the peer ended the",
    )
    yield _target(
        "ALPN mismatch",
        _tls(alpn_protocols="imap"),
        "tls://localhost:12345: not connected (no-common-protocol)",
        "The peer speaks none of our application protocols (ALPN); the peer ended the",
        alpn_protocols="h2",
    )
    yield _target(
        "no common cipher",
        _tls(max_version="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256"),
        "tls://localhost:12345: not connected (no-common-cipher)",
        "The peer ended the handshake with the alert 'handshake failure' (40): it finds",
        max_version="1.2",
        ciphers="ECDHE-ECDSA-AES256-GCM-SHA384",
    )
    yield _target(
        "internal error",
        _says(b"", _alert(80), end="close"),
        "tls://localhost:12345: not connected (peer-alert)",
        "The peer ended the handshake with the alert 'internal error' (80).",
    )
    yield _target(
        "goodbye in place of a hello",
        _says(b"", b"\x15\x03\x03\x00\x02\x01\x00", end="close"),
        "tls://localhost:12345: not connected (closed)",
        "The peer said goodbye (close_notify) instead of a handshake.",
    )


def _plain_text() -> Iterator[Target]:
    """Servers that do not speak TLS, or not at once."""
    for kind, words in BANNERS.items():
        who = "an SSH server" if kind == "SSH" else f"a plain-text {kind} server"
        yield _target(
            f"plain {kind}",
            _says(*words),
            "tls://localhost:12345: not connected (plaintext-peer)",
            f"Expected a TLS handshake, but the peer is {who}: it sent",
        )
    yield _target(
        "plain HTTP/2",
        _says(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00"),
        "tls://localhost:12345: not connected (plaintext-peer)",
        "Expected a TLS handshake, but the peer is a plain-text HTTP/2 server: it sent",
    )
    yield _target(
        "plain telnet",
        _says(b"\xff\xfd\x18\xff\xfd\x20"),
        "tls://localhost:12345: not connected (plaintext-peer)",
        "Expected a TLS handshake, but the peer is a plain-text telnet server: it sent",
    )
    yield _target(
        "plain LDAP",
        _says(b"", b"\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x02\x04\x00\x04\x00", end="close"),
        "tls://localhost:12345: not connected (plaintext-peer)",
        "Expected a TLS handshake, but the peer is a plain-text LDAP server: it sent",
    )
    yield _target(
        "PostgreSQL that answers",
        _says(b"", b"N"),
        "tls://localhost:12345: not connected (timeout)",
        "The handshake took longer than 2 s.",
    )
    yield _target(
        "PostgreSQL that hangs up",
        _postgres_before_17,
        "tls://localhost:12345: not connected (closed)",
        "The peer closed the connection without a byte of TLS.",
    )
    yield _target(
        "garbage",
        _says(b"\x99\x98\x97\x96\x95\x94\x93\x92"),
        "tls://localhost:12345: not connected (plaintext-peer)",
        "Expected a TLS handshake, but the server does not speak it: it sent",
    )
    yield _target(
        "STARTTLS not offered",
        _starttls(_GREETING[0], b"250 mx\r\n"),
        "tls://localhost:12345?starttls=smtp: not connected (tls-not-offered)",
        "The peer does not offer TLS; it said b'250 mx'.",
    )
    yield _target(
        "STARTTLS refused",
        _starttls(*_GREETING, b"454 TLS not available due to temporary reason\r\n"),
        "tls://localhost:12345?starttls=smtp: not connected (tls-refused)",
        "The peer refused to start TLS (454): b'TLS not available due to temporary",
    )
    yield _target(
        "STARTTLS of another protocol",
        _starttls(*BANNERS["IMAP"]),
        "tls://localhost:12345?starttls=smtp: not connected (peer-misbehaved)",
        "Expected a reply with a code, and the peer sent b'* OK [CAPABILITY IMAP4rev1",
    )
    yield _target(
        "STARTTLS where TLS begins at once",
        _direct_tls_with_starttls,
        "tls://localhost:12345?starttls=smtp: not connected (timeout)",
        "The negotiation took longer than 0.4 s, and the peer sent nothing.",
        timeout=0.4,
    )
    yield _target(
        "plain text behind the go-ahead",
        _starttls(*_GREETING, b"220 go ahead\r\n250 injected\r\n"),
        "tls://localhost:12345?starttls=smtp: not connected (plaintext-injected)",
        "Plain text b'250 injected\\r\\n' stood where TLS was to begin; none of it was",
    )
    yield _target(
        "plain text in place of TLS",
        _starttls(*_GREETING, b"220 go ahead\r\n", b"250 what?\r\n"),
        "tls://localhost:12345?starttls=smtp: not connected (plaintext-peer)",
        "The server sent plain text b'250 what?\\r\\n' where its TLS was to begin.",
    )


def _ends() -> Iterator[Target]:
    """Servers that are not there, hang up, or say nothing."""
    yield _target(
        "RST",
        _says(b"", b"", end="reset"),
        "tls://localhost:12345: not connected (closed)",
        "The connection was reset (RST) without a byte of TLS.",
    )
    yield _target(
        "FIN",
        _says(b"", b"", end="close"),
        "tls://localhost:12345: not connected (closed)",
        "The peer closed the connection without a byte of TLS.",
    )
    yield _target(
        "RST in the handshake",
        _says(b"", _HALF, end="reset"),
        "tls://localhost:12345: not connected (closed)",
        "The connection was reset (RST) during the TLS handshake, after 7 bytes.",
    )
    yield _target(
        "FIN in the handshake",
        _says(b"", _HALF, end="close"),
        "tls://localhost:12345: not connected (closed)",
        "The peer closed the connection during the TLS handshake, after 7 bytes.",
    )
    yield _target(
        "half a record, then silence",
        _says(b"", _HALF),
        "tls://localhost:12345: not connected (timeout)",
        "The handshake took longer than 0.4 s.",
        timeout=0.4,
    )
    yield _target(
        "silent",
        _says(b""),
        "tls://localhost:12345: not connected (timeout)",
        "The handshake took longer than 0.4 s, and the peer sent nothing.",
        timeout=0.4,
    )
    yield _target(
        "port closed",
        _closed_port,
        "tls://localhost:12345: not connected (refused)",
        "The connection was refused: nothing listens there.",
    )
    yield _target(
        "packets dropped",
        _full_port,
        "tls://127.0.0.1:12345: not connected (timeout)",
        "Connecting took longer than 0.4 s.",
        timeout=0.4,
    )
    yield _target(
        "no such name",
        _no_such_name,
        "tls://mail.exmaple.com:12345: not connected (no-such-name)",
        "The name has no address.",
    )
    yield _target(
        "FIN in the dialogue",
        _starttls(_GREETING[0], end="close"),
        "tls://localhost:12345?starttls=smtp: not connected (peer-left)",
        "The peer closed the connection before TLS began.",
    )
    yield _target(
        "RST in the dialogue",
        _starttls(_GREETING[0], end="reset"),
        "tls://localhost:12345?starttls=smtp: not connected (peer-left)",
        "The connection was reset (RST) before TLS began.",
    )
    yield _target(
        "full mail server",
        _starttls(b"421 4.7.0 too many connections\r\n", end="close"),
        "tls://localhost:12345?starttls=smtp: not connected (peer-left)",
        "The peer left before TLS began; it had said b'421 4.7.0 too many connections'.",
    )
    yield _target(
        "RST behind the handshake",
        _aborts_behind_tls,
        "tls://localhost:12345: not connected (reset)",
        "The connection was cut off: reset (RST), or closed without TLS's close_notify.",
    )


def _in_the_clear() -> Iterator[Target]:
    """What is probed as HOST:PORT."""
    yield _target(
        "TLS asked in the clear",
        _asked_in_the_clear(_tls()),
        "tcp://localhost:12345: connected, in the clear",
        "This port speaks TLS: probe tls://localhost:12345",
        cafile=None,
    )
    yield _target(
        "TLS with a bad certificate asked in the clear",
        _asked_in_the_clear(_tls(self_signed("other.example"))),
        "tcp://localhost:12345: connected, in the clear",
        "This port speaks TLS: probe tls://localhost:12345",
        cafile=None,
    )
    yield _target(
        "SMTP asked in the clear",
        _asked_in_the_clear(_says(*BANNERS["SMTP"])),
        "tcp://localhost:12345: connected, in the clear",
        "The peer is a plain-text SMTP server. Use tls://localhost:12345?starttls=smtp",
        cafile=None,
    )
    yield _target(
        "SSH asked in the clear",
        _asked_in_the_clear(_says(*BANNERS["SSH"])),
        "tcp://localhost:12345: connected, in the clear",
        "The peer is an SSH server. SSH encrypts for itself; use tcp:// with an SSH",
        cafile=None,
    )
    yield _target(
        "HTTP asked in the clear",
        _asked_in_the_clear(_says(*BANNERS["HTTP"])),
        "tcp://localhost:12345: connected, in the clear",
        "The peer is a plain-text HTTP server. Use tcp:// here, or the port of https",
        cafile=None,
    )
    yield _target(
        "Redis asked in the clear",
        _asked_in_the_clear(_says(*BANNERS["Redis"])),
        "tcp://localhost:12345: connected, in the clear",
        "The peer is a plain-text Redis server. Use tcp:// here, or its tls-port.",
        cafile=None,
    )
    yield _target(
        "silent in the clear",
        _asked_in_the_clear(_says(b"")),
        "tcp://localhost:12345: connected, in the clear",
        "Nothing is verified; the peer says nothing, and does not answer a ClientHello.",
        cafile=None,
        timeout=0.8,
    )
    yield _target(
        "unknown words in the clear",
        _asked_in_the_clear(_says(b"\x01\x02")),
        "tcp://localhost:12345: connected, in the clear",
        "Nothing is verified; the peer sent b'\\x01\\x02'.",
        cafile=None,
    )
    yield _target(
        "FIN in the clear",
        _asked_in_the_clear(_says(b"", end="close")),
        "tcp://localhost:12345: connected, in the clear",
        "Nothing is verified, and the peer hung up without a word.",
        cafile=None,
    )
    yield _target(
        "RST in the clear",
        _asked_in_the_clear(_says(b"", end="reset")),
        "tcp://localhost:12345: not connected (reset)",
        "The connection was reset (RST) instead of closed.",
        cafile=None,
    )
    yield _target(
        "port closed, asked in the clear",
        _asked_in_the_clear(_closed_port),
        "tcp://localhost:12345: not connected (refused)",
        "The connection was refused: nothing listens there.",
        cafile=None,
    )


GROUPS: Final[Mapping[str, Callable[[], Iterable[Target]]]] = {
    "certificates": _certificates,
    "agreements": _agreements,
    "plain text": _plain_text,
    "ends": _ends,
    "in the clear": _in_the_clear,
}
"""The table, by what is the matter with the servers."""
