"""``sslv2://`` and OpenSSL 1.0.2, the last that had it, each as client and as server.

OpenSSL is nassl's (`tests.live.nassl_peer`), in a process of its own. nmap's script for
DROWN attacks our server like the attackers of 2016.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, Final, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory

import txtransport
from tests.certificates import cafile, written
from tests.live.peers import Peer, PeerTestCase, Program, under_tls
from tests.loopback import Recorder, Recorders
from tests.tls.legacy.ssl2_ends import ALL, person_certificate, site_certificate
from txtransport.errors import HandshakeFailed
from txtransport.tls.legacy.ssl2_suites import SUITES

NASSL: Final = Program(
    sys.executable, ("-c", "import nassl._nassl_legacy; print('OpenSSL 1.0.2')"), "OpenSSL 1.0.2"
)
NMAP: Final = Program("nmap", ("--version",), r"Nmap version 7")
PEER: Final = str(Path(__file__).with_name("nassl_peer.py"))
EVERY_CIPHER: Final = "ALL:EXP:3DES"

SIZES: Final = {"RC4-MD5": 2**22, "EXP-RC4-MD5": 2**20, "DES-CBC3-MD5": 2**18}
"""How many bytes are sent there and back, by cipher."""


def site_pem() -> str:
    """The path of the server's certificate and key."""
    return written("ssl2-server.pem", site_certificate().pem)


def person_pem() -> str:
    """The path of the client's certificate and key."""
    return written("ssl2-client.pem", person_certificate().pem)


class Echo(Recorder):
    """An application that sends back what it gets."""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        self.say(data)


class Echoes(Recorders):
    """A factory of these."""

    def buildProtocol(self, addr: object) -> Recorder:
        self.built += 1
        echo = Echo()
        echo.made.addCallback(self._keep)
        return echo


class ServingTestCase(PeerTestCase):
    """A test with a server of ours."""

    timeout = 60

    async def listen(self, **options: Any) -> tuple[Echoes, str]:
        """Serve on a port; returns the factory and the port."""
        factory = Echoes()
        options = {"local_cert": site_pem(), "allow_broken_ssl": True, **options}
        endpoint = txtransport.server(self.reactor, "sslv2://127.0.0.1:0", **options)
        port: Any = await endpoint.listen(cast(Any, factory))
        self.addCleanup(port.stopListening)
        return factory, str(port.getHost().port)


class OpenSSLClientTests(ServingTestCase):
    """OpenSSL's client with our server."""

    program = NASSL

    def connect(self, port: str, *options: str, cipher: str = EVERY_CIPHER) -> Peer:
        """Start OpenSSL's client."""
        return self.start(PEER, "client", port, "SSLV2", cipher, *options)

    async def test_each_suite_carries_data_both_ways(self) -> None:
        """Megabytes with RC4, and 256 KiB with 3DES, come back unchanged."""
        for name in ALL:
            factory, port = await self.listen(ciphers=name)
            made = factory.next()
            peer = self.connect(port, "--size", str(SIZES[name]))
            await peer.prints(rb"^connected %b \d+$" % name.encode())
            echo = await made
            session = under_tls(echo)
            self.assertEqual((session.version, session.cipher), ("SSLv2", name))
            self.assertEqual(session.bits, SUITES[name].bits)
            await peer.prints(b"^echoed %d$" % SIZES[name])
            self.assertEqual(len(echo.received), SIZES[name])

    async def test_an_end_by_the_peer_is_never_a_clean_one(self) -> None:
        """Nobody can tell it from one that an attacker makes, so the application is told."""
        factory, port = await self.listen()
        made = factory.next()
        await self.connect(port).prints(b"^echoed 1000$")
        reason = await (await made).gone()
        self.assertIsInstance(reason.value, ConnectionLost)

    async def test_40_bits_are_served_only_by_name(self) -> None:
        """A client that offers nothing else is refused, unless the server names the suite."""
        _, port = await self.listen()
        refused = self.refusal()
        await self.connect(port, cipher="EXP-RC4-MD5").prints(b"^failed: ")
        self.assertEqual((await refused).cause, "no-common-cipher")

    async def test_a_client_that_waits_for_server_verify_is_served(self) -> None:
        """The specification lets the server speak after CLIENT-FINISHED; some clients wait."""
        _, port = await self.listen()
        await self.connect(port, "--wait").prints(b"^echoed 1000$")

    async def test_the_client_finds_our_certificate_good(self) -> None:
        """OpenSSL verifies the chain of what we show."""
        _, port = await self.listen()
        await self.connect(port, "--cafile", cafile()).prints(b"^echoed 1000$")

    async def test_client_certificates_are_proven(self) -> None:
        """A client shows its certificate in each suite, or is refused without one."""
        for name in ALL:
            factory, port = await self.listen(ciphers=name, verify_peer="yes", cafile=cafile())
            made = factory.next()
            await self.connect(port, "--cert", person_pem()).prints(b"^echoed 1000$")
            session = under_tls(await made)
            self.assertEqual(session.peer_certificate, person_certificate().certificate)
            self.assertTrue(session.verified)
            refused = self.refusal()
            await self.connect(port).prints(b"^failed: ")
            self.assertEqual((await refused).cause, "client-certificate-required")
            self.assertEqual(factory.built, 1)

    async def test_no_suite_in_common_is_explained(self) -> None:
        """OpenSSL's client offers RC2, which we do not have."""
        _, port = await self.listen()
        refused = self.refusal()
        await self.connect(port, cipher="RC2-CBC-MD5").prints(b"^failed: ")
        self.assertEqual((await refused).cause, "no-common-cipher")

    async def test_a_client_of_ssl_3_is_refused(self) -> None:
        """It is told so in an alert that it understands."""
        factory, port = await self.listen()
        refused = self.refusal()
        peer = self.start(PEER, "client", port, "SSLV3", "ALL")
        await peer.prints(b"(?i)^failed: .*alert handshake failure")
        self.assertEqual((await refused).cause, "no-common-version")
        self.assertEqual(factory.built, 0)


