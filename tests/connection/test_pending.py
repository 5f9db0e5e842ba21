"""Passages: nobody hears anything before it is in, and then it hears everything."""

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
from txtransport.connection.pending import Passage


@implementer(IHalfCloseableProtocol, IFileDescriptorReceiver, IHandshakeListener)
class Curious(Protocol):
    """Writes down whatever there is to be heard."""

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


class PassageTests(SynchronousTestCase):
    """A guest who comes later than its transport."""

    def test_the_guest_hears_everything_once_it_is_in(self) -> None:
        """From then on the passage is as good as not there."""
        end, passage, guest = End(Clock()), Passage(), Curious()
        passage.expect(guest)
        end.start(passage)
        self.assertEqual(guest.heard, [])
        passage.let_in()
        self.assertIs(guest.transport, end)
        end.hear(b"data")
        passage.readConnectionLost()
        passage.writeConnectionLost()
        passage.fileDescriptorReceived(7)
        passage.handshakeCompleted()
        end.lose(ConnectionDone())
        self.assertEqual(guest.heard, [
            "made", "data", "read lost", "write lost", "descriptor 7", "handshake",
            "ConnectionDone",
        ])  # fmt: skip

    def test_a_guest_who_never_came_in_hears_nothing(self) -> None:
        """Whoever was not connected is not told of an end."""
        end, passage, guest = End(Clock()), Passage(), Curious()
        passage.expect(guest)
        end.start(passage)
        end.hear(b"data")
        end.lose()
        self.assertEqual(guest.heard, [])

    def test_it_wants_to_hear_what_the_guest_wants_to_hear(self) -> None:
        """Transports ask what a protocol understands before they say it."""
        wants = (IHalfCloseableProtocol, IFileDescriptorReceiver, IHandshakeListener)
        curious, plain = Passage(), Passage()
        curious.expect(Curious())
        plain.expect(Protocol())
        for interface in wants:
            self.assertTrue(interface.providedBy(curious))
            self.assertFalse(interface.providedBy(plain))

    def test_the_log_names_the_guest(self) -> None:
        """A line of the log is about the protocol that people know."""
        passage = Passage()
        self.assertEqual(passage.logPrefix(), "Passage")
        guests: tuple[IProtocol, ...] = (Curious(), Nameless())
        for guest in guests:
            passage.expect(guest)
            self.assertEqual(passage.logPrefix(), type(guest).__name__)

    def test_it_does_not_swallow_exceptions(self) -> None:
        """What the guest raises when it is connected is for whoever lets it in."""

        class Broken(Curious):
            def connectionMade(self) -> None:
                raise RuntimeError("broken")

        end, passage, guest = End(Clock()), Passage(), Broken()
        passage.expect(guest)
        end.start(passage)
        self.assertRaises(RuntimeError, passage.let_in)
        passage.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(guest.heard, ["ConnectionDone"])
