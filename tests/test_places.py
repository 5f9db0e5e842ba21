"""One form of place: every message begins with ``scheme://host:port: ``.

What is said of an endpoint begins with its URL, so that a log can be searched for it. A
text that is no URL stands there in quotes; a message without either has no text to show.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.protocols.basic import LineReceiver
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Only, Recorders
from tests.vocabulary import place_in
from txtransport.config.options import OPTIONS
from txtransport.config.schemes import SCHEMES, Kind
from txtransport.errors import TransportError

# scheme://, then host and port, or a path, or an abstract name; perhaps the protocol that
# leads to TLS. The host of an application's URL may be in doubt (…).
PLACE: Final = re.compile(
    r"[a-z][a-z0-9.+]*://"
    r"(?:(?:[a-z0-9_.*-]+|\[[0-9a-f:]+(?:%25[\w.~-]+)?\])(?::[0-9]+)?|/[^ ]*|@[^ ]*|…)"
    r"(?:\?starttls=[a-z0-9-]+)?: \S"
)
QUOTED: Final = re.compile(r"(?:'[^']*'|\"[^\"]*\"): \S")

SIDES: Final[dict[str, Callable[..., object]]] = {
    "client": txtransport.client,
    "server": txtransport.server,
    "datagram": txtransport.datagram,
}


class PlaceTestCase(SynchronousTestCase):
    """Assertions that the tests of this file share."""

    def message(self, make: Callable[..., object], *arguments: Any, **keywords: Any) -> str:
        """The text of the error that a call raises."""
        return str(self.assertRaises(TransportError, make, *arguments, **keywords))

    def at(self, place: str, make: Callable[..., object], *arguments: Any, **keywords: Any) -> None:
        """Assert that the error of a call begins with the place, once, in its form."""
        said = self.message(make, *arguments, **keywords)
        self.assertIsNotNone(PLACE.match(said), said)
        self.assertTrue(said.startswith(f"{place}: "), said)
        self.assertNotIn(f"{place}: {place}", said)


class ConfigurationTests(PlaceTestCase):
    """What is wrong with a URL, an option or a file, before anything is opened."""

    def test_every_option_that_is_wrong_is_placed(self) -> None:
        """Of every option: a wrong value, an option that the side or the scheme has not."""
        reactor = MemoryReactorClock()
        for scheme in SCHEMES.values():
            if scheme.refusal is not None:
                continue
            place = f"{scheme.name}://{place_in(scheme, '192.0.2.7:1')}"
            sides = ("datagram",) if scheme.kind is Kind.DATAGRAM else ("client", "server")
            for name in (*OPTIONS, "foo", "crypto_method"):
                for side in sides:
                    self.at(place, SIDES[side], reactor, f"{place}?{name}=/no/%E2%82%AC,")
                    self.at(place, SIDES[side], reactor, place, **{name: object()})

    def test_contradictions_are_placed(self) -> None:
        """Options that need or contradict others, and values that differ."""
        reactor, place = MemoryReactorClock(), "tls://h:443"
        site = f"local_cert={certificates.site()}"
        for query, keywords in (
            ("local_pk=x", {}), ("verify_peer=optional", {}), ("mode=0600", {}),
            ("min_version=1.3&max_version=1.2", {}),
            ("verify_depth=1", {"verify_depth": 2}), ("timeout=1&timeout=2", {}), ("timeout", {}),
            ("passphrase=a&b", {}), ("timeout=1?a=2", {}), ("peer_name=%zz", {}),
            ("peer_name=%FF", {}), ("starttls=xmpp-server", {}), ("crl=/no", {}),
            ("", {"allow_hosts": 3}), ("", {"allow_hosts": ["*"]}), ("", {"public_only": 3}),
            ("", {"allow_hosts": ["g"]}), ("proxy_from=x", {}), ("cafile=/no", {}),
            ("ciphers=foo", {}), ("", {"peer_name": "a b"}),
            ("proxy=http://p", {}), ("", {"proxy": "https://p:1?cafile=/no"}),
            ("", {"proxy": "https://p:1?foo=1"}), ("proxy=http://p:1,http://[fe80::1%2525e]:1", {}),
        ):  # fmt: skip
            url = f"{place}?{query}" if query else place
            self.at(place, txtransport.client, reactor, url, **keywords)
        self.at(
            "tls://192.0.2.7:1", txtransport.client, reactor, "tls://192.0.2.7:1?bindto=[::1]:0"
        )
        for query in (
            "", "verify_peer=yes&cafile=/no", f"{site}&cafile=/no", "local_cert=/no",
            f"{site}&timeout=3", f"{site}&starttls=rdp", f"{site}&peer_name=x",
        ):  # fmt: skip
            self.at(place, txtransport.server, reactor, f"{place}?{query}" if query else place)
        for name in ("user", "group"):
            self.at("unix:///x", txtransport.server, reactor, "unix:///x", **{name: "no such name"})

    def test_urls_that_cannot_be_used_are_placed(self) -> None:
        """A missing port, another one beside the URL, a scheme of another kind, no such scheme."""
        reactor = MemoryReactorClock()
        client, server, datagram = SIDES.values()
        for make, url, port in (
            (client, "tls://h", None), (client, "tls://h:0", None), (client, "tls://*:443", None),
            (client, "tls://h:1", 2), (client, "tls://h", 70000), (client, "udp://h:1", None),
            (client, "sslv3://h:1", None), (server, "tcp://h", None), (server, "dtls://h:1", None),
            (datagram, "udp://h", None), (datagram, "tls://h:1", None), (client, "unix:///x", 1),
            (client, "tls://[fe80::1%25eth0]", None), (server, "udg:///x", None),
        ):  # fmt: skip
            self.at(url, make, reactor, url, port)
        self.at("tls://h", client, reactor, "tls://h?starttls=smtp")
        self.at("tls://h:1", client, reactor, txtransport.TransportURL.parse("tls://h:1"), 2)
        for url in ("https://h:1", "smtp://h", "https://…"):
            self.at(url, client, reactor, url)

    def test_urls_of_strangers_are_placed(self) -> None:
        """What a stranger's URL may not have."""
        for place, query in (
            ("tls://h:1", "cafile=x"), ("tls://h:1", "timeout=61"), ("unix:///x", ""),
            ("tlsv1.0://h:1", ""),
        ):  # fmt: skip
            url = f"{place}?{query}" if query else place
            self.at(place, txtransport.TransportURL.parse, url, trusted=False)

    def test_endpoint_strings_are_placed(self) -> None:
        """The same in Twisted's endpoint strings, with ``transport:`` and with a prefix."""
        reactor = MemoryReactorClock()
        for text, place in (
            ("tls://h:443?foo=1", "tls://h:443"), ("tls://h:443?timeout=x", "tls://h:443"),
            ("tls://h:443?local_cert=/no", "tls://h:443"), ("tls://h", "tls://h"),
            ("tls://h:443?local_pk=/no", "tls://h:443"), ("https://u:p@h/x", "https://h"),
        ):  # fmt: skip
            for from_string in (clientFromString, serverFromString):
                self.at(place, from_string, reactor, f"transport:{text}")
        self.at("tlsv1.2://h:1", clientFromString, reactor, "tlsv1.2://h:1?foo=1")
        self.at("sslv3://h:1", serverFromString, reactor, "sslv3://h:1")

    def test_what_is_no_url_stands_in_quotes(self) -> None:
        """A text that cannot be read is shown in quotes, in the place of the URL."""
        for text in (
            "tls://h:x", "tls://", "tsl://h:1", "t_ls://h", "tls://u:p@h", "h#", "tls://h:1/x",
            "a b", "[::1", "[h]:1", "unix://h", "unix:///x/", "tls:h:1", "::1:80", "tls://h:1&a=b",
            "tls://\uff11.1.1.1:1", "tls://[::1%25]:1", "tls+unix:///x&passphrase=y", "unix:///%zz",
        ):  # fmt: skip
            said = self.message(txtransport.TransportURL.parse, text)
            self.assertIsNotNone(QUOTED.match(said), said)
        for text in ("transport:x=1:y=2", "transport:tls://h:443?bindto=1:2:3"):
            said = self.message(clientFromString, MemoryReactorClock(), text)
            self.assertIsNotNone(QUOTED.match(said), said)


