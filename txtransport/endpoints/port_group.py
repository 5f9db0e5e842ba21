"""The ports that one server endpoint listens at, as one port."""

from __future__ import annotations

from typing import NoReturn, cast

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IPushProducer
from zope.interface import implementer

__all__ = ["PortGroup"]


@implementer(IListeningPort)
@define(eq=False)
class PortGroup:
    """One or more ports that listen, are paused and are stopped as one, and never restarted.

    Twisted's ports make their sockets anew when they are restarted, and know neither the
    options of ours, nor the rights of a local socket's file, nor that several addresses
    have the same port number.

    Attributes:
        ports: The ports; at addresses of IPv6 and IPv4 they have the same number.
    """

    ports: tuple[IListeningPort, ...]
    _stopping: Deferred[None] | None = field(default=None, init=False)

    def startListening(self) -> NoReturn:
        """Refuse: the ports listen from the beginning, and do not do so again.

        Raises:
            CannotListenError: Always; ``listen()`` of the endpoint gives a new port.
        """
        raise CannotListenError(
            None, None, "a port of txtransport listens once; call listen() of its endpoint again"
        )

    def stopListening(self) -> Deferred[None]:
        """Stop listening.

        Returns:
            Fires when the last port has stopped. Each call returns the same Deferred.
        """
        if self._stopping is None:
            stopping = gatherResults([maybeDeferred(port.stopListening) for port in self.ports])
            self._stopping = stopping.addCallback(lambda results: None)
        return self._stopping

    def getHost(self) -> IAddress:
        """The address of the first port."""
        return self.ports[0].getHost()

    def pauseProducing(self) -> None:
        """Accept no connections until `resumeProducing`."""
        for port in self.ports:
            cast(IPushProducer, port).pauseProducing()

    def resumeProducing(self) -> None:
        """Accept connections again."""
        for port in self.ports:
            cast(IPushProducer, port).resumeProducing()
