"""What the mixin writes to the log, and at which level."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import LogLevel, formatEvent

from tests.loopback import Recorder
from tests.speakers import Lines
from tests.upgrade.mixin_case import EVIL, MixinTestCase


class LogTests(MixinTestCase):
    """A server's log says once why TLS was not established."""

    async def requesting(self, after: bytes = b"", **attributes: Any) -> tuple[Any, Recorder]:
        """A server that was asked for TLS, and its client, which sent `after` as well."""
        servers = await self.servers_of(Lines, **attributes)
        client = await self.raw_client(servers.port)
        client.say(b"STARTTLS\r\n" + after)
        (server,) = await self.wait_for_first(servers)
        await server.hears(b"STARTTLS")
        return server, client

    async def reason_at_end(self, server: Any, client: Recorder) -> Any:
        """The exception with which the server's connection ends."""
        await client.gone()
        return await self.reason_of(server)

    async def test_each_failure_is_logged_once(self) -> None:
        """The event has the peer, the error, its cause and its diagnosis, and reads as a line."""
        refused = bytes((0x15, 3, 3, 0, 2, 2, 48))
        for after, said, cause in (
            (b"", b"GET / HTTP/1.1\r\n\r\n", "plaintext-peer"),
            (b"", b"\x1b[2J{peer}\r\n" * 9, "plaintext-peer"),
            (b"", refused, "peer-alert"),
            (EVIL, b"", "plaintext-injected"),
        ):
            overheard = self.overheard()
            server, client = await self.requesting(after)
            if said:
                await client.heard(b"GO\r\n")
                client.say(said)
            error = await self.reason_at_end(server, client)
            (event,) = overheard.events
            self.assertEqual(event["cause"], cause)
            self.assertEqual((event["error"], event["diagnosis"]), (error, error.diagnosis))
            self.assertEqual(event["peer"], server.transport.getPeer())
            self.assertEqual(event["where"], f"tcp://127.0.0.1:{event['peer'].port}: STARTTLS")
            self.assertEqual(event["log_level"], LogLevel.info)
            self.assertTrue(formatEvent(event).isprintable())

    async def test_handshake_timeout_is_logged_once(self) -> None:
        """A client that lets the deadline pass is one event as well."""
        clock, overheard = Clock(), self.overheard()
        server, client = await self.requesting(tls_clock=clock)
        clock.advance(11)
        error = await self.reason_at_end(server, client)
        (event,) = overheard.events
        self.assertEqual((event["error"], event["cause"]), (error, "timeout"))

    async def test_client_that_hangs_up_is_logged_at_debug_level(self) -> None:
        """A client that closes the connection in place of a ClientHello is a debug message."""
        overheard = self.overheard()
        server, client = await self.requesting()
        await client.heard(b"GO\r\n")
        cast(Any, client.transport).loseConnection()
        await self.reason_at_end(server, client)
        (event,) = overheard.events
        self.assertEqual((event["log_level"], event["cause"]), (LogLevel.debug, "closed"))

    async def test_log_names_a_local_socket(self) -> None:
        """The log says `unix://…` where the peer has no address."""
        path, overheard = self.socket_path(), self.overheard()
        servers = await self.servers_of(Lines, f"unix://{path}")
        client = await self.connected(f"unix://{path}")
        client.say(b"STARTTLS\r\n" + EVIL)
        await self.reason_at_end((await self.wait_for_first(servers))[0], client)
        (event,) = overheard.events
        self.assertEqual(event["where"], "unix://…: STARTTLS")

    async def test_successful_connections_are_not_logged(self) -> None:
        """Neither a successful upgrade nor a connection without one is logged."""
        overheard = self.overheard()
        for words in ((), (b"hello",), (b"STARTTLS",)):
            servers = await self.servers_of(Lines)
            client = await self.client_of(Lines, servers.port)
            (server,) = await self.wait_for_first(servers)
            for word in words:
                client.say(word)
                await server.hears(word)
            if b"STARTTLS" in words:
                await client.secured
                await server.secured
            client.transport.loseConnection()
            await self.reason_of(server)
        self.assertEqual(overheard.events, [])

    async def test_client_failures_are_not_logged(self) -> None:
        """A client's startTLS() reports its failure by its Deferred; only the server logs."""
        overheard = self.overheard()
        servers = await self.servers_of(Lines)
        client = await self.client_of(Lines, servers.port, policy={"peer_name": "localhost"})
        client.say(b"STARTTLS")
        self.assertEqual((await self.upgrade_failure(client)).cause, "unknown-issuer")
        await self.reason_of(client)
        (server,) = await self.wait_for_first(servers)
        error = await self.reason_of(server)
        (event,) = overheard.events
        self.assertIs(event["error"], error)
