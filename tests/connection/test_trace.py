"""``trace=``: each step of a connection attempt is told."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from txtransport.connection.trace import Event, Step
from txtransport.endpoints.plaintext_client import AddressEndpoint
from txtransport.errors import HandshakeFailed


class TraceTests(LoopbackTestCase):
    """Attempts on loopback, with a trace."""

    def setUp(self) -> None:
        self.events: list[Event] = []

    @property
    def told(self) -> list[tuple[str, str]]:
        """The steps so far, each with its address."""
        return [(event.step.value, event.host) for event in self.events]

    async def test_each_address_of_a_name_is_told(self) -> None:
        """Each address of a name is told when it is tried, and why it failed."""
        self.resolving(**{"two.example": ["127.0.0.2", "127.0.0.1"]})
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        await self.connected(f"tcp://two.example:{port}", trace=self.events.append)
        self.assertEqual(
            self.told,
            [
                ("trying", "127.0.0.2"),
                ("failed", "127.0.0.2"),
                ("trying", "127.0.0.1"),
                ("connected", "127.0.0.1"),
            ],
        )
        self.assertIsInstance(self.events[1].error, ConnectionRefusedError)

    async def test_the_end_of_the_dialogue_is_told(self) -> None:
        """The end of the dialogue before TLS is a step of its own."""
        port = await self.listening(
            "tls://127.0.0.1:0?starttls=smtp", Recorders(), local_cert=certificates.site()
        )
        await self.connected(
            f"tls://127.0.0.1:{port}?starttls=smtp",
            cafile=certificates.cafile(), trace=self.events.append,
        )  # fmt: skip
        self.assertEqual([step for step, _ in self.told], ["trying", "connected", "negotiated"])

    async def test_a_local_socket_is_told_by_its_path(self) -> None:
        """A local socket is told by its path."""
        path = self.socket_path()
        await self.listening(f"unix://{path}", Recorders())
        await self.connected(f"unix://{path}", trace=self.events.append)
        self.assertEqual(self.told[0], (Step.TRYING.value, path))

    async def test_without_a_trace_no_endpoint_is_wrapped(self) -> None:
        """Without a trace nothing stands before the endpoint that connects."""
        endpoint: Any = txtransport.client(self.reactor, "tcp://127.0.0.1:9")
        self.assertIs(type(endpoint.plaintext), AddressEndpoint)

    async def test_the_error_keeps_the_chain_that_was_refused(self) -> None:
        """A chain that was refused can be looked at, all of it."""
        below = certificates.authority().intermediate("below")
        site = certificates.issued("below.pem", "127.0.0.1", by=below)
        port = await self.listening("tls://127.0.0.1:0", Recorders(), local_cert=site)
        endpoint = txtransport.client(self.reactor, f"tls://127.0.0.1:{port}")
        refused: Any = await self.assertFailure(endpoint.connect(Factory()), HandshakeFailed)
        self.assertEqual(refused.cause, "unknown-issuer")
        self.assertEqual(
            [each.issuer.rfc4514_string() for each in refused.chain],
            ["CN=below", "CN=txtransport test CA"],
        )
