"""``allow_hosts=`` and ``public_only=``: which hosts a client may connect to."""

from __future__ import annotations

from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.allowed_hosts import HostRules, read_host_rules
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption

NOT_A_LIST: Final[tuple[Any, ...]] = ("example.com", b"example.com", 7, True)
NO_HOSTS: Final[tuple[Any, ...]] = (
    "", "*", "*.", "*.*.example", "a.*.example", "example.com:80", "[::1]:80", "tcp://h",
    "unix:///x", "h?timeout=1", "u@h", "127.1", "*.127.0.0.1", "10.0.0.1/8", "::1%eth0",
    "a..b", b"h", None, 7,
)  # fmt: skip


def rules(*hosts: str, public_only: bool = False) -> HostRules:
    """The rules of ``allow_hosts``, and perhaps of ``public_only``."""
    made = read_host_rules(hosts, public_only)
    assert made is not None
    return made


class HostRulesTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def allowed(self, made: HostRules, url: str, *addresses: str) -> None:
        """Assert that a URL is allowed, and that so are the addresses that it leads to."""
        parsed = TransportURL.parse(url)
        made.refuse_host(parsed)
        for address in addresses:
            made.require_allowed(parsed, address)

    def refused(self, made: HostRules, url: str, option: str = "allow_hosts") -> str:
        """The reason why a URL is refused before anything is looked up."""
        error = self.assertRaises(InvalidOption, made.refuse_host, TransportURL.parse(url))
        self.assertEqual(error.option, option)
        return str(error)

    def leads_nowhere(
        self, made: HostRules, url: str, address: str, option: str = "allow_hosts"
    ) -> str:
        """The reason why an address that a name leads to is refused; the name itself is not."""
        parsed = TransportURL.parse(url)
        made.refuse_host(parsed)
        error = self.assertRaises(InvalidOption, made.require_allowed, parsed, address)
        self.assertEqual(error.option, option)
        return str(error)


class ReadingTests(HostRulesTestCase):
    """What may be written."""

    def test_nothing_given_restricts_nothing(self) -> None:
        """Without the keywords there are no rules."""
        self.assertIsNone(read_host_rules(None, False))

    def test_a_list_that_is_none_is_refused(self) -> None:
        """A text would be read letter by letter; it is refused, and so is what is no list."""
        for given in NOT_A_LIST:
            error = self.assertRaises(InvalidOption, read_host_rules, given, False)
            self.assertIn("allow_hosts takes a list of names", str(error))

    def test_an_entry_that_is_no_host_is_refused(self) -> None:
        """Ports, schemes, wildcards in the middle and half addresses are no hosts."""
        for given in NO_HOSTS:
            error = self.assertRaises(InvalidOption, read_host_rules, [given], False)
            self.assertEqual(error.option, "allow_hosts", given)

    def test_an_entry_that_stands_for_ipv4_is_refused(self) -> None:
        """An address is judged by the one inside it, and the list has to have that one."""
        for given in ("::ffff:10.0.0.1", "64:ff9b::/96", "2002:a00:1::/48", "2001::1"):
            error = self.assertRaises(InvalidOption, read_host_rules, [given], False)
            self.assertIn("takes the IPv4 address itself", str(error))

    def test_public_only_is_a_bool(self) -> None:
        """A text such as no would count as yes, or the other way round."""
        for given in ("yes", "no", 1, None):
            error = self.assertRaises(InvalidOption, read_host_rules, None, given)
            self.assertEqual(error.option, "public_only")


