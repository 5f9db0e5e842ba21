"""Our engine of SSL 2.0 and OpenSSL 1.0.2, the last that had it, each as client and server.

OpenSSL is nassl's (`tests.live.nassl_peer`), in a process of its own. nmap's script for
DROWN attacks our server like the attackers of 2016.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final, cast

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from tests.certificates import cafile, written
from tests.live.peers import Peer, PeerTestCase, Program
from tests.tls.legacy.ssl2_ends import (
    ALL,
    person,
    person_certificate,
    reason,
    site,
    site_certificate,
)
from txtransport.config.policy import Side, Verify
from txtransport.tls.engine import Signal
from txtransport.tls.legacy.engine import LegacyConfig, LegacyIdentity
from txtransport.tls.legacy.ssl2 import SSL2Engine

NASSL: Final = Program(
    sys.executable, ("-c", "import nassl._nassl_legacy; print('OpenSSL 1.0.2')"), "OpenSSL 1.0.2"
)
NMAP: Final = Program("nmap", ("--version",), r"Nmap version 7")
PEER: Final = str(Path(__file__).with_name("nassl_peer.py"))
EVERY_CIPHER: Final = "ALL:EXP:3DES"

SIZES: Final = {"RC4-MD5": 2**22, "EXP-RC4-MD5": 2**20, "DES-CBC3-MD5": 2**18}
"""How many bytes are sent there and back, by cipher."""


class EngineProtocol(Protocol):
    """An engine on a transport, and an application that sends back what it gets.

    Args:
        engine: The engine.
        greeting: What the application says first.

    Attributes:
        engine: As given.
        received: The application's data.
        opened: Fires when the handshake is complete, or fails with the reason.
        heard: Fires when as much has come back as the greeting has.
    """

    def __init__(self, engine: SSL2Engine, greeting: bytes = b"") -> None:
        self.engine = engine
        self.received = b""
        self.opened: Deferred[None] = Deferred()
        self.heard: Deferred[bytes] = Deferred()
        self._greeting = greeting

    def connectionMade(self) -> None:
        """Begin."""
        self.engine.start()
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Have the engine read, and answer."""
        for event in self.engine.receive(data):
            if event is Signal.COMPLETE:
                self.opened.callback(None)
                self._say(self._greeting)
            elif isinstance(event, bytes):
                self._data(event)
        self._flush()
        if self.engine.error is not None:
            assert self.transport is not None
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Say why, if the handshake was not complete."""
        if not self.opened.called:
            self.opened.errback(Failure(self.engine.error or reason.value))

    def abort(self) -> None:
        """End the connection."""
        cast(ITCPTransport, self.transport).abortConnection()

    def _data(self, data: bytes) -> None:
        self.received += data
        if not self._greeting:
            self._say(data)
        elif len(self.received) == len(self._greeting):
            self.heard.callback(self.received)

    def _say(self, data: bytes) -> None:
        if data:
            self.engine.send(data)

    def _flush(self) -> None:
        assert self.transport is not None
        self.transport.write(self.engine.data_to_send())


class Servers(Factory):
    """Makes servers, and keeps the last one."""

    noisy = False

    def __init__(self, config: LegacyConfig) -> None:
        self._config = config
        self.last: EngineProtocol | None = None

    def buildProtocol(self, addr: object) -> EngineProtocol:
        """A server with a new engine."""
        self.last = EngineProtocol(SSL2Engine(self._config))
        self.last.opened.addErrback(lambda failure: None)
        return self.last


def trusted(chain: tuple[bytes, ...]) -> bool:
    """Whether a peer has one of the two certificates, or none."""
    return {*site().chain, *person().chain}.issuperset(chain)


class ServingTestCase(PeerTestCase):
    """A test with a server of ours."""

    timeout = 60

    async def listen(self, *ciphers: str, verify: Verify = Verify.NO) -> tuple[Servers, str]:
        """Serve on a port; returns the servers and the port."""
        factory = Servers(
            LegacyConfig(Side.SERVER, ciphers or ALL, trusted, site(), certificate=verify)
        )
        port: IListeningPort = await TCP4ServerEndpoint(
            self.reactor, 0, interface="127.0.0.1"
        ).listen(factory)
        self.addCleanup(port.stopListening)
        return factory, str(port.getHost().port)  # type: ignore[attr-defined]


class OpenSSLClientTests(ServingTestCase):
    """OpenSSL's client with our server."""

    program = NASSL

    def connect(self, port: str, cipher: str = EVERY_CIPHER, *options: str) -> Peer:
        """Start OpenSSL's client."""
        return self.start(PEER, "client", port, "SSLV2", cipher, *options)

    async def test_each_suite_carries_data_both_ways(self) -> None:
        """Megabytes with RC4, and 256 KiB with 3DES, come back unchanged."""
        for name in ALL:
            servers, port = await self.listen(name)
            peer = self.connect(port, EVERY_CIPHER, "--size", str(SIZES[name]))
            await peer.prints(rb"^connected %b \d+$" % name.encode())
            await peer.prints(b"^echoed %d$" % SIZES[name])
            assert servers.last is not None
            self.assertEqual(len(servers.last.received), SIZES[name])

    async def test_a_client_that_waits_for_server_verify_is_served(self) -> None:
        """The specification lets the server speak after CLIENT-FINISHED; some clients wait."""
        _, port = await self.listen("RC4-MD5")
        peer = self.connect(port, EVERY_CIPHER, "--wait")
        await peer.prints(b"^echoed 1000$")

    async def test_the_client_finds_our_certificate_good(self) -> None:
        """OpenSSL verifies the chain of what we show."""
        _, port = await self.listen("RC4-MD5")
        peer = self.connect(port, EVERY_CIPHER, "--cafile", cafile())
        await peer.prints(b"^echoed 1000$")

    async def test_client_certificates_are_proven(self) -> None:
        """A client shows its certificate in each suite, or is refused without one."""
        pem = written("ssl2-client.pem", person_certificate().pem)
        for name in ALL:
            servers, port = await self.listen(name, verify=Verify.YES)
            peer = self.connect(port, EVERY_CIPHER, "--cert", pem)
            await peer.prints(b"^echoed 1000$")
            assert servers.last is not None
            self.assertEqual(servers.last.engine.peer_chain, person().chain)
            refused = self.connect(port)
            await refused.prints(b"^failed: ")
            self.assertEqual(reason(servers.last.engine), "peer did not return a certificate")

    async def test_no_suite_in_common_is_explained(self) -> None:
        """OpenSSL's client offers RC2, which we do not have."""
        servers, port = await self.listen("RC4-MD5")
        await self.connect(port, "RC2-CBC-MD5").prints(b"^failed: ")
        assert servers.last is not None
        self.assertEqual(reason(servers.last.engine), "no shared cipher")

    async def test_a_client_of_ssl_3_is_refused(self) -> None:
        """It is told so in an alert that it understands."""
        servers, port = await self.listen()
        peer = self.start(PEER, "client", port, "SSLV3", "ALL")
        await peer.prints(b"(?i)^failed: .*alert handshake failure")
        assert servers.last is not None
        self.assertEqual(reason(servers.last.engine), "peer speaks ssl 3.0 or tls")


