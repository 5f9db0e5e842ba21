"""SSL 2.0 and SSL 3.0 for those who ask for it: endpoints, STARTTLS, mixin, guard, and consent.

An engine for tests speaks here in place of the real ones, so that what is said of endpoints
holds whatever an engine does; then the real ones do, where the extra is installed.
"""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar, Final, cast
from unittest import skipIf

from OpenSSL import crypto
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import ISSLTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Overheard, Recorder, Recorders
from tests.tls.legacy.fake import forget_process, install_fakes
from tests.vocabulary import place_in
from txtransport.config import schemes
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.settings import tls_policy, validate_policy
from txtransport.endpoints import api
from txtransport.errors import (
    HandshakeFailed,
    InvalidOption,
    InvalidTransport,
    PlaintextInjected,
    TransportTimeout,
    TransportUnavailable,
    UpgradeError,
)
from txtransport.tls.creator import creator_for

NEEDS_EXTRA: Final = skipIf(
    not schemes.is_legacy_installed(), "the extra txtransport[legacy] is not installed"
)
BROKEN: Final = ("sslv2", "sslv3")
ALLOWED: Final = "allow_broken_ssl=yes"
PIN: Final = f"{'A' * 43}="


def policy_of(scheme: str, **options: Any) -> dict[str, Any]:
    """What a mixin or a guard is given, for a version."""
    version = schemes.SCHEMES[scheme].version
    named = {"min_version": version, "max_version": version, "allow_broken_ssl": True}
    return {**named, **options}


