"""OpenSSL's own server and client, as the system has them, in conversation with ours."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import Any, Final, cast

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory

import txtransport
from tests import certificates
from tests.live.mail import MailServers, Meddler
from tests.live.peers import OPENSSL, PATIENCE, Peer, PeerTestCase, under_tls
from tests.loopback import Recorder, Recorders
from txtransport.errors import HandshakeFailed, PlaintextInjected
from txtransport.testing.devcert import Authority, self_signed
from txtransport.tls.session import Session

VERSIONS: Final = {"tlsv1.2": ("-tls1_2", "TLSv1.2"), "tlsv1.3": ("-tls1_3", "TLSv1.3")}
"""Each scheme of one version: OpenSSL's flag for it, and its name."""

OLD_VERSIONS: Final = {"tlsv1.0": ("-tls1", "TLSv1"), "tlsv1.1": ("-tls1_1", "TLSv1.1")}

AT_ANY_LEVEL: Final = ("-cipher", "DEFAULT@SECLEVEL=0")
"""What OpenSSL needs to speak an old version at all."""


class OpenSSLTestCase(PeerTestCase):
    """A test with the ``openssl`` command."""

    program = OPENSSL

    async def both_ways(self, peer: Peer, ours: Recorder, word: bytes = b"word") -> None:
        """A word typed there is heard here, and said here is printed there."""
        peer.type(word + b" typed\n")
        await ours.heard(word + b" typed\n")
        ours.say(word + b" said\n")
        await peer.prints(word + rb" said$")

    async def renewing(self, peer: Peer, ours: Recorder) -> None:
        """The peer, which runs with ``-msg``, renews its keys, then asks us to renew ours."""
        peer.type(b"k\n")
        await peer.prints(rb"^>>> .*KeyUpdate$")
        await self.both_ways(peer, ours, b"one")
        peer.type(b"K\n")
        await peer.prints(rb"(?s)(>>> [^\n]*KeyUpdate\n.*){2}")
        await self.both_ways(peer, ours, b"two")
        await peer.prints(rb"^<<< .*KeyUpdate$")


class ServerTestCase(OpenSSLTestCase):
    """Ours goes to ``openssl s_server``."""

    async def serving(self, *arguments: str, pem: str | None = None) -> tuple[Peer, int]:
        """A server, and its port.

        Args:
            *arguments: What it is to do, for one client after the other.
                ``-rev`` says what was agreed on, echoes each line backwards and
                takes its leave at ``CLOSE``.
            pem: Its certificate and key; the good one by default. A chain in
                there it does not look at.
        """
        own = pem or certificates.site()
        peer = self.start("s_server", "-accept", "127.0.0.1:0", "-cert", own, "-key", own,
                          *arguments)  # fmt: skip
        return peer, int((await peer.prints(rb"^ACCEPT 127\.0\.0\.1:(\d+)\n"))[1])

    async def visiting(self, url: str, **options: Any) -> Recorder:
        """A client of ours, which trusts the tests' root."""
        return await self.connected(url, **{"cafile": certificates.cafile(), **options})

    async def failing(self, url: str, **options: Any) -> HandshakeFailed:
        """Why a client of ours does not get there."""
        options = {"cafile": certificates.cafile(), **options}
        endpoint = txtransport.client(self.reactor, url, **options)
        connecting = endpoint.connect(Factory.forProtocol(Recorder))
        return cast(
            HandshakeFailed, await self.assertFailure(cast(Any, connecting), HandshakeFailed)
        )

    async def exchange(self, client: Recorder) -> None:
        """Something goes there and comes back."""
        client.say(b"abc\n")
        await client.heard(b"cba")


