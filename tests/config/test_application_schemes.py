"""URLs of applications, typed in place of ours: which URL of ours the error names."""

# Some tests hold letters of other alphabets that look like ASCII.
# ruff: noqa: RUF001

from __future__ import annotations

import re
import traceback
from typing import Final

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.application_schemes import APPLICATION_SCHEMES, TLSUse
from txtransport.config.schemes import SCHEMES
from txtransport.config.settings import resolve_options
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidTransport, TransportError
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS

SECRET: Final = "Hunter2XYZ"
MARK: Final = "\ue000"
URL: Final = re.compile(r"(?:tls|tcp)://[^\s;,]+").findall
SAFE: Final = re.compile(
    r"(?:tls|tcp)://(?:[A-Za-z0-9._-]+|\[[0-9a-f:]+(?:%25[A-Za-z0-9._~-]+)?\]):[0-9]{1,5}"
    r"(?:\?starttls=[a-z0-9]+)?"
).fullmatch

HOSTS: Final = st.sampled_from(["example.com", "h", "192.0.2.7", "[2001:db8::1]", "bücher.example"])
SCHEME_NAMES: Final = st.sampled_from(list(APPLICATION_SCHEMES))
STRAY: Final = st.text(
    st.one_of(st.sampled_from("/?#@:[]%&=\\ \t\n\0;<>\"'`$(){}|\u202e。１"), st.characters()),
    max_size=3,
)


class ApplicationURLTestCase(SynchronousTestCase):
    """Assertions that the tests of this file share."""

    def refusal(self, text: str, port: int | None = None) -> str:
        """Why a text is refused."""
        return str(self.assertRaises(InvalidTransport, TransportURL.parse, text, port))

    def names(self, rows: dict[str, str]) -> None:
        """Assert that the error about each key names the URLs in its value, and no others."""
        for text, urls in rows.items():
            self.assertEqual(" ".join(URL(self.refusal(text))), urls, text)


class SuggestionTests(ApplicationURLTestCase):
    """The URL that the error names."""

    def test_what_is_typed_in_place_of_our_urls(self) -> None:
        """The URL of an application is answered with the transport's, its port the usual one."""
        self.names(
            {
                "https://example.com": "tls://example.com:443",
                "smtps://mail.example.com": "tls://mail.example.com:465",
                "imaps://mail.example.com": "tls://mail.example.com:993",
                "pop3s://mail.example.com": "tls://mail.example.com:995",
                "ldaps://ldap.example.com": "tls://ldap.example.com:636",
                "wss://example.com": "tls://example.com:443",
                "postgres://db.example.com": "tls://db.example.com:5432?starttls=postgres",
                "mysql://db.example.com": "tls://db.example.com:3306?starttls=mysql",
                "rediss://cache.example.com": "tls://cache.example.com:6379",
                "amqps://queue.example.com": "tls://queue.example.com:5671",
            }
        )

    def test_host_and_port_are_those_that_stood_there(self) -> None:
        """The host in its canonical form, and the port if there is one."""
        self.names(
            {
                "HTTPS://User:pw@WWW.Example.COM:8443/a?b#c": "tls://www.example.com:8443",
                "https://[2001:DB8::1]/": "tls://[2001:db8::1]:443",
                "https://[fe80::1%eth0]:1/": "tls://[fe80::1%25eth0]:1",
                "https://bücher.example": "tls://xn--bcher-kva.example:443",
                "https://example.com:/": "tls://example.com:443",
                "https:/example.com/a": "tls://example.com:443",
                " <https://example.com>": "tls://HOST:443",
                "<https://example.com/>": "tls://example.com:443",
                "url=https://example.com/": "tls://example.com:443",
                "postgresql+psycopg2_x://u:p@db/name": "tls://db:5432?starttls=postgres",
                "rediss://:p@ss@h:6380/0": "tls://h:6380",
            }
        )
        self.assertEqual(URL(self.refusal("https://h/x", 8443)), ["tls://h:8443"])
        self.assertEqual(URL(self.refusal("https://h:1/x", 8443)), ["tls://h:1"])

    def test_what_is_plain_text_is_named_as_such(self) -> None:
        """For a scheme without TLS the URL with TLS comes first, and plain text is called that."""
        self.names(
            {
                "http://example.com/": "tls://example.com:443 tcp://example.com:80",
                "http://example.com:8080/": "tls://example.com:8080 tcp://example.com:8080",
                "redis://h": "tls://h:6379 tcp://h:6379",
                "amqp://h": "tls://h:5671 tcp://h:5672",
                "mqtt://h": "tls://h:8883 tcp://h:1883",
            }
        )
        for row in APPLICATION_SCHEMES.values():
            said = self.refusal(f"{row.name}://h")
            is_plain = row.tls is TLSUse.NONE
            self.assertEqual(is_plain, "plain text, which others can read and change" in said)
            self.assertEqual(is_plain or row.tls is TLSUse.OWN, "tcp://" in said)

    def test_a_host_in_doubt_is_not_shown(self) -> None:
        """Where two programs would take two parts for the host, the URL has HOST."""
        for rest in (
            "user:pw", "user:8080/pw@host/", "/host", "", "a b/", "ex%61mple.com", "h:0", "h:65536",
            "a\\@b", "h1,h2/db", "１.1.1.1", "[::1", "[127.0.0.1]", "h/@user", "h?x=a@b", "*",
        ):  # fmt: skip
            said = self.refusal(f"https://{rest}")
            self.assertIn("https://…: ", said)
            self.assertEqual(URL(said), ["tls://HOST:443"], rest)
        self.names({"mongodb+srv://u:p@cluster.example.net/": "tls://HOST:27017"})

    def test_what_is_no_url_of_an_application_is_left_to_the_parser(self) -> None:
        """A scheme inside an option, and an unknown one, have the parser's own errors."""
        for text in ("h?x=https://y", "gopher://h", "C:/site.pem", "tls:/h/https://x"):
            error = self.assertRaises(TransportError, TransportURL.parse, text)
            self.assertNotIn("this is a URL of", str(error))
        self.assertEqual(TransportURL.parse("tls://h:1?peer_name=https://x").port, 1)
        self.assertIn("no transport 'https+x'", self.refusal("https+x://h"))


