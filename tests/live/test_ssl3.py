"""``sslv3://`` with OpenSSL 1.0.2 and with Java, each as client and as server.

OpenSSL is nassl's (`tests.live.nassl_peer`), in a process of its own; Java is a program of
one file (SSL3Peer.java), which switches SSL 3.0 on.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.hazmat.primitives.serialization.pkcs12 import serialize_key_and_certificates
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory

import txtransport
from tests.certificates import cafile, written
from tests.live.peers import Peer, PeerTestCase, Program, under_tls
from tests.live.test_ssl2 import NASSL, Echoes
from tests.loopback import Recorder
from tests.tls.legacy.ssl3_pair import identity
from txtransport.errors import HandshakeFailed
from txtransport.tls.legacy.engine import LegacyIdentity
from txtransport.tls.legacy.ssl3_suites import SSL3_CIPHERS, SUITES

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


def pem(owner: LegacyIdentity) -> str:
    """The path of a PEM file with a key and its certificates."""
    key = owner.key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    chain = [x509.load_der_x509_certificate(der) for der in owner.chain]
    content = key + b"".join(certificate.public_bytes(Encoding.PEM) for certificate in chain)
    return written(f"ssl3-{chain[0].serial_number}.pem", content)


def pkcs12(owner: LegacyIdentity) -> str:
    """The path of a PKCS #12 file with a key and its certificates."""
    leaf, *rest = (x509.load_der_x509_certificate(der) for der in owner.chain)
    encryption = BestAvailableEncryption(b"changeit")
    content = serialize_key_and_certificates(b"own", owner.key, leaf, rest, encryption)
    return written(f"ssl3-{leaf.serial_number}.p12", content)


class SSL3TestCase(PeerTestCase):
    """A test with a foreign implementation of SSL 3.0."""

    timeout = 90
    patience = 40.0

    async def listen(self, **options: Any) -> tuple[Echoes, str]:
        """Serve on a port; returns the factory and the port."""
        factory = Echoes()
        options = {"local_cert": pem(identity()), "allow_broken_ssl": True, **options}
        endpoint = txtransport.server(self.reactor, "sslv3://127.0.0.1:0", **options)
        port: Any = await endpoint.listen(cast(Any, factory))
        self.addCleanup(port.stopListening)
        return factory, str(port.getHost().port)

    async def connect(self, port: str, **options: Any) -> Recorder:
        """Connect to a port."""
        options = {"cafile": cafile(), "peer_name": "good.example", **options}
        endpoint = txtransport.client(
            self.reactor, f"sslv3://127.0.0.1:{port}", allow_broken_ssl=True, **options
        )
        factory = Factory.forProtocol(Recorder)
        factory.noisy = False
        recorder = cast(Recorder, await endpoint.connect(cast(Any, factory)))
        self.addCleanup(lambda: recorder.is_connected and recorder.transport.abortConnection())  # type: ignore[union-attr]
        return recorder

    async def refused(self, port: str, **options: Any) -> HandshakeFailed:
        """Why we do not connect."""
        try:
            await self.connect(port, **options)
        except HandshakeFailed as failed:
            return failed
        raise AssertionError("connected")

    async def echo(self, recorder: Recorder, size: int) -> None:
        """Have random bytes sent back, and close; the peer must close by close_notify, too."""
        sent = os.urandom(size)
        recorder.say(sent)
        await recorder.grown(size)
        self.assertTrue(recorder.received == sent)
        recorder.transport.loseConnection()  # type: ignore[union-attr]
        self.assertIsInstance((await recorder.gone()).value, ConnectionDone)

    async def assert_closed(self, recorder: Recorder) -> None:
        """The peer has closed by close_notify: what is cut off is ConnectionLost."""
        self.assertIsInstance((await recorder.gone()).value, ConnectionDone)


