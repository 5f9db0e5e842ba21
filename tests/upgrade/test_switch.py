"""The switch itself: failures that tests of the mixin and the guard cannot provoke."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

import txtransport.upgrade.switch
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.settings import Deadlines
from txtransport.connection.attempt import ConnectionAttempt, EndpointConfig
from txtransport.errors import ConversationOver, UpgradeError
from txtransport.tls.creator import connection_creator
from txtransport.upgrade.base_transport import require_startable
from txtransport.upgrade.buffer import InputBuffer
from txtransport.upgrade.switch import TLSState, Upgrade
from txtransport.upgrade.twisted_layer import ConnectionMaker


def upgrade_of(transport: Any, parser: Any) -> Upgrade:
    """An upgrade whose parser is given everything that has arrived."""
    buffer = InputBuffer(transport, parser.dataReceived, len, lambda: False)
    return Upgrade(buffer, unread=bytes, forget=lambda: None)


class NoConnectionTests(SynchronousTestCase):
    """Without a connection there is nothing to switch."""

    def test_lost_connection_cannot_be_switched(self) -> None:
        """After the end nothing is delivered and nothing can be switched."""
        parser = Recorder()
        upgrade = upgrade_of(StringTransport(), parser)
        reason = Failure(ZeroDivisionError())
        self.assertIs(upgrade.lost(reason), reason)
        upgrade.received(b"late")
        self.assertEqual(parser.received, b"")
        self.assertRaises(ConversationOver, upgrade.start, "localhost")

    def test_refusing_before_the_switch_does_nothing(self) -> None:
        """Before the switch, there is no handshake to refuse."""
        upgrade = upgrade_of(StringTransport(), Protocol())
        upgrade.refuse(Failure(ZeroDivisionError()))
        upgrade.secured()
        self.assertIs(upgrade.state, TLSState.PLAINTEXT)


class SwitchTests(LoopbackTestCase):
    """The switch over a real connection."""

    async def pair(self) -> tuple[Any, Any, Any]:
        """The server's upgrade, the server's transport, and a client."""
        factory = Recorders()
        arriving = factory.next()
        port = await self.listening("tcp://127.0.0.1:0", factory)
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        server = await arriving
        return upgrade_of(server.transport, server), cast(Any, server.transport), client

    async def test_failure_after_the_go_ahead_ends_the_connection(self) -> None:
        """Once the peer was told to go ahead, a failure of startTLS() ends the connection."""
        upgrade, transport, client = await self.pair()
        broken = ZeroDivisionError("no context today")

        def fail(context: object, normal: bool) -> None:
            raise broken

        transport.startTLS = fail
        started = upgrade.start({"local_cert": certificates.site()}, reply=b"220 go\r\n")
        self.assertIs(self.failureResultOf(started).value, broken)
        self.assertIs(upgrade.state, TLSState.FAILED)
        await client.gone()

    async def test_invalid_context_leaves_the_connection_in_the_clear(self) -> None:
        """If Twisted refuses the protocol's context, the connection stays usable."""
        upgrade, transport, _ = await self.pair()
        self.assertRaises(TypeError, upgrade.start_with_context, object())
        self.flushWarnings()  # Twisted warns about it as well, from 26.4 on.
        self.assertIs(upgrade.state, TLSState.PLAINTEXT)
        self.assertTrue(upgrade.buffer.is_open)
        self.assertIs(require_startable(transport), transport)

    async def test_context_that_fails_halfway_ends_the_connection(self) -> None:
        """If TLS is half started, the connection ends; it never returns to plaintext."""
        upgrade, transport, client = await self.pair()
        broken = ZeroDivisionError("half way")

        def fail(context: object, normal: bool) -> None:
            transport.TLS = True
            raise broken

        transport.startTLS = fail
        upgrade.start_with_context(object())
        del transport.TLS
        self.assertIs(upgrade.state, TLSState.FAILED)
        self.assertIs(upgrade.lost(Failure(ValueError())).value, broken)
        await client.gone()

    async def test_unknown_role_must_be_given(self) -> None:
        """If the transport is neither client nor server, the error asks for `client`."""
        upgrade, _, _ = await self.pair()
        self.patch(txtransport.upgrade.switch, "is_client", lambda raw: None)
        error = self.assertRaises(UpgradeError, upgrade.start, "localhost")
        self.assertIn("client=True", str(error))

    async def test_handshake_with_a_context_has_a_deadline(self) -> None:
        """With the protocol's own context, a server waits ten seconds, as with a policy."""
        upgrade, _, client = await self.pair()
        clock = Clock()
        policy = TLSPolicy(local_cert=certificates.site())
        config = EndpointConfig(
            clock, "", None, Side.SERVER, connection_creator(policy, Side.SERVER), Deadlines()
        )
        context = ConnectionMaker(ConnectionAttempt(config, 1))
        upgrade.start_with_context(context, clock=clock)
        self.assertIs(upgrade.state, TLSState.HANDSHAKING)
        clock.advance(9.9)
        self.assertIs(upgrade.state, TLSState.HANDSHAKING)
        clock.advance(0.2)
        await client.gone()
