"""How connections end during an upgrade and after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet import error
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory
from twisted.internet.task import Clock

import txtransport
from tests.key_updates import attacking_client
from tests.speakers import Lines, client_policy, server_policy
from tests.upgrade.mixin_case import MixinTestCase
from txtransport.errors import HandshakeFailed
from txtransport.upgrade.switch import TLSState


class EndTests(MixinTestCase):
    """Every connection ends once, with its reason."""

    async def test_cancelling_closes_the_connection(self) -> None:
        """Cancelling the Deferred ends the connection, and leaves no timer behind."""
        clock = Clock()
        servers = await self.servers_of(Lines, tls_clock=clock)
        client = await self.raw_client(servers.port)
        client.say(b"before\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        upgrading = server.startTLS(server_policy())
        upgrading.cancel()
        await self.assertFailure(upgrading, CancelledError)
        await client.gone()
        await server.lost
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_data_written_during_the_handshake_is_never_sent_in_the_clear(self) -> None:
        """What is written during a handshake is not sent if the handshake fails."""
        server, client = await self.handshaking()
        server.say(b"secret")
        client.say(b"this is not a handshake\r\n")
        await client.gone()
        self.assertNotIn(b"secret", client.received)
        self.assertIsInstance(await self.upgrade_failure(server), HandshakeFailed)

    async def test_close_during_the_handshake_fails_with_connection_aborted(self) -> None:
        """Our own close during the handshake is reported as such, not as the peer's fault."""
        ends: tuple[Callable[[Any], object], ...] = (
            lambda server: server.abort(),
            lambda server: server.transport.loseConnection(),
            lambda server: server.transport.abortConnection(),
        )
        for end in ends:
            server, client = await self.handshaking()
            end(server)
            self.assertIsInstance(await self.upgrade_failure(server), error.ConnectionAborted)
            await client.gone()

    async def test_close_waits_at_most_five_seconds_for_close_notify(self) -> None:
        """A peer that never sends close_notify is waited for five seconds."""
        clock = Clock()
        servers = await self.servers_of(Lines, tls_clock=clock)
        client = await self.client_of(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        (server,) = servers.all
        client.say(b"after")
        await client.hears(b"heard after")
        client.transport.pauseProducing()
        server.transport.loseConnection()
        clock.advance(4.99)
        self.assertFalse(server.lost.called)
        clock.advance(0.02)
        await server.lost
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_key_updates_do_not_keep_a_closed_connection(self) -> None:
        """A peer that asks for new keys all the time, and never closes, is cut off."""
        clock = Clock()
        servers = await self.servers_of(Lines, tls_clock=clock)
        attacker = await attacking_client(self, servers.port, b"STARTTLS\r\n", b"GO\r\n")
        (server,) = servers.all
        await server.secured
        server.transport.loseConnection()
        await attacker.ask_all_the_time(self, clock, 60)
        self.assertEqual(clock.seconds(), 5)
        self.assertIsInstance(await self.reason_of(server), error.ConnectionAborted)

    async def test_close_after_an_upgrade_is_an_ordinary_close(self) -> None:
        """After a successful upgrade, a connection ends like any other."""
        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        (server,) = servers.all
        client.transport.loseConnection()
        self.assertIsInstance(await self.reason_of(server), error.ConnectionDone)
        self.assertIsInstance(await self.reason_of(client), error.ConnectionDone)
        self.assertIs(server.tls_state, TLSState.CLOSED)
        client = await self.client_of(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured
        client.say(b"after")
        await client.hears(b"heard after")
        client.transport.abortConnection()
        self.assertIsInstance(await self.reason_of(client), error.ConnectionAborted)
        self.assertIsInstance(await self.reason_of(servers.all[1]), error.ConnectionLost)

    async def test_error_in_forget_plaintext_state_ends_the_connection(self) -> None:
        """A protocol that fails to forget its plaintext state does not continue."""

        class Stubborn(Lines):
            def forget_plaintext_state(self) -> None:
                raise ZeroDivisionError("never")

        servers = await self.servers_of(Stubborn)
        client = await self.client_of(Lines, servers.port)
        client.say(b"STARTTLS")
        self.assertIsInstance(await self.upgrade_failure(servers.all[0]), ZeroDivisionError)
        self.assertIsInstance(await self.reason_of(servers.all[0]), ZeroDivisionError)
        client.secured.addErrback(lambda reason: None)
        await client.lost

    async def test_error_in_the_application_behind_start_tls_is_its_own(self) -> None:
        """What the application raises after startTLS() is the reason, and not the peer's fault."""

        class Failing(Lines):
            def word_received(self, word: bytes) -> None:
                super().word_received(word)
                raise ZeroDivisionError("ours")

        servers = await self.servers_of(Failing)
        client = await self.raw_client(servers.port)
        client.say(b"STARTTLS\r\n")
        await client.gone()
        (server,) = servers.all
        self.assertIsInstance(await self.upgrade_failure(server), ZeroDivisionError)
        self.assertIsInstance(await self.reason_of(server), ZeroDivisionError)
        self.assertIs(server.tls_state, TLSState.FAILED)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    async def test_protocol_instance_can_connect_again(self) -> None:
        """An instance used for a second connection begins in the clear."""
        protocol = Lines()
        protocol.policy = client_policy()
        for _ in range(2):
            protocol.lost = Deferred()
            protocol.secured = Deferred()
            servers = await self.servers_of(Lines)
            factory = Factory.forProtocol(lambda: protocol)
            factory.noisy = False
            await txtransport.client(self.reactor, f"tcp://127.0.0.1:{servers.port}").connect(
                factory
            )
            self.assertIs(protocol.tls_state, TLSState.PLAINTEXT)
            protocol.say(b"STARTTLS")
            await protocol.secured
            cast(Any, protocol.transport).loseConnection()
            await protocol.lost
