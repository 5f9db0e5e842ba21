"""The system's ``openssl s_server`` and ``s_client``, with our clients and servers."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Final, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory

import txtransport
from tests import certificates
from tests.live.mail import MailServers, TamperingProxyFactory
from tests.live.peers import OPENSSL, PATIENCE, Peer, PeerTestCase, under_tls
from tests.loopback import Recorder, Recorders
from tests.tls.handshake import GROUP_IS_KNOWN
from txtransport.errors import HandshakeFailed, PlaintextInjected
from txtransport.testing.devcert import Authority, self_signed
from txtransport.tls.session import Session

VERSIONS: Final = {"tlsv1.2": ("-tls1_2", "TLSv1.2"), "tlsv1.3": ("-tls1_3", "TLSv1.3")}
"""For each scheme of one version: OpenSSL's option, and the version's name."""

OLD_VERSIONS: Final = {"tlsv1.0": ("-tls1", "TLSv1"), "tlsv1.1": ("-tls1_1", "TLSv1.1")}

AT_ANY_LEVEL: Final = ("-cipher", "DEFAULT@SECLEVEL=0")
"""The arguments with which OpenSSL agrees to use an old version."""


class OpenSSLTestCase(PeerTestCase):
    """A test with the ``openssl`` command."""

    program = OPENSSL

    async def exchange_lines(self, peer: Peer, ours: Recorder, word: bytes = b"word") -> None:
        """A line from the peer arrives here, and a line from here arrives there."""
        peer.type(word + b" typed\n")
        await ours.heard(word + b" typed\n")
        ours.say(word + b" said\n")
        await peer.prints(word + rb" said$")

    async def update_keys(self, peer: Peer, ours: Recorder) -> None:
        """The peer, started with ``-msg``, updates its keys, and then asks us to update ours."""
        peer.type(b"k\n")
        await peer.prints(rb"^>>> .*KeyUpdate$")
        await self.exchange_lines(peer, ours, b"one")
        peer.type(b"K\n")
        await peer.prints(rb"(?s)(>>> [^\n]*KeyUpdate\n.*){2}")
        await self.exchange_lines(peer, ours, b"two")
        await peer.prints(rb"^<<< .*KeyUpdate$")


class ServerTestCase(OpenSSLTestCase):
    """A client of ours connects to ``openssl s_server``."""

    async def start_server(self, *arguments: str, pem: str | None = None) -> tuple[Peer, int]:
        """Start s_server; return it and its port.

        Args:
            *arguments: More arguments. With ``-rev`` it prints what was agreed
                on, sends each line back reversed, and closes at ``CLOSE``.
            pem: The file of its certificate and key; the good one by default.
                s_server ignores a chain in the file.
        """
        own = pem or certificates.site()
        peer = self.start("s_server", "-accept", "127.0.0.1:0", "-cert", own, "-key", own,
                          *arguments)  # fmt: skip
        return peer, int((await peer.prints(rb"^ACCEPT 127\.0\.0\.1:(\d+)\n"))[1])

    async def connect(self, url: str, **options: Any) -> Recorder:
        """Connect a client that trusts the tests' root."""
        return await self.connected(url, **{"cafile": certificates.cafile(), **options})

    async def connect_error(self, url: str, **options: Any) -> HandshakeFailed:
        """The error of a client that cannot connect."""
        options = {"cafile": certificates.cafile(), **options}
        endpoint = txtransport.client(self.reactor, url, **options)
        connecting = endpoint.connect(Factory.forProtocol(Recorder))
        return cast(
            HandshakeFailed, await self.assertFailure(cast(Any, connecting), HandshakeFailed)
        )

    async def exchange(self, client: Recorder) -> None:
        """Data goes to the server and comes back."""
        client.say(b"abc\n")
        await client.heard(b"cba")


