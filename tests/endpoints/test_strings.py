"""Twisted's endpoint strings: any URL is read whole, or is refused."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any, Final, cast

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.internet import endpoints as twisted_endpoints
from twisted.internet.endpoints import clientFromString, quoteStringArgument, serverFromString
from twisted.internet.interfaces import (
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
)
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, NegotiatingRecorders, Recorders
from txtransport.config.address import canonical_address
from txtransport.config.url import TransportURL
from txtransport.endpoints import api as endpoints
from txtransport.endpoints import strings
from txtransport.errors import (
    HandshakeFailed,
    InvalidOption,
    InvalidTransport,
    TransportError,
    TransportUnavailable,
)

FROM_STRING: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "client": clientFromString,
    "server": serverFromString,
}
FORMS: Final[dict[str, Callable[[str], str]]] = {
    "raw": lambda url: f"transport:{url}",
    "quoted": lambda url: f"transport:{quoteStringArgument(url)}",
    "as url=": lambda url: f"transport:url={quoteStringArgument(url)}",
}
AT_LEISURE: Final = settings(deadline=None, max_examples=100)

# --- URLs of all kinds ---------------------------------------------------------------

LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
LABELS: Final = st.text(LETTERS + "0123456789-_", min_size=1, max_size=8).map(lambda x: f"x{x}y")
NAMES: Final = st.lists(LABELS, min_size=1, max_size=3).map(".".join)
SIXES: Final = st.ip_addresses(v=6).map(lambda address: canonical_address(str(address)))
HOSTS: Final = st.one_of(
    NAMES,
    st.ip_addresses(v=4).map(str),
    SIXES,
    st.builds("{}%{}".format, SIXES, st.sampled_from(["eth0", "lo", "3"])),
)


def has_no_secret(text: str) -> bool:
    """Whether a path or value is not refused for a passphrase that looks misplaced there."""
    return "passphrase=" not in text.lower()


# What must not be in a value is otherwise only what cannot be shown.
VALUES: Final = st.text(min_size=1, max_size=12).filter(str.isprintable).filter(has_no_secret)
NAMED: Final = st.sampled_from(["passphrase", "ciphers", "peer_name", "local_cert", "cafile"])
OPTIONS: Final = st.dictionaries(NAMED, VALUES, max_size=3).map(lambda given: tuple(given.items()))
PORTS: Final = st.one_of(st.none(), st.integers(1, 65535))
PATHS: Final = (
    st.text(LETTERS + "/:\\ =?&%é@", min_size=1, max_size=12)
    .map(lambda x: f"/{x}x")
    .filter(has_no_secret)
)

INTERNET: Final = st.builds(
    lambda scheme, host, port, options: TransportURL(scheme, host, port, options=options),
    st.sampled_from(["tls", "ssl", "tlsv1.2"]), HOSTS, PORTS, OPTIONS,
)  # fmt: skip
LOCAL: Final = st.builds(
    lambda path, options: TransportURL("tls+unix", path=path, options=options), PATHS, OPTIONS
)
TRANSPORTS: Final = st.one_of(INTERNET, LOCAL)
PIECES: Final = st.one_of(st.text(max_size=20), st.binary(max_size=20))


class StringsTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def understood(self, description: str | bytes, side: str = "client") -> TransportURL:
        """The URL that is read from an endpoint string."""
        taken: list[TransportURL] = []
        patch = self.patch(endpoints, side, lambda reactor, transport: taken.append(transport))
        try:
            FROM_STRING[side](MemoryReactorClock(), description)
        finally:
            patch.restore()
        return taken[0]

    def refusal(self, description: str | bytes, kind: Any = InvalidTransport) -> str:
        """Why an endpoint string is refused, the same for clients and servers."""
        messages = {
            str(self.assertRaises(kind, from_string, MemoryReactorClock(), description))
            for from_string in FROM_STRING.values()
        }
        self.assertEqual(len(messages), 1)
        return messages.pop()


class RoundTripTests(StringsTestCase):
    """A URL that is made into an endpoint string is read as the same URL."""

    @AT_LEISURE
    @given(TRANSPORTS, st.sampled_from(["client", "server"]))
    def test_a_quoted_url_comes_through_whole(self, url: TransportURL, side: str) -> None:
        """However odd a URL is, quoting it is enough; as text and as bytes."""
        for form in ("quoted", "as url="):
            description = FORMS[form](str(url))
            self.assertEqual(self.understood(description, side), url)
            self.assertEqual(self.understood(description.encode(), side), url)

    @AT_LEISURE
    @given(TRANSPORTS)
    def test_a_raw_url_comes_through_or_is_refused(self, url: TransportURL) -> None:
        """Unquoted it comes through as well, but for the one case that has two readings."""
        for description in (f"transport:{url}", f"transport:{url}".encode()):
            if ":" in url.host and url.port is None and url.options:
                self.assertIn("can be read in two ways", self.refusal(description))
            else:
                self.assertEqual(self.understood(description), url)

    @AT_LEISURE
    @given(INTERNET)
    def test_a_url_whose_scheme_is_a_prefix_is_an_endpoint_string(self, url: TransportURL) -> None:
        """Where Twisted leaves the scheme free, the URL is an endpoint string as it is."""
        if url.scheme == "tlsv1.2" and not (":" in url.host and url.options):
            self.assertEqual(self.understood(str(url)), url)

    @AT_LEISURE
    @given(TRANSPORTS)
    def test_endpoint_string_quotes_any_url(self, url: TransportURL) -> None:
        """``endpoint_string()`` gives the endpoint string of any URL."""
        self.assertEqual(self.understood(txtransport.endpoint_string(url)), url)
        self.assertEqual(self.understood(txtransport.endpoint_string(str(url))), url)

    @AT_LEISURE
    @given(st.lists(PIECES, max_size=4), st.dictionaries(st.text(max_size=8), PIECES, max_size=2))
    def test_any_parts_are_a_url_or_are_refused(
        self, args: list[Any], kwargs: dict[str, Any]
    ) -> None:
        """Whatever Twisted has split is a URL, or is refused with one of our errors."""
        for prefix in ("transport", "tlsv1.2"):
            with contextlib.suppress(InvalidTransport, InvalidOption):
                self.assertIsInstance(strings.url_from_parts(prefix, args, kwargs), TransportURL)


class ReadingTests(StringsTestCase):
    """Endpoint strings, one by one."""

    def test_usual_forms_are_read(self) -> None:
        """Forms that people use, and what Twisted makes of them."""
        tls = TransportURL("tls", "0.0.0.0", 8443, options=(("alpn_protocols", "h2"),))
        rows = {
            "transport:tls://0.0.0.0:8443?alpn_protocols=h2": tls,
            "TRANSPORT:tls://0.0.0.0:8443?alpn_protocols=h2": tls,
            "transport:url=tls\\://0.0.0.0\\:8443?alpn_protocols=h2": tls,
            "transport:tls\\://0.0.0.0\\:8443?alpn_protocols=h2": tls,
            "transport:h:80": TransportURL("tcp", "h", 80),
            "transport:tcp://[::1]:80": TransportURL("tcp", "::1", 80),
            "transport:tcp://[2001:db8::1%25eth0]:80": TransportURL("tcp", "2001:db8::1%eth0", 80),
            "transport:unix:///run/x": TransportURL("unix", path="/run/x"),
            "tlsv1.3://h:443": TransportURL("tlsv1.3", "h", 443),
            "TLSv1.0://h:443?timeout=1": TransportURL(
                "tlsv1.0", "h", 443, options=(("timeout", "1"),)
            ),
            "tlsv1.2://[::1]:443": TransportURL("tlsv1.2", "::1", 443),
        }
        for description, transport in rows.items():
            self.assertEqual(self.understood(description), transport)
            self.assertEqual(self.understood(description.encode()), transport)

    def test_a_value_may_contain_equals_signs(self) -> None:
        """A value may have more of them."""
        understood = self.understood("transport:tls://h:1?SNI_server_certs=a=b,c=d")
        self.assertEqual(understood.options, (("SNI_server_certs", "a=b,c=d"),))

    def test_a_raw_colon_in_a_value_is_never_part_of_the_address(self) -> None:
        """Such a colon is never taken for that of a port or of an IPv6 address."""
        for description in (
            "transport:tls://[::1]?bindto=1.2.3.4:5000",
            "transport:tls://[::1]:443?bindto=1.2.3.4:5000",
            "transport:tls://h?bindto=1.2.3.4:5000",
            "transport:tls://h:443?bindto=1.2.3.4:5000",
            "transport:h?bindto=1.2.3.4:80",
            "transport:unix:///run/x?timeout=1:2",
            "tlsv1.2://[::1]?bindto=1.2.3.4:5000",
            "tlsv1.2://h?bindto=1.2.3.4:5000",
            "transport:tls://h:443?local_cert=C:\\site.pem",
            "transport:tls://h?a=b:c=d",
            "transport:tls://h:443?peer_fingerprint=aa:bb",
        ):
            for given_ in (description, description.encode()):
                message = self.refusal(given_)
                self.assertIn("%3A or %5C", message)
                self.assertIn("txtransport.endpoint_string(url)", message)

    def test_a_backslash_must_be_quoted(self) -> None:
        """Twisted removes a raw backslash; %5C and quoting keep it."""
        rows = {
            "transport:tls://h:1?passphrase=a\\q": "aq",
            "transport:tls://h:1?passphrase=a%5Cq": "a\\q",
            "transport:tls://h:1?passphrase=a\\\\q": "a\\q",
            txtransport.endpoint_string("tls://h:1?passphrase=a\\q"): "a\\q",
        }
        for description, passphrase in rows.items():
            self.assertEqual(
                self.understood(description).options, (("passphrase", passphrase),), description
            )

    def test_what_twisted_refuses_is_no_endpoint(self) -> None:
        """White space around it, a backslash at its end, other alphabets: no endpoint at all."""
        for description in (
            " transport:tcp://h:1",
            "transport :tcp://h:1",
            "transport:tcp://h:1\\",
            "transport:tls://h?é=1",
        ):
            for from_string in FROM_STRING.values():
                self.assertRaises(
                    (ValueError, RuntimeError), from_string, MemoryReactorClock(), description
                )

    def test_options_called_like_arguments_are_refused(self) -> None:
        """``reactor``, ``self`` and the like are no options, and nothing worse."""
        for name in ("reactor", "self", "prefix", "args", "kwargs", "cls"):
            self.assertIn("there is no option", self.refusal(
                f"transport:tcp://h:1?{name}=1", InvalidOption))  # fmt: skip
            self.refusal(f"transport:{name}=1")
            self.refusal(f"tlsv1.2:{name}=1")
            self.refusal(f"transport:tcp://h:1:{name}=1")

    def test_a_prefix_alone_is_refused(self) -> None:
        """A prefix alone is no URL."""
        for description in ("transport", "transport:", "transport:url=", "tlsv1.2:", "tlsv1.2://"):
            self.refusal(description)

    def test_bytes_that_are_not_utf_8_are_refused(self) -> None:
        """Bytes are UTF-8; others are refused, and not shown."""
        for description in (b"transport:h:1\xff", b"transport:tls://h:1?passphrase=\xff"):
            self.assertEqual(self.refusal(description), "the endpoint string is not UTF-8")

    def test_no_message_shows_a_passphrase(self) -> None:
        """Whatever is wrong with a string, its secrets are not in the message."""
        for description in (
            "transport:tls://h:1?passphrase=hunter2:hunter2=hunter2",
            "transport:tls://[::1]?passphrase=hunter2",
            "transport:tls://user:hunter2@h?timeout=1:a=b",
            "transport:tls://user:hunter2@h:1?timeout=1",
            "transport:tls://h?passphrase=hunter2:1",
            "transport:tls://h:1?passphrase=swordfish:hunter2",
            "transport:tls://h:1?cafile=x&passphrase=:hunter2",
            "tlsv1.2://[::1]?passphrase=hunter2",
        ):
            for given_ in (description, description.encode()):
                self.assertNotIn("hunter2", self.refusal(given_))


class ApplicationURLTests(StringsTestCase):
    """URLs of applications in endpoint strings, however Twisted splits them."""

    def test_the_url_to_write_is_named(self) -> None:
        """``transport:https://…`` is answered with the transport's URL."""
        for description, url in {
            "transport:https://u:hunter2@example.com:8443/hunter2": "tls://example.com:8443",
            "transport:https://example.com/?token=hunter2": "tls://example.com:443",
            "transport:https://example.com/a?b=c&token=hunter2=": "tls://example.com:443",
            "transport:url=https://u:hunter2@example.com/": "tls://example.com:443",
            "transport:url=https\\://u\\:hunter2@example.com/": "tls://example.com:443",
            "TRANSPORT:smtp://mail.example.com": "tls://mail.example.com:25?starttls=smtp",
        }.items():
            for each in (description, description.encode()):
                said = self.refusal(each)
                self.assertIn(f"write {url}", said)
                self.assertNotIn("hunter2", said)
                self.assertNotIn("endpoint_string", said)

    def test_no_host_is_shown_where_the_order_is_lost(self) -> None:
        """Parts with a ``=`` come apart from the others, and may be of a password."""
        for description in (
            "transport:https://us=er:hunter2@h:1/hunter2",
            "transport:https://u:hunter2=b@h:8443/hunter2",
            "transport:https://hunter2=a:b:c@h",
            "transport:https://a=b:hunter2@h:c=hunter2:d/hunter2",
            # Of two parts of one name Twisted keeps the last: the @ is in the other.
            "transport:https://hunter2:a=p@h:a=/1",
            "transport:https://a\\hunter2:=:=p@h:=:/1",
        ):
            said = self.refusal(description)
            self.assertIn("write tls://HOST:443", said)
            self.assertNotIn("hunter2", said)

    @AT_LEISURE
    @given(
        st.sampled_from(["u:{}@h", "{}:p@h:1", "h/{}", "h:1/a/{}", "h?a={}", "h#{}", "h?a=b&c={}"]),
        st.lists(st.tuples(st.integers(0, 20), st.sampled_from([":", "=", "/", "\\", "a"]))),
    )
    def test_no_secret_of_an_application_s_url_is_shown(
        self, form: str, strays: list[tuple[int, str]]
    ) -> None:
        """However Twisted splits the string, no secret is in the message."""
        mark = "\ue000"
        text = form.format(mark)
        for place, sign in strays:
            text = text[:place] + sign + text[place:]
        authority = re.split(r"[/?#]", text)[0]
        assume(mark not in authority.rpartition("@")[2])
        # Twisted itself fails on a backslash at the end.
        description = f"transport:https://{text}".rstrip("\\").replace(mark, "hunter2")
        self.assertNotIn("hunter2", self.refusal(description, TransportError))