class AgreementTests(ServerTestCase):
    """What is agreed on with a server."""

    async def test_both_say_the_same_version_and_cipher(self) -> None:
        """Version and cipher are those of which the server speaks as well."""
        for scheme, version in ("tls", "TLSv1.3"), ("tlsv1.3", "TLSv1.3"), ("tlsv1.2", "TLSv1.2"):
            peer, port = await self.serving("-rev")
            client = await self.visiting(f"{scheme}://localhost:{port}")
            await self.exchange(client)
            agreed = under_tls(client)
            await peer.prints(rb"^Protocol version: %b$" % agreed.version.encode())
            await peer.prints(rb"^Ciphersuite: %b$" % agreed.cipher.encode())
            self.assertEqual((agreed.version, agreed.verified), (version, True))

    async def test_one_version_is_enough(self) -> None:
        """tls:// speaks 1.2 with a server that has nothing else, and 1.3 likewise."""
        for flag, version in VERSIONS.values():
            _, port = await self.serving("-rev", flag)
            client = await self.visiting(f"tls://localhost:{port}")
            await self.exchange(client)
            self.assertEqual(under_tls(client).version, version)

    async def test_a_version_that_is_not_there(self) -> None:
        """Where there is no common version the error says so, whoever is the older."""
        for scheme, flag in ("tlsv1.3", "-tls1_2"), ("tlsv1.2", "-tls1_3"), ("tls", "-tls1_1"):
            _, port = await self.serving("-rev", flag, *AT_ANY_LEVEL)
            error = await self.failing(f"{scheme}://localhost:{port}")
            self.assertEqual((error.cause, error.permanent), ("no-common-version", True))

    async def test_old_versions(self) -> None:
        """TLS 1.0 and 1.1 are spoken when they are asked for by name, and then really."""
        for scheme, (flag, version) in OLD_VERSIONS.items():
            peer, port = await self.serving("-rev", flag, *AT_ANY_LEVEL)
            client = await self.visiting(f"{scheme}://localhost:{port}")
            await self.exchange(client)
            await peer.prints(rb"^Protocol version: %b$" % version.encode())
            self.assertEqual(under_tls(client).version, version)

    async def test_a_group_that_comes_second(self) -> None:
        """A server may ask for another key exchange than the one that we began with."""
        for name, group in {"P-256": "secp256r1", "P-384": "secp384r1"}.items():
            for scheme in VERSIONS:
                _, port = await self.serving("-rev", "-groups", name)
                client = await self.visiting(f"{scheme}://localhost:{port}")
                await self.exchange(client)
                self.assertEqual(under_tls(client).group, group)

    async def test_no_cipher_in_common(self) -> None:
        """A server without any of our ciphers ends the handshake, and the error names them."""
        _, port = await self.serving("-rev", "-tls1_2")
        url = f"tls://localhost:{port}?ciphers=ECDHE-RSA-AES128-GCM-SHA256"
        error = await self.failing(url)
        self.assertEqual(error.cause, "no-common-cipher")
        self.assertIn("handshake failure", str(error))

    async def test_application_protocols(self) -> None:
        """The server chooses one that both know."""
        for offered in ("h2,http/1.1", "http/1.1"):
            peer, port = await self.serving("-alpn", "imap,http/1.1")
            client = await self.visiting(f"tls://localhost:{port}?alpn_protocols={offered}")
            await peer.prints(rb"^ALPN protocols selected: http/1\.1$")
            self.assertEqual(under_tls(client).alpn_protocol, "http/1.1")

    async def test_no_application_protocol_in_common(self) -> None:
        """A server that insists on one of its own says so with an alert (RFC 7301, 3.2)."""
        _, port = await self.serving("-alpn", "imap,http/1.1")
        error = await self.failing(f"tls://localhost:{port}?alpn_protocols=h2")
        self.assertEqual(error.cause, "no-common-protocol")

    async def test_a_server_without_application_protocols(self) -> None:
        """A server that knows of none answers none, and that is no reason to part."""
        _, port = await self.serving()
        client = await self.visiting(f"tls://localhost:{port}?alpn_protocols=h2")
        self.assertIsNone(under_tls(client).alpn_protocol)

    async def test_the_name_that_is_asked_for(self) -> None:
        """A server learns by which name we call it, and shows the certificate for that."""
        own = certificates.issued("sni.pem", "localhost", common_name="asked for")
        peer, port = await self.serving("-servername", "localhost", "-cert2", own, "-key2", own)
        client = await self.visiting(f"tls://localhost:{port}")
        await peer.prints(rb'^Hostname in TLS extension: "localhost"$')
        agreed = under_tls(client)
        assert agreed.peer_certificate is not None
        self.assertEqual(agreed.peer_certificate.subject.rfc4514_string(), "CN=asked for")
        self.assertEqual(agreed.server_name, "localhost")

    async def test_an_address_is_no_name(self) -> None:
        """No address is sent as a name, which RFC 6066 forbids, and is verified all the same."""
        peer, port = await self.serving("-tlsextdebug")
        client = await self.visiting(f"tls://127.0.0.1:{port}")
        await peer.prints(rb"^CIPHER is ")
        self.assertTrue(under_tls(client).verified)
        self.assertNotIn(b"server name", peer.printed)