class ServerAgreementTests(ServerTestCase):
    """What our client and a server agree on."""

    async def test_both_sides_report_the_same_version_and_cipher(self) -> None:
        """The session has the version and cipher that the server prints."""
        for scheme, version in ("tls", "TLSv1.3"), ("tlsv1.3", "TLSv1.3"), ("tlsv1.2", "TLSv1.2"):
            peer, port = await self.start_server("-rev")
            client = await self.connect(f"{scheme}://localhost:{port}")
            await self.exchange(client)
            agreed = under_tls(client)
            await peer.prints(rb"^Protocol version: %b$" % agreed.version.encode())
            await peer.prints(rb"^Ciphersuite: %b$" % agreed.cipher.encode())
            self.assertEqual((agreed.version, agreed.verified), (version, True))

    async def test_tls_works_with_a_server_of_one_version(self) -> None:
        """tls:// uses TLS 1.2 with a server that has only that, and TLS 1.3 likewise."""
        for flag, version in VERSIONS.values():
            _, port = await self.start_server("-rev", flag)
            client = await self.connect(f"tls://localhost:{port}")
            await self.exchange(client)
            self.assertEqual(under_tls(client).version, version)

    async def test_no_common_version_is_the_cause(self) -> None:
        """Without a common version the error says so, whichever side is older."""
        for scheme, flag in ("tlsv1.3", "-tls1_2"), ("tlsv1.2", "-tls1_3"), ("tls", "-tls1_1"):
            _, port = await self.start_server("-rev", flag, *AT_ANY_LEVEL)
            error = await self.connect_error(f"{scheme}://localhost:{port}")
            self.assertEqual((error.cause, error.permanent), ("no-common-version", True))

    async def test_old_versions_work_by_their_scheme(self) -> None:
        """tlsv1.0:// and tlsv1.1:// really use those versions."""
        for scheme, (flag, version) in OLD_VERSIONS.items():
            peer, port = await self.start_server("-rev", flag, *AT_ANY_LEVEL)
            client = await self.connect(f"{scheme}://localhost:{port}")
            await self.exchange(client)
            await peer.prints(rb"^Protocol version: %b$" % version.encode())
            self.assertEqual(under_tls(client).version, version)

    async def test_a_server_may_ask_for_another_group(self) -> None:
        """A server may ask for another key exchange group than our first one."""
        for name, group in {"P-256": "secp256r1", "P-384": "secp384r1"}.items():
            for scheme in VERSIONS:
                _, port = await self.start_server("-rev", "-groups", name)
                client = await self.connect(f"{scheme}://localhost:{port}")
                await self.exchange(client)
                self.assertEqual(under_tls(client).group, group if GROUP_IS_KNOWN else None)

    async def test_no_common_cipher_is_the_cause(self) -> None:
        """Without a common cipher the handshake fails, and the error says so."""
        _, port = await self.start_server("-rev", "-tls1_2")
        url = f"tls://localhost:{port}?ciphers=ECDHE-RSA-AES128-GCM-SHA256"
        error = await self.connect_error(url)
        self.assertEqual(error.cause, "no-common-cipher")
        self.assertIn("handshake failure", str(error))

    async def test_a_common_application_protocol_is_chosen(self) -> None:
        """The server chooses an application protocol that both sides know."""
        for offered in ("h2,http/1.1", "http/1.1"):
            peer, port = await self.start_server("-alpn", "imap,http/1.1")
            client = await self.connect(f"tls://localhost:{port}?alpn_protocols={offered}")
            await peer.prints(rb"^ALPN protocols selected: http/1\.1$")
            self.assertEqual(under_tls(client).alpn_protocol, "http/1.1")

    async def test_no_common_application_protocol_is_the_cause(self) -> None:
        """A server that refuses all offered protocols sends an alert (RFC 7301, section 3.2)."""
        _, port = await self.start_server("-alpn", "imap,http/1.1")
        error = await self.connect_error(f"tls://localhost:{port}?alpn_protocols=h2")
        self.assertEqual(error.cause, "no-common-protocol")

    async def test_a_server_without_alpn_is_accepted(self) -> None:
        """A server without ALPN chooses no protocol, and the connection works."""
        _, port = await self.start_server()
        client = await self.connect(f"tls://localhost:{port}?alpn_protocols=h2")
        self.assertIsNone(under_tls(client).alpn_protocol)

    async def test_the_server_receives_the_name(self) -> None:
        """A server receives the name that the client expects, and chooses its certificate by it."""
        own = certificates.issued("sni.pem", "localhost", common_name="asked for")
        peer, port = await self.start_server(
            "-servername", "localhost", "-cert2", own, "-key2", own
        )
        client = await self.connect(f"tls://localhost:{port}")
        await peer.prints(rb'^Hostname in TLS extension: "localhost"$')
        agreed = under_tls(client)
        assert agreed.peer_certificate is not None
        self.assertEqual(agreed.peer_certificate.subject.rfc4514_string(), "CN=asked for")
        self.assertEqual(agreed.server_name, "localhost")

    async def test_an_address_is_verified_but_not_sent(self) -> None:
        """An IP address is never sent as a name (RFC 6066), and is verified all the same."""
        peer, port = await self.start_server("-tlsextdebug")
        client = await self.connect(f"tls://127.0.0.1:{port}")
        await peer.prints(rb"^CIPHER is ")
        self.assertTrue(under_tls(client).verified)
        self.assertNotIn(b"server name", peer.printed)


