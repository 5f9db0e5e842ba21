"""The way to a guest who is connected later than its transport.

Twisted connects a protocol as soon as there is a transport. Where something
else comes first, such as the socket's options or a free place, a passage
stands there instead: it lets the guest in when it is time, and from then on
passes on what the transport says. The guest speaks to the transport itself.
"""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.interfaces import (
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILoggingContext,
    IProtocol,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import alsoProvides

_PASSED_ON: Final = (IFileDescriptorReceiver, IHalfCloseableProtocol, IHandshakeListener)


def log_name(known: object) -> str:
    """What a protocol or a factory calls itself in the log."""
    if ILoggingContext.providedBy(known):
        return str(known.logPrefix())
    return type(known).__name__


class PendingProtocol(Protocol):
    """Stands between a transport and a guest, who is yet to come.

    Attributes:
        guest: Who is expected or inside, or None while that is open.
    """

    protocol: IProtocol | None = None
    # Before the guest is in, what is said is said to no one.
    _receiver: Any = Protocol()

    def expect(self, protocol: IProtocol) -> None:
        """That guest will come.

        A transport says some things only to a protocol that wants to hear
        them, and Twisted's endpoints ask before it is connected; so the
        passage wants what the guest wants.
        """
        self.protocol = protocol
        for interface in _PASSED_ON:
            if interface.providedBy(protocol):
                alsoProvides(self, interface)

    def connect_protocol(self) -> None:
        """Connect the guest that is expected.

        Raises:
            Exception: Whatever the guest raises; it hears of the end all the same.
        """
        protocol: Any = self.protocol
        self._receiver = protocol
        protocol.makeConnection(self.transport)

    def logPrefix(self) -> str:
        """The guest's, whom a reader of the log knows."""
        return type(self).__name__ if self.protocol is None else log_name(self.protocol)

    def dataReceived(self, data: bytes) -> None:
        self._receiver.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._receiver.connectionLost(reason)

    def readConnectionLost(self) -> None:
        self._receiver.readConnectionLost()

    def writeConnectionLost(self) -> None:
        self._receiver.writeConnectionLost()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        self._receiver.fileDescriptorReceived(descriptor)

    def handshakeCompleted(self) -> None:
        self._receiver.handshakeCompleted()