class PrefixTests(StringsTestCase):
    """The prefixes that only explain, and those that do."""

    def test_an_unavailable_scheme_is_refused_with_the_reason(self) -> None:
        """SSL 2.0 and 3.0 are refused with the reason and the OpenSSL that is linked."""
        for prefix, rfc in (("sslv2", "RFC 6176"), ("sslv3", "RFC 7568")):
            for description in (f"{prefix}://h:443", f"transport:{prefix}://h:443"):
                message = self.refusal(description, TransportUnavailable)
                self.assertIn(rfc, message)
                self.assertIn("linked here: OpenSSL", message)

    def test_udp_is_refused_for_streams(self) -> None:
        """An endpoint string is for streams; for UDP there is something else."""
        for description in ("udp://h:53", "transport:udp://h:53"):
            self.assertIn("use txtransport.datagram(…)", self.refusal(description))

    def test_each_available_prefix_makes_endpoints(self) -> None:
        """For clients and for servers, every prefix that can be had works."""
        cert = f"local_cert={certificates.site()}"
        for prefix in ("transport:tls", "tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3"):
            client = clientFromString(MemoryReactorClock(), f"{prefix}://h:443")
            server = serverFromString(MemoryReactorClock(), f"{prefix}://h:443?{cert}")
            self.assertTrue(IStreamClientEndpoint.providedBy(client))
            self.assertTrue(IStreamServerEndpoint.providedBy(server))

    def test_twisted_s_own_prefixes_stay_twisted_s(self) -> None:
        """``tcp:h:80`` is what it always was."""
        endpoint = clientFromString(MemoryReactorClock(), "tcp:h:80")
        self.assertNotIn("txtransport", type(endpoint).__module__)

    @AT_LEISURE
    @given(TRANSPORTS)
    def test_a_nested_string_comes_through_another_parser(self, url: TransportURL) -> None:
        """nested=True is one part of another string, by position and behind a name."""
        nested = txtransport.endpoint_string(url, nested=True)
        found: list[object] = []

        @implementer(IPlugin, IStreamClientEndpointStringParserWithReactor)
        class Wrapping:
            prefix = "wrapping"

            def parseStreamClient(self, reactor: object, *args: Any, **kwargs: Any) -> Any:
                found.append((args, kwargs))

        self.patch(twisted_endpoints, "getPlugins", lambda interface: [Wrapping()])
        clientFromString(cast(Any, None), f"wrapping:{nested}:x=1")
        clientFromString(cast(Any, None), f"wrapping:endpoint={nested}")
        plain = txtransport.endpoint_string(url)
        self.assertEqual(found, [((plain,), {"x": "1"}), ((), {"endpoint": plain})])

    def test_tls_of_twisted_takes_a_nested_string(self) -> None:
        """tls:host:port:endpoint=… of Twisted connects to our URL."""
        reactor = MemoryReactorClock()
        nested = txtransport.endpoint_string("tcp://192.0.2.7:1080?tcp_nodelay=yes", nested=True)
        clientFromString(reactor, f"tls:example.com:443:endpoint={nested}").connect(Recorders())
        self.assertEqual(reactor.tcpClients[0][:2], ("192.0.2.7", 1080))

    def test_endpoint_string_takes_urls_only(self) -> None:
        """What is no URL is not made into an endpoint string."""
        self.assertEqual(strings.endpoint_string("H:1"), "transport:tcp\\://h\\:1")
        self.assertRaises(InvalidTransport, strings.endpoint_string, "http://h")
        self.assertRaises(InvalidOption, strings.endpoint_string, "tcp://h?verify_peer=no")


