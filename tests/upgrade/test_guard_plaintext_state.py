"""What guarded servers learnt in the clear is forgotten, or ends the connection."""

from __future__ import annotations

from typing import Any

from tests import twisted_protocols
from tests.loopback import Recorder
from tests.upgrade.guard_case import AUTH_PLAIN, GuardTestCase
from txtransport.errors import AlreadySecure, PeerMisbehaved


class PlaintextStateTests(GuardTestCase):
    """Under TLS, nothing that a client said in the clear is still in force."""

    async def smtp_client(
        self, postbox: twisted_protocols.Postbox, portal: Any = None
    ) -> tuple[Any, Recorder]:
        """SMTP servers, and a client that has said EHLO."""
        servers = await self.guarded_servers(
            lambda: twisted_protocols.mail_server(postbox, portal=portal)
        )
        client = await self.raw_client(servers)
        client.say(b"EHLO evil.example\r\n")
        await client.heard(b"250 STARTTLS")
        return servers, client

    async def reply_under_tls(self, servers: Any, client: Recorder, word: bytes) -> bytes:
        """Ask for TLS and start it; the server's reply, a 5xx, to `word` under TLS."""
        client.say(b"STARTTLS\r\n")
        await client.heard(b"220 Begin TLS negotiation now\r\n")
        self.start_tls(client)
        client.say(word)
        said = (await client.heard(b"now\r\n5"))[client.received.index(b"220 Begin") :]
        return said.partition(b"\r\n")[2]

    async def test_sender_and_recipient_are_forgotten(self) -> None:
        """MAIL and RCPT from before TLS are forgotten; the reset sends the client no reply."""
        servers, client = await self.smtp_client(twisted_protocols.Postbox())
        client.say(b"MAIL FROM:<mallory@x>\r\nRCPT TO:<bob@x>\r\n")
        await client.heard(b"250 Recipient")
        said = await self.reply_under_tls(servers, client, b"DATA\r\n")
        self.assertTrue(said.startswith(b"503 "), said)

    async def test_ehlo_name_is_forgotten(self) -> None:
        """A client that does not repeat EHLO under TLS has no name."""
        postbox = twisted_protocols.Postbox()
        servers, client = await self.smtp_client(postbox)
        await self.reply_under_tls(servers, client, b"X\r\n")
        client.say(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n.\r\n")
        await client.heard(b"250 Delivery")
        self.assertEqual(postbox.helos, [b""])

    async def test_log_in_before_starttls_ends_the_connection(self) -> None:
        """STARTTLS after a log-in in the clear ends the connection: anyone may have logged in."""
        servers, client = await self.smtp_client(twisted_protocols.Postbox())
        client.say(b"AUTH PLAIN " + AUTH_PLAIN + b"\r\n")
        await client.heard(b"235 ")
        client.say(b"STARTTLS\r\n")
        await client.gone()
        self.assertNotIn(b"220 Begin", client.received)
        self.assertIn("had logged in", str(await servers.recording.reason()))

    async def check_pending(self, servers: Any, client: Recorder, words: bytes) -> None:
        """Words that end with a request before the reply to a command end the connection."""
        client.say(words)
        await client.gone()
        reason = await servers.recording.reason()
        self.assertIsInstance(reason, PeerMisbehaved)
        self.assertIn("did not wait for an answer", str(reason))
        self.assertNotIn(AUTH_PLAIN.decode(), str(reason))

    async def test_starttls_during_a_pending_smtp_log_in_ends_the_connection(self) -> None:
        """An SMTP log-in sent in the clear cannot succeed later, under TLS."""
        postbox = twisted_protocols.Postbox()
        portal = twisted_protocols.portal_for(postbox)
        portal.waiting = []
        servers, client = await self.smtp_client(postbox, portal)
        await self.check_pending(
            servers, client, b"AUTH PLAIN " + AUTH_PLAIN + b"\r\nNOOP\r\nSTARTTLS\r\n"
        )
        portal.waiting[0].callback(None)

    async def test_starttls_during_a_pending_mail_command_ends_the_connection(self) -> None:
        """A MAIL command sent in the clear cannot be accepted later, under TLS."""
        postbox = twisted_protocols.Postbox(deciding=[])
        servers, client = await self.smtp_client(postbox)
        await self.check_pending(servers, client, b"MAIL FROM:<mallory@x>\r\nSTARTTLS\r\n")
        assert postbox.deciding
        postbox.deciding[0].callback(None)

    async def test_starttls_during_a_pending_delivery_ends_the_connection(self) -> None:
        """A mail sent in the clear cannot be acknowledged later, under TLS."""
        postbox = twisted_protocols.Postbox(storing=[])
        servers, client = await self.smtp_client(postbox)
        client.say(b"MAIL FROM:<a@x>\r\nRCPT TO:<b@x>\r\nDATA\r\n")
        await client.heard(b"354 ")
        await self.check_pending(servers, client, b"evil\r\n.\r\nSTARTTLS\r\n")
        assert postbox.storing
        postbox.storing[0].callback(None)

    async def test_starttls_during_a_pending_imap_log_in_ends_the_connection(self) -> None:
        """An IMAP log-in sent in the clear cannot open a mailbox later, under TLS."""
        portal = twisted_protocols.portal_for(twisted_protocols.imap_account())
        portal.waiting = []
        servers = await self.guarded_servers(lambda: twisted_protocols.imap_server(portal))
        client = await self.raw_client(servers)
        client.say(b"A AUTHENTICATE PLAIN\r\n")
        await client.heard(b"\r\n+")
        await self.check_pending(servers, client, AUTH_PLAIN + b"\r\nB STARTTLS\r\n")

    async def test_client_that_waits_for_replies_gets_tls(self) -> None:
        """Replies may be slow, and commands many, if the client waits for each reply."""
        postbox = twisted_protocols.Postbox(deciding=[], storing=[])
        servers, client = await self.smtp_client(postbox)
        client.say(b"MAIL FROM:<a@x>\r\n")
        assert postbox.deciding is not None and postbox.storing is not None
        while not postbox.deciding:
            await self.turn()
        postbox.deciding[0].callback(None)
        await client.heard(b"250 Sender")
        client.say(b"RCPT TO:<b@x>\r\nDATA\r\n")
        await client.heard(b"354 ")
        client.say(b"one\r\ntwo\r\n.\r\n")
        while not postbox.storing:
            await self.turn()
        postbox.storing[0].callback(None)
        await client.heard(b"250 Delivery")
        # A line feed alone does not end a line in SMTP.
        client.say(b"NO\nOP\r\n")
        await client.heard(b"500 ")
        said = await self.reply_under_tls(servers, client, b"DATA\r\n")
        self.assertTrue(said.startswith(b"503 "), said)
        servers = await self.guarded_servers(twisted_protocols.imap_server)
        client = await self.raw_client(servers)
        # Raw data is not a command, and may contain line feeds.
        client.say(b"A LOGIN {7}\r\nal\n\nice {2}\r\npw\r\nB STARTTLS\r\n")
        await client.heard(b"B OK Begin")
        self.start_tls(client)
        client.say(b"C NOOP\r\n")
        await client.heard(b"C OK")

    async def test_starttls_under_tls_is_neither_offered_nor_accepted(self) -> None:
        """Under TLS, servers do not offer STARTTLS and refuse it."""
        servers, client = await self.smtp_client(twisted_protocols.Postbox())
        await self.reply_under_tls(servers, client, b"X\r\n")
        client.say(b"EHLO a\r\nSTARTTLS\r\nNOOP\r\n")
        said = await client.heard(b"503 TLS already negotiated")
        self.assertEqual(said.count(b"STARTTLS"), 1)
        servers = await self.guarded_servers(twisted_protocols.imap_server)
        client = await self.raw_client(servers)
        client.say(b"A STARTTLS\r\n")
        await client.heard(b"A OK")
        self.start_tls(client)
        client.say(b"B STARTTLS\r\nC CAPABILITY\r\n")
        said = (await client.heard(b"C OK")).partition(b"A OK")[2]
        self.assertIn(b"B NO TLS already", said)
        for capability in (b"STARTTLS", b"LOGINDISABLED"):
            self.assertNotIn(capability, said.partition(b"* CAPABILITY")[2])

    async def test_log_in_under_tls_is_allowed(self) -> None:
        """A client may log in under TLS without waiting; startTLS() then raises AlreadySecure."""
        servers, client = await self.smtp_client(twisted_protocols.Postbox())
        await self.reply_under_tls(servers, client, b"X\r\n")
        client.say(b"EHLO a\r\nAUTH PLAIN " + AUTH_PLAIN + b"\r\nNOOP\r\n")
        await client.heard(b"235 ")
        transport = servers.recording.protocol.transport
        self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.server_context())
        client.say(b"RSET\r\n")
        await client.heard(b"250 I remember nothing")