class CertificateTests(ServerTestCase):
    """Whom a server's certificate is good for."""

    async def test_each_fault_has_its_cause(self) -> None:
        """A certificate that is not good ends the handshake, and the error says what is wrong."""
        now, day = datetime.now(timezone.utc), timedelta(days=1)
        rows = {
            "wrong-name": certificates.issued("other.pem", "other.example"),
            "expired": certificates.issued("old.pem", "localhost", now=now - 9 * day, days=8),
            "not-yet-valid": certificates.issued("new.pem", "localhost", now=now + day, days=8),
            "self-signed": certificates.written("self.pem", self_signed("localhost").pem),
            "unknown-issuer": certificates.issued("alien.pem", "localhost", by=Authority.create()),
            "wrong-purpose": certificates.client(),
        }
        for cause, pem in rows.items():
            _, port = await self.serving("-rev", pem=pem)
            error = await self.failing(f"tls://localhost:{port}")
            self.assertEqual((error.cause, error.permanent), (cause, True), str(error))

    async def test_no_name_is_not_any_name(self) -> None:
        """A trusted certificate without any name is for no one, whatever its subject says."""
        nobody = certificates.issued("nobody.pem", common_name="localhost")
        _, port = await self.serving("-rev", pem=nobody)
        error = await self.failing(f"tls://localhost:{port}")
        self.assertEqual(error.cause, "wrong-name")

    async def test_the_intermediate(self) -> None:
        """A server that forgets its intermediate certificate is told of it, and is good with it."""
        below = certificates.authority().intermediate()
        pem = certificates.issued("below.pem", "localhost", by=below)
        _, port = await self.serving("-rev", pem=pem)
        error = await self.failing(f"tls://localhost:{port}")
        self.assertEqual(error.cause, "unknown-issuer")
        self.assertIn("intermediate", error.remedy)
        chain = certificates.written("chain.pem", below.pem)
        _, port = await self.serving("-rev", "-cert_chain", chain, pem=pem)
        client = await self.visiting(f"tls://localhost:{port}")
        self.assertEqual(len(under_tls(client).peer_chain), 2)

    async def test_the_server_is_told(self) -> None:
        """The server hears why it was refused, and nothing of ours is in its hands."""
        alien = certificates.issued("alien.pem", "localhost", by=Authority.create())
        for scheme in VERSIONS:
            peer, port = await self.serving("-rev", pem=alien)
            url = f"{scheme}://localhost:{port}"
            await self.failing(url, local_cert=certificates.client())
            await peer.prints(rb"alert unknown ca")
            self.assertNotIn(b"visitor.example", peer.printed)

    async def test_another_name_or_none(self) -> None:
        """peer_name expects another name, and verify_peer_name=no any."""
        pem = certificates.issued("other.pem", "other.example")
        _, port = await self.serving("-rev", pem=pem)
        client = await self.visiting(f"tls://localhost:{port}?peer_name=other.example")
        self.assertTrue(under_tls(client).verified)
        await self.end(client)
        client = await self.visiting(f"tls://localhost:{port}?verify_peer_name=no")
        self.assertFalse(under_tls(client).verified)

    async def test_revoked(self) -> None:
        """A revoked certificate is refused when there is a list to look it up in."""
        revoked = certificates.authority().issue("localhost")
        pem = certificates.written("revoked.pem", revoked.pem)
        empty = certificates.authority().revocation_list()
        full = certificates.authority().revocation_list(revoked.certificate)
        _, port = await self.serving("-rev", pem=pem)
        url = f"tls://localhost:{port}"
        await self.end(await self.visiting(url, crl=certificates.written("empty.crl", empty)))
        error = await self.failing(url, crl=certificates.written("full.crl", full))
        self.assertIn("revoked", str(error))


class ClientCertificateTests(ServerTestCase):
    """A server that wants to know who we are."""

    async def demanding(self, *arguments: str) -> tuple[Peer, int]:
        """A server that demands a certificate of the tests' root."""
        return await self.serving(
            "-rev", "-Verify", "2", "-CAfile", certificates.cafile(), "-verify_return_error",
            *arguments,
        )  # fmt: skip

    async def test_it_is_shown(self) -> None:
        """The server sees our certificate and is satisfied."""
        for scheme in VERSIONS:
            peer, port = await self.demanding()
            url = f"{scheme}://localhost:{port}"
            client = await self.visiting(url, local_cert=certificates.client())
            await self.exchange(client)
            await peer.prints(rb"^Peer certificate: CN ?= ?visitor\.example$")

    async def test_none_before_tls_1_3(self) -> None:
        """Without one, TLS 1.2 does not come about and the error says what is missing."""
        _, port = await self.demanding()
        error = await self.failing(f"tlsv1.2://localhost:{port}")
        self.assertEqual(error.cause, "client-certificate-required")
        self.assertIn("local_cert", error.remedy)

    async def test_none_in_tls_1_3(self) -> None:
        """In TLS 1.3 the verdict comes after the handshake, and ends the connection in words."""
        _, port = await self.demanding()
        client = await self.visiting(f"tlsv1.3://localhost:{port}")
        error = await self.reason(client)
        self.assertEqual(error.cause, "client-certificate-required")
        self.assertIn("local_cert", error.remedy)

    async def test_one_that_is_not_trusted(self) -> None:
        """A certificate of someone else's is refused, at once in 1.2 and afterwards in 1.3."""
        alien = certificates.issued(
            "alien-visitor.pem", "visitor.example", by=Authority.create(), purpose="client"
        )
        _, port = await self.demanding()
        error = await self.failing(f"tlsv1.2://localhost:{port}", local_cert=alien)
        self.assertEqual(error.cause, "peer-alert")
        client = await self.visiting(f"tlsv1.3://localhost:{port}", local_cert=alien)
        late = await self.reason(client)
        for each in (error, late):
            self.assertEqual(each.cause, "peer-alert")
            self.assertIn("refused our certificate", str(each))

    async def reason(self, client: Recorder) -> HandshakeFailed:
        """How a conversation ends that had begun."""
        error = (await client.gone()).value
        assert isinstance(error, HandshakeFailed), error
        return error