class Speaking(Protocol):
    """A peer in the clear that says the same whatever is asked."""

    words = b"220 mx ESMTP\r\n"
    answer = b"250 no TLS here\r\n"

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.words)

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.answer)


class Failing(Factory):
    """A factory of an application that refuses, or fails."""

    def __init__(self, failure: Exception | None) -> None:
        self._failure = failure

    def buildProtocol(self, addr: object) -> None:
        if self._failure is not None:
            raise self._failure


class Upgrading(txtransport.StartTLSMixin, LineReceiver):
    """An application's protocol that starts TLS in mid-conversation."""


class FailureTests(LoopbackTestCase):
    """What goes wrong with a connection, in errors and in the log."""

    def placed(self, said: str, place: str) -> None:
        """Assert that a message begins with the place, once, in its form."""
        self.assertIsNotNone(PLACE.match(said), said)
        self.assertTrue(said.startswith(f"{place}: "), f"{said!r} is not at {place}")
        self.assertNotIn(f"{place}: {place}", said)

    async def failed(self, doing: Any) -> str:
        """The text of the error with which a Deferred fails."""
        try:
            await doing
        except TransportError as error:
            return str(error)
        raise AssertionError("it did not fail")

    async def connecting(self, url: str, place: str = "", **options: Any) -> None:
        """Assert that connecting fails, and that the error and the log begin with the place."""
        overheard = self.overheard("txtransport.endpoints.client")
        endpoint: Any = txtransport.client(self.reactor, url, **options)
        self.placed(await self.failed(endpoint.connect(Recorders())), place or url)
        (event,) = overheard.events
        self.placed(formatEvent(event), place or url)
        globalLogPublisher.removeObserver(overheard)

    async def test_failures_of_the_network(self) -> None:
        """Refused, no such name, no such socket, no answer in time; of a server, a taken port."""
        self.resolving(**{"none.example": [], "slow.example": None})
        port = self.free_port()
        for scheme in ("tcp", "tls"):
            await self.connecting(f"{scheme}://127.0.0.1:{port}")
            await self.connecting(f"{scheme}://none.example:1")
            await self.connecting(f"{scheme}://slow.example:1", timeout=0.01)
        await self.connecting("unix:///run/no/such")
        await self.connecting("tls+unix:///run/no/such", peer_name="h")
        taken = await self.listening("tcp://127.0.0.1:0", Recorders())
        url = f"tcp://127.0.0.1:{taken}"
        server: Any = txtransport.server(self.reactor, url)
        self.placed(await self.failed(server.listen(Recorders())), url)
        server = txtransport.server(self.reactor, "unix:///run/no/such")
        self.placed(await self.failed(server.listen(Recorders())), "unix:///run/no/such")
        datagrams: Any = txtransport.datagram(self.reactor, "udp://none.example:1")
        self.placed(
            await self.failed(datagrams.connect(DatagramProtocol())), "udp://none.example:1"
        )

    async def test_failures_before_and_in_the_handshake(self) -> None:
        """Silence, plain text, TLS that is not offered, a certificate that is not trusted."""
        silent = await self.listening("tcp://127.0.0.1:0", Recorders())
        speaking = await self.listening("tcp://127.0.0.1:0", Factory.forProtocol(Speaking))
        site = certificates.site()
        secure = await self.listening("tls://127.0.0.1:0", Recorders(), local_cert=site)
        await self.connecting(f"tls://127.0.0.1:{silent}", timeout=0.01)
        await self.connecting(f"tls://127.0.0.1:{speaking}")
        await self.connecting(f"tls://127.0.0.1:{secure}")
        for port, timeout in ((silent, 0.01), (speaking, 30)):
            url = f"tls://127.0.0.1:{port}?starttls=smtp"
            await self.connecting(url, timeout=timeout)

    async def test_events_of_servers(self) -> None:
        """A log line about a client of a server begins with the server's URL, then the client."""
        site = certificates.site()
        for factory, scheme in (
            (Recorders(), "tcp"), (Failing(None), "tls"), (Failing(ZeroDivisionError()), "tls"),
        ):  # fmt: skip
            overheard = self.overheard()
            port = await self.listening("tls://127.0.0.1:0", factory, local_cert=site)
            trust = {"cafile": certificates.cafile()} if scheme == "tls" else {}
            client = await self.connected(f"{scheme}://127.0.0.1:{port}", **trust)
            client.say(b"GET / HTTP/1.1\r\n\r\n")
            await client.gone()
            (event,) = overheard.events
            self.placed(formatEvent(event), "tls://127.0.0.1:0")
            self.assertRegex(formatEvent(event), r"\Atls://127\.0\.0\.1:0: 127\.0\.0\.1:[0-9]+: ")
            globalLogPublisher.removeObserver(overheard)
            self.flushLoggedErrors(ZeroDivisionError)

    async def test_a_client_with_tls_at_a_port_in_the_clear(self) -> None:
        """Both sides are told by their logs, each with its own URL in front."""
        port = await self.listening("tcp://127.0.0.1:0", Recorders())
        overheard = self.overheard("txtransport.endpoints.server")
        endpoint: Any = txtransport.client(self.reactor, f"tls://127.0.0.1:{port}", timeout=0.05)
        await self.failed(endpoint.connect(Recorders()))
        (event,) = overheard.events
        self.placed(formatEvent(event), "tcp://127.0.0.1:0")

    async def test_upgrades_in_mid_conversation(self) -> None:
        """startTLS() that cannot start names the peer's address, and so does what fails later."""
        servers = Recorders()
        arriving = servers.next()
        port = await self.listening("tcp://127.0.0.1:0", servers)
        place = f"tcp://127.0.0.1:{port}"
        protocol = Upgrading()
        endpoint: Any = txtransport.client(self.reactor, place)
        await endpoint.connect(Only(protocol))
        for policy, timeout in (
            ({"foo": 1}, None), ({"cafile": "/no"}, None), ("h", "x"), ({"dh_param": "x"}, None),
            ({}, None), (txtransport.TLSPolicy(peer_name="h", local_pk="x"), None),
        ):  # fmt: skip
            error = self.assertRaises(TransportError, protocol.startTLS, policy, timeout=timeout)
            self.placed(str(error), place)
        starting = protocol.startTLS("h.example")
        again = self.assertRaises(TransportError, protocol.startTLS, "h.example")
        self.placed(str(again), place)
        (await arriving).say(b"no TLS here\r\n")
        self.placed(await self.failed(starting), f"{place}: STARTTLS with h.example")
        late = self.assertRaises(TransportError, protocol.startTLS, "h.example")
        self.placed(str(late), place)
