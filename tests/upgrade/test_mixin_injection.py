"""Plaintext injected where TLS is to begin never reaches a protocol with the mixin."""

from __future__ import annotations

from typing import Any

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.words.xish import xmlstream

import txtransport
from tests.loopback import Recorder
from tests.speakers import KINDS, Lines, Speaker, server_policy
from tests.upgrade.mixin_case import EVIL, HELLO_START, MixinTestCase
from txtransport.errors import PeerMisbehaved, PlaintextInjected


class InjectionTests(MixinTestCase):
    """With each of Twisted's parsers, injected plaintext is never delivered."""

    async def test_word_after_the_request_is_never_delivered(self) -> None:
        """Words pipelined after the request end the connection; there is no go-ahead."""
        for kind in KINDS:
            servers = await self.servers_of(kind)
            client = await self.raw_client(servers.port)
            encode = kind().encode
            client.say(encode(b"STARTTLS") + encode(EVIL) + encode(EVIL))
            await client.gone()
            (server,) = servers.all
            injected = await self.upgrade_failure(server)
            self.assertIsInstance(injected, PlaintextInjected, kind.__name__)
            self.assertIs(await self.reason_of(server), injected)
            self.assertEqual(self.words_heard(server), [b"STARTTLS"])
            # The server did not even send the go-ahead.
            self.assertEqual(client.received, b"")

    async def test_partial_word_after_the_request_is_never_completed(self) -> None:
        """Part of a word counts as well: the first bytes under TLS would complete it."""
        for kind in KINDS:
            servers = await self.servers_of(kind)
            client = await self.raw_client(servers.port)
            encode = kind().encode
            client.say(encode(b"STARTTLS") + encode(EVIL)[:3])
            await client.gone()
            (server,) = servers.all
            self.assertIsInstance(await self.upgrade_failure(server), PlaintextInjected)
            self.assertEqual(self.words_heard(server), [b"STARTTLS"])

    async def test_plaintext_after_the_go_ahead_fails_the_handshake(self) -> None:
        """Plaintext that a client sends after the go-ahead goes to TLS, which refuses it."""
        for kind in KINDS:
            servers = await self.servers_of(kind)
            client = await self.raw_client(servers.port)
            encode = kind().encode
            client.say(encode(b"STARTTLS"))
            await client.heard(encode(b"GO"))
            client.say(encode(b"evil, and long enough for a record"))
            await client.gone()
            (server,) = servers.all
            failed = await self.upgrade_failure(server)
            self.assertEqual(failed.cause, "plaintext-peer")
            self.assertIn("evil, and", str(failed))
            self.assertEqual(self.words_heard(server), [b"STARTTLS"])

    async def test_word_after_the_go_ahead_is_never_delivered(self) -> None:
        """Nothing that arrives with the go-ahead, whoever sent it, is delivered."""
        for kind in KINDS:
            encode = kind().encode
            client = await self.client_sent(kind, encode(b"GO") + encode(EVIL))
            self.assertIsInstance(
                await self.upgrade_failure(client), PlaintextInjected, kind.__name__
            )
            self.assertEqual(self.words_heard(client), [b"GO"])

    async def test_partial_word_after_the_go_ahead_ends_the_connection(self) -> None:
        """Bytes without an end are injected plaintext too."""
        for kind in KINDS:
            encode = kind().encode
            client = await self.client_sent(kind, encode(b"GO") + b"\x01")
            self.assertIsInstance(
                await self.upgrade_failure(client), PlaintextInjected, kind.__name__
            )

    async def client_sent(self, kind: type[Speaker], words: bytes) -> Any:
        """A client to which a server sends these bytes as soon as it is connected."""

        class Telling(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(words)

        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Telling))
        return await self.client_of(kind, port)


