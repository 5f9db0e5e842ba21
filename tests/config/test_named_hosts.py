"""Which hosts a list names."""

from __future__ import annotations

from typing import Final

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.named_hosts import read_named_hosts
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption

NAMED: Final = read_named_hosts(
    ["Example.com", "*.wild.example", "ported.example:8443", "192.0.2.7", "[2001:db8::7]:443",
     "bücher.example"]
)  # fmt: skip


class NamedHostsTests(SynchronousTestCase):
    """A list, and the URLs that it includes."""

    def test_what_is_named_is_included(self) -> None:
        """A name is one in any case and with its dot; a port is one port, and none is all."""
        for url in (
            "tls://example.com:443", "tls://EXAMPLE.COM.:8443", "tcp://example.com:80",
            "tls://a.wild.example:443", "tls://ported.example:8443", "tls://192.0.2.7:1",
            "tls://[2001:DB8:0::7]:443", "tls://xn--bcher-kva.example:443",
        ):  # fmt: skip
            self.assertTrue(NAMED.includes(TransportURL.parse(url)), url)

    def test_nothing_else_is(self) -> None:
        """A host that only begins, ends or looks like one that is named is another."""
        for url in (
            "tls://www.example.com:443", "tls://example.com.evil.example:443",
            "tls://notexample.com:443", "tls://wild.example:443", "tls://a.b.wild.example:443",
            "tls://ported.example:443", "tls://192.0.2.70:1", "tls://[2001:db8::7]:444",
            "tls://[::ffff:192.0.2.7]:443", "unix:///example.com",
        ):  # fmt: skip
            self.assertFalse(NAMED.includes(TransportURL.parse(url)), url)

    def test_a_star_is_for_names(self) -> None:
        """An address has no labels, so that no star stands for a part of it."""
        self.assertRaises(InvalidOption, read_named_hosts, ["*.0.2.7"])
        named = read_named_hosts(["*.example"])
        self.assertFalse(named.includes(TransportURL.parse("tls://192.0.2.7:1")))

    def test_an_entry_that_is_no_host_is_refused(self) -> None:
        """A URL, a network, an option or another type is not taken for a host."""
        for entry in (
            "", "*", "*.", "https://example.com", "example.com/", "example.com?verify_peer=no",
            "192.0.2.0/24", "a b", "example.com:0", "example.com:http", "user@example.com",
            "*.*.example", b"example.com", None, 443, "[::1", "*.[::1]",
        ):  # fmt: skip
            error = self.assertRaises(InvalidOption, read_named_hosts, [entry])
            self.assertEqual(error.option, "hosts")
            self.assertIn("hosts takes a list", str(error))

    @given(strategies.text("aé.*-:[]%?/@1", max_size=12))
    def test_what_is_accepted_names_itself(self, entry: str) -> None:
        """Any text is refused as an entry, or names the host that it is as part of a URL."""
        try:
            named = read_named_hosts([entry])
        except InvalidOption:
            return
        url = TransportURL.parse(f"tcp://{entry.replace('*', 'star', 1)}")
        self.assertTrue(named.includes(url), entry)

    def test_a_text_is_no_list(self) -> None:
        """One host in place of a list would be a list of letters."""
        for listed in ("example.com", b"example.com", None, 3):
            self.assertRaises(InvalidOption, read_named_hosts, listed)

    def test_an_empty_list_names_none(self) -> None:
        """Then nothing is for some hosts alone."""
        self.assertFalse(read_named_hosts([]))
        self.assertTrue(NAMED)
