"""The table: PHP's forms and a few more, each read, dialled on loopback and used.

For each row a client connects to an echo server, sends a line, waits until it
has come back, and closes the connection.
"""

from __future__ import annotations

import time
from typing import Final, cast

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.interfaces import IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, connectionDone
from twisted.python.failure import Failure

import txtransport
from txtransport import Session, TransportUnavailable, TransportURL
from txtransport.cli.demo.report import PLAIN, REFUSED, Form, Row, RowOutcome
from txtransport.cli.demo.servers import AddressUnavailable, DemoPeer, DemoServers
from txtransport.config.schemes import is_legacy_installed

__all__ = ["MORE", "PHP", "DatagramEchoClient", "EchoClient", "try_form", "try_forms"]

PHP: Final = (
    Form("127.0.0.1", PLAIN),
    Form("fe80::1", PLAIN),
    Form("www.example.com", PLAIN),
    Form("tcp://127.0.0.1", PLAIN),
    Form("tcp://fe80::1", PLAIN),
    Form("tcp://www.example.com", PLAIN),
    Form("udp://www.example.com", PLAIN),
    Form("ssl://www.example.com", "TLSv1.3"),
    Form("sslv2://www.example.com", "SSLv2", is_broken=True),
    Form("sslv3://www.example.com", "SSLv3", is_broken=True),
    Form("tls://www.example.com", "TLSv1.3"),
    Form("tcp://127.0.0.1:80", PLAIN),
    Form("tcp://[fe80::1]:80", PLAIN),
    Form("tcp://www.example.com:80", PLAIN),
)
"""The bare forms of https://www.php.net/manual/en/transports.inet.php, then those with ports."""

MORE: Final = (
    # Resumes the session of the same form in PHP's list.
    Form("tls://www.example.com", "TLSv1.3", is_resumed=True),
    Form("tls://[::1]:443", "TLSv1.3"),
    Form("tlsv1.2://127.0.0.1:443", "TLSv1.2"),
    Form("tlsv1.3://127.0.0.1:443", "TLSv1.3"),
    Form("unix:///run/a.sock", PLAIN),
    Form("tls+unix:///run/b.sock", "TLSv1.3"),
)
"""What PHP's page does not have."""

_HELLO: Final = b"hello\r\n"


async def try_forms(servers: DemoServers) -> tuple[Row, ...]:
    """Try all forms, one after the other, so that each has its own time."""
    return tuple([await try_form(servers, form) for form in (*PHP, *MORE)])


async def try_form(servers: DemoServers, form: Form) -> Row:
    """Connect as a form says, and send a line back and forth."""
    if form.is_broken and not is_legacy_installed():
        form = evolve(form, expected=REFUSED)
    row = Row(form)
    try:
        parsed = TransportURL.parse(form.asked)
        row = evolve(row, parsed=parsed)
        dialled = await servers.served_url(parsed)
        row = evolve(row, dialled=dialled)
        echo = _echo_by_datagrams if dialled.scheme == "udp" else _echo_by_stream
        session, milliseconds = await echo(servers, parsed, dialled)
    except (CancelledError, ConnectingCancelledError):
        raise
    except TransportUnavailable as refusal:
        return evolve(row, outcome=RowOutcome.REFUSED, reason=str(refusal))
    except AddressUnavailable as unavailable:
        return evolve(row, outcome=RowOutcome.SKIPPED, reason=str(unavailable))
    except Exception as problem:
        return evolve(row, reason=f"{type(problem).__name__}: {problem}")
    return evolve(row, outcome=RowOutcome.CONNECTED, session=session, milliseconds=milliseconds)


class EchoClient(DemoPeer):
    """Sends a line, and waits until it has come back.

    Attributes:
        echoed: Fires when the line has come back, or fails when the connection
            ends before.
    """

    def __init__(self) -> None:
        self.echoed: Deferred[None] = Deferred()
        self._received = b""

    def connectionMade(self) -> None:
        """Send the line."""
        super().connectionMade()
        assert self.transport is not None
        self.transport.write(_HELLO)

    def dataReceived(self, data: bytes) -> None:
        """Note what has come back."""
        self._received += data
        if self._received == _HELLO:
            self.echoed.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Fail, if the line has not come back."""
        super().connectionLost(reason)
        if not self.echoed.called:
            self.echoed.errback(reason)


class DatagramEchoClient(DatagramProtocol):
    """Sends a line in a datagram, and waits until it has come back.

    Attributes:
        echoed: Fires when the line has come back.
    """

    def __init__(self) -> None:
        self.echoed: Deferred[None] = Deferred()

    def startProtocol(self) -> None:
        """Send the line."""
        cast(IUDPTransport, self.transport).write(_HELLO, None)

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """Note that the line has come back."""
        if datagram == _HELLO:
            self.echoed.callback(None)


async def _echo_by_stream(
    servers: DemoServers, asked: TransportURL, dialled: TransportURL
) -> tuple[Session | None, float]:
    endpoint = servers.client(asked, dialled)
    began = time.perf_counter()
    client = await servers.connect(endpoint, EchoClient)
    try:
        await servers.within_deadline(client.echoed)
        return txtransport.session_of(client.transport), _milliseconds_since(began)
    finally:
        await servers.disconnect(client)


async def _echo_by_datagrams(
    servers: DemoServers, asked: TransportURL, dialled: TransportURL
) -> tuple[None, float]:
    began = time.perf_counter()
    client = DatagramEchoClient()
    transport = await txtransport.datagram(servers.reactor, dialled).connect(client)
    try:
        await servers.within_deadline(client.echoed)
        return None, _milliseconds_since(began)
    finally:
        await maybeDeferred(cast(IListeningPort, transport).stopListening)


def _milliseconds_since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
