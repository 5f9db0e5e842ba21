"""``startTLS()`` of the mixin: its policies, and when it is refused."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import StringTransport
from twisted.protocols.basic import NetstringReceiver
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.speakers import Lines, client_policy, server_policy
from tests.upgrade.mixin_case import MixinTestCase
from txtransport.config.policy import TLSPolicy
from txtransport.errors import (
    AlreadySecure,
    BadCertificateFile,
    ConversationOver,
    InvalidOption,
    ProducerInTheWay,
    UpgradeError,
)
from txtransport.upgrade.switch import TLSState


class RefusalTests(MixinTestCase):
    """startTLS() refuses at once what it cannot do, and the connection stays usable."""

    async def test_invalid_policy_is_refused_and_the_connection_stays_usable(self) -> None:
        """Files, options and names are checked before the go-ahead is written."""
        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port)
        client.say(b"before")
        await client.hears(b"heard before")
        (server,) = servers.all
        cases: list[tuple[Any, type[Exception]]] = [
            ({"local_cert": "/nowhere/site.pem"}, BadCertificateFile),
            ({"local_cert": certificates.cafile()}, BadCertificateFile),
            ({"local_certt": "x"}, InvalidOption),
            ({"timeout": 3}, InvalidOption),
            ({}, InvalidOption),
            (TLSPolicy(), InvalidOption),
            (TLSPolicy(local_cert=certificates.site(), verify_depth=cast(int, "x")), InvalidOption),
            ("localhost", InvalidOption),
            (None, TypeError),
            (b"localhost", TypeError),
        ]
        for policy, wrong in cases:
            self.assertRaises(wrong, server.startTLS, policy, reply=b"220 go\r\n")
        for keywords in ({"timeout": 0}, {"timeout": "soon"}):
            self.assertRaises(InvalidOption, server.startTLS, server_policy(), **keywords)
        self.assertRaises(TypeError, server.startTLS, server_policy(), reply="220 go\r\n")
        self.assertRaises(InvalidOption, client.startTLS, {"cafile": certificates.cafile()})
        self.assertIs(server.tls_state, TLSState.PLAINTEXT)
        client.say(b"still here")
        await client.hears(b"heard still here")
        client.say(b"STARTTLS")
        await client.secured

    async def test_second_start_tls_is_refused(self) -> None:
        """A second upgrade, during the first or after it, is refused and does no harm."""
        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.hears(b"GO")
        self.assertIs(client.tls_state, TLSState.HANDSHAKING)
        self.assertFalse(client.is_secure)
        self.assertRaises(AlreadySecure, client.startTLS, client_policy())
        await client.secured
        self.assertRaises(AlreadySecure, client.startTLS, client_policy())
        client.say(b"after")
        await client.hears(b"heard after")

    async def test_tls_started_without_the_mixin_is_noticed(self) -> None:
        """startTLS() is refused when the transport has TLS already."""
        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port)
        client.transport.TLS = True
        self.assertRaises(AlreadySecure, client.startTLS, client_policy())
        del client.transport.TLS

    async def test_start_tls_needs_an_open_connection(self) -> None:
        """Before the connection, while it closes and after it, an upgrade is refused."""
        self.assertRaises(ConversationOver, Lines().startTLS, client_policy())
        self.assertIs(Lines().tls_state, TLSState.CLOSED)
        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port)
        client.transport.loseConnection()
        self.assertRaises(ConversationOver, client.startTLS, client_policy())
        await client.lost
        self.assertRaises(ConversationOver, client.startTLS, client_policy())
        self.assertIs(client.tls_state, TLSState.CLOSED)

    async def test_transport_without_tls_refuses_start_tls(self) -> None:
        """Not every transport can start TLS, and the error says which can."""
        client = Lines()
        client.makeConnection(cast(Any, StringTransport()))
        self.assertIn(
            "TCP and local sockets",
            str(self.assertRaises(UpgradeError, client.startTLS, client_policy())),
        )

    async def test_mixin_must_be_the_first_base_class(self) -> None:
        """In the wrong order a parser could bypass the mixin, so startTLS() raises."""

        class Wrong(NetstringReceiver, txtransport.StartTLSMixin):
            pass

        wrong = Wrong()
        wrong.makeConnection(cast(Any, StringTransport()))
        self.assertIn(
            "must stand first",
            str(self.assertRaises(UpgradeError, wrong.startTLS, client_policy())),
        )

    async def test_pull_producer_is_refused_and_push_producer_continues(self) -> None:
        """With a pull producer, which Twisted would let write in the clear, TLS is refused."""

        @implementer(IPushProducer)
        class Producing:
            def resumeProducing(self) -> None:
                pass

            def pauseProducing(self) -> None:
                pass

            def stopProducing(self) -> None:
                pass

        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port)
        client.transport.registerProducer(Producing(), False)
        self.assertRaises(ProducerInTheWay, client.startTLS, client_policy())
        client.transport.unregisterProducer()
        # A push producer waits until the handshake is over.
        client.transport.registerProducer(Producing(), True)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        client.transport.unregisterProducer()


class PolicyTests(MixinTestCase):
    """The forms in which startTLS() takes its policy."""

    async def test_policy_may_be_a_tls_policy_options_or_a_host_name(self) -> None:
        """A TLSPolicy, a mapping of options and the server's name lead to the same rules."""
        rows: tuple[Any, ...] = (
            TLSPolicy(peer_name="localhost", cafile=certificates.cafile()),
            {"peer_name": "localhost", "cafile": certificates.cafile()},
        )
        for policy in rows:
            servers = await self.servers_of(
                Lines, policy=TLSPolicy(SNI_server_certs={"localhost": certificates.site()})
            )
            client = await self.client_of(Lines, servers.port, policy=policy)
            client.say(b"STARTTLS")
            self.assertEqual((await client.secured).server_name, "localhost")
        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port, policy="localhost")
        client.say(b"STARTTLS")
        # With a name alone the platform's trust store is used, which lacks our root.
        self.assertEqual((await self.upgrade_failure(client)).cause, "unknown-issuer")
        servers.all[0].secured.addErrback(lambda reason: None)
        await servers.all[0].lost