class ServerCertificateTests(ServerTestCase):
    """Which certificates of a server are accepted."""

    async def test_each_bad_certificate_has_its_cause(self) -> None:
        """A bad certificate fails the handshake, and the error has the cause."""
        now, day = datetime.now(timezone.utc), timedelta(days=1)
        rows = {
            "wrong-name": certificates.issued("other.pem", "other.example"),
            "expired": certificates.issued("old.pem", "localhost", now=now - 9 * day, days=8),
            "not-yet-valid": certificates.issued("new.pem", "localhost", now=now + day, days=8),
            "self-signed": certificates.written("self.pem", self_signed("localhost").pem),
            "unknown-issuer": certificates.issued(
                "untrusted.pem", "localhost", by=Authority.create()
            ),
            "wrong-purpose": certificates.client(),
        }
        for cause, pem in rows.items():
            _, port = await self.start_server("-rev", pem=pem)
            error = await self.connect_error(f"tls://localhost:{port}")
            self.assertEqual((error.cause, error.permanent), (cause, True), str(error))

    async def test_a_certificate_without_names_is_refused(self) -> None:
        """A trusted certificate without names is for no one, whatever its subject says."""
        nobody = certificates.issued("nobody.pem", common_name="localhost")
        _, port = await self.start_server("-rev", pem=nobody)
        error = await self.connect_error(f"tls://localhost:{port}")
        self.assertEqual(error.cause, "wrong-name")

    async def test_a_missing_intermediate_is_reported(self) -> None:
        """A server that does not send its intermediate certificate is refused, with that advice."""
        below = certificates.authority().intermediate()
        pem = certificates.issued("below.pem", "localhost", by=below)
        _, port = await self.start_server("-rev", pem=pem)
        error = await self.connect_error(f"tls://localhost:{port}")
        self.assertEqual(error.cause, "unknown-issuer")
        self.assertIn("intermediate", error.remedy)
        chain = certificates.written("chain.pem", below.pem)
        _, port = await self.start_server("-rev", "-cert_chain", chain, pem=pem)
        client = await self.connect(f"tls://localhost:{port}")
        self.assertEqual(len(under_tls(client).peer_chain), 2)

    async def test_a_refused_server_gets_an_alert_and_no_certificate(self) -> None:
        """A refused server gets an alert with the reason, and never our certificate."""
        untrusted = certificates.issued("untrusted.pem", "localhost", by=Authority.create())
        for scheme in VERSIONS:
            peer, port = await self.start_server("-rev", pem=untrusted)
            url = f"{scheme}://localhost:{port}"
            await self.connect_error(url, local_cert=certificates.client())
            await peer.prints(rb"alert unknown ca")
            self.assertNotIn(b"client.example", peer.printed)

    async def test_peer_name_and_verify_peer_name_change_the_name(self) -> None:
        """peer_name expects another name, and verify_peer_name=no accepts any."""
        pem = certificates.issued("other.pem", "other.example")
        _, port = await self.start_server("-rev", pem=pem)
        client = await self.connect(f"tls://localhost:{port}?peer_name=other.example")
        self.assertTrue(under_tls(client).verified)
        await self.end(client)
        client = await self.connect(f"tls://localhost:{port}?verify_peer_name=no")
        self.assertFalse(under_tls(client).verified)

    async def test_a_revoked_certificate_is_refused(self) -> None:
        """A certificate that is on the list of crl is refused."""
        revoked = certificates.authority().issue("localhost")
        pem = certificates.written("revoked.pem", revoked.pem)
        empty = certificates.authority().revocation_list()
        full = certificates.authority().revocation_list(revoked.certificate)
        _, port = await self.start_server("-rev", pem=pem)
        url = f"tls://localhost:{port}"
        await self.end(await self.connect(url, crl=certificates.written("empty.crl", empty)))
        error = await self.connect_error(url, crl=certificates.written("full.crl", full))
        self.assertIn("revoked", str(error))


class ClientCertificateTests(ServerTestCase):
    """A server that demands a certificate of our client."""

    async def start_demanding_server(self, *arguments: str) -> tuple[Peer, int]:
        """Start a server that demands a certificate of the tests' root."""
        return await self.start_server(
            "-rev", "-Verify", "2", "-CAfile", certificates.cafile(), "-verify_return_error",
            *arguments,
        )  # fmt: skip

    async def test_local_cert_is_sent(self) -> None:
        """The server receives our certificate and accepts it."""
        for scheme in VERSIONS:
            peer, port = await self.start_demanding_server()
            url = f"{scheme}://localhost:{port}"
            client = await self.connect(url, local_cert=certificates.client())
            await self.exchange(client)
            await peer.prints(rb"^Peer certificate: CN ?= ?client\.example$")

    async def test_a_missing_certificate_fails_tls_1_2(self) -> None:
        """In TLS 1.2 the handshake fails without one, and the error says what is missing."""
        _, port = await self.start_demanding_server()
        error = await self.connect_error(f"tlsv1.2://localhost:{port}")
        self.assertEqual(error.cause, "client-certificate-required")
        self.assertIn("local_cert", error.remedy)

    async def test_a_missing_certificate_ends_tls_1_3(self) -> None:
        """In TLS 1.3 the refusal comes after the handshake, and is explained the same way."""
        _, port = await self.start_demanding_server()
        client = await self.connect(f"tlsv1.3://localhost:{port}")
        error = await self.reason(client)
        self.assertEqual(error.cause, "client-certificate-required")
        self.assertIn("local_cert", error.remedy)

    async def test_an_untrusted_certificate_is_refused(self) -> None:
        """An untrusted certificate is refused, in the handshake of 1.2 and after that of 1.3."""
        untrusted = certificates.issued(
            "untrusted-client.pem", "client.example", by=Authority.create(), purpose="client"
        )
        _, port = await self.start_demanding_server()
        error = await self.connect_error(f"tlsv1.2://localhost:{port}", local_cert=untrusted)
        self.assertEqual(error.cause, "peer-alert")
        client = await self.connect(f"tlsv1.3://localhost:{port}", local_cert=untrusted)
        late = await self.reason(client)
        for each in (error, late):
            self.assertEqual(each.cause, "peer-alert")
            self.assertIn("refused our certificate", str(each))

    async def reason(self, client: Recorder) -> HandshakeFailed:
        """The error that ends an established connection."""
        error = (await client.gone()).value
        assert isinstance(error, HandshakeFailed), error
        return error