class ConversationTests(LoopbackTestCase):
    """From a string on both sides to a connection."""

    async def test_client_and_server_from_strings_connect(self) -> None:
        """A client from a string connects to a server from a string; with a prefix as well."""
        for listening, calling in (
            ("transport:tcp://127.0.0.1:0", "transport:tcp://127.0.0.1:{}"),
            (f"tlsv1.3://127.0.0.1:0?local_cert={certificates.site()}",
             f"tlsv1.3://127.0.0.1:{{}}?cafile={certificates.cafile()}"),
            ("haproxy:transport:tcp://127.0.0.1:0?backlog=7", "transport:tcp://127.0.0.1:{}"),
        ):  # fmt: skip
            factory = Recorders()
            arriving = factory.next()
            port: Any = await serverFromString(self.reactor, listening).listen(factory)
            description = calling.format(self.adopt(port))
            client: Any = await clientFromString(self.reactor, description).connect(Recorders())
            self.addCleanup(self.end, client)
            if listening.startswith("haproxy"):
                client.say(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
            client.say(b"hello")
            await (await arriving).heard(b"hello")


class ApplicationProtocolTests(LoopbackTestCase):
    """The application protocols (ALPN) of a factory, where the URL names none."""

    async def chosen(self, listening: str, calling: str, servers: Any, clients: Any) -> str | None:
        """The application protocol that both sides agree on, with these options and factories."""
        server = f"transport:tls://127.0.0.1:0?local_cert={certificates.site()}{listening}"
        arriving = servers.next()
        port: Any = await serverFromString(self.reactor, server).listen(servers)
        client = f"transport:tls://127.0.0.1:{self.adopt(port)}?cafile={certificates.cafile()}"
        one: Any = await clientFromString(self.reactor, client + calling).connect(clients)
        self.addCleanup(self.end, one)
        ends = (one, await arriving)
        sessions: list[Any] = [txtransport.session_of(end.transport) for end in ends]
        self.assertEqual(sessions[0].alpn_protocol, sessions[1].alpn_protocol)
        return cast("str | None", sessions[0].alpn_protocol)

    async def test_a_web_server_s_factory_says_that_it_speaks_http_2(self) -> None:
        """A server speaks HTTP/2 if its factory does, as `twisted web` with h2 installed."""
        offered = "&alpn_protocols=http/1.1,h2"
        name = await self.chosen("", offered, NegotiatingRecorders(), Recorders())
        self.assertEqual(name, "h2")

    async def test_a_client_offers_what_its_factory_speaks(self) -> None:
        """A client offers the protocols of its factory, and the server chooses."""
        accepted = "&alpn_protocols=http/1.1"
        name = await self.chosen(accepted, "", Recorders(), NegotiatingRecorders())
        self.assertEqual(name, "http/1.1")
        name = await self.chosen("", "", NegotiatingRecorders(), NegotiatingRecorders())
        self.assertEqual(name, "h2")

    async def test_the_url_is_stronger_than_the_factory(self) -> None:
        """With alpn_protocols the factory is not asked, on either side."""
        only = "&alpn_protocols=http/1.1"
        for listening, calling in ((only, ""), ("", only)):
            servers, clients = NegotiatingRecorders(), NegotiatingRecorders()
            name = await self.chosen(listening, calling, servers, clients)
            self.assertEqual(name, "http/1.1")

    async def test_other_protocols_than_the_factory_s_are_refused(self) -> None:
        """A client that offers only others than the factory speaks is refused (RFC 7301)."""
        for listening, is_refused in (("", True), ("&alpn_mismatch=ignore", False)):
            connecting = self.chosen(
                listening, "&alpn_protocols=imap", NegotiatingRecorders(), Recorders()
            )
            if is_refused:
                with self.assertRaises(HandshakeFailed) as refusal:
                    await connecting
                self.assertEqual(refusal.exception.cause, "no-common-protocol")
            else:
                self.assertIsNone(await connecting)

    async def test_a_factory_that_fails_to_answer_fails_the_attempt(self) -> None:
        """An exception of the factory's is the attempt's failure; nothing is connected."""
        clients = NegotiatingRecorders()
        self.patch(clients, "acceptableProtocols", lambda: 1 // 0)
        with self.assertRaises(ZeroDivisionError):
            await self.chosen("", "", Recorders(), clients)
        self.assertEqual(clients.built, 0)
