"""A protocol that connects another protocol later than the transport would.

Twisted connects a protocol as soon as there is a transport. Where something
else must come first, such as the socket's options or a free place under
``max_connections``, a `PendingProtocol` is the transport's protocol. It
connects the other protocol when it is time, and from then on passes every
event of the transport on. What the other protocol writes goes to the transport
directly.
"""

from __future__ import annotations

import typing
from typing import Final, cast

from twisted.internet.interfaces import (
    IFileDescriptorReceiver,
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILoggingContext,
    IProtocol,
    ITransport,
)
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from zope.interface import alsoProvides

__all__ = ["PendingProtocol", "log_name", "rename_in_log", "replace_in_path"]

_PASSED_ON: Final = (IFileDescriptorReceiver, IHalfCloseableProtocol, IHandshakeListener)


def log_name(named: object) -> str:
    """The name of a protocol or a factory in the log.

    Args:
        named: The protocol or factory.

    Returns:
        Its ``logPrefix()`` if it has one that works, else the name of its class.
    """
    name = type(named).__name__
    if ILoggingContext.providedBy(named):
        # The application's, which may ask for the transport before there is
        # one. A name in the log is not worth a connection.
        try:
            name = str(named.logPrefix())
        except Exception:
            return name
    return name


def rename_in_log(transport: object, protocol: object) -> None:
    """Have the log name a protocol, for what happens on a transport from now on.

    Twisted's connections of TCP and of local sockets, on both sides, compose
    their name in the log once (``logstr``, such as ``Protocol,client``), of the
    protocol that they begin with.

    Args:
        transport: The plain transport. One without such a name is left alone.
        protocol: The protocol that is connected to it, or to TLS above it.
    """
    before = getattr(transport, "logstr", "")
    _, comma, rest = before.partition(",")
    if comma:
        cast(_NamedTransport, transport).logstr = f"{log_name(protocol)},{rest}"


class _NamedTransport(typing.Protocol):
    logstr: str


def replace_in_path(transport: object, old: IProtocol, new: IProtocol) -> None:
    """Have a plain transport give its events to another protocol, if that is possible.

    A protocol whose work is done leaves the path of the bytes like this. Twisted's
    connections look their ``protocol`` up at each event. Where the transport is of
    another kind, `old` must go on passing the events on.

    Args:
        transport: The plain transport.
        old: Hears the events now, perhaps through a `PendingProtocol` that stays.
        new: Is to hear them.
    """
    above = getattr(transport, "protocol", None)
    if above is old:
        cast(_HoldingTransport, transport).protocol = new
    elif isinstance(above, PendingProtocol):
        above.replace(old, new)


class _HoldingTransport(typing.Protocol):
    protocol: IProtocol


class PendingProtocol(Protocol):
    """Stands between a transport and a protocol that is not connected yet.

    Attributes:
        protocol: The other protocol, pending or connected; None until `expect`
            has named it.
    """

    protocol: IProtocol | None = None
    # Ignores what the transport says before the other protocol is connected.
    _receiver: IProtocol = Protocol()

    def expect(self, protocol: IProtocol) -> None:
        """Name the protocol that `connect_protocol` will connect.

        A transport tells some events only to a protocol that provides an
        interface for them, and Twisted's endpoints look for that before the
        protocol is connected. So the pending protocol provides what
        `protocol` provides.

        Args:
            protocol: The protocol that will be connected.
        """
        self.protocol = protocol
        for interface in _PASSED_ON:
            if interface.providedBy(protocol):
                alsoProvides(self, interface)

    def connect_protocol(self) -> None:
        """Connect the protocol that `expect` has named.

        Raises:
            Exception: What its ``connectionMade`` raises. It still hears of the
                end of the connection.
        """
        protocol = cast(IProtocol, self.protocol)
        self._receiver = protocol
        rename_in_log(self.transport, protocol)
        protocol.makeConnection(cast(ITransport, self.transport))

    def replace(self, old: IProtocol, new: IProtocol) -> None:
        """Pass the events on to `new` from now on, if they went to `old`."""
        if self._receiver is old:
            self._receiver = new

    def leave(self) -> None:
        """Leave the path of the bytes, where the transport allows that."""
        replace_in_path(self.transport, self, self._receiver)

    def logPrefix(self) -> str:
        """The other protocol's name in the log, as soon as that is known."""
        return type(self).__name__ if self.protocol is None else log_name(self.protocol)

    def dataReceived(self, data: bytes) -> None:
        self._receiver.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self._receiver.connectionLost(reason)

    def readConnectionLost(self) -> None:
        cast(IHalfCloseableProtocol, self._receiver).readConnectionLost()

    def writeConnectionLost(self) -> None:
        cast(IHalfCloseableProtocol, self._receiver).writeConnectionLost()

    def fileDescriptorReceived(self, descriptor: int) -> None:
        cast(IFileDescriptorReceiver, self._receiver).fileDescriptorReceived(descriptor)

    def handshakeCompleted(self) -> None:
        cast(IHandshakeListener, self._receiver).handshakeCompleted()
