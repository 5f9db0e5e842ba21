"""Our engine of SSL 3.0 with OpenSSL 1.0 and with Java, each as client and as server.

OpenSSL is nassl's (`tests.live.nassl_peer`), in a process of its own; Java is a program of
one file (SSL3Peer.java), which switches SSL 3.0 on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests import certificates
from tests.live.peers import Peer, PeerTestCase, Program
from tests.tls.legacy.ssl3_pair import client_config, identity, reason, server_config
from txtransport.config.policy import Verify
from txtransport.tls.engine import Signal
from txtransport.tls.legacy.engine import LegacyConfig, LegacyIdentity
from txtransport.tls.legacy.ssl3 import SSL3_CIPHERS, SSL3Engine

NASSL: Final = Program(
    sys.executable, ("-c", "import nassl._nassl_legacy; print('OpenSSL 1.0.2')"), "OpenSSL 1.0.2"
)
JAVA: Final = Program("java", ("--list-modules",), r"(?m)^jdk\.compiler@(1[1-9]|2\d)\b")
NASSL_PEER: Final = str(Path(__file__).with_name("nassl_peer.py"))
JAVA_PEER: Final = str(Path(__file__).with_name("SSL3Peer.java"))

OPENSSL_NAMES: Final = {"DHE-RSA-DES-CBC3-SHA": "EDH-RSA-DES-CBC3-SHA"}
"""What OpenSSL 1.0 calls a suite that has another name since."""

JAVA_NAMES: Final = {
    "ECDHE-RSA-RC4-SHA": "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "RC4-SHA": "SSL_RSA_WITH_RC4_128_SHA",
    "RC4-MD5": "SSL_RSA_WITH_RC4_128_MD5",
    "ECDHE-RSA-AES256-SHA": "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "ECDHE-RSA-AES128-SHA": "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "DHE-RSA-AES256-SHA": "TLS_DHE_RSA_WITH_AES_256_CBC_SHA",
    "DHE-RSA-AES128-SHA": "TLS_DHE_RSA_WITH_AES_128_CBC_SHA",
    "AES256-SHA": "TLS_RSA_WITH_AES_256_CBC_SHA",
    "AES128-SHA": "TLS_RSA_WITH_AES_128_CBC_SHA",
    "ECDHE-RSA-DES-CBC3-SHA": "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "DHE-RSA-DES-CBC3-SHA": "SSL_DHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "DES-CBC3-SHA": "SSL_RSA_WITH_3DES_EDE_CBC_SHA",
}
"""What Java calls the suites."""


def size_of(suite: str) -> int:
    """How many bytes are sent there and back."""
    return 2**18 if "CBC3" in suite else 2**22


class EngineProtocol(Protocol):
    """An engine on a transport.

    Args:
        engine: The engine.
        greeting: What is sent first and expected back; a server without one sends back
            what it gets.

    Attributes:
        engine: As given.
        over: Fires when the connection is over.
    """

    transport: Any

    def __init__(self, engine: SSL3Engine, greeting: bytes = b"") -> None:
        self.engine = engine
        self.received = b""
        self.over: Deferred[EngineProtocol] = Deferred()
        self._greeting = greeting

    def connectionMade(self) -> None:
        """Begin the handshake."""
        self.engine.start()
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Let the engine read; a close is answered by a close."""
        for event in self.engine.receive(data):
            if event is Signal.COMPLETE:
                self._say(self._greeting)
            elif event is Signal.CLOSED:
                self.engine.close()
            elif isinstance(event, bytes):
                self._heard(event)
        self._flush()
        if self.engine.error is not None or self.engine.is_closed_by_peer:
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the test."""
        self.over.callback(self)

    def _heard(self, data: bytes) -> None:
        self.received += data
        if not self._greeting:
            self._say(data)
        elif len(self.received) == len(self._greeting):
            self.engine.close()

    def _say(self, data: bytes) -> None:
        for begin in range(0, len(data), self.engine.piece):
            self.engine.send(data[begin : begin + self.engine.piece])

    def _flush(self) -> None:
        self.transport.write(self.engine.data_to_send())


class Engines(Factory):
    """Makes servers, and keeps them.

    Attributes:
        made: The servers.
    """

    noisy = False

    def __init__(self, config: LegacyConfig) -> None:
        self._config = config
        self.made: list[EngineProtocol] = []

    def buildProtocol(self, addr: object) -> EngineProtocol:
        """A server with a new engine."""
        made = EngineProtocol(SSL3Engine(self._config))
        self.made.append(made)
        return made


def is_known(chain: tuple[bytes, ...]) -> bool:
    """Whether a peer has shown one of the two certificates, or none."""
    return not chain or chain[0] in {identity().chain[0], identity("client").chain[0]}


def pem(owner: LegacyIdentity) -> str:
    """The path of a PEM file with a key and its certificates."""
    key = owner.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    chain = [x509.load_der_x509_certificate(der) for der in owner.chain]
    name = f"ssl3-{chain[0].serial_number}.pem"
    content = key + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    return certificates.written(name, content)


def pkcs12(owner: LegacyIdentity) -> str:
    """The path of a PKCS #12 file with a key and its certificates."""
    leaf, *rest = (x509.load_der_x509_certificate(der) for der in owner.chain)
    encryption = BestAvailableEncryption(b"changeit")
    content = serialize_key_and_certificates(b"own", owner.key, leaf, rest, encryption)
    return certificates.written(f"ssl3-{leaf.serial_number}.p12", content)