class ResumptionTests(ServerTestCase):
    """A conversation that takes up an earlier session."""

    async def test_the_second_is_resumed(self) -> None:
        """The second conversation takes up the session of the first, and stays verified."""
        for scheme, (_, version) in VERSIONS.items():
            _, port = await self.serving("-www", "-alpn", "http/1.1")
            url = f"{scheme}://localhost:{port}?alpn_protocols=http/1.1"
            for resumed, word in (False, b"New"), (True, b"Reused"), (True, b"Reused"):
                client = await self.visiting(url)
                agreed = under_tls(client)
                client.say(b"GET / HTTP/1.0\r\n\r\n")
                reason = await client.gone()
                reason.trap(ConnectionDone)
                self.assertIn(b"\n%b, %b, Cipher is " % (word, version.encode()), client.received)
                self.assertEqual((agreed.resumed, agreed.verified), (resumed, True))
                self.assertEqual(agreed.alpn_protocol, "http/1.1")

    async def test_not_without_tickets(self) -> None:
        """With no_ticket each conversation is a new one."""
        for scheme in VERSIONS:
            _, port = await self.serving("-rev")
            for _ in range(2):
                client = await self.visiting(f"{scheme}://localhost:{port}?no_ticket=yes")
                await self.exchange(client)
                self.assertIs(under_tls(client).resumed, False)
                client.say(b"CLOSE\n")
                (await client.gone()).trap(ConnectionDone)


class EndingTests(ServerTestCase):
    """How a conversation with a server goes on, and ends."""

    async def test_a_farewell_is_a_clean_end(self) -> None:
        """A server that says goodbye has said everything."""
        for scheme in VERSIONS:
            _, port = await self.serving("-rev")
            client = await self.visiting(f"{scheme}://localhost:{port}")
            await self.exchange(client)
            client.say(b"CLOSE\n")
            (await client.gone()).trap(ConnectionDone)

    async def test_a_cut_is_no_clean_end(self) -> None:
        """A server that is killed has not said everything, nor has one that just hangs up."""
        for scheme in VERSIONS:
            for cut in (Peer.kill, lambda peer: peer.type(b"q\n")):
                peer, port = await self.serving()
                client = await self.visiting(f"{scheme}://localhost:{port}")
                peer.type(b"half of\n")
                await client.heard(b"half of")
                cut(peer)
                (await client.gone()).trap(ConnectionLost)

    async def test_our_farewell_is_understood(self) -> None:
        """A server takes our close for a goodbye, and our abort for none."""
        rows = {"loseConnection": rb"^DONE$", "abortConnection": rb"^(ERROR|read:errno=104)$"}
        for scheme in VERSIONS:
            for method, said in rows.items():
                peer, port = await self.serving()
                client = await self.visiting(f"{scheme}://localhost:{port}")
                client.say(b"abc\n")
                await peer.prints(rb"^abc$")
                getattr(client.transport, method)()
                await peer.prints(said)

    async def test_new_keys_in_mid_conversation(self) -> None:
        """A server may renew the keys of TLS 1.3, and ask us to renew ours."""
        peer, port = await self.serving("-msg")
        client = await self.visiting(f"tlsv1.3://localhost:{port}")
        await peer.prints(rb"^CIPHER is ")
        await self.renewing(peer, client)

    async def test_no_renegotiation(self) -> None:
        """A TLS 1.2 server that wants to begin anew is refused, and no key changes."""
        peer, port = await self.serving()
        client = await self.visiting(f"tlsv1.2://localhost:{port}")
        await peer.prints(rb"^CIPHER is ")
        peer.type(b"r\n")
        await peer.prints(rb"no renegotiation")
        await client.gone()

    async def test_plain_text_gets_no_answer(self) -> None:
        """tcp:// is plain TCP: a TLS server tells it nothing and hangs up."""
        peer, port = await self.serving()
        client = await self.connected(f"tcp://localhost:{port}")
        client.say(b"GET / HTTP/1.0\r\n\r\n")
        await peer.prints(rb"http request")
        await client.gone()
        self.assertEqual(client.received, b"")

    async def test_a_local_socket(self) -> None:
        """TLS is the same over a local socket; only the name must be given."""
        path, own = str(self.folder() / "s"), certificates.site()
        peer = self.start("s_server", "-unix", path, "-cert", own, "-key", own, "-rev")
        await peer.prints(rb"^ACCEPT ")
        client = await self.visiting(f"tls+unix://{path}?peer_name=localhost")
        await self.exchange(client)
        self.assertTrue(under_tls(client).verified)


