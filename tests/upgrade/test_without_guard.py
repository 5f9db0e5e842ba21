"""Twisted's own protocols without the guard: what injected plaintext does to them."""

from __future__ import annotations

from typing import Any

from twisted.mail import pop3

import txtransport
from tests import twisted_protocols
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import POP3_OPENING, GuardTestCase


class UnguardedTests(GuardTestCase):
    """Without the guard, plaintext sent before TLS is read as if it came under TLS."""

    async def test_server_accepts_a_mail_injected_before_tls(self) -> None:
        """Without the guard, an SMTP server accepts under TLS a mail that was sent in the clear."""
        postbox = twisted_protocols.Postbox()
        servers = await self.unguarded_servers(lambda: twisted_protocols.mail_server(postbox))
        client = await self.raw_client(servers)
        await client.heard(b"220 ")
        client.say(
            b"STARTTLS\r\nMAIL FROM:<mallory@example.com>\r\nRCPT TO:<bob@example.net>\r\n"
            b"DATA\r\nevil\r\n.\r\n"
        )
        await client.heard(b"220 Begin")
        self.start_tls(client)
        await client.heard(b"250 Delivery in progress")
        self.assertEqual(postbox.mails, [[b"", b"evil"]])

    async def test_client_believes_capabilities_injected_before_tls(self) -> None:
        """Without the guard, a POP3 client reports TLS and capabilities before any handshake."""
        servers = await self.scripted_servers(
            *POP3_OPENING, (b"STLS", b"+OK go\r\n+OK\r\nEVIL\r\n.\r\n")
        )
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{servers.port}")
        clients = RecordingFactory(pop3.AdvancedPOP3Client)
        client: Any = await endpoint.connect(clients)
        self.addCleanup(self.hang_up, clients.recording)
        self.assertEqual(await client.startTLS(twisted_protocols.client_context()), {b"EVIL": None})