class ConsentTests(SynchronousTestCase):
    """Nobody gets SSL 2.0 or SSL 3.0 who has not installed it and asked for it."""

    def refused(self, kind: type[Exception], url: str, **options: Any) -> str:
        """Making an endpoint fails on both sides; what is said of it."""
        for make in (txtransport.server, txtransport.client):
            error = self.assertRaises(kind, make, MemoryReactorClock(), url, **options)
        return str(error)

    def test_without_the_extra_it_is_unavailable(self) -> None:
        """Without the extra no option helps, and the error says how to install it."""
        self.patch(schemes, "is_legacy_installed", lambda: False)
        for name in BROKEN:
            said = self.refused(
                TransportUnavailable, f"{name}://h:1?{ALLOWED}", local_cert=certificates.rsa_site()
            )
            self.assertIn("pip install 'txtransport[legacy]'", said)
            self.assertTrue(
                said.startswith(f"{name}://h:1: {name}:// is not available: RFC "), said
            )

    def test_with_the_extra_an_endpoint_says_what_is_broken(self) -> None:
        """With the extra an endpoint needs the option as well; the error says what is at stake."""
        install_fakes(self)
        for name, words in (
            ("sslv2", ("DROWN", "RFC 6176")), ("sslv3", ("POODLE", "RFC 7568")),
        ):  # fmt: skip
            for query in ("", "?allow_broken_ssl=no"):
                said = self.refused(TransportUnavailable, f"{name}://h:1{query}")
                for word in (*words, "tlsv1.0://", ALLOWED):
                    self.assertIn(word, said)

    def test_no_other_scheme_has_the_option(self) -> None:
        """No option of tls://, or of a version of TLS, leads to SSL 2.0 or SSL 3.0."""
        install_fakes(self)
        for name, row in schemes.SCHEMES.items():
            if not row.is_secure or row.is_broken or row.refusal is not None:
                continue
            place = f"{name}://{place_in(row)}"
            for query in (
                ALLOWED, "min_version=SSLv3", "min_version=SSLv2&max_version=SSLv2",
                f"{ALLOWED}&max_version=SSLv3", "min_version=3.0", "ciphers=RC4-MD5&min_version=0",
            ):  # fmt: skip
                self.refused(InvalidOption, f"{place}?{query}", local_cert=certificates.rsa_site())

    def test_strangers_may_not_ask_for_it(self) -> None:
        """An untrusted URL carries neither the scheme nor the option, whatever the program adds."""
        for name in BROKEN:
            for query in ("", f"?{ALLOWED}"):
                self.assertRaises(
                    InvalidTransport,
                    txtransport.TransportURL.parse,
                    f"{name}://h:1{query}",
                    trusted=False,
                )

    def test_an_upgrade_needs_it_as_well(self) -> None:
        """A policy for startTLS() names the version twice, and allows it."""
        install_fakes(self)
        options: dict[str, Any]
        for options in (
            {"min_version": "SSLv3", "max_version": "SSLv3"},
            {"min_version": "SSLv3", "allow_broken_ssl": True},
            {"max_version": "SSLv3", "allow_broken_ssl": True},
            {"min_version": "SSLv2", "max_version": "SSLv3", "allow_broken_ssl": True},
            {"min_version": "SSLv3", "max_version": "1.3", "allow_broken_ssl": True},
        ):
            self.assertRaises(InvalidOption, _creator, tls_policy, options)
            self.assertRaises(InvalidOption, _creator, validate_policy, TLSPolicy(**options))
        _creator(tls_policy, policy_of("sslv3"))
        _creator(validate_policy, TLSPolicy(**policy_of("sslv3")))

    def test_options_that_make_no_sense_are_refused(self) -> None:
        """What came with TLS is no option here, and the message says where it is one."""
        install_fakes(self)
        for name in BROKEN:
            for query in (
                "alpn_protocols=h2", "alpn_mismatch=ignore", "SNI_enabled=no", "no_ticket=yes",
                "min_version=1.2", "max_version=1.3", "SNI_server_certs=a%3Db",
            ):  # fmt: skip
                said = self.refused(InvalidOption, f"{name}://h:1?{ALLOWED}&{query}")
                self.assertIn("it belongs to tls, ssl, tlsv1.0", said)

    def test_weak_certificates_need_a_digest(self) -> None:
        """security_level=0 is for one certificate or key, and there is no other level."""
        install_fakes(self)
        make = partial(txtransport.client, MemoryReactorClock())
        url = f"sslv3://h:1?{ALLOWED}&security_level"
        said = str(self.assertRaises(InvalidOption, make, f"{url}=0"))
        self.assertIn("needs peer_fingerprint or pin", said)
        said = str(self.assertRaises(InvalidOption, make, f"{url}=1", pin=PIN))
        self.assertIn("has only security_level=0", said)
        make(f"{url}=0", pin=PIN)
        make(f"{url}=0", peer_fingerprint="ab" * 32)

    def test_each_endpoint_is_warned_of(self) -> None:
        """The log has a warning for each endpoint, whatever else is pinned."""
        install_fakes(self)
        overheard = Overheard()
        globalLogPublisher.addObserver(overheard)
        self.addCleanup(globalLogPublisher.removeObserver, overheard)
        self.patch(api, "_warned", {})
        for name in BROKEN:
            txtransport.client(
                MemoryReactorClock(), f"{name}://warned:1?{ALLOWED}", peer_fingerprint="ab" * 32
            )
            own = certificates.rsa_site() if name == "sslv3" else certificates.ssl2_site()
            txtransport.server(
                MemoryReactorClock(), f"{name}://127.0.0.1:1?{ALLOWED}", local_cert=own
            )
        said = [formatEvent(event) or "" for event in overheard.events]
        for place in ("sslv2://warned:1", "sslv3://warned:1", "sslv2://127.0.0.1:1"):
            self.assertEqual(sum(line.startswith(f"{place}: SSL") for line in said), 1, said)


def _creator(read: Any, given: object) -> object:
    return creator_for(read(given, Side.CLIENT).for_peer("h.example"), Side.CLIENT)