class SSL3TestCase(PeerTestCase):
    """A test with a foreign implementation of SSL 3.0."""

    timeout = 60
    patience = 30.0

    async def serve(self, **changes: Any) -> tuple[Engines, str]:
        """Serve on a port; returns the servers and the port."""
        engines = Engines(server_config(verify=is_known, **changes))
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        port: Any = await endpoint.listen(engines)
        self.addCleanup(port.stopListening)
        return engines, str(port.getHost().port)

    async def connect(self, port: str, greeting: bytes, config: LegacyConfig) -> EngineProtocol:
        """Connect, have the greeting sent back, and close; returns when that is over."""
        made = EngineProtocol(SSL3Engine(config), greeting)
        factory = Factory.forProtocol(lambda: made)
        factory.noisy = False
        await TCP4ClientEndpoint(self.reactor, "127.0.0.1", int(port)).connect(factory)
        return await made.over

    def assert_closed(self, end: EngineProtocol) -> None:
        """Both sides have sent close_notify, and nothing was wrong."""
        self.assertIsNone(end.engine.error)
        self.assertTrue(end.engine.is_complete)
        self.assertTrue(end.engine.is_closed and end.engine.is_closed_by_peer)


class OpenSSLClientTests(SSL3TestCase):
    """OpenSSL's client with our server."""

    program = NASSL

    def client(self, port: str, suite: str, *options: str) -> Peer:
        """Run it."""
        name = OPENSSL_NAMES.get(suite, suite)
        return self.start(NASSL_PEER, "client", port, "SSLV3", name, *options)

    async def test_every_suite(self) -> None:
        """Megabytes arrive unchanged there and back, and both sides close by close_notify."""
        engines, port = await self.serve()
        for suite in SSL3_CIPHERS:
            peer = self.client(port, suite, "--size", str(size_of(suite)), "--close")
            self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())
            self.assertIn(b"closed", peer.printed)
            self.assertEqual(engines.made[-1].engine.cipher, suite)
            self.assert_closed(engines.made[-1])

    async def test_a_client_s_certificate(self) -> None:
        """It is asked for, proved and verified with every kind of key exchange."""
        engines, port = await self.serve(certificate=Verify.YES)
        for suite in ("RC4-SHA", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA"):
            peer = self.client(port, suite, "--cert", pem(identity("client")))
            self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())
            self.assertEqual(engines.made[-1].engine.peer_chain[0], identity("client").chain[0])

    async def test_a_client_without_a_certificate(self) -> None:
        """With optional it comes in; a server that demands one says why it does not."""
        for certificate, code in ((Verify.OPTIONAL, 0), (Verify.YES, 1)):
            engines, port = await self.serve(certificate=certificate)
            peer = self.client(port, "AES128-SHA")
            self.assertEqual(await peer.exits(self.patience), code, peer.transcript())
        end = (await engines.made[-1].over).engine
        self.assertEqual(reason(end), "peer did not return a certificate")
        self.assertIn(b"sslv3 alert handshake failure", peer.printed)

    async def test_a_client_that_begins_as_in_ssl2(self) -> None:
        """A client with every version since SSL 2.0 sends a ClientHello of that form."""
        _engines, port = await self.serve()
        suites = "ALL:SSLv2:@STRENGTH"
        peer = self.start(NASSL_PEER, "client", port, "SSLV23", suites, "--no-tls")
        self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())

    async def test_a_client_of_tls_alone(self) -> None:
        """It refuses our answer, and OpenSSL 1.0 closes without a word."""
        for version in ("TLSV1", "TLSV1_2"):
            engines, port = await self.serve()
            peer = self.start(NASSL_PEER, "client", port, version, "AES128-SHA")
            self.assertEqual(await peer.exits(self.patience), 1, peer.transcript())
            self.assertIn(b"wrong version number", peer.printed)
            end = (await engines.made[-1].over).engine
            self.assertFalse(end.is_complete, version)
            self.assertEqual(end.cipher, "AES128-SHA")

    async def test_another_handshake_is_refused(self) -> None:
        """A client that wants to renegotiate loses the connection."""
        engines, port = await self.serve()
        peer = self.client(port, "AES128-SHA", "--renegotiate")
        self.assertEqual(await peer.exits(self.patience), 1, peer.transcript())
        end = (await engines.made[-1].over).engine
        self.assertEqual(reason(end), "no renegotiation")


