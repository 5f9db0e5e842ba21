"""Proxies as URLs: the grammar, its two levels of escapes, and what is not shown."""

from __future__ import annotations

from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.vocabulary import OptionsTestCase, resolve_url
from txtransport.config.proxy_url import (
    PROXY_SCHEMES,
    ProxyURL,
    parse_proxies,
    parse_proxy,
    redacted_proxies,
)
from txtransport.config.settings import proxy_policy
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption
from txtransport.proxy.target import Credentials

TOR: Final = "socks5h://user:pw@127.0.0.1:9050"
PRINTABLE: Final = st.text(
    st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20
)  # fmt: skip


def proxies_of(url: str) -> tuple[ProxyURL, ...]:
    """The proxies of a transport's URL."""
    found = resolve_url(url).proxying.proxy
    assert isinstance(found, tuple)
    return found


class GrammarTests(SynchronousTestCase):
    """What a proxy's URL may be."""

    def refusal(self, text: str) -> str:
        """Why a text is no proxy."""
        return str(self.assertRaises(ValueError, parse_proxies, text))

    def test_the_canonical_form_within_a_transport_s_url(self) -> None:
        """``:`` is escaped, as endpoint strings need it, and ``/`` and ``@`` are not."""
        url = TransportURL.parse(f"tls://h:443?proxy={TOR}")
        self.assertEqual(str(url), "tls://h:443?proxy=socks5h%3A//user%3Apw@127.0.0.1%3A9050")
        self.assertEqual(TransportURL.parse(str(url)), url)
        self.assertEqual(resolve_url(str(url)).proxying.proxy, (parse_proxy(TOR),))

    def test_a_comma_within_a_password_is_escaped_twice(self) -> None:
        """Once for the proxy's URL, where a comma separates proxies, and once more around it."""
        url = "tls://h:443?proxy=http%3A//u%3Aa%252Cb@p%3A1,socks5://q:2"
        first, second = proxies_of(url)
        self.assertEqual(first, ProxyURL("http", "p", 1, Credentials("u", "a,b")))
        self.assertEqual(second, ProxyURL("socks5", "q", 2))

    def test_options_of_a_proxy_stand_in_its_own_query(self) -> None:
        """``?`` and ``&`` are escaped around it, and belong to the proxy."""
        url = "tls://h:443?proxy=https%3A//p%3A1%3Fcafile=/a%26verify_depth=3&verify_depth=5"
        settings_ = resolve_url(url)
        (proxy,) = proxies_of(url)
        self.assertEqual(proxy.options, (("cafile", "/a"), ("verify_depth", "3")))
        policy = proxy_policy(proxy)
        assert policy is not None and settings_.tls is not None
        self.assertEqual((policy.cafile, policy.verify_depth, policy.peer_name), ("/a", 3, "p"))
        self.assertEqual((settings_.tls.cafile, settings_.tls.verify_depth), (None, 5))

    def test_a_proxy_is_verified_by_its_own_name(self) -> None:
        """Without the dot that ends it and without a zone, as the URL's host is."""
        for host, name in (("p.example.", "p.example"), ("[fe80::1%25eth0]", "fe80::1")):
            policy = proxy_policy(parse_proxy(f"https://{host}:1"))
            assert policy is not None
            self.assertEqual(policy.peer_name, name)
        self.assertIsNone(proxy_policy(parse_proxy("http://p:1")))

    def test_the_text_in_python_and_in_a_url_is_the_same(self) -> None:
        """As a keyword the value is written as in a URL, but for the escapes of that."""
        for given_ in (TOR, [TOR], (TOR,), parse_proxy(TOR), [parse_proxy(TOR)]):
            self.assertEqual(parse_proxies(given_), (parse_proxy(TOR),))
        self.assertEqual(resolve_url("tls://h:1", proxy=TOR), resolve_url(f"tls://h:1?proxy={TOR}"))

    def test_each_mistake_is_answered_with_what_to_write(self) -> None:
        """The reason names what is wrong, and quotes nothing of the text."""
        for text, reason in (
            ("p.example:3128", "begins with one of http://"),
            ("http://p.example", "its port is missing"),
            ("http://p.example:x", "no port from 1 to 65535"),
            ("http://2001:db8::1:80", "IPv6 stands in brackets"),
            ("http://secret:p@ss@p:1", "@ is %40"),
            ("http://secret:p/ss@p:1", "/ is %2F"),
            ("http://secret:p:ss@p:1", ": is %3A"),
            ("http://secret:p%ss@p:1", "% itself is %25"),
            ("socks5h://secret@p:1", "RFC 1929"),
            ("socks4a://p:1", "SOCKS 4"),
            ("socks://p:1", "write socks5h://"),
            ("http://p:1?cafile=secret", "has no options"),
            ("http://p:1/secret", "no path"),
            ("sock5h://secret@p:1", "did you mean socks5h://?"),
            ("ftp://secret@p:1", "there are http://"),
        ):
            said = self.refusal(text)
            self.assertIn(reason, said)
            self.assertNotIn("secret", said)

    @settings(deadline=None, max_examples=200)
    @given(
        scheme=st.sampled_from(sorted(PROXY_SCHEMES)),
        host=st.sampled_from(("p", "p.example", "192.0.2.7", "2001:db8::7")),
        port=st.integers(1, 65535),
        user=PRINTABLE,
        password=PRINTABLE,
    )
    def test_any_user_and_password_survive_both_levels(
        self, scheme: str, host: str, port: int, user: str, password: str
    ) -> None:
        """A proxy that is written into a URL and read again is the same."""
        if not PROXY_SCHEMES[scheme].is_socks:
            user = user.replace(":", "") or "u"
        proxy = ProxyURL(scheme, host, port, Credentials(user, password))
        self.assertEqual(parse_proxy(str(proxy)), proxy)
        url = TransportURL("tls", "h", 443, options=(("proxy", f"{proxy},{proxy}"),))
        again = TransportURL.parse(str(url))
        self.assertEqual(again, url)
        self.assertEqual(parse_proxies(again.options[0][1]), (proxy, proxy))

    @settings(deadline=None, max_examples=300)
    @given(st.one_of(PRINTABLE, st.text(alphabet="htps5:/@,%?=&[].u1 ", max_size=30)))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        """No text breaks the parser, and what is read can be written and read again."""
        try:
            proxies = parse_proxies(text)
        except ValueError:
            self.assertEqual(redacted_proxies(text), "***")
            return
        if not isinstance(proxies, str):
            self.assertEqual(parse_proxies(",".join(map(str, proxies))), proxies)