class LegacyTestCase(LoopbackTestCase):
    """A client and a server of one version, on loopback."""

    scheme: ClassVar[str] = "sslv3"
    is_real: ClassVar[bool] = False

    def setUp(self) -> None:
        (forget_process if self.is_real else install_fakes)(self)
        self.servers = Recorders()
        is_ssl2 = self.scheme == "sslv2"
        self.site = certificates.ssl2_site() if is_ssl2 else certificates.rsa_site()

    async def serve(self, query: str = "", **options: Any) -> str:
        """Start a server; its URL for clients."""
        url = f"{self.scheme}://127.0.0.1:0?{ALLOWED}{query}"
        options = {"local_cert": self.site, **options}
        port = await self.listening(url, self.servers, **options)
        return f"{self.scheme}://localhost:{port}?{ALLOWED}{query}"

    async def met(self, query: str = "", **options: Any) -> tuple[Recorder, Recorder]:
        """A client and the server's protocol for it, both connected."""
        url = await self.serve(query, **options)
        waiting = self.servers.next()
        client = await self.connected(url, cafile=certificates.cafile())
        server = await waiting
        self.addCleanup(self.end, server)
        return client, server


class EndpointTests(LegacyTestCase):
    """Endpoints of the URL."""

    async def test_both_sides_are_connected_and_verified(self) -> None:
        """Connected means secured here too, and session_of() tells by what."""
        client, server = await self.met()
        session = txtransport.session_of(client.transport)
        assert session is not None
        version = schemes.SCHEMES[self.scheme].version
        self.assertEqual(
            (session.version, session.verified, session.resumed), (version, True, False)
        )
        self.assertTrue(session.cipher)
        self.assertGreater(session.bits, 0)
        self.assertEqual((session.alpn_protocol, session.server_name, session.group), (None,) * 3)
        assert session.peer_certificate is not None
        self.assertEqual(session.peer_chain[0], session.peer_certificate)
        of_server = txtransport.session_of(server.transport)
        assert of_server is not None
        self.assertEqual(
            (of_server.version, of_server.verified, of_server.peer_certificate),
            (version, False, None),
        )

    async def test_data_passes_unchanged_both_ways(self) -> None:
        """A quarter of a megabyte arrives as it was written, in both directions."""
        client, server = await self.met()
        data = bytes(range(256)) * 1024
        arrived = [client.grown(len(data)), server.grown(len(data))]
        client.say(data)
        server.say(data[::-1])
        for each in arrived:
            await each
        self.assertEqual((server.received, client.received), (data, data[::-1]))

    async def test_the_transport_tells_of_the_peer(self) -> None:
        """getPeerCertificate() and getHandle() of the transport are what Twisted's code expects."""
        client, _ = await self.met()
        transport = cast(Any, client.transport)
        self.assertTrue(ISSLTransport.providedBy(transport))
        self.assertIsInstance(transport.getPeerCertificate(), crypto.X509)
        session = txtransport.session_of(transport)
        assert session is not None
        self.assertEqual(transport.getHandle().get_cipher_name(), session.cipher)
        self.assertIsNone(transport.negotiatedProtocol)

    async def test_an_unknown_authority_is_refused(self) -> None:
        """The certificate is verified, and the error has the cause, the remedy and the chain."""
        url = await self.serve()
        endpoint = txtransport.client(self.reactor, url)
        error = await self.failure_of(endpoint)
        self.assertEqual(error.cause, "unknown-issuer")
        self.assertEqual(len(error.chain), 1)
        self.assertIn("peer_fingerprint=", error.remedy)
        self.assertEqual(self.servers.built, 0)

    async def test_another_name_is_refused(self) -> None:
        """The certificate must be for the name."""
        url = (await self.serve()).replace("localhost", "127.0.0.1")
        endpoint = txtransport.client(
            self.reactor, url, cafile=certificates.cafile(), peer_name="other.example"
        )
        self.assertEqual((await self.failure_of(endpoint)).cause, "wrong-name")

    async def test_a_server_can_demand_a_certificate(self) -> None:
        """A client without a certificate is refused, and one with a good one is verified."""
        trusted: dict[str, Any] = {"verify_peer": True, "cafile": certificates.cafile()}
        url = await self.serve(**trusted)
        endpoint = txtransport.client(self.reactor, url, cafile=certificates.cafile())
        await self.failure_of(endpoint)
        waiting = self.servers.next()
        own = certificates.rsa_client()
        await self.connected(url, cafile=certificates.cafile(), local_cert=own)
        server = await waiting
        session = txtransport.session_of(server.transport)
        assert session is not None
        self.assertTrue(session.verified)

    async def test_plain_text_and_tls_are_told_apart(self) -> None:
        """A peer that speaks plain text, or TLS, does not connect, and the error says which."""
        for factory, options in ((Greeting, {}), (None, {"local_cert": certificates.site()})):
            scheme = "tcp" if factory else "tls"
            made = Factory.forProtocol(factory) if factory else Recorders()
            port = await self.listening(f"{scheme}://127.0.0.1:0", made, **options)
            endpoint = txtransport.client(
                self.reactor, f"{self.scheme}://localhost:{port}?{ALLOWED}", timeout=2
            )
            error = await self.any_failure_of(endpoint)
            self.assertIsInstance(error, (HandshakeFailed, TransportTimeout))
            if factory and isinstance(error, HandshakeFailed):
                self.assertEqual(error.cause, "plaintext-peer", error)

    async def test_a_silent_peer_has_a_deadline(self) -> None:
        """The handshake has the deadline that every handshake has."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        endpoint = txtransport.client(
            self.reactor, f"{self.scheme}://localhost:{port}?{ALLOWED}", timeout=0.2
        )
        self.assertIsInstance(await self.any_failure_of(endpoint), TransportTimeout)

    async def test_endpoint_strings_take_it(self) -> None:
        """Twisted's endpoint strings read the scheme with and without transport: in front."""
        text = f"{self.scheme}://127.0.0.1:0?{ALLOWED}&local_cert={self.site}"
        for prefix in ("transport:", ""):
            port = await serverFromString(self.reactor, prefix + text).listen(self.servers)
            number = self.adopt(port)
            place = f"{self.scheme}://localhost:{number}?{ALLOWED}"
            endpoint = clientFromString(
                self.reactor, f"{prefix}{place}&cafile={certificates.cafile()}"
            )
            client = cast(Recorder, await endpoint.connect(Factory.forProtocol(Recorder)))
            self.addCleanup(self.end, client)
            self.assertIsNotNone(txtransport.session_of(client.transport))

    async def test_starttls_leads_to_it(self) -> None:
        """The dialogue of an application protocol leads to it as to TLS."""
        client, server = await self.met("&starttls=smtp")
        client.say(b"secret")
        await server.heard(b"secret")
        self.assertIsNotNone(txtransport.session_of(server.transport))

    async def test_a_lost_connection_is_not_an_end(self) -> None:
        """TCP's end without a close of the protocol is ConnectionLost: something may be missing."""
        client, server = await self.met()
        cast(Any, server.transport).transport.loseConnection()
        self.assertTrue((await client.gone()).check(ConnectionLost))

    async def test_what_was_written_before_the_close_arrives(self) -> None:
        """loseConnection() sends what was written; how the peer sees the end is the version's."""
        client, server = await self.met()
        data = b"x" * 300_000
        client.say(data)
        cast(Any, client.transport).loseConnection()
        reasons = [await client.gone(), await server.gone()]
        self.assertEqual(server.received, data)
        self.assertTrue(reasons[0].check(ConnectionDone), reasons[0])
        expected = ConnectionDone if self.scheme == "sslv3" else ConnectionLost
        self.assertTrue(reasons[1].check(expected), reasons[1])

    async def failure_of(self, endpoint: Any) -> HandshakeFailed:
        """Why a client does not connect: a failed handshake."""
        error = await self.any_failure_of(endpoint)
        assert isinstance(error, HandshakeFailed), error
        return error

    async def any_failure_of(self, endpoint: Any) -> BaseException:
        """Why a client does not connect."""
        try:
            await endpoint.connect(Factory.forProtocol(Recorder))
        except Exception as error:
            return error
        raise AssertionError("it has connected")


