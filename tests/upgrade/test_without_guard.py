"""Why there is a guard: Twisted's own protocols, without one."""

from __future__ import annotations

from typing import Any

from twisted.mail import pop3

import txtransport
from tests import twisted_protocols
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import MAILDROP, GuardTestCase


class TwistedAloneTests(GuardTestCase):
    """Why there is a guard."""

    async def test_s2_twisted_alone_executes_what_was_injected(self) -> None:
        """Without the guard a mail that was sent in the clear arrives as if under TLS."""
        postbox = twisted_protocols.Postbox()
        made = await self.unguarded(lambda: twisted_protocols.mail_server(postbox))
        client = await self.raw(made)
        await client.heard(b"220 ")
        client.say(
            b"STARTTLS\r\nMAIL FROM:<mallory@example.com>\r\nRCPT TO:<bob@example.net>\r\n"
            b"DATA\r\nevil\r\n.\r\n"
        )
        await client.heard(b"220 Begin")
        self.secure(client)
        await client.heard(b"250 Delivery in progress")
        self.assertEqual(postbox.mails, [[b"", b"evil"]])

    async def test_c2_twisted_alone_believes_what_was_injected(self) -> None:
        """Without the guard a client reports TLS, and what it offers, before there is any."""
        made = await self.scripted(*MAILDROP, (b"STLS", b"+OK go\r\n+OK\r\nEVIL\r\n.\r\n"))
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{made.port}")
        clients = RecordingFactory(pop3.AdvancedPOP3Client)
        client: Any = await endpoint.connect(clients)
        self.addCleanup(self.hung_up, clients.recorder)
        self.assertEqual(await client.startTLS(twisted_protocols.as_client()), {b"EVIL": None})
