"""Twisted's own protocols, unmodified, upgrade to TLS behind the guard."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, ISSLTransport
from twisted.internet.protocol import Protocol
from twisted.mail import imap4, pop3

import txtransport
from tests import twisted_protocols
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import LOCAL, TCP, EndpointPair, GuardTestCase


class ConversationTests(GuardTestCase):
    """With the guard, protocols work as they do without it, over TCP and local sockets."""

    async def connect_pair(
        self, endpoints: EndpointPair, server: IProtocolFactory, client: IProtocolFactory
    ) -> None:
        """Listen with the server's factory and connect the client's, over those endpoints."""
        path = self.socket_path()
        port = self.adopt(await endpoints.listen(self.reactor, path).listen(server))
        await endpoints.call(self.reactor, path, port).connect(client)

    async def check_over(
        self,
        pairs: tuple[EndpointPair, ...],
        server: Callable[[], object],
        client: Callable[[], object],
        talk: Callable[[Any], Awaitable[object]],
    ) -> None:
        """Over each pair, run `talk` with the client, then check that both sides have TLS."""
        for endpoints in pairs:
            servers, clients = RecordingFactory(server), RecordingFactory(client)
            await self.connect_pair(
                endpoints, txtransport.guard(servers), txtransport.guard(clients)
            )
            recording = clients.recording
            self.addCleanup(self.hang_up, recording)
            self.assertFalse(ISSLTransport.providedBy(recording.protocol.transport))
            self.assertIsNone(txtransport.session_of(recording.protocol.transport))
            await talk(recording.protocol)
            for each in (recording, servers.recording):
                self.assertTrue(ISSLTransport.providedBy(each.protocol.transport))
                session = txtransport.session_of(each.protocol.transport)
                assert session is not None
                self.assertEqual(session.version, "TLSv1.3")
            recording.protocol.transport.loseConnection()
            await recording.lost
            await servers.recording.lost

    async def test_smtp_client_sends_a_mail(self) -> None:
        """A mail is sent with SMTP, after a log-in."""
        for endpoints in TCP:
            postbox, sent = twisted_protocols.Postbox(), Deferred[Any]()
            servers = RecordingFactory(partial(twisted_protocols.mail_server, postbox))
            sender = twisted_protocols.mail_sender(sent, requireAuthentication=True)
            await self.connect_pair(
                endpoints, txtransport.guard(servers), txtransport.guard(sender)
            )
            self.assertEqual((await sent)[0], 1)
            await servers.recording.lost
            self.assertEqual(postbox.mails, [[b"Subject: hello", b"", b"Dear Bob"]])
            self.assertTrue(servers.recording.protocol.authenticated)

    async def test_imap_client_logs_in(self) -> None:
        """An IMAP client logs in and lists the mailboxes."""

        async def talk(client: Any) -> None:
            await client.login(twisted_protocols.USER, twisted_protocols.PASSWORD)
            self.assertEqual(await client.list("", "%"), [(("\\HasNoChildren",), "/", "INBOX")])

        await self.check_over(
            TCP + LOCAL,
            twisted_protocols.imap_server,
            lambda: imap4.IMAP4Client(twisted_protocols.client_context()),
            talk,
        )

    async def test_pop3_client_logs_in(self) -> None:
        """A POP3 client starts TLS and logs in."""

        async def talk(client: Any) -> None:
            await client.startTLS(twisted_protocols.client_context())
            await client.login(twisted_protocols.USER, twisted_protocols.PASSWORD)

        await self.check_over(
            TCP + LOCAL, twisted_protocols.POP3Server, pop3.AdvancedPOP3Client, talk
        )

    async def test_xmpp_stream_becomes_ready(self) -> None:
        """An XMPP client's stream becomes ready for stanzas."""

        async def talk(client: Any) -> None:
            await client.authenticator.ready

        await self.check_over(
            TCP + LOCAL,
            lambda: twisted_protocols.xmpp_server(twisted_protocols.ServerAuthenticator()),
            lambda: twisted_protocols.xmpp_client(twisted_protocols.ClientAuthenticator()),
            talk,
        )

    async def test_amp_peers_call_each_other(self) -> None:
        """Two AMP peers call each other, before TLS and under it."""

        async def talk(client: Any) -> None:
            await client.callRemote(twisted_protocols.Ask, text="before\0")
            await twisted_protocols.start_amp_tls(client)
            answer = await client.callRemote(twisted_protocols.Ask, text="after")
            self.assertEqual(answer, {"text": "after"})

        await self.check_over(
            TCP + LOCAL, twisted_protocols.AMPPeer, twisted_protocols.AMPPeer, talk
        )

    async def test_unknown_parser_receives_up_to_the_boundary(self) -> None:
        """A parser that is not Twisted's receives data up to the boundary, or byte by byte."""

        class Words(Protocol):
            def connectionMade(self) -> None:
                self.words, self.rest = list[bytes](), b""

            def dataReceived(self, data: bytes) -> None:
                *words, self.rest = (self.rest + data).split(b";;")
                for word in words:
                    self.words.append(word)
                    if word == b"secure":
                        cast(Any, self.transport).write(b"go;;")
                        cast(Any, self.transport).startTLS(twisted_protocols.server_context())

        secret = [b"one", b"two", b"secure", b"three", b"end"]
        for boundary, given in ((b";;", [b"one;;", b"two;;", b"secure;;"]), (None, [b"o", b"n"])):
            servers = await self.guarded_servers(Words, boundary=boundary)
            client = await self.raw_client(servers)
            client.say(b"one;;two;;secure;;")
            await client.heard(b"go;;")
            self.start_tls(client)
            client.say(b"three;;end;;")
            words = servers.recording.protocol.words
            while words[-1:] != [b"end"]:
                await self.turn()
            self.assertEqual(words, secret)
            self.assertEqual(servers.recording.given[: len(given)], given)
