"""Pairs of our endpoints, and test cases of Twisted's own tests over them.

Twisted ships the tests that its transports and endpoints must pass, as mixins: what
comes of a write after the end, whom an abort tells and when, when a producer is paused.
Each mixin asks for a way to listen and a way to connect, which a `Pair` is. `make_test_cases`
makes one test case for each pair and for each reactor that this platform has.

Some of these tests cannot hold for some pairs. `SKIPS` has each, with the reason.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, cast
from urllib.parse import urlencode

from attrs import field, frozen
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.endpoints import clientFromString, serverFromString
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.test.connectionmixins import EndpointCreator, findFreePort
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates

HOST: Final = "127.0.0.1"

TIMEOUT: Final = 10
"""Seconds that a reactor may run in one test."""

_numbers: Final = itertools.count()


# --- pairs of endpoints --------------------------------------------------------------


@frozen
class Pair(EndpointCreator):
    """An endpoint that listens, and one that connects to it.

    Attributes:
        name: Its name in those of the test cases.
        scheme: The scheme of both URLs.
        options: Options of both URLs.
        client_options: Further options of the client's.
        client_host: What the client connects to.
        from_string: Whether they are made from Twisted's endpoint strings.
    """

    name: str
    scheme: str
    options: Mapping[str, str] = field(default=MappingProxyType({}), kw_only=True)
    client_options: Mapping[str, str] = field(default=MappingProxyType({}), kw_only=True)
    client_host: str = field(default=HOST, kw_only=True)
    from_string: bool = field(default=False, kw_only=True)

    @property
    def is_local(self) -> bool:
        """Whether its sockets are local ones."""
        return self.scheme.endswith("unix")

    @property
    def is_tls(self) -> bool:
        """Whether its connections are under TLS when the protocols hear of them."""
        return self.scheme.startswith("tls")

    def server(self, reactor: object, place: str = "", **options: str) -> IStreamServerEndpoint:
        """An endpoint that listens.

        Args:
            reactor: Listens.
            place: Where, as in a URL; by default at any port, or at a new path.
            **options: Further options of the URL.
        """
        if self.is_tls:
            options["local_cert"] = certificates.site()
        url = self._url(place or self._new_place(), self.options, options)
        if not self.from_string:
            return txtransport.server(reactor, url)
        string = txtransport.endpoint_string(url)
        return cast(IStreamServerEndpoint, serverFromString(reactor, string))

    def client(
        self, reactor: object, serverAddress: IAddress, **options: str
    ) -> IStreamClientEndpoint:
        """An endpoint that connects.

        Args:
            reactor: Connects.
            serverAddress: Where the server listens, as its port says.
            **options: Further options of the URL.
        """
        if self.is_tls:
            options["cafile"] = certificates.cafile()
        address: Any = serverAddress
        place = path_of(address) if self.is_local else f"{self.client_host}:{address.port}"
        url = self._url(place, self.options, self.client_options, options)
        if not self.from_string:
            return txtransport.client(reactor, url)
        string = txtransport.endpoint_string(url)
        return cast(IStreamClientEndpoint, clientFromString(reactor, string))

    def listen(self, reactor: object, factory: IProtocolFactory) -> IListeningPort:
        """Listen, which is done at once where there is no name to look up.

        Args:
            reactor: Listens.
            factory: Builds a protocol for each connection.

        Returns:
            The port.
        """
        ports: list[IListeningPort] = []
        self.server(reactor).listen(factory).addCallback(ports.append)
        return ports[0]

    def nowhere(self) -> IAddress:
        """An address at which nothing listens."""
        if self.is_local:
            return UNIXAddress(self._new_place())
        return IPv4Address("TCP", HOST, findFreePort(HOST)[1])

    def _new_place(self) -> str:
        # The path of a local socket must be short (unix(7)); trial's folders are too deep.
        return f"{certificates.folder()}/{next(_numbers)}" if self.is_local else f"{HOST}:0"

    def _url(self, place: str, *options: Mapping[str, str]) -> str:
        query = urlencode([pair for some in options for pair in some.items()])
        return f"{self.scheme}://{place}?{query}".rstrip("?")


def path_of(address: Any) -> str:
    """The path of a local socket, as in a URL.

    Args:
        address: Twisted's ``UNIXAddress``, whose name is text or bytes, and begins
            with NUL where there is no file (unix(7)).
    """
    name: str | bytes = address.name
    return (name if isinstance(name, str) else name.decode()).replace("\0", "@")


PAIRS: Final = (
    Pair("TCP", "tcp"),
    Pair("TLS", "tls"),
    # Without tickets: a port's number may come again, and in a resumed handshake of
    # TLS 1.2 the client is secure before its server, as in TLS 1.3.
    Pair("TLS12", "tlsv1.2", options={"no_ticket": "yes"}),
    Pair("StartTLS", "tls", options={"starttls": "postgres"}),
    Pair("Name", "tls", client_host="localhost"),
    Pair("UNIX", "unix"),
    Pair("TLSOverUNIX", "tls+unix", client_options={"peer_name": "localhost"}),
    Pair("TCPString", "tcp", from_string=True),
    Pair("TLSString", "tls", from_string=True),
)

ALL: Final = frozenset(pair.name for pair in PAIRS)
UNDER_TLS: Final = frozenset(pair.name for pair in PAIRS if pair.is_tls)
UNDER_TLS13: Final = UNDER_TLS - {"TLS12"}
LOCAL: Final = frozenset(pair.name for pair in PAIRS if pair.is_local)


# --- tests that cannot hold ----------------------------------------------------------


@frozen
class Skip:
    """Why a test of Twisted's is skipped.

    Attributes:
        reason: The reason.
        tests: The names of the tests.
        pairs: The names of the pairs for which they cannot hold.
        reactor: The end of the names of the reactors with which they cannot hold.
    """

    reason: str
    tests: frozenset[str]
    pairs: frozenset[str]
    reactor: str = ""

    def concerns(self, pair: Pair, reactor: str) -> bool:
        """Whether the tests cannot hold for a pair and with a reactor."""
        return pair.name in self.pairs and reactor.endswith(self.reactor)


SKIPS: Final = (
    Skip(
        "an endpoint has no connector: connect() returns a Deferred",
        frozenset({"test_interface"}),
        ALL,
    ),
    Skip(
        "in TLS 1.3 a client is secure before its server is: here it aborts before its last "
        "message of the handshake is sent, and the test waits for a server's protocol",
        frozenset({"test_fullWriteBuffer", "test_resumeProducingAbort",
                   "test_resumeProducingThrows"}),
        UNDER_TLS13,
    ),
    Skip(
        "on a local socket an abort looks to the peer like an end (there is no RST)",
        frozenset({"test_serverAbortsConnectionTwice",
                   "test_serverAbortsConnectionThenLosesConnection"}),
        LOCAL - UNDER_TLS,
    ),
    Skip(
        "the client of a local socket is connected, and aborts, before this reactor accepts; "
        "with Twisted's endpoints it fails as well",
        frozenset({"test_fullWriteBuffer"}),
        LOCAL - UNDER_TLS,
        "ThreadedSelectReactor",
    ),
    Skip(
        "the test stops the reactor when the client has ended, and demands that the server "
        "has too: under TLS that still waits for the close_notify",
        frozenset({"test_unregisterProducerAfterDisconnect"}),
        UNDER_TLS,
    ),
    Skip(
        "our TLS layer pauses a producer by what the socket takes, and not by the size of a "
        "buffer, which the test sets",
        frozenset({"test_streamingProducer"}),
        UNDER_TLS,
    ),
)  # fmt: skip


# --- test cases ----------------------------------------------------------------------


class PairTestsBuilder(ReactorBuilder):
    """Makes a test case for each reactor."""

    def buildReactor(self) -> Any:
        """A new reactor.

        Twisted's for asyncio puts back the event loop that was current before it. Since
        Python 3.12 there is none, and asking for it warns.
        """
        if "Asyncio" in type(self).__name__:
            loop = asyncio.new_event_loop()
            asyncio.set_event_loop(loop)
            case = cast(SynchronousTestCase, self)
            case.addCleanup(loop.close)
            case.addCleanup(asyncio.set_event_loop, None)
        return super().buildReactor()


def make_test_cases(mixin: type) -> dict[str, Any]:
    """The test cases of a mixin: one for each pair and each reactor.

    A reactor that cannot be imported, since what it is for is not installed, is left
    out; `tests.twisted.test_pairs` says which there must be.

    Args:
        mixin: A class with Twisted's tests; its attributes ``pair`` and ``endpoints``
            will be a pair.

    Returns:
        The test cases by their names, for the ``globals()`` of the mixin's module.
    """
    made = {}
    for pair in PAIRS:
        attributes = {
            "__module__": mixin.__module__,
            "pair": pair,
            "endpoints": pair,
            "timeout": TIMEOUT,
        }
        builder: Any = type(f"{pair.name}{mixin.__name__}", (mixin, PairTestsBuilder), attributes)
        for name, case in builder.makeTestCaseClasses().items():
            if not hasattr(case, "skip"):
                _skip_tests(case, name.removesuffix("Tests"))
                made[name] = case
    return made


def _skip_tests(case: Any, reactor: str) -> None:
    """Put a skipped test in the place of each that cannot hold."""
    for row in SKIPS:
        for name in row.tests:
            if row.concerns(case.pair, reactor) and hasattr(case, name):
                setattr(case, name, skipped(row.reason))


def skipped(reason: str) -> Any:
    """A test that is skipped, and says why."""

    def test(self: object) -> None:
        """Is skipped."""

    test.skip = reason  # type: ignore[attr-defined]
    return test
