"""The proxy for tests: what it lets through, whom, and how it ends."""

from __future__ import annotations

from typing import Any

from tests.loopback import LoopbackTestCase, Recorder, Recorders
from txtransport.proxy import socks5
from txtransport.testing.proxy import ProxyRequest, TestProxy


class TestProxyTests(LoopbackTestCase):
    """Clients that speak to the proxy by themselves, byte by byte."""

    async def serving(self, users: dict[str, str] | None = None) -> tuple[TestProxy, Recorder]:
        """A proxy that reaches a server as ``a.example:1``, and a client of it."""
        self.servers = Recorders()
        port = await self.listening("tcp://127.0.0.1:0", self.servers)
        routes = {"a.example:1": ("127.0.0.1", port), "b.example:1": ("127.0.0.1", 1)}
        proxy = TestProxy(self.reactor, users, routes)
        self.addCleanup(proxy.end)
        at = await self.listening("tcp://127.0.0.1:0", proxy)
        return proxy, await self.connected(f"tcp://127.0.0.1:{at}")

    async def test_both_protocols_on_one_port(self) -> None:
        """The first byte tells SOCKS from HTTP; what follows goes to the target and back."""
        connect = b"CONNECT a.example:1 HTTP/1.1\r\n\r\n"
        for said, asked, answer in (
            (connect, "HTTP", b"200 Connection established\r\n\r\n"),
            (b"\x05\x01\x00", "SOCKS", b"\x05\x00"),
        ):  # fmt: skip
            proxy, client = await self.serving()
            arriving = self.servers.next()
            client.say(said)
            await client.heard(answer)
            if asked == "SOCKS":
                client.say(b"\x05\x01\x00\x03\x09a.example\x00\x01")
                await client.heard(socks5.answer(0))
            server = await arriving
            client.say(b"there")
            await server.heard(b"there")
            server.say(b"and back")
            await client.heard(b"and back")
            self.assertEqual(proxy.requests, [ProxyRequest(asked, "a.example:1")])
            closing: Any = server.transport
            closing.loseConnection()
            await client.gone()

    async def test_a_target_that_is_not_there(self) -> None:
        """HTTP's clients are told 502, SOCKS's 5, and the connection ends."""
        _, client = await self.serving()
        client.say(b"CONNECT b.example:1 HTTP/1.1\r\n\r\n")
        await client.gone()
        self.assertEqual(client.received, b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
        _, client = await self.serving()
        client.say(b"\x05\x01\x00")
        await client.heard(b"\x05\x00")
        client.say(b"\x05\x01\x00\x03\x09b.example\x00\x01")
        await client.gone()
        self.assertEqual(client.received, b"\x05\x00" + socks5.answer(5))

    async def test_a_client_that_is_not_known_reaches_nothing(self) -> None:
        """With users, nobody else is asked for a target that counts."""
        proxy, client = await self.serving({"user": "word"})
        client.say(b"CONNECT a.example:1 HTTP/1.1\r\n\r\n")
        await client.gone()
        self.assertIn(b" 407 ", client.received)
        self.assertEqual(proxy.requests, [])

    async def test_what_follows_a_request_ends_the_connection(self) -> None:
        """A client waits for the answer; what it sends before may be for nobody."""
        request = b"CONNECT a.example:1 HTTP/1.1\r\n\r\n"
        for segments in ([request + b"more"], [request, b"more"]):
            _, client = await self.serving()
            for segment in segments:
                client.say(segment)
                await self.turn()
            await client.gone()
            self.assertNotIn(b"more", b"".join(each.received for each in self.servers.all))

    async def test_all_ends_at_once(self) -> None:
        """A test that ends leaves no connection of the proxy in the reactor."""
        proxy, client = await self.serving()
        arriving = self.servers.next()
        client.say(b"CONNECT a.example:1 HTTP/1.1\r\n\r\n")
        server = await arriving
        await proxy.end()
        await client.gone()
        await server.gone()
        await proxy.end()
