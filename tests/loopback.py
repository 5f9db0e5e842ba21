"""Conversations on loopback: what tests with real sockets share.

Whatever a test opens through these is closed when it ends, be it that it
failed, so that no test leaves anything in the reactor.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

import txtransport


class Recorder(Protocol):
    """Writes down what it hears.

    Attributes:
        received: All bytes so far.
        made: Fires with the protocol when it is connected.
        lost: Fires with the reason when the connection is over.
    """

    def __init__(self) -> None:
        self.received = b""
        self.is_connected = False
        self.made: Deferred[Recorder] = Deferred()
        self.lost: Deferred[Failure] = Deferred()
        self._waiting: list[tuple[bytes, Deferred[bytes]]] = []

    def connectionMade(self) -> None:
        self.is_connected = True
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for text, heard in list(self._waiting):
            if text in self.received:
                self._waiting.remove((text, heard))
                heard.callback(self.received)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.is_connected = False
        # As a value: a Failure handed to callback() would be an errback.
        self.lost.callback(cast(Failure, [reason]))
        for _, heard in self._waiting:
            heard.errback(reason)

    def heard(self, text: bytes) -> Deferred[bytes]:
        """Fires with all that was received, once `text` is part of it."""
        heard: Deferred[bytes] = Deferred()
        if text in self.received:
            heard.callback(self.received)
        else:
            self._waiting.append((text, heard))
        return heard

    async def gone(self) -> Failure:
        """The reason, when the connection is over."""
        reason: Any = await self.lost
        return cast(Failure, reason[0])

    def say(self, data: bytes) -> None:
        """Write."""
        assert self.transport is not None
        self.transport.write(data)


class Recorders(Factory):
    """A factory that keeps the recorders it made.

    Attributes:
        all: Those built so far.
    """

    noisy = False

    def __init__(self) -> None:
        self.all: list[Recorder] = []
        self._next: list[Deferred[Recorder]] = []

    def buildProtocol(self, addr: object) -> Recorder:
        recorder = Recorder()
        recorder.made.addCallback(self._arrived)
        return recorder

    def _arrived(self, recorder: Recorder) -> Recorder:
        self.all.append(recorder)
        for waiting in self._next[:1]:
            self._next.remove(waiting)
            waiting.callback(recorder)
        return recorder

    def next(self) -> Deferred[Recorder]:
        """Fires with the next recorder that is connected."""
        waiting: Deferred[Recorder] = Deferred()
        self._next.append(waiting)
        return waiting


class LoopbackTestCase(TestCase):
    """A test with real sockets."""

    timeout = 20

    @property
    def reactor(self) -> Any:
        """The reactor that trial or pytest runs."""
        from twisted.internet import reactor

        return reactor

    async def listening(self, url: str, guests: IProtocolFactory, **options: Any) -> int:
        """Listen, until the test is over; the port's number.

        Args:
            url: For example ``tls://127.0.0.1:0``.
            guests: Builds the protocols.
            **options: As for `txtransport.server`.
        """
        port = await txtransport.server(self.reactor, url, **options).listen(guests)
        return self.adopt(port)

    def adopt(self, port: IListeningPort) -> int:
        """Stop that port when the test is over; its number."""
        self.addCleanup(port.stopListening)
        return int(getattr(port.getHost(), "port", 0))

    async def connected(self, url: str, **options: Any) -> Recorder:
        """A client's recorder, connected until the test is over.

        Args:
            url: For example ``tls://localhost:1234``.
            **options: As for `txtransport.client`.
        """
        endpoint = txtransport.client(self.reactor, url, **options)
        recorder = cast(Recorder, await endpoint.connect(Factory.forProtocol(Recorder)))
        self.addCleanup(self.end, recorder)
        return recorder

    async def end(self, recorder: Recorder) -> None:
        """Abort a recorder's connection, if it is there, and wait for its end."""
        if recorder.is_connected:
            cast(Any, recorder.transport).abortConnection()
            await recorder.gone()
