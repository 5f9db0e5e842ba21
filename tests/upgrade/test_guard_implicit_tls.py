"""Guarded protocols where TLS begins with the first byte, as on port 465."""

from __future__ import annotations

from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, wrapClientTLS
from twisted.internet.interfaces import ISSLTransport, ITLSTransport
from twisted.mail import pop3
from twisted.protocols.tls import TLSMemoryBIOFactory

import txtransport
from tests import certificates, twisted_protocols
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import GuardTestCase
from txtransport.errors import AlreadySecure


class ImplicitTLSTests(GuardTestCase):
    """Under implicit TLS, the guard offers no STARTTLS and does not cut the input."""

    async def test_server_does_not_offer_starttls(self) -> None:
        """A server under implicit TLS does not offer STARTTLS."""
        both = [
            RecordingFactory(lambda: twisted_protocols.mail_server(twisted_protocols.Postbox()))
            for _ in range(2)
        ]
        ours = self.listening(
            "tls://127.0.0.1:0", txtransport.guard(both[0]), local_cert=certificates.site()
        )
        for servers, listening in zip(both, (ours, self.twisted_tls_port(both[1])), strict=True):
            url = f"tls://localhost:{await listening}"
            client = await self.connected(url, cafile=certificates.cafile())
            client.say(b"EHLO a\r\nSTARTTLS\r\n")
            said = await client.heard(b"454 TLS not available")
            self.assertNotIn(b"STARTTLS", said)
            # TLS cannot begin again, so the guard does not cut the input.
            self.assertEqual(servers.recording.given, [b"EHLO a\r\nSTARTTLS\r\n"])

    async def twisted_tls_port(self, servers: RecordingFactory) -> int:
        """Listen with a guard under Twisted's own TLS; the port's number."""
        factory = TLSMemoryBIOFactory(
            twisted_protocols.server_context(), False, txtransport.guard(servers)
        )
        endpoint = TCP4ServerEndpoint(self.reactor, 0, interface="127.0.0.1")
        return self.adopt(await endpoint.listen(factory))

    async def test_client_cannot_start_tls_again(self) -> None:
        """A client under implicit TLS sees a TLS transport; startTLS() raises AlreadySecure."""
        for wrap in (True, False):
            number = await self.twisted_tls_port(RecordingFactory(twisted_protocols.POP3Server))
            clients = RecordingFactory(pop3.AdvancedPOP3Client)
            plain = TCP4ClientEndpoint(self.reactor, "127.0.0.1", number)
            if wrap:
                endpoint = wrapClientTLS(twisted_protocols.client_context(), plain)
            else:
                endpoint = txtransport.client(
                    self.reactor, f"tls://localhost:{number}", cafile=certificates.cafile()
                )
            await endpoint.connect(txtransport.guard(clients))
            self.addCleanup(self.hang_up, clients.recording)
            transport = clients.recording.protocol.transport
            self.assertTrue(ISSLTransport.providedBy(transport))
            self.assertFalse(ITLSTransport.providedBy(transport))
            self.assertRaises(AlreadySecure, transport.startTLS, twisted_protocols.client_context())
