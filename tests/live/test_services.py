"""A service of ours at ``openssl s_server``, which is killed, comes back and is renewed."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Final

from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory

import txtransport
from tests import certificates
from tests.live.peers import OPENSSL, Peer, PeerTestCase
from tests.loopback import ClockedReactor, Recorder
from txtransport.errors import HandshakeFailed

HOUR: Final = 3600.0


class ServiceTests(PeerTestCase):
    """The waits pass as fast as the test's clock."""

    program = OPENSSL

    def setUp(self) -> None:
        """Choose a port, at which every server of a test listens."""
        super().setUp()
        self.port = self.free_port()
        self.clocked = ClockedReactor(self.reactor)
        self.told = self.overheard("txtransport.endpoints.client")

    async def serve(self, local_cert: str) -> Peer:
        """Start a server that sends each line back reversed."""
        own = "-cert", local_cert, "-key", local_cert
        peer = self.start("s_server", "-accept", f"127.0.0.1:{self.port}", *own, "-rev")
        await peer.prints(rb"^ACCEPT")
        return peer

    def service(self, **options: Any) -> txtransport.ReconnectingService[Recorder]:
        """A service that waits for a second after each failure that may pass."""
        service = txtransport.service(
            self.clocked, f"tls://127.0.0.1:{self.port}", Factory.forProtocol(Recorder),
            cafile=certificates.cafile(), retry_policy=lambda failures: 1.0, **options,
        )  # fmt: skip
        service.startService()
        self.addCleanup(service.stopService)
        return service

    async def converse(self, client: Recorder) -> None:
        """The server answers."""
        client.say(b"word\n")
        await client.heard(b"drow\n")

    async def fails(self, service: Any, kind: type[Exception], wait: float) -> None:
        """The attempt that is due after so many seconds fails."""
        waiting = service.whenConnected(failAfterFailures=1)
        self.clocked.clock.advance(wait)
        await self.assertFailure(waiting, kind)

    async def lose_a_healthy_connection(self, service: Any, peer: Peer) -> None:
        """The service is connected for a while; then the server is killed."""
        client = await service.whenConnected()
        await self.converse(client)
        self.clocked.clock.advance(60)
        await peer.reaped()
        await client.gone()

    def expired(self) -> str:
        """The PEM file of a certificate that ended yesterday."""
        end = datetime.now(timezone.utc) - timedelta(days=1)
        begin = end - timedelta(days=90)
        return certificates.issued("ended.pem", "127.0.0.1", not_before=begin, not_after=end)

    def causes(self) -> list[str]:
        """What the log says, line by line."""
        return [event["cause"] for event in self.told.events]

    async def test_a_server_that_is_killed_is_connected_to_again(self) -> None:
        """A server that is killed and comes back is connected to after the next wait."""
        service = self.service()
        await self.fails(service, ConnectionRefusedError, 0)
        peer = await self.serve(certificates.site())
        self.clocked.clock.advance(1)
        await self.lose_a_healthy_connection(service, peer)
        for _ in range(3):
            await self.fails(service, ConnectionRefusedError, 1)
        await self.serve(certificates.site())
        self.clocked.clock.advance(1)
        await self.converse(await service.whenConnected())
        # Each time that it went away is told, and each once.
        self.assertEqual(self.causes(), ["refused", "refused"])

    async def test_an_expired_certificate_is_told_once_until_it_is_renewed(self) -> None:
        """The service slows down to once an hour, and is connected when there is a new one."""
        peer = await self.serve(certificates.site())
        service = self.service()
        await self.lose_a_healthy_connection(service, peer)
        await self.fails(service, ConnectionRefusedError, 1)
        peer = await self.serve(self.expired())
        for wait in (1, 1, 1.1 * HOUR, 1.1 * HOUR):
            await self.fails(service, HandshakeFailed, wait)
        self.assertEqual(self.causes(), ["refused", "expired"])
        waiting = service.whenConnected()
        await peer.reaped()
        await self.serve(certificates.site())
        self.clocked.clock.advance(HOUR - 1)
        await self.turn()
        self.assertNoResult(waiting)
        self.clocked.clock.advance(0.1 * HOUR + 1)
        await self.converse(await waiting)
        self.assertEqual(self.causes(), ["refused", "expired"])

    async def test_an_expired_certificate_can_end_the_service(self) -> None:
        """With on_permanent=stop the second refusal in a row ends it, and is its error."""
        peer = await self.serve(certificates.site())
        service = self.service(on_permanent="stop")
        await self.lose_a_healthy_connection(service, peer)
        await self.serve(self.expired())
        await self.fails(service, HandshakeFailed, 1)
        self.assertTrue(service.running)
        waiting = service.whenConnected()
        self.clocked.clock.advance(1)
        error: Any = await self.assertFailure(waiting, HandshakeFailed)
        self.assertEqual(error.cause, "expired")
        self.assertFalse(service.running)
        self.assertEqual(self.causes(), ["expired"])
