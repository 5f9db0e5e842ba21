"""How peers are written: the same in every message and in the log."""

from __future__ import annotations

from types import SimpleNamespace

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from txtransport.connection.peers import describe_address, location_of


class PeerTests(SynchronousTestCase):
    """Addresses of every kind."""

    def test_each_kind_of_address(self) -> None:
        """IPv6 is in brackets; a local socket has its path, if it has one, percent-encoded."""
        for address, words, location in (
            (IPv4Address("TCP", "192.0.2.1", 25), "192.0.2.1:25", "tcp://192.0.2.1:25"),
            (IPv6Address("TCP", "::1", 25), "[::1]:25", "tcp://[::1]:25"),
            (IPv6Address("TCP", "fe80::1%lo", 1), "[fe80::1%25lo]:1", "tcp://[fe80::1%25lo]:1"),
            (UNIXAddress("/run/x y"), "a local socket", "unix:///run/x%20y"),
            (UNIXAddress("/run/\x1b\xff"), "a local socket", "unix:///run/%1B%C3%BF"),
            (UNIXAddress(None), "a local socket", "unix://…"),
            (SimpleNamespace(name=b"\0x"), "a local socket", "unix://@x"),
            (None, "a local socket", "unix://…"),
        ):
            self.assertEqual((describe_address(address), location_of(address)), (words, location))
