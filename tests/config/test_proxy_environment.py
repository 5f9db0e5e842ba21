"""``proxy=env``: HTTPS_PROXY, ALL_PROXY and NO_PROXY."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.proxy_environment import proxy_from_environment
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption


def chosen(url: str, **environ: str) -> str:
    """The proxy that is chosen for a URL, or nothing."""
    found = proxy_from_environment(environ, TransportURL.parse(url))
    return "".join(map(str, found))


class EnvironmentTests(SynchronousTestCase):
    """Which variable counts."""

    def test_tls_has_a_proxy_of_its_own(self) -> None:
        """HTTPS_PROXY is for TLS, ALL_PROXY for both; HTTP_PROXY is for neither."""
        https, everything = "http://a:1", "socks5h://b:2"
        both = {"HTTPS_PROXY": https, "ALL_PROXY": everything}
        self.assertEqual(chosen("tls://h:1", **both), https)
        self.assertEqual(chosen("tlsv1.2://h:1", **both), https)
        self.assertEqual(chosen("tcp://h:1", **both), everything)
        self.assertEqual(chosen("tls://h:1", ALL_PROXY=everything), everything)
        self.assertEqual(chosen("tcp://h:1", HTTPS_PROXY=https), "")
        self.assertEqual(chosen("tls://h:1", HTTP_PROXY=https, http_proxy=https), "")
        self.assertEqual(chosen("tls://h:1"), "")

    def test_lower_case_counts_before_upper_case(self) -> None:
        """Both cases are read; an empty variable is none, as for curl."""
        self.assertEqual(chosen("tls://h:1", https_proxy="http://a:1", HTTPS_PROXY="http://b:1"),
                         "http://a:1")  # fmt: skip
        self.assertEqual(chosen("tls://h:1", https_proxy=" ", HTTPS_PROXY="http://b:1"),
                         "http://b:1")  # fmt: skip
        self.assertEqual(chosen("tls://h:1", HTTPS_PROXY="", all_proxy="http://c:1"), "http://c:1")

    def test_a_host_alone_is_an_http_proxy(self) -> None:
        """What most people write into the variable: the scheme is left out."""
        self.assertEqual(chosen("tls://h:1", HTTPS_PROXY="p.example:3128"), "http://p.example:3128")
        self.assertEqual(
            chosen("tls://h:1", HTTPS_PROXY="u:pw@p.example:3128/"), "http://u:pw@p.example:3128"
        )

    def test_a_comma_separates_nothing(self) -> None:
        """A variable names one proxy; a comma may stand in its password."""
        self.assertEqual(chosen("tls://h:1", ALL_PROXY="http://u:a,b@p:1"), "http://u:a%2Cb@p:1")

    def test_a_variable_that_names_no_proxy_is_an_error(self) -> None:
        """Nothing goes past a proxy that was meant; the value, a secret perhaps, is not shown."""
        for name, value in (
            ("HTTPS_PROXY", "http://u:hunter2@p"), ("https_proxy", "socks://u:hunter2@p:1"),
            ("ALL_PROXY", "hunter2"), ("all_proxy", "http://u:hunter2@p:1 http://q:1"),
        ):  # fmt: skip
            error = self.assertRaises(InvalidOption, chosen, "tls://h:1", **{name: value})
            self.assertIn(f"proxy=env: what the variable {name} says", str(error))
            self.assertNotIn("hunter2", str(error))


class ExceptionTests(SynchronousTestCase):
    """What is connected to without a proxy."""

    def excepted(self, url: str, no_proxy: str) -> bool:
        """Whether NO_PROXY takes the proxy away."""
        found = [
            chosen(url, ALL_PROXY="http://p:1", **{name: no_proxy})
            for name in ("NO_PROXY", "no_proxy")
        ]
        self.assertEqual(found[0], found[1])
        return not found[0]

    def test_loopback_and_local_sockets_have_none(self) -> None:
        """Whatever the environment says, this machine is not reached by way of another."""
        for url in (
            "tls://localhost:1", "tls://a.localhost.:1", "tls://127.0.0.1:1", "tls://127.1.2.3:1",
            "tls://[::1]:1", "tls://[::ffff:127.0.0.1]:1", "unix:///x", "tls+unix:///x",
        ):  # fmt: skip
            self.assertTrue(self.excepted(url, ""), url)
        for url in ("tls://localhost.example:1", "tls://[::2]:1", "tls://128.0.0.1:1"):
            self.assertFalse(self.excepted(url, ""), url)

    def test_names_and_all_below_them(self) -> None:
        """A name excepts itself and what ends in it behind a dot, in any case of letters."""
        for entry in (
            "example.com", ".example.com", "*.example.com", "EXAMPLE.com.", "x, example.com",
            "a.b\texample.com",
        ):  # fmt: skip
            for host in ("example.com", "www.example.com", "a.b.example.com", "example.com."):
                self.assertTrue(self.excepted(f"tls://{host}:1", entry), (host, entry))
            for host in ("anexample.com", "example.org", "com", "192.0.2.7"):
                self.assertFalse(self.excepted(f"tls://{host}:1", entry), (host, entry))

    def test_addresses_and_networks(self) -> None:
        """An address excepts itself, a network what is in it; names are not looked up for it."""
        rows = {
            "192.0.2.7": ("192.0.2.7",), "192.0.2.0/24": ("192.0.2.7", "192.0.2.255"),
            "192.0.2.9/24": ("192.0.2.7",), "2001:db8::/32": ("[2001:db8::7]",),
            "[2001:db8::7]": ("[2001:db8:0::7]",), "fe80::/10": ("[fe80::1%25eth0]",),
        }  # fmt: skip
        for entry, hosts in rows.items():
            for host in hosts:
                self.assertTrue(self.excepted(f"tls://{host}:1", f"x,{entry}"), (host, entry))
            for host in ("192.0.3.7", "[2001:db9::7]", "h.example"):
                self.assertFalse(self.excepted(f"tls://{host}:1", entry), (host, entry))

    def test_a_zone_is_no_name(self) -> None:
        """An IPv6 address is of no domain, whatever its zone ends in (CVE-2025-22870)."""
        for entry in ("example.com", ".example.com", "%.example.com"):
            self.assertFalse(self.excepted("tls://[2001:db8::2%25.example.com]:1", entry), entry)

    def test_a_port_narrows_an_entry(self) -> None:
        """With a port an entry is about that port alone."""
        for entry, host in (("h.example:443", "h.example"), ("[2001:db8::7]:443", "[2001:db8::7]"),
                            ("192.0.2.7:443", "192.0.2.7")):  # fmt: skip
            self.assertTrue(self.excepted(f"tls://{host}:443", entry))
            self.assertFalse(self.excepted(f"tls://{host}:444", entry))

    def test_a_star_is_everything(self) -> None:
        """``*`` alone takes every proxy away, and no part of another entry does."""
        self.assertTrue(self.excepted("tls://h.example:1", "*"))
        self.assertTrue(self.excepted("tls://192.0.2.7:1", "a, *"))
        for entry in ("*.", ".", "**", "192.0.2.*", ":", "//", "h:x"):
            self.assertFalse(self.excepted("tls://h.example:1", entry), entry)