class ServerResumptionTests(ServerTestCase):
    """A client of ours resumes a session."""

    async def test_the_second_connection_is_resumed(self) -> None:
        """Later connections resume the session of the first, and are still verified."""
        for scheme, (_, version) in VERSIONS.items():
            _, port = await self.start_server("-www", "-alpn", "http/1.1")
            url = f"{scheme}://localhost:{port}?alpn_protocols=http/1.1"
            for resumed, word in (False, b"New"), (True, b"Reused"), (True, b"Reused"):
                client = await self.connect(url)
                agreed = under_tls(client)
                client.say(b"GET / HTTP/1.0\r\n\r\n")
                reason = await client.gone()
                reason.trap(ConnectionDone)
                self.assertIn(b"\n%b, %b, Cipher is " % (word, version.encode()), client.received)
                self.assertEqual((agreed.resumed, agreed.verified), (resumed, True))
                self.assertEqual(agreed.alpn_protocol, "http/1.1")

    async def test_no_ticket_prevents_resumption(self) -> None:
        """With no_ticket every handshake is a full one."""
        for scheme in VERSIONS:
            _, port = await self.start_server("-rev")
            for _ in range(2):
                client = await self.connect(f"{scheme}://localhost:{port}?no_ticket=yes")
                await self.exchange(client)
                self.assertIs(under_tls(client).resumed, False)
                client.say(b"CLOSE\n")
                (await client.gone()).trap(ConnectionDone)


class ServerClosingTests(ServerTestCase):
    """A connection to a server continues, and ends."""

    async def test_close_notify_is_a_clean_end(self) -> None:
        """When the server sends a close_notify, the connection is closed cleanly."""
        for scheme in VERSIONS:
            _, port = await self.start_server("-rev")
            client = await self.connect(f"{scheme}://localhost:{port}")
            await self.exchange(client)
            client.say(b"CLOSE\n")
            (await client.gone()).trap(ConnectionDone)

    async def test_a_cut_is_not_a_clean_end(self) -> None:
        """A server that is killed, or closes TCP alone, may have had more to send."""
        for scheme in VERSIONS:
            for cut in (Peer.kill, lambda peer: peer.type(b"q\n")):
                peer, port = await self.start_server()
                client = await self.connect(f"{scheme}://localhost:{port}")
                peer.type(b"half of\n")
                await client.heard(b"half of")
                cut(peer)
                (await client.gone()).trap(ConnectionLost)

    async def test_the_server_tells_close_from_abort(self) -> None:
        """A server sees a clean end after loseConnection, and an error after abortConnection."""
        outputs = {"loseConnection": rb"^DONE$", "abortConnection": rb"^(ERROR|read:errno=104)$"}
        for scheme in VERSIONS:
            for method, output in outputs.items():
                peer, port = await self.start_server()
                client = await self.connect(f"{scheme}://localhost:{port}")
                client.say(b"abc\n")
                await peer.prints(rb"^abc$")
                getattr(client.transport, method)()
                await peer.prints(output)

    async def test_a_server_may_update_keys(self) -> None:
        """A server can update its keys in TLS 1.3, and ask us to update ours."""
        peer, port = await self.start_server("-msg")
        client = await self.connect(f"tlsv1.3://localhost:{port}")
        await peer.prints(rb"^CIPHER is ")
        await self.update_keys(peer, client)

    async def test_a_renegotiating_server_is_refused(self) -> None:
        """A TLS 1.2 server that starts another handshake is refused."""
        peer, port = await self.start_server()
        client = await self.connect(f"tlsv1.2://localhost:{port}")
        await peer.prints(rb"^CIPHER is ")
        peer.type(b"r\n")
        await peer.prints(rb"no renegotiation")
        await client.gone()

    async def test_tcp_gets_no_answer_from_a_tls_server(self) -> None:
        """tcp:// is plain TCP, and a TLS server closes it without an answer."""
        peer, port = await self.start_server()
        client = await self.connected(f"tcp://localhost:{port}")
        client.say(b"GET / HTTP/1.0\r\n\r\n")
        await peer.prints(rb"http request")
        await client.gone()
        self.assertEqual(client.received, b"")

    async def test_tls_works_over_a_local_socket(self) -> None:
        """TLS over a local socket works the same; only peer_name must be given."""
        path, own = str(self.folder() / "s"), certificates.site()
        peer = self.start("s_server", "-unix", path, "-cert", own, "-key", own, "-rev")
        await peer.prints(rb"^ACCEPT ")
        client = await self.connect(f"tls+unix://{path}?peer_name=localhost")
        await self.exchange(client)
        self.assertTrue(under_tls(client).verified)