class OpenSSLClientTests(SSL3TestCase):
    """OpenSSL's client with our server."""

    program = NASSL

    def client(self, port: str, suite: str, *options: str) -> Peer:
        """Run it."""
        name = OPENSSL_NAMES.get(suite, suite)
        return self.start(NASSL_PEER, "client", port, "SSLV3", name, *options)

    async def test_every_suite(self) -> None:
        """Megabytes arrive unchanged there and back, and both sides close by close_notify."""
        factory, port = await self.listen()
        for suite in SSL3_CIPHERS:
            made = factory.next()
            peer = self.client(port, suite, "--size", str(size_of(suite)), "--close")
            recorder = await made
            session = under_tls(recorder)
            self.assertEqual((session.version, session.cipher), ("SSLv3", suite))
            self.assertEqual(session.bits, SUITES[suite].cipher.bits)
            self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())
            self.assertIn(b"closed", peer.printed)
            await self.assert_closed(recorder)

    async def test_the_client_finds_our_certificate_good(self) -> None:
        """OpenSSL verifies the chain of what we show."""
        _, port = await self.listen()
        peer = self.client(port, "AES128-SHA", "--cafile", cafile())
        self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())

    async def test_a_client_s_certificate(self) -> None:
        """It is asked for, proved and verified with every kind of key exchange."""
        factory, port = await self.listen(verify_peer="yes", cafile=cafile())
        for suite in ("RC4-SHA", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA"):
            made = factory.next()
            peer = self.client(port, suite, "--cert", pem(identity("client")))
            shown = under_tls(await made).peer_certificate
            assert shown is not None
            self.assertEqual(shown.public_bytes(Encoding.DER), identity("client").chain[0])
            self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())

    async def test_a_client_without_a_certificate(self) -> None:
        """With optional it comes in; a server that demands one says why it does not."""
        _, port = await self.listen(verify_peer="optional", cafile=cafile())
        peer = self.client(port, "AES128-SHA")
        self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())
        factory, port = await self.listen(verify_peer="yes", cafile=cafile())
        refused = self.refusal()
        peer = self.client(port, "AES128-SHA")
        self.assertEqual((await refused).cause, "client-certificate-required")
        await peer.prints(b"sslv3 alert handshake failure")
        self.assertEqual(factory.built, 0)

    async def test_a_client_whose_certificate_is_not_good(self) -> None:
        """One that is for servers is refused with its cause."""
        factory, port = await self.listen(verify_peer="yes", cafile=cafile())
        refused = self.refusal()
        peer = self.client(port, "AES128-SHA", "--cert", pem(identity()))
        self.assertEqual((await refused).cause, "wrong-purpose")
        # What nassl says of the alert "bad certificate".
        await peer.prints(b"^failed: ClientCertificateRequested")
        self.assertEqual(factory.built, 0)

    async def test_a_client_that_begins_as_in_ssl2(self) -> None:
        """A client with every version since SSL 2.0 sends a ClientHello of that form."""
        factory, port = await self.listen()
        made = factory.next()
        suites = "ALL:SSLv2:@STRENGTH"
        peer = self.start(NASSL_PEER, "client", port, "SSLV23", suites, "--no-tls")
        self.assertEqual(under_tls(await made).version, "SSLv3")
        self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())

    async def test_a_client_of_tls_alone(self) -> None:
        """It refuses our answer, and OpenSSL 1.0 closes without a word."""
        for version in ("TLSV1", "TLSV1_2"):
            factory, port = await self.listen()
            refused = self.refusal()
            peer = self.start(NASSL_PEER, "client", port, version, "AES128-SHA")
            await peer.prints(b"wrong version number")
            self.assertEqual((await refused).cause, "closed")
            self.assertEqual(factory.built, 0)

    async def test_another_handshake_is_refused(self) -> None:
        """A client that wants to renegotiate loses the connection."""
        factory, port = await self.listen()
        made = factory.next()
        peer = self.client(port, "AES128-SHA", "--renegotiate")
        self.assertEqual(await peer.exits(self.patience), 1, peer.transcript())
        reason = await (await made).gone()
        self.assertIn("no renegotiation", str(reason.value))


class OpenSSLServerTests(SSL3TestCase):
    """OpenSSL's server with our client."""

    program = NASSL

    async def server(self, suites: str, *options: str, version: str = "SSLV3") -> tuple[Peer, str]:
        """Run it; returns its port."""
        own = pem(identity())
        peer = self.start(NASSL_PEER, "server", version, suites, "--cert", own, *options)
        return peer, (await peer.prints(rb"^port (\d+)$"))[1].decode()

    async def test_every_suite(self) -> None:
        """Those with a temporary key are not there: that server has none."""
        for suite in SSL3_CIPHERS:
            if "DHE" not in suite:
                peer, port = await self.server(suite)
                recorder = await self.connect(port)
                self.assertEqual(under_tls(recorder).cipher, suite)
                await self.echo(recorder, size_of(suite))
                await peer.prints(b"^closed$")

    async def test_our_certificate(self) -> None:
        """It is shown when the server asks for one, and accepted."""
        _, port = await self.server("AES128-SHA", "--cafile", cafile())
        recorder = await self.connect(port, local_cert=pem(identity("client")))
        await self.echo(recorder, 100)

    async def test_a_server_that_demands_a_certificate(self) -> None:
        """Its refusal is an alert that may mean anything; it is told what is missing."""
        _, port = await self.server("AES128-SHA", "--cafile", cafile())
        self.assertEqual((await self.refused(port)).cause, "client-certificate-required")

    async def test_a_server_that_we_do_not_trust_gets_nothing(self) -> None:
        """No key is sent, and the server learns that its certificate was bad."""
        peer, port = await self.server("AES128-SHA")
        self.assertEqual((await self.refused(port, peer_name="b.example")).cause, "wrong-name")
        await peer.prints(b"sslv3 alert bad certificate")

    async def test_no_suite_in_common(self) -> None:
        """It is explained."""
        _, port = await self.server("CAMELLIA128-SHA")
        self.assertEqual((await self.refused(port)).cause, "no-common-cipher")

    async def test_a_server_of_tls_alone(self) -> None:
        """It refuses our hello; OpenSSL 1.0 has an alert for it that says little."""
        _, port = await self.server("AES128-SHA", version="TLSV1")
        self.assertEqual((await self.refused(port)).cause, "no-common-cipher")