class ClientTestCase(OpenSSLTestCase):
    """``openssl s_client`` comes to ours."""

    def setUp(self) -> None:
        super().setUp()
        self.factory = Recorders()

    async def offering(self, scheme: str = "tls", **options: Any) -> int:
        """A server of ours, with the good certificate unless another is given; its port."""
        options = {"local_cert": certificates.site(), **options}
        return await self.listening(f"{scheme}://127.0.0.1:0", self.factory, **options)

    def coming(self, port: int, *arguments: str, cafile: str | None = None) -> Peer:
        """A client, which trusts the tests' root unless another is given.

        Args:
            port: Where to.
            *arguments: How. What is typed it sends, but for the letter ``Q``
                and its like at the beginning of a line.
            cafile: Whom to trust.
        """
        trusted = cafile or certificates.cafile()
        return self.start("s_client", "-connect", f"127.0.0.1:{port}", "-CAfile", trusted,
                          "-verify_return_error", *arguments)  # fmt: skip

    async def conversing(self, port: int, *arguments: str) -> tuple[Peer, Recorder]:
        """A client that got in, and the guest that it talks with."""
        arriving = self.factory.next().addTimeout(PATIENCE, self.reactor)
        peer = self.coming(port, *arguments)
        return peer, await arriving

    async def turned_away(self, port: int, *arguments: str, **keywords: Any) -> HandshakeFailed:
        """Why a client did not get in; no guest has heard of it."""
        refusal = self.refusal()
        peer = self.coming(port, *arguments, **keywords)
        error = await refusal
        await peer.exits()
        self.assertEqual(self.factory.all, [])
        return error