class ClientTestCase(OpenSSLTestCase):
    """``openssl s_client`` connects to a server of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = Recorders()

    async def start_server(self, scheme: str = "tls", **options: Any) -> int:
        """Listen, with the good certificate by default; return the port."""
        options = {"local_cert": certificates.site(), **options}
        return await self.listening(f"{scheme}://127.0.0.1:0", self.factory, **options)

    def start_client(self, port: int, *arguments: str, cafile: str | None = None) -> Peer:
        """Start s_client, which sends what is typed.

        Some letters are commands at the beginning of a line: ``Q`` closes.

        Args:
            port: The port of our server.
            *arguments: More arguments.
            cafile: The authorities that it trusts; the tests' root by default.
        """
        trusted = cafile or certificates.cafile()
        return self.start("s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", trusted,
                          "-verify_return_error", *arguments)  # fmt: skip

    async def accept_client(self, port: int, *arguments: str) -> tuple[Peer, Recorder]:
        """Start a client that completes the handshake; return it and our protocol."""
        arriving = self.factory.next().addTimeout(PATIENCE, self.reactor)
        peer = self.start_client(port, *arguments)
        return peer, await arriving

    async def refuse_client(self, port: int, *arguments: str, **keywords: Any) -> HandshakeFailed:
        """The error of a client that fails; the application's protocol is never built."""
        refusal = self.refusal()
        peer = self.start_client(port, *arguments, **keywords)
        error = await refusal
        await peer.exits()
        self.assertEqual(self.factory.all, [])
        return error


