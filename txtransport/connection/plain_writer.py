"""Writes to a plain transport at once, where that is possible.

A TCP connection of Twisted's takes bytes at once, by its public method
``writeSomeData()``; its ``write()`` waits for the next turn of the reactor. That is possible
only while nothing waits in the connection's own buffer, which would be overtaken. What the
socket does not take goes into that buffer, and from then on everything does, until the
connection says that it is empty again. It says so to a *pull* producer, which it asks for
more exactly then (`_Drain`). Another transport (TLS in TLS, one in memory) has only
``write()``.

One writer accompanies a connection from its first byte, so that it always knows whether
something waits: the dialogue before TLS writes with it, and hands it to TLS.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet import tcp
from twisted.internet.interfaces import IPullProducer
from zope.interface import implementer

from txtransport.connection.twisted_types import TCPTransport

__all__ = ["PlainWriter"]


class PlainWriter:
    """Writes to one plain transport, on which nothing was written yet.

    Args:
        transport: The transport.

    Attributes:
        transport: As given.
        direct: The same if it takes bytes at once, or None.
        is_waiting: Whether something may wait in the transport's own buffer.
        emptied: Is called when that buffer is empty again.
    """

    __slots__ = ("direct", "emptied", "is_waiting", "transport")

    def __init__(self, transport: TCPTransport) -> None:
        self.transport: TCPTransport = transport
        self.direct: tcp.Connection | None = None
        self.is_waiting: bool = False
        self.emptied: Callable[[], object] | None = None
        # Twisted's wrappers have the methods of what is below them, too: to write with
        # these would go past the wrapper, which may be another layer of TLS.
        if isinstance(transport, tcp.Connection) and not transport.TLS:
            self.direct = transport if transport.producer is None else None

    def write(self, data: bytes) -> None:
        """Write bytes behind those that were written before.

        Args:
            data: Not empty.
        """
        direct = self.direct
        if direct is None or self.is_waiting or not direct.connected:
            self.transport.write(data)
            return
        taken = direct.writeSomeData(data)
        if taken != len(data):
            self.write_by_buffer(data[taken:] if isinstance(taken, int) else data)

    def write_by_buffer(self, data: bytes) -> None:
        """Write bytes by the transport's own ``write()``.

        What is wrong with the socket the reactor finds by itself, when it writes.

        Args:
            data: Not empty.
        """
        direct = self.direct
        if direct is not None:
            self.is_waiting = True
            if direct.producer is None:
                direct.registerProducer(_Drain(self), False)
        self.transport.write(data)

    def is_empty(self) -> None:
        """The transport has sent all that it had."""
        self.leave()
        if self.emptied is not None:
            self.emptied()

    def leave(self) -> None:
        """Leave the transport to others, which write by its own ``write()`` from now on."""
        if self.is_waiting and self.direct is not None:
            self.is_waiting = False
            self.direct.unregisterProducer()


@implementer(IPullProducer)
class _Drain:
    """Tells a writer when its TCP connection has sent all that waited.

    Twisted's connection asks a pull producer for more each time that its buffer is empty,
    and once when it is registered, which is not meant.

    Args:
        writer: Is told.
    """

    __slots__ = ("_is_asked", "_writer")

    def __init__(self, writer: PlainWriter) -> None:
        self._writer = writer
        self._is_asked = False

    def resumeProducing(self) -> None:
        if self._is_asked:
            self._writer.is_empty()
        self._is_asked = True

    def stopProducing(self) -> None:
        """Do nothing: who writes hears of the end by itself."""