class JavaClientTests(SSL3TestCase):
    """Java's client with our server."""

    program = JAVA

    def client(self, port: str, size: int, *suites: str) -> Peer:
        """Run it; it connects once with each suite."""
        own = pkcs12(identity("client"))
        names = [JAVA_NAMES[suite] for suite in suites]
        return self.start(JAVA_PEER, "client", own, cafile(), port, str(size), *names)

    async def test_every_suite(self) -> None:
        """Megabytes arrive unchanged there and back, and both sides close by close_notify."""
        factory, port = await self.listen()
        for is_slow in (False, True):
            suites = [suite for suite in SSL3_CIPHERS if ("CBC3" in suite) is is_slow]
            peer = self.client(port, size_of(suites[0]), *suites)
            self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())
            expected = "".join(f"SSLv3 {JAVA_NAMES[suite]} good\n" for suite in suites)
            self.assertEqual(peer.printed.decode(), expected)
            for recorder in factory.all[-len(suites) :]:
                await self.assert_closed(recorder)

    async def test_both_sides_show_certificates(self) -> None:
        """Java verifies ours, and we Java's."""
        factory, port = await self.listen(verify_peer="yes", cafile=cafile())
        suites = ("RC4-SHA", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA")
        peer = self.client(port, 1000, *suites)
        self.assertEqual(await peer.exits(self.patience), 0, peer.transcript())
        self.assertEqual(peer.printed.count(b" good\n"), len(suites))
        self.assertEqual(factory.built, len(suites))


class JavaServerTests(SSL3TestCase):
    """Java's server with our client."""

    program = JAVA

    async def server(self, demand: str) -> tuple[Peer, str]:
        """Run it; returns its port."""
        peer = self.start(JAVA_PEER, "server", pkcs12(identity()), cafile(), demand)
        return peer, (await peer.prints(rb"^port (\d+)$", self.patience))[1].decode()

    async def test_every_suite(self) -> None:
        """Megabytes arrive unchanged there and back, and both sides close by close_notify."""
        peer, port = await self.server("none")
        for suite in SSL3_CIPHERS:
            recorder = await self.connect(port, ciphers=suite)
            await self.echo(recorder, size_of(suite))
            await peer.prints(rb"^suite SSLv3 %b nobody\nclosed$" % JAVA_NAMES[suite].encode())

    async def test_both_sides_show_certificates(self) -> None:
        """Java demands ours, and we verify Java's; without one, it refuses."""
        peer, port = await self.server("need")
        for suite in ("RC4-SHA", "DHE-RSA-AES128-SHA", "ECDHE-RSA-AES256-SHA"):
            recorder = await self.connect(port, ciphers=suite, local_cert=pem(identity("client")))
            await self.echo(recorder, 100)
            await peer.prints(rb"^suite SSLv3 %b CN=client" % JAVA_NAMES[suite].encode())
        error = await self.refused(port)
        self.assertIn("certificate", str(error))

    async def test_a_certificate_that_is_wanted_but_not_there(self) -> None:
        """Java goes on after the alert "no certificate"."""
        peer, port = await self.server("want")
        await self.echo(await self.connect(port), 100)
        await peer.prints(rb"^suite SSLv3 \w+ nobody\nclosed$")

    async def test_a_name_that_is_not_the_server_s(self) -> None:
        """Java's server is refused before it has said everything."""
        peer, port = await self.server("none")
        self.assertEqual((await self.refused(port, peer_name="b.example")).cause, "wrong-name")
        await peer.prints(b"^failed ")