class MeetingTests(ClientTestCase):
    """What is agreed on with a client."""

    async def test_both_say_the_same_version_and_cipher(self) -> None:
        """Version, cipher and name are those of which the client speaks as well."""
        rows = [("tls", "-tls1_2", "TLSv1.2"), ("tls", "-tls1_3", "TLSv1.3")]
        rows += [(scheme, "-tlsextdebug", version) for scheme, (_, version) in VERSIONS.items()]
        for scheme, flag, version in rows:
            port = await self.offering(scheme)
            arguments = (flag, "-servername", "good.example", "-groups", "X25519:P-256")
            peer, protocol = await self.conversing(port, *arguments)
            agreed = under_tls(protocol)
            await peer.prints(rb"^New, (\S+), Cipher is %b$" % agreed.cipher.encode())
            await peer.prints(rb"^(Server|Peer) Temp Key: X25519, ")
            self.assertEqual((agreed.version, agreed.server_name), (version, "good.example"))
            self.assertEqual((agreed.group, agreed.resumed), ("x25519", False))

    async def test_the_whole_chain_is_shown(self) -> None:
        """A client gets the intermediate certificates, and verifies chain and name."""
        below = certificates.authority().intermediate()
        pem = certificates.issued("below.pem", "*.wild.example", by=below)
        port = await self.offering(local_cert=pem)
        peer, _ = await self.conversing(port, "-verify_hostname", "a.wild.example")
        await peer.prints(rb"^Verified peername: \*\.wild\.example$")

    async def test_a_client_that_does_not_trust_us(self) -> None:
        """A client that does not know our authority leaves, and the log says why."""
        alien = certificates.written("alien-ca.pem", Authority.create().pem)
        port = await self.offering()
        for flag, _ in VERSIONS.values():
            error = await self.turned_away(port, flag, cafile=alien)
            self.assertEqual(error.cause, "peer-alert")
            self.assertIn("the client refused our certificate", str(error))

    async def test_a_certificate_for_each_name(self) -> None:
        """The client's wish decides which certificate it is shown."""
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
        port = await self.offering(SNI_server_certs=certs)
        for asked, shown in rows.items():
            peer, protocol = await self.conversing(port, "-servername", asked)
            await peer.prints(rb"^subject=CN ?= ?%b$" % shown.replace("*", "\\*").encode())
            self.assertEqual(under_tls(protocol).server_name, asked)
        peer, protocol = await self.conversing(port, "-noservername")
        await peer.prints(rb"^subject=CN ?= ?localhost$")
        self.assertIsNone(under_tls(protocol).server_name)

    async def test_application_protocols(self) -> None:
        """Ours is preferred; where nothing is common the handshake goes on without."""
        rows = [
            ({"alpn_protocols": "imap,h2"}, "h2,imap", "imap"),
            ({"alpn_protocols": "imap,h2"}, "xmpp,h2", "h2"),
            ({"alpn_protocols": "imap,h2"}, "xmpp", None),
            ({}, "xmpp,h2", None),
        ]
        for options, offered, chosen in rows:
            port = await self.offering(**options)
            peer, protocol = await self.conversing(port, "-alpn", offered)
            said = f"ALPN protocol: {chosen}" if chosen else "No ALPN negotiated"
            await peer.prints(rb"^%b$" % said.encode())
            self.assertEqual(under_tls(protocol).alpn_protocol, chosen)

    async def test_old_versions_are_refused(self) -> None:
        """TLS 1.0 and 1.1 get an alert that names the version, and no guest hears of them."""
        port = await self.offering()
        for flag, _ in OLD_VERSIONS.values():
            refusal = self.refusal()
            peer = self.coming(port, flag, *AT_ANY_LEVEL)
            await peer.prints(rb"alert protocol version")
            self.assertEqual((await refusal).cause, "no-common-version")
        self.assertEqual(self.factory.all, [])

    async def test_old_versions_by_name(self) -> None:
        """A server for TLS 1.0 or 1.1 speaks that, and nothing newer."""
        for scheme, (flag, version) in OLD_VERSIONS.items():
            port = await self.offering(scheme)
            error = await self.turned_away(port, "-tls1_2")
            self.assertEqual(error.cause, "no-common-version", str(error))
            _, protocol = await self.conversing(port, flag, *AT_ANY_LEVEL)
            self.assertEqual(under_tls(protocol).version, version)
            self.factory.all.clear()

    async def test_no_cipher_in_common(self) -> None:
        """A client without any of our ciphers gets an alert, and the log names the cause."""
        port = await self.offering()
        error = await self.turned_away(port, "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256")
        self.assertEqual(error.cause, "no-common-cipher")

    async def test_plain_text_is_refused(self) -> None:
        """Plain text on a TLS port is heard by no guest, and the log knows it for what it is."""
        port = await self.offering()
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


class VisitorTests(ClientTestCase):
    """Clients that are to show a certificate."""

    def setUp(self) -> None:
        super().setUp()
        alien = certificates.issued(
            "alien-visitor.pem", "visitor.example", by=Authority.create(), purpose="client"
        )
        self.known = ("-cert", certificates.client(), "-key", certificates.client())
        self.alien = ("-cert", alien, "-key", alien)

    async def test_a_client_that_is_known(self) -> None:
        """The guest sees who comes, be it that we demand it or only ask."""
        for verify_peer in ("yes", "optional"):
            port = await self.offering(verify_peer=verify_peer, cafile=certificates.cafile())
            for flag, _ in VERSIONS.values():
                peer, protocol = await self.conversing(port, flag, *self.known)
                await peer.prints(rb"^Acceptable client certificate CA names$")
                agreed = under_tls(protocol)
                assert agreed.peer_certificate is not None
                subject = agreed.peer_certificate.subject.rfc4514_string()
                self.assertEqual((subject, agreed.verified), ("CN=visitor.example", True))

    async def test_a_client_without(self) -> None:
        """Who shows nothing is turned away where a certificate is demanded, with an alert."""
        port = await self.offering(verify_peer="yes", cafile=certificates.cafile())
        for flag, _ in VERSIONS.values():
            error = await self.turned_away(port, flag)
            self.assertEqual(error.cause, "client-certificate-required")

    async def test_a_client_without_may_come(self) -> None:
        """Who shows nothing comes in where we only ask, and is not verified."""
        port = await self.offering(verify_peer="optional", cafile=certificates.cafile())
        for flag, _ in VERSIONS.values():
            _, protocol = await self.conversing(port, flag)
            agreed = under_tls(protocol)
            self.assertIsNone(agreed.peer_certificate)
            self.assertFalse(agreed.verified)

    async def test_a_client_of_someone_else_s(self) -> None:
        """A certificate that we do not trust is refused, be it that we demand one or only ask."""
        for verify_peer in ("yes", "optional"):
            port = await self.offering(verify_peer=verify_peer, cafile=certificates.cafile())
            for flag, _ in VERSIONS.values():
                error = await self.turned_away(port, flag, *self.alien)
                self.assertEqual(error.cause, "unknown-issuer")

    async def test_nobody_is_asked_by_default(self) -> None:
        """A server that wants no certificate does not ask for one."""
        port = await self.offering()
        for flag, _ in VERSIONS.values():
            peer, protocol = await self.conversing(port, flag, *self.known)
            await peer.prints(rb"^No client certificate CA names sent$")
            self.assertIsNone(under_tls(protocol).peer_certificate)