class OpenSSLServerTests(PeerTestCase):
    """Our client with OpenSSL's server."""

    program = NASSL
    timeout = 60

    async def connect(
        self,
        cipher: str,
        *options: str,
        ciphers: tuple[str, ...] = ALL,
        identity: LegacyIdentity | None = None,
        verify: Callable[[tuple[bytes, ...]], bool] = trusted,
        size: int = 1000,
    ) -> tuple[Peer, EngineProtocol, bytes]:
        """Start OpenSSL's server, and connect to it."""
        pem = written("ssl2-server.pem", site_certificate().pem)
        peer = self.start(PEER, "server", "SSLV2", cipher, "--cert", pem, *options)
        port = int((await peer.prints(rb"^port (\d+)$"))[1])
        greeting = os.urandom(size)
        made = EngineProtocol(
            SSL2Engine(LegacyConfig(Side.CLIENT, ciphers, verify, identity)), greeting
        )
        factory = Factory.forProtocol(lambda: made)
        factory.noisy = False
        endpoint = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port)
        protocol = cast(EngineProtocol, await endpoint.connect(factory))
        self.addCleanup(protocol.abort)
        return peer, protocol, greeting

    async def test_each_suite_carries_data_both_ways(self) -> None:
        """Megabytes with RC4, and 256 KiB with 3DES, come back unchanged."""
        for name in ALL:
            peer, protocol, sent = await self.connect(name, size=SIZES[name])
            await protocol.opened
            await peer.prints(rb"^connected %b \d+$" % name.encode())
            self.assertTrue(await protocol.heard == sent)
            self.assertEqual(protocol.engine.cipher, name)
            self.assertEqual(protocol.engine.peer_chain, site().chain)
            assert protocol.transport is not None
            protocol.transport.loseConnection()
            await peer.prints(b"^closed$")

    async def test_our_certificate_is_proven(self) -> None:
        """OpenSSL's server demands a certificate, verifies it, and its proof, in each suite."""
        for name in ALL:
            _, protocol, sent = await self.connect(name, "--cafile", cafile(), identity=person())
            await protocol.opened
            self.assertEqual(await protocol.heard, sent)

    async def test_without_a_certificate_we_are_refused(self) -> None:
        """OpenSSL's server takes our NO-CERTIFICATE for any error, and closes."""
        peer, protocol, _ = await self.connect("RC4-MD5", "--cafile", cafile())
        await self.assertFailure(protocol.opened, ConnectionClosed)
        self.assertFalse(protocol.engine.is_complete)
        self.assertTrue(protocol.engine.is_certificate_requested)
        await peer.prints(b"^failed: .*(?i:peer error)")

    async def test_a_server_that_we_do_not_trust_gets_nothing(self) -> None:
        """No key is sent, and the server learns that its certificate was bad."""
        peer, protocol, _ = await self.connect("RC4-MD5", verify=lambda chain: False)
        await self.assertFailure(protocol.opened, SSL.Error)
        self.assertEqual(reason(protocol.engine), "certificate verify failed")
        await peer.prints(b"^failed: ")

    async def test_no_suite_in_common_is_explained(self) -> None:
        """OpenSSL's server has single DES, which we do not have."""
        _, protocol, _ = await self.connect("DES-CBC-MD5")
        await self.assertFailure(protocol.opened, SSL.Error)
        self.assertIn(reason(protocol.engine), ("no shared cipher", "peer error no cipher"))


class DrownTests(ServingTestCase):
    """nmap's script that looks for the holes of DROWN (CVE-2015-3197, CVE-2016-0703)."""

    program = NMAP

    async def test_no_hole_is_found(self) -> None:
        """It asks for suites that were not offered, and sends clear bytes of keys."""
        _, port = await self.listen("RC4-MD5", "DES-CBC3-MD5")
        peer = self.start("-n", "-Pn", "-p", port, "--script", "sslv2,sslv2-drown", "127.0.0.1")
        self.assertEqual(await peer.exits(30), 0)
        self.assertIn(b"SSLv2 supported", peer.printed)
        self.assertIn(b"sslv2-drown:", peer.printed)
        self.assertNotIn(b"CVE", peer.printed)
        self.assertNotIn(b"VULNERABLE", peer.printed)
