"""The gate: no guest before the handshake, and every failure explained."""

from __future__ import annotations

from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from txtransport.tls.session import session_of


class PassageTests(LoopbackTestCase):
    """Both sides are secured when they are connected."""

    async def test_both_sides_are_secured_when_they_are_connected(self) -> None:
        """A guest's first word is already under TLS, on both sides."""
        guests = Recorders()
        arriving = guests.next()
        port = await self.listening(f"tls://127.0.0.1:0?local_cert={certificates.site()}", guests)
        client = await self.connected(f"tls://127.0.0.1:{port}?cafile={certificates.cafile()}")
        server = await arriving
        client.say(b"hello")
        self.assertEqual(await server.heard(b"hello"), b"hello")
        for recorder in (client, server):
            session = session_of(recorder.transport)
            assert session is not None
            self.assertEqual(session.version, "TLSv1.3")