class XMLInjectionTests(MixinTestCase):
    """With an XML parser, which hides what it has read, injection is detected too."""

    async def xml_server(self, *said: bytes) -> tuple[Any, Recorder]:
        """A server with Twisted's XML parser, and a client that sent these bytes and is gone."""
        server: Any = None

        class Stream(txtransport.StartTLSMixin, xmlstream.XmlStream):
            def __init__(self) -> None:
                nonlocal server
                super().__init__()
                server = self
                self.stanzas: list[str] = []
                self.ended: Deferred[list[Failure]] = Deferred()
                self.addObserver("/*", self.stanza)

            def stanza(self, element: Any) -> None:
                self.stanzas.append(element.name)
                if element.name == "starttls":
                    self.startTLS(server_policy(), reply=b"<proceed/>").addErrback(
                        lambda reason: None
                    )

            def connectionLost(self, reason: Failure = connectionDone) -> None:
                self.ended.callback([reason])

        port = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Stream))
        client = await self.raw_client(port)
        for each in said:
            client.say(each)
        await client.gone()
        return server, client

    async def test_data_after_the_starttls_tag_ends_the_connection(self) -> None:
        """White space after the tag counts too; a > within quotes does not end the tag."""
        for evil in (b"<message/>", b" ", b"<message"):
            server, client = await self.xml_server(b"<stream><starttls a='>'/>" + evil)
            (reason,) = await server.ended
            self.assertIsInstance(reason.value, PlaintextInjected)
            self.assertEqual(server.stanzas, ["starttls"])
            self.assertEqual(client.received, b"")

    async def test_document_type_is_refused(self) -> None:
        """A document type is refused; one of its entities could stand for many stanzas."""
        entity = b"<!DOCTYPE s [<!ENTITY e \"<starttls/><message to='evil'/>\">]>"
        server, _ = await self.xml_server(entity + b"<stream>&e;</stream>")
        (reason,) = await server.ended
        self.assertIsInstance(reason.value, PeerMisbehaved)
        self.assertIn("tcp://127.0.0.1:", str(reason.value))
        self.assertEqual(server.stanzas, [])


class PipelinedHelloTests(MixinTestCase):
    """A ClientHello may come in the same segment as the request."""

    def hello(self) -> tuple[SSL.Connection, bytes]:
        """A TLS client in memory, and its ClientHello."""
        client = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        client.set_connect_state()
        with self.assertRaises(SSL.WantReadError):
            client.do_handshake()
        return client, client.bio_read(65536)

    async def test_pipelined_hello_is_refused_by_default(self) -> None:
        """A pipelined ClientHello counts as plaintext, and the error shows it; nothing hangs."""
        servers = await self.servers_of(Lines)
        client = await self.raw_client(servers.port)
        client.say(b"STARTTLS\r\n" + self.hello()[1])
        await client.gone()
        self.assertEqual((await self.upgrade_failure(servers.all[0])).received[:2], HELLO_START[:2])

    async def test_pipelined_hello_starts_tls_where_it_is_allowed(self) -> None:
        """Where a protocol allows it, as PostgreSQL and MySQL do, the hello goes to TLS."""
        servers = await self.servers_of(Lines, may_pipeline_hello=True)
        client = await self.raw_client(servers.port)
        tls, hello = self.hello()
        client.say(b"STARTTLS\r\n" + hello)
        answer = (await client.heard(b"\x16\x03"))[len(b"GO\r\n") :]
        tls.bio_write(answer)
        tls.do_handshake()
        client.say(tls.bio_read(65536))
        self.assertEqual((await servers.all[0].secured).version, "TLSv1.3")

    async def test_other_pipelined_bytes_are_refused(self) -> None:
        """Where a pipelined ClientHello is allowed, nothing else is."""
        for left in (b"evil", b"\x15\x03\x01", b"\x17"):
            servers = await self.servers_of(Lines, may_pipeline_hello=True)
            client = await self.raw_client(servers.port)
            client.say(b"STARTTLS\r\n" + left)
            await client.gone()
            self.assertIsInstance(await self.upgrade_failure(servers.all[0]), PlaintextInjected)

    async def test_pipelined_hello_may_be_cut_after_its_first_byte(self) -> None:
        """A ClientHello may be cut into segments anywhere."""
        servers = await self.servers_of(Lines, may_pipeline_hello=True)
        client = await self.raw_client(servers.port)
        _, hello = self.hello()
        client.say(b"STARTTLS\r\n" + hello[:1])
        await client.heard(b"GO")
        client.say(hello[1:])
        await client.heard(b"\x16\x03")
        await self.end(client)
        self.assertEqual((await self.upgrade_failure(servers.all[0])).cause, "closed")