class SecretTests(OptionsTestCase):
    """Passwords are given back by `str`, and hidden everywhere else."""

    def test_only_str_shows_a_password(self) -> None:
        """A representation has ``user:***``, and the canonical URL has all."""
        proxies = f"{TOR},https://u:hunter2@p:443?passphrase=hunter3&local_cert=a"
        url = TransportURL.parse(
            f"tls://h:443?timeout=1&proxy={proxies.replace('?', '%3F').replace('&', '%26')}"
        )
        for shown in (repr(url), url.redacted()):
            self.assertIn(
                "proxy=socks5h%3A//user%3A***@127.0.0.1%3A9050,https%3A//u%3A***@p%3A443", shown
            )
            for secret in ("pw", "hunter2", "hunter3"):
                self.assertNotIn(secret, shown)
        self.assertEqual(TransportURL.parse(str(url)), url)
        for each in (url.options, str(url)):
            self.assertIn("hunter3", str(each))

    def test_values_hide_it_as_well(self) -> None:
        """Settings, proxies and users show no password when they are logged."""
        proxy = parse_proxy("https://u:hunter2@p:443?passphrase=hunter3&local_cert=a")
        resolved = resolve_url("tls://h:1", proxy=[proxy])
        for value in (proxy, proxy.credentials, resolved, resolved.proxying):
            self.assertNotIn("hunter", repr(value))
        self.assertEqual(repr(proxy), "<ProxyURL https://u:***@p:443>")
        # A user without a password may be a token.
        self.assertEqual(repr(parse_proxy("http://token@p:1")), "<ProxyURL http://***@p:1>")

    def test_no_message_shows_a_password(self) -> None:
        """Neither a value that is wrong, nor another option that was meant for a proxy."""
        for keywords in (
            {"proxy": "http://u:hunter2@p"}, {"proxy": ["http://u:hunter2@p:1", 3]},
            {"bindto": "http://u:hunter2@p:1"}, {"prxy": "http://u:hunter2@p:1"},
            {"proxy": "https://u:hunter2@p:1?nothing=hunter2"},
            {"proxy": "https://p:1?timeout=hunter2"},
        ):  # fmt: skip
            error = self.assertRaises(InvalidOption, resolve_url, "tls://h:1", **keywords)
            self.assertNotIn("hunter2", str(error))

    def test_a_raw_separator_within_a_password_reveals_nothing(self) -> None:
        """A ``&`` that is not escaped cuts the value; neither part is shown."""
        for text in ("proxy=http://u:p:1&hunter2@p:1", "proxy=env&hunter2=x"):
            error: Any = self.assertRaises(ValueError, TransportURL.parse, f"tls://h:1?{text}")
            self.assertNotIn("hunter2", str(error))


class RuleTests(OptionsTestCase):
    """What proxies cannot be combined with."""

    def test_a_local_socket_is_behind_no_proxy(self) -> None:
        """``unix`` takes no proxy; with ``env`` it has none, as a program may say for all."""
        for scheme in ("unix", "tls+unix"):
            self.refused("proxy", "behind no proxy", f"{scheme}:///x", proxy="http://p:1")
            self.assertEqual(resolve_url(f"{scheme}:///x", proxy="env").proxying.proxy, "env")

    def test_options_of_a_proxy_are_those_of_tls(self) -> None:
        """An option that is unknown, wrong or not one of TLS is an error of ``proxy``."""
        for query, reason in (
            ("foo=1", "there is no option 'foo'"), ("timeout=1", "not an option of TLS itself"),
            ("verify_depth=x", "whole number"), ("local_pk=a", "needs local_cert"),
            ("starttls=smtp", "not an option of TLS itself"),
            ("proxy=http%253A//q%253A1", "not an option of TLS itself"),
        ):  # fmt: skip
            url = f"tls://h:1?proxy=https://p:1%3F{query}"
            self.refused("proxy", reason, url)
            self.refused("proxy", "the proxy https://p:1", url)

    def test_a_stranger_s_url_carries_no_proxy(self) -> None:
        """Who chooses the proxy sees where the connection goes, and may send it elsewhere."""
        for value in ("env", "http://p:1"):
            error = self.assertRaises(
                InvalidOption, TransportURL.parse, f"tls://h:1?proxy={value}", trusted=False
            )
            self.assertIn("may not carry proxy", str(error))
