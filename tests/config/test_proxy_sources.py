"""Who may send a PROXY header."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.proxy_sources import read_proxy_sources


class ProxySourcesTests(SynchronousTestCase):
    """The list of balancers."""

    def test_a_balancer_is_known_by_its_network(self) -> None:
        """An address is in a network of its family; an IPv4 peer of an IPv6 socket is IPv4."""
        sources = read_proxy_sources("10.0.0.0/8,2001:db8::/32,192.0.2.7")
        for host in ("10.0.0.0", "10.255.255.255", "192.0.2.7", "2001:db8::1", "::ffff:10.0.0.1"):
            self.assertTrue(sources.has(host), host)
        for host in ("11.0.0.0", "192.0.2.8", "2001:db9::", "::ffff:11.0.0.1", "::10.0.0.1", "",
                     "64:ff9b::10.0.0.1", "unix", "10.0.0.1 "):  # fmt: skip
            self.assertFalse(sources.has(host), host)
        self.assertFalse(sources.has(None))

    def test_the_zone_of_an_interface_is_not_compared(self) -> None:
        """A balancer on the same link has an address with a zone."""
        self.assertTrue(read_proxy_sources("fe80::/10").has("fe80::1%eth0"))

    def test_a_local_socket_is_named(self) -> None:
        """It has no address, and is in no network."""
        self.assertTrue(read_proxy_sources("unix").has(None))
        self.assertFalse(read_proxy_sources("0.0.0.0/0,::/0").has(None))

    def test_a_list_that_has_everyone_is_noticed(self) -> None:
        """Each address of a family is a weakness that is warned of."""
        self.assertEqual(read_proxy_sources("::1,0.0.0.0/0").everyone, "0.0.0.0/0")
        self.assertEqual(read_proxy_sources(["::/0"]).everyone, "::/0")
        self.assertIsNone(read_proxy_sources("10.0.0.0/8,unix").everyone)
