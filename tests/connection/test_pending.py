"""Pending protocols: silent until they are connected, and then they hear everything."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import (
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
)
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.memory import End
from txtransport.connection.pending import PendingProtocol


@implementer(IHalfCloseableProtocol, IFileDescriptorReceiver, IHandshakeListener)
class Curious(Protocol):
    """Provides every interface of a protocol, and records every event."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def connectionMade(self) -> None:
        self.heard.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.heard.append(data.decode())

    def readConnectionLost(self) -> None:
        self.heard.append("read lost")

    def writeConnectionLost(self) -> None:
        self.heard.append("write lost")

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self.heard.append(f"descriptor {descriptor}")

    def handshakeCompleted(self) -> None:
        self.heard.append("handshake")

    def connectionLost(self, reason: Any = None) -> None:
        self.heard.append(reason.type.__name__)


@implementer(IProtocol)
class Nameless:
    """A protocol with what Twisted demands of one, and no more."""

    def makeConnection(self, transport: object) -> None:
        pass

    def connectionMade(self) -> None:
        pass

    def dataReceived(self, data: bytes) -> None:
        pass

    def connectionLost(self, reason: object) -> None:
        pass


class PendingProtocolTests(SynchronousTestCase):
    """A protocol that is connected later than its transport."""

    def test_a_connected_protocol_hears_every_event(self) -> None:
        """Once it is connected, it hears each event as if the transport had called it."""
        end, pending, protocol = End(Clock()), PendingProtocol(), Curious()
        pending.expect(protocol)
        end.start(pending)
        self.assertEqual(protocol.heard, [])
        pending.connect_protocol()
        self.assertIs(protocol.transport, end)
        end.hear(b"data")
        pending.readConnectionLost()
        pending.writeConnectionLost()
        pending.fileDescriptorReceived(7)
        pending.handshakeCompleted()
        end.lose(ConnectionDone())
        self.assertEqual(protocol.heard, [
            "made", "data", "read lost", "write lost", "descriptor 7", "handshake",
            "ConnectionDone",
        ])  # fmt: skip

    def test_a_protocol_that_was_not_connected_hears_nothing(self) -> None:
        """A protocol that was not connected is not told of data, nor of the end."""
        end, pending, protocol = End(Clock()), PendingProtocol(), Curious()
        pending.expect(protocol)
        end.start(pending)
        end.hear(b"data")
        end.lose()
        self.assertEqual(protocol.heard, [])

    def test_it_provides_the_interfaces_of_the_expected_protocol(self) -> None:
        """Transports ask what a protocol understands before they say it."""
        wants = (IHalfCloseableProtocol, IFileDescriptorReceiver, IHandshakeListener)
        curious, plain = PendingProtocol(), PendingProtocol()
        curious.expect(Curious())
        plain.expect(Protocol())
        for interface in wants:
            self.assertTrue(interface.providedBy(curious))
            self.assertFalse(interface.providedBy(plain))

    def test_the_log_names_the_expected_protocol(self) -> None:
        """A line of the log is about the protocol that people know."""
        pending = PendingProtocol()
        self.assertEqual(pending.logPrefix(), "PendingProtocol")
        factory: tuple[IProtocol, ...] = (Curious(), Nameless())
        for protocol in factory:
            pending.expect(protocol)
            self.assertEqual(pending.logPrefix(), type(protocol).__name__)

    def test_an_exception_in_connection_made_reaches_the_caller(self) -> None:
        """What connectionMade raises, connect_protocol raises; the end is told all the same."""

        class Broken(Curious):
            def connectionMade(self) -> None:
                raise RuntimeError("broken")

        end, pending, protocol = End(Clock()), PendingProtocol(), Broken()
        pending.expect(protocol)
        end.start(pending)
        self.assertRaises(RuntimeError, pending.connect_protocol)
        pending.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(protocol.heard, ["ConnectionDone"])