class SSL2EndpointTests(EndpointTests):
    """The same of SSL 2.0."""

    scheme = "sslv2"


@NEEDS_EXTRA
class RealEndpointTests(EndpointTests):
    """The same, with the real engine of SSL 3.0."""

    is_real = True


@NEEDS_EXTRA
class RealSSL2EndpointTests(EndpointTests):
    """The same, with the real engine of SSL 2.0."""

    scheme = "sslv2"
    is_real = True


class UpgradeTests(LegacyTestCase):
    """The mixin and the guard, where Twisted's TLS layer drives the connection."""

    async def test_mixin_on_both_sides(self) -> None:
        """A conversation goes on under the version that both sides have allowed."""
        client, server = await self.upgraded()
        for protocol in (client, server):
            session = await protocol.secured
            self.assertEqual(session.version, schemes.SCHEMES[self.scheme].version)
            self.assertIs(protocol.tls_state, txtransport.TLSState.SECURE)
        client.sendLine(b"x" * 5000)
        self.assertEqual(await server.line, b"x" * 5000)
        cast(Any, client.transport).loseConnection()
        reasons = [await client.lost, await server.lost]
        self.assertTrue(reasons[0][0].check(ConnectionDone), reasons)
        expected = ConnectionDone if self.scheme == "sslv3" else ConnectionLost
        self.assertTrue(reasons[1][0].check(expected), reasons)

    async def test_an_upgrade_is_warned_of(self) -> None:
        """The log has a warning for each connection that is moved to such a version."""
        overheard = self.overheard()
        client, server = await self.upgraded()
        await client.secured
        await server.secured
        said = [formatEvent(event) or "" for event in overheard.events]
        self.assertTrue(any("is broken" in line for line in said), said)

    async def test_there_is_no_way_back_to_the_clear(self) -> None:
        """stopTLS() is refused, and the conversation goes on."""
        client, server = await self.upgraded()
        await client.secured
        await server.secured
        self.assertRaises(UpgradeError, client.stopTLS)
        client.sendLine(b"still here")
        self.assertEqual(await server.line, b"still here")

    async def test_guard_on_both_sides(self) -> None:
        """A guard with such a policy moves protocols that are not ours, and injects nothing."""
        servers, clients = GuardedLines(b""), GuardedLines(b"STARTTLS")
        own = policy_of(self.scheme, local_cert=self.site)
        port = await self.listening("tcp://127.0.0.1:0", txtransport.guard(servers, policy=own))
        trusting = policy_of(self.scheme, peer_name="localhost", cafile=certificates.cafile())
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{port}")
        await endpoint.connect(txtransport.guard(clients, policy=trusting))
        self.assertEqual(await servers.line, b"secret")
        session = txtransport.session_of(servers.built[0].transport)
        assert session is not None
        self.assertEqual(session.version, schemes.SCHEMES[self.scheme].version)
        for protocol in (*servers.built, *clients.built):
            cast(Any, protocol.transport).abortConnection()
        for factory in (servers, clients):
            await factory.lost

    async def test_an_untrusted_server_is_refused(self) -> None:
        """The mixin's client verifies the server, and its connection is over otherwise."""
        client, _ = await self.upgraded(trusted={})
        error: Any = await self.assertFailure(client.secured, HandshakeFailed)
        self.assertEqual(error.cause, "unknown-issuer")
        await client.lost

    async def test_injected_text_is_refused(self) -> None:
        """Clear text behind the request ends the connection, and is never delivered."""
        _, server = await self.upgraded(request=b"STARTTLS\r\nINJECTED\r\n")
        await self.assertFailure(server.secured, PlaintextInjected)
        await server.lost
        self.assertFalse(server.line.called)

    async def upgraded(
        self, trusted: dict[str, object] | None = None, request: bytes = b"STARTTLS\r\n"
    ) -> tuple[Asking, Answering]:
        """A client that has asked for TLS, and the server."""
        trusted = {"cafile": certificates.cafile()} if trusted is None else trusted
        made: Deferred[Answering] = Deferred()
        servers = Factory()
        servers.protocol = partial(Answering, policy_of(self.scheme, local_cert=self.site), made)
        port = await self.listening("tcp://127.0.0.1:0", servers)
        own = policy_of(self.scheme, peer_name="localhost", **trusted)
        client = Asking(own, request)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{port}")
        factory = Factory()
        factory.protocol = lambda: client
        await endpoint.connect(factory)
        server = await made
        for protocol in (client, server):
            self.addCleanup(_abort, protocol)
        return client, server