class OpenSSLServerTests(SSL3TestCase):
    """OpenSSL's server with our client."""

    program = NASSL

    async def server(self, suites: str, *options: str, version: str = "SSLV3") -> tuple[Peer, str]:
        """Run it; returns its port."""
        peer = self.start(
            NASSL_PEER, "server", version, suites, "--cert", pem(identity()), *options
        )
        return peer, (await peer.prints(rb"^port (\d+)$"))[1].decode()

    async def test_every_suite(self) -> None:
        """Those with a temporary key are not there: that server has none."""
        for suite in ("RC4-SHA", "RC4-MD5", "AES256-SHA", "AES128-SHA", "DES-CBC3-SHA"):
            _peer, port = await self.server(suite)
            data = os.urandom(size_of(suite))
            end = await self.connect(port, data, client_config(suite, verify=is_known))
            self.assertEqual(end.engine.cipher, suite)
            self.assertTrue(end.received == data)
            self.assertEqual(end.engine.peer_chain, identity().chain)

    async def test_our_certificate(self) -> None:
        """It is shown when the server asks for one, and accepted."""
        _peer, port = await self.server("AES128-SHA", "--cafile", certificates.cafile())
        config = client_config(verify=is_known, identity=identity("client"))
        end = await self.connect(port, b"hello", config)
        self.assertEqual(end.received, b"hello")
        self.assertTrue(end.engine.is_certificate_requested)

    async def test_a_server_that_demands_a_certificate(self) -> None:
        """Its refusal reads as a handshake failure, and the engine knows that it asked."""
        _peer, port = await self.server("AES128-SHA", "--cafile", certificates.cafile())
        end = await self.connect(port, b"hello", client_config(verify=is_known))
        self.assertEqual(reason(end.engine), "sslv3 alert handshake failure")
        self.assertTrue(end.engine.is_certificate_requested)

    async def test_a_server_of_tls_alone(self) -> None:
        """It refuses our hello; OpenSSL 1.0 has an alert for it that says little."""
        _peer, port = await self.server("AES128-SHA", version="TLSV1")
        end = await self.connect(port, b"hello", client_config(verify=is_known))
        self.assertEqual(reason(end.engine), "sslv3 alert handshake failure")