class ReturningTests(ClientTestCase):
    """Clients that come back with a session."""

    async def departed(self, port: int, *arguments: str) -> Session:
        """The session of a client that came, heard a word and took its leave."""
        peer, protocol = await self.conversing(port, *arguments)
        agreed = under_tls(protocol)
        protocol.say(b"word\n")
        # What comes before it, the tickets of TLS 1.3, the client has then read.
        await peer.prints(rb"word")
        peer.type(b"Q\n")
        await peer.exits()
        return agreed

    async def test_a_ticket_is_taken_back(self) -> None:
        """A client that returns with its ticket goes on where it was, and is who it was."""
        port = await self.offering(verify_peer="yes", cafile=certificates.cafile())
        own = certificates.client()
        for flag, version in VERSIONS.values():
            ticket = str(self.folder() / "ticket")
            shown = (flag, "-cert", own, "-key", own)
            first = await self.departed(port, *shown, "-sess_out", ticket)
            again = await self.departed(port, *shown, "-sess_in", ticket)
            self.assertEqual((first.resumed, again.resumed), (False, True))
            self.assertEqual((again.version, again.verified), (version, True))
            self.assertEqual(again.peer_certificate, first.peer_certificate)

    async def test_a_ticket_opens_no_other_door(self) -> None:
        """A ticket from a server that lets anyone in is worth nothing at one that does not."""
        locked = await self.offering(verify_peer="yes", cafile=certificates.cafile())
        for flag, _ in VERSIONS.values():
            port = await self.offering()
            ticket = str(self.folder() / "ticket")
            await self.departed(port, flag, "-sess_out", ticket)
            self.factory.all.clear()
            error = await self.turned_away(locked, flag, "-sess_in", ticket)
            self.assertEqual(error.cause, "client-certificate-required")

    async def test_no_ticket_is_given(self) -> None:
        """With no_ticket, a client of TLS 1.2 gets none."""
        port = await self.offering(no_ticket=True)
        ticket = self.folder() / "ticket"
        await self.departed(port, "-tls1_2", "-sess_out", str(ticket))
        self.assertFalse(ticket.exists())

    async def test_a_ticket_that_is_worth_nothing(self) -> None:
        """With no_ticket, what OpenSSL still sends in TLS 1.3 cannot be taken up again."""
        port = await self.offering(no_ticket=True)
        ticket = str(self.folder() / "ticket")
        await self.departed(port, "-tls1_3", "-sess_out", ticket)
        again = await self.departed(port, "-tls1_3", "-sess_in", ticket)
        self.assertIs(again.resumed, False)

    async def test_a_client_that_keeps_returning(self) -> None:
        """A client that hangs up and returns, five times, is resumed each time."""
        port = await self.offering()
        arrivals = [self.factory.next().addTimeout(PATIENCE, self.reactor) for _ in range(6)]
        peer = self.coming(port, "-tls1_2", "-reconnect")
        resumed = [under_tls(await arriving).resumed for arriving in arrivals]
        self.assertEqual(resumed, [False, True, True, True, True, True])
        await peer.prints(rb"(?s)(\nReused, TLSv1\.2.*){5}")