class ClientAgreementTests(ClientTestCase):
    """What our server and a client agree on."""

    async def test_both_sides_report_the_same_version_and_cipher(self) -> None:
        """The session has the version, cipher and name that the client prints or sends."""
        rows = [("tls", "-tls1_2", "TLSv1.2"), ("tls", "-tls1_3", "TLSv1.3")]
        rows += [(scheme, "-tlsextdebug", version) for scheme, (_, version) in VERSIONS.items()]
        for scheme, flag, version in rows:
            port = await self.start_server(scheme)
            arguments = (flag, "-servername", "good.example", "-groups", "X25519:P-256")
            peer, protocol = await self.accept_client(port, *arguments)
            agreed = under_tls(protocol)
            await peer.prints(rb"^New, (\S+), Cipher is %b$" % agreed.cipher.encode())
            await peer.prints(rb"^(Server|Peer) Temp Key: X25519, ")
            self.assertEqual((agreed.version, agreed.server_name), (version, "good.example"))
            self.assertEqual(agreed.group, "x25519" if GROUP_IS_KNOWN else None)
            self.assertIs(agreed.resumed, False)

    async def test_the_whole_chain_is_sent(self) -> None:
        """A client receives the intermediate certificates, and verifies chain and name."""
        below = certificates.authority().intermediate()
        pem = certificates.issued("below.pem", "*.wild.example", by=below)
        port = await self.start_server(local_cert=pem)
        peer, _ = await self.accept_client(port, "-verify_hostname", "a.wild.example")
        await peer.prints(rb"^Verified peername: \*\.wild\.example$")

    async def test_a_client_that_does_not_trust_us_is_logged(self) -> None:
        """A client that does not know our authority closes, and the log says why."""
        untrusted = certificates.written("untrusted-ca.pem", Authority.create().pem)
        port = await self.start_server()
        for flag, _ in VERSIONS.values():
            error = await self.refuse_client(port, flag, cafile=untrusted)
            self.assertEqual(error.cause, "peer-alert")
            self.assertIn("the client refused our certificate", str(error))

    async def test_the_name_selects_the_certificate(self) -> None:
        """The name that the client sends selects the certificate."""
        certs = {
            "one.example": certificates.issued("one.pem", "one.example"),
            "*.two.example": certificates.issued("two.pem", "*.two.example"),
        }
        rows = {
            "one.example": "one.example",
            "ONE.example": "one.example",
            "a.two.example": "*.two.example",
            "a.b.two.example": "localhost",
            "elsewhere.example": "localhost",
        }
        port = await self.start_server(SNI_server_certs=certs)
        for asked, shown in rows.items():
            peer, protocol = await self.accept_client(port, "-servername", asked)
            await peer.prints(rb"^subject=CN ?= ?%b$" % shown.replace("*", "\\*").encode())
            self.assertEqual(under_tls(protocol).server_name, asked)
        peer, protocol = await self.accept_client(port, "-noservername")
        await peer.prints(rb"^subject=CN ?= ?localhost$")
        self.assertIsNone(under_tls(protocol).server_name)

    async def test_our_application_protocol_is_preferred(self) -> None:
        """Our preference decides; a client that offers only others is refused."""
        rows = [
            ({"alpn_protocols": "imap,h2"}, "h2,imap", "imap"),
            ({"alpn_protocols": "imap,h2"}, "xmpp,h2", "h2"),
            ({"alpn_protocols": "imap,h2", "alpn_mismatch": "ignore"}, "xmpp", None),
            ({}, "xmpp,h2", None),
        ]
        for options, offered, chosen in rows:
            port = await self.start_server(**options)
            peer, protocol = await self.accept_client(port, "-alpn", offered)
            said = f"ALPN protocol: {chosen}" if chosen else "No ALPN negotiated"
            await peer.prints(rb"^%b$" % said.encode())
            self.assertEqual(under_tls(protocol).alpn_protocol, chosen)
        port = await self.start_server(alpn_protocols="imap,h2")
        refusal = self.refusal()
        peer = self.start_client(port, "-alpn", "xmpp")
        await peer.prints(rb"alert no application protocol")
        self.assertEqual((await refusal).cause, "no-common-protocol")

    async def test_old_versions_are_refused(self) -> None:
        """TLS 1.0 and 1.1 get an alert that names the version, and no protocol is built."""
        port = await self.start_server()
        for flag, _ in OLD_VERSIONS.values():
            refusal = self.refusal()
            peer = self.start_client(port, flag, *AT_ANY_LEVEL)
            await peer.prints(rb"alert protocol version")
            self.assertEqual((await refusal).cause, "no-common-version")
        self.assertEqual(self.factory.all, [])

    async def test_old_versions_work_by_their_scheme(self) -> None:
        """A server with tlsv1.0:// or tlsv1.1:// uses that version, and no newer one."""
        for scheme, (flag, version) in OLD_VERSIONS.items():
            port = await self.start_server(scheme)
            error = await self.refuse_client(port, "-tls1_2")
            self.assertEqual(error.cause, "no-common-version", str(error))
            _, protocol = await self.accept_client(port, flag, *AT_ANY_LEVEL)
            self.assertEqual(under_tls(protocol).version, version)
            self.factory.all.clear()

    async def test_no_common_cipher_is_the_cause(self) -> None:
        """A client without any of our ciphers gets an alert, and the log has the cause."""
        port = await self.start_server()
        error = await self.refuse_client(port, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
        self.assertEqual(error.cause, "no-common-cipher")

    async def test_plain_text_is_refused(self) -> None:
        """Plain text on a TLS port reaches no protocol, and the log recognizes it."""
        port = await self.start_server()
        rows = {b"GET / HTTP/1.1\r\n\r\n": "HTTP", b"EHLO mail.example\r\n": "SMTP"}
        for said, name in rows.items():
            refusal = self.refusal()
            client = await self.connected(f"tcp://127.0.0.1:{port}")
            client.say(said)
            error = await refusal
            await client.gone()
            self.assertEqual(error.cause, "plaintext-peer")
            self.assertIn(name, str(error))
        self.assertEqual(self.factory.all, [])


class CertificateOfClientTests(ClientTestCase):
    """Our server asks clients for a certificate."""

    def setUp(self) -> None:
        super().setUp()
        untrusted = certificates.issued(
            "untrusted-client.pem", "client.example", by=Authority.create(), purpose="client"
        )
        self.known = ("-cert", certificates.client(), "-key", certificates.client())
        self.untrusted = ("-cert", untrusted, "-key", untrusted)

    async def test_a_trusted_client_is_verified(self) -> None:
        """The session has the client's certificate, with verify_peer=yes and optional."""
        for verify_peer in ("yes", "optional"):
            port = await self.start_server(verify_peer=verify_peer, cafile=certificates.cafile())
            for flag, _ in VERSIONS.values():
                peer, protocol = await self.accept_client(port, flag, *self.known)
                await peer.prints(rb"^Acceptable client certificate CA names$")
                agreed = under_tls(protocol)
                assert agreed.peer_certificate is not None
                subject = agreed.peer_certificate.subject.rfc4514_string()
                self.assertEqual((subject, agreed.verified), ("CN=client.example", True))

    async def test_yes_refuses_a_client_without_certificate(self) -> None:
        """With verify_peer=yes a client without a certificate is refused, with an alert."""
        port = await self.start_server(verify_peer="yes", cafile=certificates.cafile())
        for flag, _ in VERSIONS.values():
            error = await self.refuse_client(port, flag)
            self.assertEqual(error.cause, "client-certificate-required")

    async def test_optional_accepts_a_client_without_certificate(self) -> None:
        """With verify_peer=optional a client without a certificate is accepted, unverified."""
        port = await self.start_server(verify_peer="optional", cafile=certificates.cafile())
        for flag, _ in VERSIONS.values():
            _, protocol = await self.accept_client(port, flag)
            agreed = under_tls(protocol)
            self.assertIsNone(agreed.peer_certificate)
            self.assertFalse(agreed.verified)

    async def test_an_untrusted_client_is_refused(self) -> None:
        """A certificate that we do not trust is refused, with verify_peer=yes and optional."""
        for verify_peer in ("yes", "optional"):
            port = await self.start_server(verify_peer=verify_peer, cafile=certificates.cafile())
            for flag, _ in VERSIONS.values():
                error = await self.refuse_client(port, flag, *self.untrusted)
                self.assertEqual(error.cause, "unknown-issuer")

    async def test_no_certificate_is_asked_for_by_default(self) -> None:
        """By default a server does not ask for a certificate."""
        port = await self.start_server()
        for flag, _ in VERSIONS.values():
            peer, protocol = await self.accept_client(port, flag, *self.known)
            await peer.prints(rb"^No client certificate CA names sent$")
            self.assertIsNone(under_tls(protocol).peer_certificate)


class ClientResumptionTests(ClientTestCase):
    """Foreign clients resume a session."""

    async def session_of_client(self, port: int, *arguments: str) -> Session:
        """The session of a client that connected, received its tickets, and closed."""
        peer, protocol = await self.accept_client(port, *arguments)
        agreed = under_tls(protocol)
        protocol.say(b"word\n")
        # The tickets of TLS 1.3 come before this line, so the client has read them, too.
        await peer.prints(rb"word")
        peer.type(b"Q\n")
        await peer.exits()
        return agreed

    async def test_a_ticket_resumes_the_session(self) -> None:
        """A client with a ticket resumes its session, and is still verified."""
        port = await self.start_server(verify_peer="yes", cafile=certificates.cafile())
        own = certificates.client()
        for flag, version in VERSIONS.values():
            ticket = str(self.folder() / "ticket")
            shown = (flag, "-cert", own, "-key", own)
            first = await self.session_of_client(port, *shown, "-sess_out", ticket)
            again = await self.session_of_client(port, *shown, "-sess_in", ticket)
            self.assertEqual((first.resumed, again.resumed), (False, True))
            self.assertEqual((again.version, again.verified), (version, True))
            self.assertEqual(again.peer_certificate, first.peer_certificate)

    async def test_a_resumed_session_is_known_however_the_hello_arrives(self) -> None:
        """After a second ClientHello, or in many small records, the server knows it as well."""
        retried, split = ("-groups", "P-521:X25519", "-msg"), ("-maxfraglen", "512")
        for flags, sign in (
            (("-tls1_3", *retried), rb"(?s)TLS 1.3.{1,40}ServerHello.*TLS 1.3.{1,40}ServerHello"),
            (("-tls1_3", *split), rb"."),
            (("-tls1_3", *retried, *split), rb"(?s)ServerHello.*ServerHello"),
            (("-tls1_2", *split), rb"."),
        ):
            port = await self.start_server(verify_peer="yes", cafile=certificates.cafile())
            ticket = str(self.folder() / "ticket")
            own = ("-cert", certificates.client(), "-key", certificates.client())
            first = await self.session_of_client(port, *flags, *own, "-sess_out", ticket)
            peer, protocol = await self.accept_client(port, *flags, *own, "-sess_in", ticket)
            await peer.prints(sign)
            again = under_tls(protocol)
            peer.type(b"Q\n")
            await peer.exits()
            self.assertEqual((first.resumed, again.resumed), (False, True), flags)
            self.assertTrue(again.verified)

    async def test_a_ticket_is_worthless_at_a_stricter_server(self) -> None:
        """A ticket of a server that accepts anyone does not help at one that does not."""
        locked = await self.start_server(verify_peer="yes", cafile=certificates.cafile())
        for flag, _ in VERSIONS.values():
            port = await self.start_server()
            ticket = str(self.folder() / "ticket")
            await self.session_of_client(port, flag, "-sess_out", ticket)
            self.factory.all.clear()
            error = await self.refuse_client(locked, flag, "-sess_in", ticket)
            self.assertEqual(error.cause, "client-certificate-required")

    async def test_no_ticket_is_sent_in_tls_1_2(self) -> None:
        """With no_ticket, a client of TLS 1.2 gets no ticket."""
        port = await self.start_server(no_ticket=True)
        ticket = self.folder() / "ticket"
        await self.session_of_client(port, "-tls1_2", "-sess_out", str(ticket))
        self.assertFalse(ticket.exists())

    async def test_no_ticket_prevents_resumption_in_tls_1_3(self) -> None:
        """With no_ticket, the ticket that OpenSSL still sends in TLS 1.3 resumes nothing."""
        port = await self.start_server(no_ticket=True)
        ticket = str(self.folder() / "ticket")
        await self.session_of_client(port, "-tls1_3", "-sess_out", ticket)
        again = await self.session_of_client(port, "-tls1_3", "-sess_in", ticket)
        self.assertIs(again.resumed, False)

    async def test_a_client_may_resume_again_and_again(self) -> None:
        """A client that closes and reconnects five times resumes its session each time."""
        port = await self.start_server()
        arrivals = [self.factory.next().addTimeout(PATIENCE, self.reactor) for _ in range(6)]
        peer = self.start_client(port, "-tls1_2", "-reconnect")
        resumed = [under_tls(await arriving).resumed for arriving in arrivals]
        self.assertEqual(resumed, [False, True, True, True, True, True])
        await peer.prints(rb"(?s)(\nReused, TLSv1\.2.*){5}")


class ClientClosingTests(ClientTestCase):
    """A connection of a client continues, and ends."""

    async def test_close_notify_is_a_clean_end_and_a_cut_is_not(self) -> None:
        """A client that quits ends cleanly; one that is killed may have had more to send."""
        port = await self.start_server()
        for flag, _ in VERSIONS.values():
            peer, protocol = await self.accept_client(port, flag)
            peer.type(b"Q\n")
            (await protocol.gone()).trap(ConnectionDone)
            peer, protocol = await self.accept_client(port, flag)
            peer.type(b"half of\n")
            await protocol.heard(b"half of")
            peer.kill()
            (await protocol.gone()).trap(ConnectionLost)

    async def test_the_client_tells_close_from_abort(self) -> None:
        """A client sees a clean end after loseConnection, and an error after abortConnection."""
        port = await self.start_server()
        outputs = {"loseConnection": rb"^closed$", "abortConnection": rb"errno"}
        for flag, _ in VERSIONS.values():
            for method, output in outputs.items():
                peer, protocol = await self.accept_client(port, flag)
                protocol.say(b"abc\n")
                await peer.prints(rb"^abc$")
                getattr(protocol.transport, method)()
                await peer.prints(output)

    async def test_a_megabyte_arrives_in_both_directions(self) -> None:
        """A megabyte in each direction arrives complete."""
        much = b"0123456789abcde\n" * 65536
        port = await self.start_server()
        peer, protocol = await self.accept_client(port, "-quiet")
        peer.type(much + b"end")
        await protocol.heard(b"end")
        self.assertEqual(protocol.received, much + b"end")
        protocol.say(much + b"end")
        await peer.prints(rb"end\Z")
        self.assertTrue(peer.printed.endswith(much + b"end"))

    async def test_a_client_may_update_keys(self) -> None:
        """A client can update its keys in TLS 1.3, and ask us to update ours."""
        port = await self.start_server()
        peer, protocol = await self.accept_client(port, "-tls1_3", "-msg")
        await self.update_keys(peer, protocol)

    async def test_a_renegotiating_client_is_refused(self) -> None:
        """A TLS 1.2 client that starts another handshake is refused (CVE-2011-1473)."""
        port = await self.start_server()
        peer, protocol = await self.accept_client(port, "-tls1_2")
        peer.type(b"R\n")
        await peer.prints(rb"no renegotiation")
        await protocol.gone()

    async def test_tls_works_over_a_local_socket(self) -> None:
        """TLS over a local socket works the same."""
        path = str(self.folder() / "s")
        await self.listening(f"tls+unix://{path}", self.factory, local_cert=certificates.site())
        arriving = self.factory.next()
        peer = self.start("s_client", "-unix", path, "-CAfile", certificates.cafile(),
                          "-verify_return_error", "-verify_hostname", "good.example")  # fmt: skip
        protocol = await arriving
        await peer.prints(rb"^Verified peername: good\.example$")
        protocol.say(b"abc\n")
        await peer.prints(rb"^abc$")


class StartTLSTests(OpenSSLTestCase):
    """``openssl s_client -starttls smtp`` connects to a mail server with `StartTLSMixin`."""

    def setUp(self) -> None:
        super().setUp()
        self.servers = MailServers()

    async def start_server(self, tamper: Callable[[bytes], bytes] | None = None) -> int:
        """Start the mail server; return its port, or that of an attacker's proxy before it."""
        endpoint = txtransport.server(self.reactor, "tcp://127.0.0.1:0")
        port = self.adopt(await endpoint.listen(self.servers))
        if tamper is None:
            return port
        return self.adopt(
            self.reactor.listenTCP(0, TamperingProxyFactory(port, tamper), interface="127.0.0.1")
        )

    def start_client(self, port: int, *arguments: str) -> Peer:
        """Start a client that begins in the clear, and then sends lines."""
        return self.start("s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp",
                          "-name", "client.example", "-crlf", "-CAfile", certificates.cafile(),
                          "-verify_return_error", "-verify_hostname", "good.example",
                          *arguments)  # fmt: skip

    async def test_only_what_follows_the_upgrade_is_encrypted(self) -> None:
        """Lines before the upgrade were in the clear, lines after it not, and none is lost."""
        port = await self.start_server()
        for flag, version in VERSIONS.values():
            peer = self.start_client(port, flag)
            await peer.prints(rb"^Verified peername: good\.example$")
            (server,) = self.servers.all
            self.assertEqual((await server.secured).version, version)
            peer.type(b"EHLO again\n")
            await peer.prints(rb"^250 SIZE 1000")
            heard = [(b"EHLO client.example", False), (b"STARTTLS", False), (b"EHLO again", True)]
            self.assertEqual(server.heard, heard)
            self.servers.all.clear()

    async def test_a_command_after_starttls_is_never_executed(self) -> None:
        """What an attacker adds after STARTTLS is never executed, and ends the connection."""
        for added in (b"NOOP injected\r\n", b"MAIL FROM:<inj", b"\n", b"\0"):
            port = await self.start_server(partial(self.append_to_request, added))
            peer = self.start_client(port)
            await peer.exits()
            (server,) = self.servers.all
            await server.lost
            error = self.failureResultOf(server.secured, PlaintextInjected).value
            self.assertEqual(error.received, added)
            self.assertEqual(
                [line for line, _ in server.heard], [b"EHLO client.example", b"STARTTLS"]
            )
            self.assertIn(b"no peer certificate available", peer.printed)
            self.servers.all.clear()

    async def test_a_command_in_place_of_tls_is_never_executed(self) -> None:
        """What an attacker sends where TLS must begin is never executed either."""
        port = await self.start_server(self.insert_before_hello)
        peer = self.start_client(port)
        await peer.exits()
        (server,) = self.servers.all
        await server.lost
        error = self.failureResultOf(server.secured, HandshakeFailed).value
        self.assertEqual(error.cause, "plaintext-peer")
        self.assertEqual([line for line, _ in server.heard], [b"EHLO client.example", b"STARTTLS"])

    def append_to_request(self, added: bytes, data: bytes) -> bytes:
        """The attack of CVE-2011-0411."""
        return data + added if data == b"STARTTLS\r\n" else data

    def insert_before_hello(self, data: bytes) -> bytes:
        """The same attack, a moment later."""
        return b"NOOP injected\r\n" + data if data.startswith(b"\x16\x03") else data
