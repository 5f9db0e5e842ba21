"""Our engine and a second implementation, tlslite-ng's messages and records."""

from __future__ import annotations

import os

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.legacy.ssl2_ends import client, server, site
from txtransport.tls.engine import Signal

try:
    from tests.tls.legacy import tlslite_ssl2
except ImportError:
    missing = "tlslite-ng is not installed (the extra `legacy`)"
else:
    missing = ""


class TlsliteTests(SynchronousTestCase):
    """Each suite, tlslite-ng as client and as server."""

    if missing:
        skip = missing

    def test_its_client_and_our_server_understand_each_other(self) -> None:
        """Handshake and data both ways."""
        for name in tlslite_ssl2.KINDS:
            end = server(name)
            peer = tlslite_ssl2.TlsliteClient(end, name)
            peer.connect()
            self.assertEqual(peer.socket.events, [Signal.COMPLETE])
            sent = os.urandom(1001)
            peer.say(sent)
            self.assertEqual(peer.socket.events[1:], [sent])
            end.send(sent)
            self.assertEqual(peer.hear(), sent)

    def test_its_server_and_our_client_understand_each_other(self) -> None:
        """Handshake and data both ways."""
        key = site().key.private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
        for name in tlslite_ssl2.KINDS:
            end = client(name)
            peer = tlslite_ssl2.TlsliteServer(end, name, site().chain[0], key.decode())
            peer.accept()
            self.assertEqual(peer.socket.events, [Signal.COMPLETE])
            sent = os.urandom(1001)
            end.send(sent)
            self.assertEqual(peer.hear(), sent)
            peer.say(sent)
            self.assertEqual(peer.socket.events[1:], [sent])
