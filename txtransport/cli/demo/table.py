"""The table: PHP's forms and a few more, each read, dialled on loopback and spoken over.

A row is a conversation: connect, say a line, hear it again, say goodbye.
"""

from __future__ import annotations

import time
from typing import Any, Final, cast

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError
from twisted.internet.protocol import DatagramProtocol, connectionDone
from twisted.python.failure import Failure

import txtransport
from txtransport import Session, TransportUnavailable, TransportURL
from txtransport.cli.demo.report import PLAIN, Form, Row, RowOutcome
from txtransport.cli.demo.servers import AddressUnavailable, DemoPeer, DemoServers

PHP: Final = (
    Form("127.0.0.1", PLAIN),
    Form("fe80::1", PLAIN),
    Form("www.example.com", PLAIN),
    Form("tcp://127.0.0.1", PLAIN),
    Form("tcp://fe80::1", PLAIN),
    Form("tcp://www.example.com", PLAIN),
    Form("udp://www.example.com", PLAIN),
    Form("ssl://www.example.com", "TLSv1.3"),
    Form("sslv2://www.example.com", "refused"),
    Form("sslv3://www.example.com", "refused"),
    Form("tls://www.example.com", "TLSv1.3"),
    Form("tcp://127.0.0.1:80", PLAIN),
    Form("tcp://[fe80::1]:80", PLAIN),
    Form("tcp://www.example.com:80", PLAIN),
)
"""The bare forms of https://www.php.net/manual/en/transports.inet.php, then those with ports."""

MORE: Final = (
    # The session of the same place above.
    Form("tls://www.example.com", "TLSv1.3", is_resumed=True),
    Form("tls://[::1]:443", "TLSv1.3"),
    Form("tlsv1.2://127.0.0.1:443", "TLSv1.2"),
    Form("tlsv1.3://127.0.0.1:443", "TLSv1.3"),
    Form("unix:///run/a.sock", PLAIN),
    Form("tls+unix:///run/b.sock", "TLSv1.3"),
)
"""What PHP's page does not have."""

_HELLO: Final = b"hello\r\n"


async def table(stage: DemoServers) -> tuple[Row, ...]:
    """All rows, one after the other, so that none waits for another's."""
    return tuple([await row(stage, form) for form in (*PHP, *MORE)])


async def row(stage: DemoServers, form: Form) -> Row:
    """What comes of a form."""
    seen = Row(form)
    try:
        parsed = TransportURL.parse(form.asked)
        seen = evolve(seen, parsed=parsed)
        place = await stage.served_url(parsed)
        seen = evolve(seen, dialled=place)
        talk = _by_datagrams if place.scheme == "udp" else _by_stream
        session, milliseconds = await talk(stage, parsed, place)
    except (CancelledError, ConnectingCancelledError):
        raise
    except TransportUnavailable as refusal:
        return evolve(seen, outcome=RowOutcome.REFUSED, reason=str(refusal))
    except AddressUnavailable as lack:
        return evolve(seen, outcome=RowOutcome.SKIPPED, reason=str(lack))
    except Exception as problem:
        return evolve(seen, reason=f"{type(problem).__name__}: {problem}")
    return evolve(seen, outcome=RowOutcome.CONNECTED, session=session, milliseconds=milliseconds)


class Caller(DemoPeer):
    """Says a line, and hears it again."""

    def __init__(self) -> None:
        self.echoed: Deferred[None] = Deferred()
        self._heard = b""

    def connectionMade(self) -> None:
        """Speak."""
        super().connectionMade()
        assert self.transport is not None
        self.transport.write(_HELLO)

    def dataReceived(self, data: bytes) -> None:
        """Listen."""
        self._heard += data
        if self._heard == _HELLO:
            self.echoed.callback(None)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over, perhaps too early."""
        super().connectionLost(reason)
        if not self.echoed.called:
            self.echoed.errback(reason)


class DatagramCaller(DatagramProtocol):
    """Says a line in a datagram, and hears it again."""

    def __init__(self) -> None:
        self.echoed: Deferred[None] = Deferred()

    def startProtocol(self) -> None:
        """Speak."""
        cast(Any, self.transport).write(_HELLO)

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        """Listen."""
        if datagram == _HELLO:
            self.echoed.callback(None)


async def _by_stream(
    stage: DemoServers, asked: TransportURL, place: TransportURL
) -> tuple[Session | None, float]:
    endpoint = txtransport.client(
        stage.reactor, place, timeout=stage.seconds_left(), **stage.trust(asked)
    )
    began = time.perf_counter()
    caller = await stage.connect(endpoint, Caller)
    try:
        await stage.within_deadline(caller.echoed)
        return txtransport.session_of(caller.transport), _milliseconds_since(began)
    finally:
        await stage.disconnect(caller)


async def _by_datagrams(
    stage: DemoServers, asked: TransportURL, place: TransportURL
) -> tuple[None, float]:
    began = time.perf_counter()
    caller = DatagramCaller()
    transport = await txtransport.datagram(stage.reactor, place).connect(caller)
    try:
        await stage.within_deadline(caller.echoed)
        return None, _milliseconds_since(began)
    finally:
        await cast(Any, transport).stopListening()


def _milliseconds_since(began: float) -> float:
    return 1000 * (time.perf_counter() - began)
