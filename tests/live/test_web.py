"""Agents of ours at nginx: HTTP/1.1, client certificates, HTTP/2, local sockets, and treq."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any, Final, cast

from twisted.web.client import HTTPConnectionPool
from twisted.web.iweb import IAgent

from tests import certificates
from tests.live.peers import PeerTestCase, Program, demand
from tests.test_web import body_of
from txtransport.errors import HandshakeFailed
from txtransport.web import agent

NGINX: Final = Program("nginx", ("-v",), r"nginx/1\.")

CONFIGURATION: Final = """
daemon off; master_process off; pid {folder}/pid; error_log stderr notice;
events {{}}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {site}; ssl_certificate_key {site};
  ssl_client_certificate {cafile};
  server {{
    listen 127.0.0.1:{port} ssl http2;
    listen unix:{folder}/tls ssl;
    location / {{ return 200 "$server_protocol $connection $ssl_protocol"; }}
    location /away {{ return 302 https://good.example:{strict}/; }}
  }}
  server {{
    listen 127.0.0.1:{strict} ssl; ssl_verify_client on;
    location / {{ return 200 "$ssl_client_s_dn"; }}
  }}
  server {{
    listen unix:{folder}/plain;
    location / {{ return 200 "$server_protocol for $host"; }}
  }}
}}
"""


class NginxTests(PeerTestCase):
    """Requests of Twisted's agent over our endpoints."""

    program = NGINX

    async def serve(self) -> None:
        """Start nginx: a server for all, one that demands a certificate, one in the clear."""
        self.resolving(localhost=["127.0.0.1"], **{"good.example": ["127.0.0.1"]})
        self.run_folder = self.folder()
        self.port, self.strict = self.free_port(), self.free_port()
        conf = self.run_folder / "nginx.conf"
        conf.write_text(
            CONFIGURATION.format(
                folder=self.run_folder, site=certificates.site(), cafile=certificates.cafile(),
                port=self.port, strict=self.strict,
            )
        )  # fmt: skip
        peer = self.start("-e", "stderr", "-p", str(self.run_folder), "-c", str(conf))
        await peer.prints(rb"OS: Linux")

    async def get(self, asking: IAgent, url: str) -> tuple[int, str]:
        """The status and the body of a page."""
        response: Any = await asking.request(b"GET", url.encode())
        return response.code, (await body_of(response)).decode()

    def agent(self, **options: Any) -> IAgent:
        """An agent that trusts the tests' root."""
        return cast(IAgent, agent(self.reactor, cafile=certificates.cafile(), **options))

    async def test_http_1_1_over_tls(self) -> None:
        """A server that prefers HTTP/2 speaks HTTP/1.1 with us, on a connection that is kept."""
        await self.serve()
        pool = HTTPConnectionPool(self.reactor)
        self.addCleanup(pool.closeCachedConnections)
        asking = self.agent(pool=pool)
        pages = []
        for _ in range(2):
            pages.append(await self.get(asking, f"https://localhost:{self.port}/"))
            await self.turn()
        self.assertEqual(pages[0], pages[1])
        self.assertRegex(pages[0][1], r"^HTTP/1\.1 \d+ TLSv1\.3$")

    async def test_http_2_is_refused_before_a_request(self) -> None:
        """An agent that is told to offer h2 gets it, and says what is wrong."""
        await self.serve()
        asking = self.agent(alpn_protocols="h2,http/1.1")
        request = asking.request(b"GET", b"https://localhost:%d/" % self.port)
        error: Any = await self.assertFailure(request, HandshakeFailed)
        self.assertEqual(error.cause, "no-common-protocol")
        self.assertIn("h2", str(error))

    async def test_a_client_certificate_is_shown_to_its_host_alone(self) -> None:
        """nginx sees our certificate at the host that is named, and none at another."""
        await self.serve()
        asking = self.agent(hosts=[f"localhost:{self.strict}"], local_cert=certificates.client())
        known = await self.get(asking, f"https://localhost:{self.strict}/")
        self.assertEqual(known, (200, "CN=client.example"))
        status, body = await self.get(asking, f"https://good.example:{self.strict}/")
        self.assertEqual(status, 400)
        self.assertIn("No required SSL certificate was sent", body)

    async def test_requests_go_over_local_sockets(self) -> None:
        """In the clear and under TLS, with the name of the request."""
        await self.serve()
        plain = self.agent(hosts=["app"], socket=self.run_folder / "plain")
        self.assertEqual(await self.get(plain, "http://app/"), (200, "HTTP/1.1 for app"))
        secure = self.agent(hosts=["localhost"], socket=self.run_folder / "tls")
        status, body = await self.get(secure, "https://localhost/")
        self.assertEqual(status, 200)
        self.assertRegex(body, r"^HTTP/1\.1 \d+ TLSv1\.3$")

    async def test_treq_goes_over_our_endpoints(self) -> None:
        """treq takes the agent, and its redirects do not take our certificate elsewhere."""
        if find_spec("treq") is None:
            demand("treq is not installed", os.environ)
        from treq.client import HTTPClient
        from treq.content import text_content

        await self.serve()
        asking = HTTPClient(
            self.agent(hosts=["localhost"], local_cert=certificates.client())
        )  # fmt: skip
        response = await asking.get(f"https://localhost:{self.strict}/")
        self.assertEqual(await text_content(response), "CN=client.example")
        response = await asking.get(f"https://localhost:{self.port}/away")
        self.assertEqual(response.code, 400)
        self.assertIn("No required SSL certificate", await text_content(response))