class AllowHostsTests(HostRulesTestCase):
    """``allow_hosts=``"""

    def test_a_listed_name_may_lead_anywhere(self) -> None:
        """Who lists a name trusts it, in any spelling of the same name."""
        made = rules("DB.internal.", "bücher.example")
        for url in ("tcp://db.internal:1", "tcp://DB.INTERNAL.:1", "tls://xn--bcher-kva.example:1"):
            self.allowed(made, url, "10.0.0.1", "8.8.8.8")

    def test_a_name_that_is_not_listed_is_not_even_looked_up(self) -> None:
        """A look-up alone tells a stranger something; it is saved where it cannot help."""
        made = rules("good.example")
        for host in ("evil.example", "good.example.evil.example", "a.good.example", "ood.example"):
            self.assertIn(f"does not have {host}", self.refused(made, f"tcp://{host}:1"))

    def test_a_star_stands_for_one_label(self) -> None:
        """As in certificates: one label, neither none nor two."""
        made = rules("*.example.com")
        self.allowed(made, "tcp://a.example.com:1", "10.0.0.1")
        for host in ("example.com", "a.b.example.com", "aexample.com", "com"):
            self.refused(made, f"tcp://{host}:1")

    def test_addresses_and_networks(self) -> None:
        """A literal, and each address of a name that is not listed, must be in a network."""
        made = rules("192.0.2.0/24", "198.51.100.7", "2001:db8::/32", "::1")
        for address in ("192.0.2.9", "198.51.100.7", "2001:db8:1::1", "::1"):
            host = f"[{address}]" if ":" in address else address
            self.allowed(made, f"tcp://{host}:1")
            self.allowed(made, "tcp://any.example:1", address)
        for address in ("192.0.3.1", "198.51.100.8", "2001:db9::1", "127.0.0.1", "x"):
            self.leads_nowhere(made, "tcp://any.example:1", address)
        self.refused(made, "tcp://127.0.0.1:1")
        self.refused(made, "tcp://[fe80::1%25eth0]:1")

    def test_an_address_is_judged_by_the_one_inside(self) -> None:
        """No list of IPv6 networks lets an IPv4 address through, and no form hides one."""
        for form in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1", "2001:0:a00:1::"):
            self.leads_nowhere(rules("::/0"), "tcp://h:1", form)
            self.refused(rules("::/0"), f"tcp://[{form}]:1")
        for form in ("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::1"):
            self.allowed(rules("10.0.0.0/8"), f"tcp://[{form}]:1")

    def test_an_empty_list_allows_nothing(self) -> None:
        """A list that came out empty does not open everything."""
        for url in ("tcp://h:1", "tcp://8.8.8.8:1"):
            self.refused(rules(), url)

    def test_no_list_allows_a_local_socket(self) -> None:
        """A path is no host."""
        self.assertIn("no local socket", self.refused(rules("h", "0.0.0.0/0"), "unix:///run/x"))


class PublicOnlyTests(HostRulesTestCase):
    """``public_only=``"""

    def setUp(self) -> None:
        made = read_host_rules(None, True)
        assert made is not None
        self.rules = made

    def test_a_literal_is_refused_at_once(self) -> None:
        """An address in the URL needs no look-up to be refused."""
        for host in ("127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1"):
            text = self.refused(self.rules, f"tls://{host}:1", "public_only")
            self.assertTrue(text.startswith("tls://"))
            self.assertIn(":1: public_only: ", text)
        self.allowed(self.rules, "tls://8.8.8.8:1")

    def test_a_name_is_judged_by_its_addresses(self) -> None:
        """Where a name leads counts, and not what it is called."""
        self.allowed(self.rules, "tls://public.example:1", "8.8.8.8", "2606:4700::1")
        for address in ("127.0.0.1", "fe80::1%eth0", "fd00:ec2::254", "0.0.0.0", "::"):
            text = self.leads_nowhere(self.rules, "tls://public.example:1", address, "public_only")
            self.assertIn(address, text)

    def test_no_local_socket_is_public(self) -> None:
        """A socket with a path leads to a program of this machine."""
        self.refused(self.rules, "unix:///run/x", "public_only")

    def test_both_keywords_hold(self) -> None:
        """A listed name must lead to a public address; a public address must be listed."""
        made = rules("good.example", "8.8.8.0/24", "10.0.0.0/8", public_only=True)
        self.allowed(made, "tcp://good.example:1", "9.9.9.9")
        self.leads_nowhere(made, "tcp://good.example:1", "127.0.0.1", "public_only")
        self.leads_nowhere(made, "tcp://any.example:1", "10.0.0.1", "public_only")
        self.leads_nowhere(made, "tcp://any.example:1", "9.9.9.9")
        self.allowed(made, "tcp://any.example:1", "8.8.8.8")

    def test_a_resolver_s_answer_is_fit_for_a_log(self) -> None:
        """What stands in place of an address is escaped and cut."""
        text = self.leads_nowhere(self.rules, "tcp://h:1", "\x1b[31m" + "x" * 9999, "public_only")
        self.assertTrue(text.isprintable())
        self.assertLess(len(text), 200)
