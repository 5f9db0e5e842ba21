"""The PROXY header that a client sends: whose connection it passes on, and what is known of it."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from txtransport.connection.proxied_for import header_to_send
from txtransport.errors import InvalidOption
from txtransport.proxy.proxy_protocol.header import ProxyHeader
from txtransport.proxy.proxy_protocol.reader import read_header

ONE: Final = IPv4Address("TCP", "192.0.2.7", 56324)
OTHER: Final = IPv4Address("TCP", "198.51.100.1", 443)


def sent(version: str, peer: Any = ONE, host: Any = OTHER) -> ProxyHeader:
    """What the header says that is sent for a connection with these addresses."""
    made = header_to_send(version, StringTransport(peerAddress=peer, hostAddress=host))
    found = read_header(made, version)
    assert found is not None
    return found[0]


class HeaderTests(SynchronousTestCase):
    """The addresses in it."""

    def test_it_has_the_addresses_of_the_connection(self) -> None:
        """The client's, and the one that it has connected to."""
        for version in ("v1", "v2"):
            header = sent(version)
            self.assertEqual(header.source, ("192.0.2.7", 56324))
            self.assertEqual(header.destination, ("198.51.100.1", 443))

    def test_addresses_are_of_one_kind(self) -> None:
        """IPv4 stays IPv4 at a socket of IPv6; two kinds become IPv6; a zone is ours alone."""
        six = IPv6Address("TCP", "2001:db8::1", 1)
        mapped = IPv6Address("TCP", "::ffff:192.0.2.7", 2)
        link = IPv6Address("TCP", "fe80::1%2", 3)
        for peer, host, source, destination in (
            (mapped, mapped, ("192.0.2.7", 2), ("192.0.2.7", 2)),
            (six, ONE, ("2001:db8::1", 1), ("::ffff:192.0.2.7", 56324)),
            (mapped, six, ("::ffff:192.0.2.7", 2), ("2001:db8::1", 1)),
            (link, six, ("fe80::1", 3), ("2001:db8::1", 1)),
        ):
            for version in ("v1", "v2"):
                header = sent(version, peer, host)
                self.assertEqual((header.source, header.destination), (source, destination))

    def test_a_local_socket_has_a_path(self) -> None:
        """Version 2 tells paths; version 1 has no word for them."""
        peer, host = UNIXAddress(None), UNIXAddress("/run/us")
        header = sent("v2", peer, host)
        self.assertEqual((header.source, header.destination), (b"", b"/run/us"))
        self.assertEqual(sent("v1", peer, host), ProxyHeader(1, is_local=True))

    def test_our_own_connections_say_so(self) -> None:
        """Without proxied_for the server is told that no client is passed on."""
        self.assertEqual(header_to_send("v1", None), b"PROXY UNKNOWN\r\n")
        found = read_header(header_to_send("v2", None))
        self.assertEqual(found, (ProxyHeader(2, is_local=True), 16))

    def test_what_is_no_transport_is_refused(self) -> None:
        """So is one without a version to send, which would do nothing."""
        for wrong in (5, "192.0.2.7", object()):
            error = self.assertRaises(InvalidOption, header_to_send, "v2", wrong)
            self.assertEqual(error.option, "proxied_for")
        error = self.assertRaises(InvalidOption, header_to_send, None, StringTransport())
        self.assertIn("needs send_proxy", str(error))