class JavaClientTests(SSL3TestCase):
    """Java's client with our server."""

    program = JAVA

    def client(self, port: str, size: int, *suites: str) -> Peer:
        """Run it; it connects once with each suite."""
        own, authority = pkcs12(identity("client")), certificates.cafile()
        names = [JAVA_NAMES[suite] for suite in suites]
        return self.start(JAVA_PEER, "client", own, authority, port, str(size), *names)

    async def test_every_suite(self) -> None:
        """Megabytes arrive unchanged there and back, and both sides close by close_notify."""
        engines, port = await self.serve()
        for is_slow in (False, True):
            suites = [suite for suite in SSL3_CIPHERS if ("CBC3" in suite) is is_slow]
            peer = self.client(port, size_of(suites[0]), *suites)
            self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())
            expected = "".join(f"SSLv3 {JAVA_NAMES[suite]} good\n" for suite in suites)
            self.assertEqual(peer.printed.decode(), expected)
            for suite, end in zip(suites, engines.made[-len(suites) :], strict=True):
                self.assertEqual(end.engine.cipher, suite)
                self.assert_closed(end)

    async def test_both_sides_show_certificates(self) -> None:
        """Java verifies ours, and we Java's."""
        engines, port = await self.serve(certificate=Verify.YES)
        suites = ("RC4-SHA", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA")
        peer = self.client(port, 1000, *suites)
        self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())
        self.assertEqual(peer.printed.count(b" good\n"), len(suites))
        for end in engines.made:
            self.assertEqual(end.engine.peer_chain[0], identity("client").chain[0])


class JavaServerTests(SSL3TestCase):
    """Java's server with our client."""

    program = JAVA

    async def server(self, demand: str) -> tuple[Peer, str]:
        """Run it; returns its port."""
        own, authority = pkcs12(identity()), certificates.cafile()
        peer = self.start(JAVA_PEER, "server", own, authority, demand)
        return peer, (await peer.prints(rb"^port (\d+)$"))[1].decode()

    async def test_every_suite(self) -> None:
        """Megabytes arrive unchanged there and back, and both sides close by close_notify."""
        peer, port = await self.server("none")
        for suite in SSL3_CIPHERS:
            data = os.urandom(size_of(suite))
            end = await self.connect(port, data, client_config(suite, verify=is_known))
            self.assertTrue(end.received == data, suite)
            self.assert_closed(end)
            await peer.prints(rb"^suite SSLv3 %b nobody\nclosed$" % JAVA_NAMES[suite].encode())

    async def test_both_sides_show_certificates(self) -> None:
        """Java demands ours, and we verify Java's; without one, it refuses."""
        peer, port = await self.server("need")
        for suite in ("RC4-SHA", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA"):
            config = client_config(suite, verify=is_known, identity=identity("client"))
            end = await self.connect(port, b"hello", config)
            self.assertEqual(end.received, b"hello")
            self.assert_closed(end)
            await peer.prints(rb"^suite SSLv3 %b CN=client" % JAVA_NAMES[suite].encode())
        end = await self.connect(port, b"hello", client_config("RC4-SHA", verify=is_known))
        self.assertIsNotNone(end.engine.error)
        self.assertFalse(end.engine.is_complete)

    async def test_a_certificate_that_is_wanted_but_not_there(self) -> None:
        """Java goes on after the alert "no certificate"."""
        _peer, port = await self.server("want")
        end = await self.connect(port, b"hello", client_config("RC4-SHA", verify=is_known))
        self.assertEqual(end.received, b"hello")
        self.assertTrue(end.engine.is_certificate_requested)