class SSL2UpgradeTests(UpgradeTests):
    """The same of SSL 2.0."""

    scheme = "sslv2"


@NEEDS_EXTRA
class RealUpgradeTests(UpgradeTests):
    """The same, with the real engine of SSL 3.0."""

    is_real = True


@NEEDS_EXTRA
class RealSSL2UpgradeTests(UpgradeTests):
    """The same, with the real engine of SSL 2.0."""

    scheme = "sslv2"
    is_real = True


class _Line(txtransport.StartTLSMixin, LineReceiver):
    """Fires with its session, its first line under TLS, and its end."""

    def __init__(self) -> None:
        self.secured: Deferred[txtransport.Session] = Deferred()
        self.line: Deferred[bytes] = Deferred()
        self.lost: Deferred[list[Failure]] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.lost.callback([reason])


class Asking(_Line):
    """Asks for TLS, and starts it at the reply."""

    def __init__(self, policy: Any = None, request: bytes = b"STARTTLS\r\n") -> None:
        super().__init__()
        self._policy, self._request = policy, request

    def connectionMade(self) -> None:
        if self._policy is not None:
            cast(Any, self.transport).write(self._request)

    def lineReceived(self, line: bytes) -> None:
        self.startTLS(self._policy).chainDeferred(self.secured)