class TableTests(ApplicationURLTestCase):
    """The table as a whole."""

    def test_no_scheme_is_ours(self) -> None:
        """No row hides a scheme of ours."""
        self.assertFalse(APPLICATION_SCHEMES.keys() & SCHEMES.keys())

    def test_each_row_is_whole(self) -> None:
        """STARTTLS where a row says so, with a protocol that there is, and a sibling with TLS."""
        for row in APPLICATION_SCHEMES.values():
            self.assertEqual(row.tls is TLSUse.STARTTLS, row.starttls in STARTTLS_PROTOCOLS)
            if row.tls_scheme:
                other = APPLICATION_SCHEMES[row.tls_scheme]
                self.assertIs(other.tls, TLSUse.FROM_THE_START)

    def test_a_protocol_with_starttls_is_never_in_the_clear(self) -> None:
        """Where there is a dialogue for a scheme's name, the URL has it, and TLS."""
        for name in STARTTLS_PROTOCOLS.keys() & APPLICATION_SCHEMES.keys() - {"amqp", "telnet"}:
            self.assertEqual(APPLICATION_SCHEMES[name].starttls, name)

    def test_the_ports_are_those_of_the_dialogues(self) -> None:
        """A scheme with STARTTLS has the usual port of its dialogue; smtp, that of servers."""
        for row in APPLICATION_SCHEMES.values():
            if row.starttls and row.name != "smtp":
                self.assertEqual(row.port, STARTTLS_PROTOCOLS[row.starttls].port, row.name)


class SafetyTests(ApplicationURLTestCase):
    """What the error shows of a text that may hold secrets."""

    @given(SCHEME_NAMES, HOSTS, st.one_of(st.none(), st.integers(1, 65535)))
    def test_each_url_can_be_used_as_it_is(self, name: str, host: str, port: int | None) -> None:
        """What the error suggests is a URL of ours, in canonical form and safe to copy."""
        written = host if port is None else f"{host}:{port}"
        urls = URL(self.refusal(f"{name}://{written}"))
        self.assertTrue(urls)
        for text in urls:
            url = TransportURL.parse(text)
            self.assertIsNotNone(SAFE(text), text)
            resolve_options(SCHEMES[url.scheme], url.options, {}, "client")
            if "HOST" not in text:
                self.assertEqual(str(url), text)
                self.assertEqual(url.host, TransportURL.parse(written).host)
            if port is not None and "HOST" not in text:
                self.assertEqual(url.port, port)

    @settings(max_examples=500, deadline=None)
    @given(
        SCHEME_NAMES,
        HOSTS,
        st.sampled_from(
            ("{s}@{h}", "u:{s}@{h}", "{s}:p@{h}", "{h}/{s}", "{h}:1/a/{s}", "{h}?{s}", "{h}?t={s}",
             "{h}/a?x={s}&y", "{h}#{s}", "{h}/a#{s}", "u:{s}@{h}/{s}?{s}#{s}", "u:a@{s}@{h}",
             "u:a/{s}@{h}", "u:a?{s}@{h}", "u:a#{s}@{h}", "u:80/{s}@{h}", "u:a\\{s}@{h}")
        ),
        STRAY, STRAY, st.data(),
    )  # fmt: skip
    @example("https", "h", "u:{s}@{h}", "", "", None)
    def test_no_secret_is_shown(
        self, name: str, host: str, form: str, before: str, stray: str, data: st.DataObject | None
    ) -> None:
        """User, password, path, query and fragment are in no message, however broken the text."""
        rest = form.format(s=MARK, h=host)
        if data is not None:
            place = data.draw(st.integers(0, len(rest)))
            rest = rest[:place] + stray + rest[place:]
        # A stray sign in front makes a host of the secret, as any program would read it.
        authority = re.split(r"[/?#]", rest)[0]
        assume(MARK not in authority.rpartition("@")[2])
        text = f"{before}{name}://{rest.replace(MARK, SECRET)}"
        self.assert_hidden(text)

    def assert_hidden(self, text: str) -> None:
        """Assert that nothing of an error shows the secret."""
        error = self.assertRaises(TransportError, TransportURL.parse, text)
        shown = [str(error), repr(error), repr(error.args), repr(vars(error))]
        shown.append(repr(error.__context__))
        shown.append("".join(traceback.format_exception_only(error)))
        for each in shown:
            self.assertNotIn(SECRET.lower(), each.lower(), text)

    def test_an_unknown_scheme_shows_no_path_either(self) -> None:
        """A path may be a secret, whatever the scheme is."""
        for text in (
            "gopher://u:p@h/Hunter2XYZ", "httpx://h/a/Hunter2XYZ?x=Hunter2XYZ", "tsl://h#Hunter2XYZ",
            "gopher://u:Hunter2XYZ@h/a", "httpz://u:/Hunter2XYZ@h/a", "tsl://h?Hunter2XYZ",
            "gopher://h/@Hunter2XYZ", "gopher://u:p@h/@Hunter2XYZ",
        ):  # fmt: skip
            self.assert_hidden(text)
        self.assertIn("'gopher://***@h…': there is no", self.refusal("gopher://u:p@h/x"))
