"""`agent` through a proxy, which is asked by CONNECT for ``http`` as well."""

from __future__ import annotations

from typing import Any

from tests.test_web import WebTestCase
from txtransport.errors import InvalidOption
from txtransport.testing.proxy import TestProxy
from txtransport.web import agent


class ProxyTests(WebTestCase):
    """Requests through a proxy on loopback, which alone knows the hosts."""

    async def proxied(self, **targets: int) -> tuple[Any, int]:
        """A proxy that knows these hosts, each with its port; and its own port."""
        routes = {f"{name}.example:{port}": ("127.0.0.1", port) for name, port in targets.items()}
        proxy = TestProxy(self.reactor, routes=routes)
        return proxy, await self.listening("tcp://127.0.0.1:0", proxy)

    async def test_every_request_goes_by_connect(self) -> None:
        """The proxy sees where requests go, and no request, in the clear neither."""
        _, clear = await self.served("tcp://127.0.0.1:0")
        _, secure = await self.served("tls://127.0.0.1:0")
        proxy, port = await self.proxied(plain=clear, good=secure)
        asking = self.agent(proxy=f"http://127.0.0.1:{port}")
        self.assertEqual(await self.get(asking, f"http://plain.example:{clear}/"), b"hello")
        self.assertEqual(await self.get(asking, f"https://good.example:{secure}/"), b"hello")
        self.assertEqual(
            [(each.protocol, each.target) for each in proxy.requests],
            [("HTTP", f"plain.example:{clear}"), ("HTTP", f"good.example:{secure}")],
        )

    async def test_a_local_socket_needs_no_proxy(self) -> None:
        """Requests over a local socket do not go through the proxy that others go through."""
        path = self.socket_path()
        pages, _ = await self.served(f"unix://{path}")
        proxy, port = await self.proxied()
        asking = agent(
            self.reactor, hosts=["app"], socket=path, proxy=f"http://127.0.0.1:{port}"
        )  # fmt: skip
        self.assertEqual(await self.get(asking, "http://app/"), b"hello")
        self.assertEqual((len(pages.sessions), proxy.requests), (1, []))

    def test_a_wrong_proxy_is_refused_when_the_agent_is_made(self) -> None:
        """What is wrong with the proxy's URL is said before there is a request."""
        error = self.assertRaises(InvalidOption, agent, self.reactor, proxy="gopher://h:1")
        self.assertEqual(error.option, "proxy")