class Answering(_Line):
    """Starts TLS for a client that asks, and takes a line under it."""

    def __init__(self, policy: Any, made: Deferred[Answering]) -> None:
        super().__init__()
        self._policy, self._made = policy, made

    def connectionMade(self) -> None:
        self._made.callback(self)

    def lineReceived(self, line: bytes) -> None:
        if line == b"STARTTLS":
            self.startTLS(self._policy, reply=b"220 go ahead\r\n").chainDeferred(self.secured)
        else:
            self.line.callback(line)


class _GuardedLine(LineReceiver):
    """Somebody else's protocol, which switches by its transport's startTLS()."""

    factory: GuardedLines

    def connectionMade(self) -> None:
        if self.factory.first:
            self.sendLine(self.factory.first)

    def lineReceived(self, line: bytes) -> None:
        transport = cast(Any, self.transport)
        if line == b"STARTTLS":
            self.sendLine(b"go ahead")
            transport.startTLS(None)
        elif line == b"go ahead":
            transport.startTLS(None)
            self.sendLine(b"secret")
        else:
            self.factory.line.callback(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.lost.callback(None)


class GuardedLines(Factory):
    """Builds them.

    Args:
        first: What a client says first.
    """

    protocol = _GuardedLine  # type: ignore[assignment]

    def __init__(self, first: bytes) -> None:
        self.first = first
        self.line: Deferred[bytes] = Deferred()
        self.lost: Deferred[None] = Deferred()
        self.built: list[Protocol] = []

    def buildProtocol(self, addr: object) -> Protocol | None:
        protocol = super().buildProtocol(cast(Any, addr))
        assert protocol is not None
        self.built.append(cast(Protocol, protocol))
        return cast(Protocol, protocol)


class Greeting(Protocol):
    """Speaks SMTP in the clear."""

    def connectionMade(self) -> None:
        cast(Any, self.transport).write(b"220 mail.example.com ESMTP\r\n")


async def _abort(protocol: _Line) -> None:
    protocol.secured.addErrback(lambda failure: None)
    if protocol.connected and not protocol.lost.called:
        cast(Any, protocol.transport).abortConnection()
        await protocol.lost
