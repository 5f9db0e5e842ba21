"""A protocol with `StartTLSMixin` switches to TLS in mid-conversation."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IHandshakeListener
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.speakers import KINDS, Lines, SpeakerFactory, client_policy, server_policy
from tests.upgrade.mixin_case import MixinTestCase
from txtransport.errors import AlreadySecure
from txtransport.upgrade.switch import TLSState


class ConversationTests(MixinTestCase):
    """With each of Twisted's parsers, a conversation continues under TLS."""

    async def test_conversation_continues_under_tls(self) -> None:
        """Words before the switch are in the clear, words after it under TLS, on both sides."""
        for kind in KINDS:
            servers = await self.servers_of(kind)
            client = await self.client_of(kind, servers.port)
            client.say(b"before")
            await client.hears(b"heard before")
            client.say(b"STARTTLS")
            session = await client.secured
            client.say(b"after")
            await client.hears(b"heard after")
            (server,) = servers.all
            self.assertEqual(
                server.heard,
                [(b"before", False), (b"STARTTLS", False), (b"after", True)],
                kind.__name__,
            )
            self.assertTrue(session.verified)
            self.assertEqual((client.forget_calls, server.forget_calls), (1, 1))
            self.assertEqual(txtransport.session_of(server.transport), await server.secured)

    async def test_words_before_the_go_ahead_count_as_plaintext(self) -> None:
        """Words that arrive before the go-ahead are received, as plaintext."""
        for kind in KINDS:
            servers = await self.servers_of(kind)
            client = await self.client_of(kind, servers.port)
            await self.wait_for_first(servers)
            servers.all[0].say(b"news")
            client.say(b"STARTTLS")
            await client.secured
            self.assertEqual(client.heard, [(b"news", False), (b"GO", False)])

    async def test_segmentation_does_not_matter(self) -> None:
        """If each byte arrives alone, the conversation is the same."""
        for kind in KINDS:
            servers = await self.servers_of(kind)
            client = await self.raw_client(servers.port)
            cast(Any, client.transport).setTcpNoDelay(True)
            (server,) = await self.wait_for_first(servers)
            for byte in kind().encode(b"before") + kind().encode(b"STARTTLS"):
                server.dataReceived(bytes([byte]))
            await client.heard(kind().encode(b"GO"))
            self.assertEqual(server.heard, [(b"before", False), (b"STARTTLS", False)])
            await self.end(client)
            self.assertEqual((await self.upgrade_failure(server)).cause, "closed")


class TransportTests(MixinTestCase):
    """The mixin works over every transport that can start TLS."""

    async def upgraded_over(self, url: str, place: str, **options: Any) -> Any:
        """The server after an upgrade; it listens at `url`, the client connects to `place`."""
        servers = SpeakerFactory(Lines)
        port = await self.listening(url, servers, **options)
        endpoint = txtransport.client(self.reactor, place.format(port=port))
        client: Any = await endpoint.connect(
            SpeakerFactory(Lines, is_server=False, policy=client_policy())
        )
        self.addCleanup(self.hang_up, client)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        return servers.all[0]

    async def test_local_sockets_work(self) -> None:
        """Local sockets work, with a path and with an abstract name."""
        path = f"{certificates.folder()}/upgrade.sock"
        for place in (path, "@txtransport-upgrade-test"):
            server = await self.upgraded_over(f"unix://{place}", f"unix://{place}")
            self.assertEqual(server.heard[-1], (b"after", True))

    async def test_connection_limits_do_not_interfere(self) -> None:
        """The wrapper that counts a server's connections does not interfere."""
        server = await self.upgraded_over(
            "tcp://127.0.0.1:0", "tcp://127.0.0.1:{port}", max_connections=5, max_per_ip=5
        )
        self.assertTrue(server.is_secure)

    async def test_twisted_endpoints_and_wrappers_work(self) -> None:
        """The mixin works over Twisted's own endpoints and under its WrappingFactory."""
        for wrapped in (lambda factory: factory, WrappingFactory):
            servers = SpeakerFactory(Lines)
            listening = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
            port = self.adopt(await listening.listen(wrapped(servers)))
            calling = TCP4ClientEndpoint(self.reactor, "127.0.0.1", port)
            clients = SpeakerFactory(Lines, is_server=False, policy=client_policy())
            await calling.connect(wrapped(clients))
            (client,) = clients.all
            self.addCleanup(self.hang_up, client)
            client.say(b"STARTTLS")
            await client.secured
            client.say(b"after")
            await client.hears(b"heard after")
            self.assertEqual(servers.all[0].heard[-1], (b"after", True))

    async def test_under_implicit_tls_the_protocol_is_secure_at_once(self) -> None:
        """The same protocol serves port 465, where TLS comes first."""
        servers = SpeakerFactory(Lines)
        port = await self.listening("tls://127.0.0.1:0", servers, **server_policy())
        endpoint = txtransport.client(self.reactor, f"tls://127.0.0.1:{port}", **client_policy())
        client: Any = await endpoint.connect(SpeakerFactory(Lines, is_server=False))
        self.addCleanup(self.hang_up, client)
        client.say(b"one")
        client.say(b"two")
        await client.hears(b"heard two")
        self.assertEqual(servers.all[0].heard, [(b"one", True), (b"two", True)])
        self.assertIs(client.tls_state, TLSState.SECURE)
        self.assertRaises(AlreadySecure, client.startTLS, client_policy())

    async def test_handshake_listener_is_called_once(self) -> None:
        """A protocol that is Twisted's IHandshakeListener is called, as Twisted would call it."""

        @implementer(IHandshakeListener)
        class Listening(Lines):
            completed = 0

            def handshakeCompleted(self) -> None:
                assert self.is_secure
                self.completed += 1

        servers = await self.servers_of(Listening)
        client = await self.client_of(Listening, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        self.assertEqual((client.completed, servers.all[0].completed), (1, 1))

    async def test_tls_roles_may_be_reversed(self) -> None:
        """TLS's client may be TCP's server, as in FTP's active mode."""
        servers = await self.servers_of(Lines, policy=client_policy())
        client = await self.client_of(Lines, servers.port, policy=server_policy())
        # TLS's client may send its ClientHello directly after its go-ahead.
        client.may_pipeline_hello = True
        client.upgrade = lambda reply: self.reversed_upgrade(client, False)
        client.say(b"before")
        await client.hears(b"heard before")
        (server,) = servers.all
        server.upgrade = lambda reply: self.reversed_upgrade(server, True, reply)
        client.say(b"STARTTLS")
        self.assertTrue((await server.secured).verified)
        await client.secured

    def reversed_upgrade(self, speaker: Any, client: bool, reply: bytes = b"") -> None:
        """Start TLS, as TLS's client if `client` is true."""
        started = speaker.startTLS(speaker.policy, reply=reply, client=client)
        started.addCallbacks(speaker.secured.callback, speaker.secured.errback)

    async def test_second_connection_resumes_the_session(self) -> None:
        """The second upgrade with a server resumes the TLS session of the first."""
        servers = await self.servers_of(Lines)
        resumed = []
        for _ in range(2):
            client = await self.client_of(Lines, servers.port)
            client.say(b"STARTTLS")
            resumed.append((await client.secured).resumed)
            client.say(b"after")
            await client.hears(b"heard after")
            client.transport.loseConnection()
            await client.lost
        self.assertEqual(resumed, [False, True])
        self.assertEqual([(await s.secured).resumed for s in servers.all], [False, True])