class PartingTests(ClientTestCase):
    """How a conversation with a client goes on, and ends."""

    async def test_a_farewell_and_a_cut(self) -> None:
        """A client that quits has said everything; one that is killed has not."""
        port = await self.offering()
        for flag, _ in VERSIONS.values():
            peer, protocol = await self.conversing(port, flag)
            peer.type(b"Q\n")
            (await protocol.gone()).trap(ConnectionDone)
            peer, protocol = await self.conversing(port, flag)
            peer.type(b"half of\n")
            await protocol.heard(b"half of")
            peer.kill()
            (await protocol.gone()).trap(ConnectionLost)

    async def test_our_farewell_is_understood(self) -> None:
        """A client takes our close for a goodbye, and our abort for none."""
        port = await self.offering()
        rows = {"loseConnection": rb"^closed$", "abortConnection": rb"errno"}
        for flag, _ in VERSIONS.values():
            for method, said in rows.items():
                peer, protocol = await self.conversing(port, flag)
                protocol.say(b"abc\n")
                await peer.prints(rb"^abc$")
                getattr(protocol.transport, method)()
                await peer.prints(said)

    async def test_much_in_both_directions(self) -> None:
        """A megabyte each way arrives whole."""
        much = b"0123456789abcde\n" * 65536
        port = await self.offering()
        peer, protocol = await self.conversing(port, "-quiet")
        peer.type(much + b"end")
        await protocol.heard(b"end")
        self.assertEqual(protocol.received, much + b"end")
        protocol.say(much + b"end")
        await peer.prints(rb"end\Z")
        self.assertTrue(peer.printed.endswith(much + b"end"))

    async def test_new_keys_in_mid_conversation(self) -> None:
        """A client may renew the keys of TLS 1.3, and ask us to renew ours."""
        port = await self.offering()
        peer, protocol = await self.conversing(port, "-tls1_3", "-msg")
        await self.renewing(peer, protocol)

    async def test_no_renegotiation(self) -> None:
        """A TLS 1.2 client that wants to begin anew is refused (CVE-2011-1473)."""
        port = await self.offering()
        peer, protocol = await self.conversing(port, "-tls1_2")
        peer.type(b"R\n")
        await peer.prints(rb"no renegotiation")
        await protocol.gone()

    async def test_a_local_socket(self) -> None:
        """TLS is the same over a local socket."""
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
    """``openssl s_client -starttls smtp`` comes to a mail server on the mixin."""

    def setUp(self) -> None:
        super().setUp()
        self.servers = MailServers()

    async def serving(self, meddle: Callable[[bytes], bytes] | None = None) -> int:
        """The mail server's port, or that of someone in front of it."""
        endpoint = txtransport.server(self.reactor, "tcp://127.0.0.1:0")
        port = self.adopt(await endpoint.listen(self.servers))
        if meddle is None:
            return port
        return self.adopt(self.reactor.listenTCP(0, Meddler(port, meddle), interface="127.0.0.1"))

    def coming(self, port: int, *arguments: str) -> Peer:
        """A client that begins in the clear, and then speaks in lines."""
        return self.start("s_client", "-connect", f"127.0.0.1:{port}", "-starttls", "smtp",
                          "-name", "client.example", "-crlf", "-CAfile", certificates.cafile(),
                          "-verify_return_error", "-verify_hostname", "good.example",
                          *arguments)  # fmt: skip

    async def test_the_switch(self) -> None:
        """What is said before is in the clear, what is said after is not, and nothing is lost."""
        port = await self.serving()
        for flag, version in VERSIONS.values():
            peer = self.coming(port, flag)
            await peer.prints(rb"^Verified peername: good\.example$")
            (server,) = self.servers.all
            self.assertEqual((await server.secured).version, version)
            peer.type(b"EHLO again\n")
            await peer.prints(rb"^250 SIZE 1000")
            heard = [(b"EHLO client.example", False), (b"STARTTLS", False), (b"EHLO again", True)]
            self.assertEqual(server.heard, heard)
            self.servers.all.clear()

    async def test_a_command_behind_the_request(self) -> None:
        """What someone in between adds behind STARTTLS is never done, and ends the connection."""
        for added in (b"NOOP injected\r\n", b"MAIL FROM:<inj", b"\n", b"\0"):
            port = await self.serving(partial(self.behind_request, added))
            peer = self.coming(port)
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

    async def test_a_command_in_place_of_tls(self) -> None:
        """What someone in between says when TLS was to begin is never done either."""
        port = await self.serving(self.before_hello)
        peer = self.coming(port)
        await peer.exits()
        (server,) = self.servers.all
        await server.lost
        error = self.failureResultOf(server.secured, HandshakeFailed).value
        self.assertEqual(error.cause, "plaintext-peer")
        self.assertEqual([line for line, _ in server.heard], [b"EHLO client.example", b"STARTTLS"])

    def behind_request(self, added: bytes, data: bytes) -> bytes:
        """The attack of CVE-2011-0411."""
        return data + added if data == b"STARTTLS\r\n" else data

    def before_hello(self, data: bytes) -> bytes:
        """The same, a moment later."""
        return b"NOOP injected\r\n" + data if data.startswith(b"\x16\x03") else data