class OpenSSLServerTests(PeerTestCase):
    """Our client with OpenSSL's server."""

    program = NASSL
    timeout = 60

    async def connect(self, cipher: str, *arguments: str, **options: Any) -> tuple[Peer, Recorder]:
        """Start OpenSSL's server, and connect to it."""
        peer = self.start(PEER, "server", "SSLV2", cipher, "--cert", site_pem(), *arguments)
        port = (await peer.prints(rb"^port (\d+)$"))[1].decode()
        options = {"cafile": cafile(), "peer_name": "good.example", **options}
        endpoint = txtransport.client(
            self.reactor, f"sslv2://127.0.0.1:{port}", allow_broken_ssl=True, **options
        )
        factory = Factory.forProtocol(Recorder)
        factory.noisy = False
        recorder = cast(Recorder, await endpoint.connect(cast(Any, factory)))
        self.addCleanup(lambda: recorder.is_connected and recorder.transport.abortConnection())  # type: ignore[union-attr]
        return peer, recorder

    async def refused(self, peer_says: bytes, *arguments: str, **options: Any) -> HandshakeFailed:
        """Why we do not connect; the server fails as well, and says why."""
        error = None
        try:
            await self.connect(*arguments, **options)
        except HandshakeFailed as failed:
            error = failed
        assert error is not None
        await self._peers[-1].prints(peer_says)
        return error

    async def test_each_suite_carries_data_both_ways(self) -> None:
        """Megabytes with RC4, and 256 KiB with 3DES, come back unchanged."""
        for name in ALL:
            peer, recorder = await self.connect(name, ciphers=name)
            await peer.prints(rb"^connected %b \d+$" % name.encode())
            self.assertEqual(under_tls(recorder).cipher, name)
            sent = os.urandom(SIZES[name])
            recorder.say(sent)
            await recorder.grown(len(sent))
            self.assertTrue(recorder.received == sent)
            recorder.transport.loseConnection()  # type: ignore[union-attr]
            self.assertIsInstance((await recorder.gone()).value, ConnectionDone)
            await peer.prints(b"^closed$")

    async def test_our_certificate_is_proven(self) -> None:
        """OpenSSL's server demands a certificate, verifies it, and its proof, in each suite."""
        for name in ALL:
            peer, recorder = await self.connect(
                name, "--cafile", cafile(), ciphers=name, local_cert=person_pem()
            )
            await peer.prints(b"^connected ")
            recorder.say(b"hello")
            await recorder.heard(b"hello")

    async def test_without_a_certificate_we_are_refused(self) -> None:
        """OpenSSL's server takes our NO-CERTIFICATE for any error, and closes."""
        error = await self.refused(b"^failed: .*(?i:peer error)", "RC4-MD5", "--cafile", cafile())
        self.assertIn(error.cause, ("closed", "client-certificate-required"))

    async def test_a_server_that_we_do_not_trust_gets_nothing(self) -> None:
        """No key is sent, and the server learns that its certificate was bad."""
        error = await self.refused(b"^failed: .*(?i:peer error)", "RC4-MD5", peer_name="b.example")
        self.assertEqual(error.cause, "wrong-name")

    async def test_no_suite_in_common_is_explained(self) -> None:
        """OpenSSL's server has single DES, which we do not have."""
        error = await self.refused(b"^failed: ", "DES-CBC-MD5")
        self.assertEqual(error.cause, "no-common-cipher")

    async def test_a_server_of_ssl_3_is_named(self) -> None:
        """A client of SSL 2.0 never goes on in SSL 3.0, and says what the server speaks."""
        peer = self.start(PEER, "server", "SSLV3", "ALL", "--cert", site_pem())
        port = (await peer.prints(rb"^port (\d+)$"))[1].decode()
        endpoint = txtransport.client(
            self.reactor, f"sslv2://127.0.0.1:{port}", allow_broken_ssl=True, cafile=cafile()
        )
        connecting: Any = endpoint.connect(cast(Any, Factory.forProtocol(Recorder)))
        error: Any = await self.assertFailure(connecting, HandshakeFailed)
        self.assertIn(error.cause, ("no-common-version", "closed"))


class DrownTests(ServingTestCase):
    """nmap's script that looks for the holes of DROWN (CVE-2015-3197, CVE-2016-0703)."""

    program = NMAP

    async def test_no_hole_is_found(self) -> None:
        """It asks for suites that were not offered, and sends clear bytes of keys."""
        _, port = await self.listen()
        scripts = ("--script", "sslv2,sslv2-drown")
        peer = self.start("--unprivileged", "-n", "-Pn", "-p", port, *scripts, "127.0.0.1")
        self.assertEqual(await peer.exits(30), 0)
        self.assertIn(b"SSLv2 supported", peer.printed)
        self.assertIn(b"sslv2-drown:", peer.printed)
        self.assertNotIn(b"CVE", peer.printed)
        self.assertNotIn(b"VULNERABLE", peer.printed)
