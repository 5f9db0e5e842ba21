"""The steps of a connection attempt, for a user who wants to see them (``trace=``).

Nothing depends on them. An endpoint without ``trace`` does no work for them.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["Event", "Step", "Trace", "TracedEndpoint", "with_trace"]


class Step(Enum):
    """What was done; the end of the handshake is no step, since the attempt's Deferred tells it."""

    TRYING = "trying"
    """The look-up is over, and connecting to an address begins."""
    FAILED = "failed"
    """Connecting to that address failed, or was given up for another address."""
    CONNECTED = "connected"
    """TCP, or the local socket, is connected, perhaps to a proxy; nothing is encrypted yet."""
    PROXIED = "proxied"
    """The proxy has connected us; of several proxies, the last."""
    NEGOTIATED = "negotiated"
    """The dialogue of ``starttls=`` is complete, and the handshake begins."""
    REFUSED = "refused"
    """The server has refused our certificate after the handshake, as TLS 1.3 allows; the
    connection is over."""


@frozen
class Event:
    """One step of an attempt, at the time when it is taken.

    Attributes:
        step: What was done.
        host: The address that the step is about, or the path of a local socket;
            empty for a step without an address.
        error: Why connecting to the address failed, or why the server refused our
            certificate; None for other steps.
    """

    step: Step
    host: str = ""
    error: BaseException | None = None


Trace = Callable[[Event], object]
"""Is called with each event; must not raise an exception."""


@implementer(IStreamClientEndpoint)
@frozen
class TracedEndpoint:
    """The endpoint of one address, which tells a trace when it connects and when that fails.

    Attributes:
        endpoint: Connects.
        host: The address, for the events.
        trace: Is told.
    """

    endpoint: IStreamClientEndpoint
    host: str
    trace: Trace

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect as `endpoint` does, and tell the trace of the try and of a failure."""
        self.trace(Event(Step.TRYING, self.host))
        return self.endpoint.connect(protocolFactory).addErrback(self._failed)

    def _failed(self, reason: Failure) -> Failure:
        self.trace(Event(Step.FAILED, self.host, reason.value))
        return reason


def with_trace(
    endpoint: IStreamClientEndpoint, host: str, trace: Trace | None
) -> IStreamClientEndpoint:
    """An endpoint that tells the trace, if there is one.

    Args:
        endpoint: Connects to one address.
        host: The address, for the events.
        trace: Is told, or None.

    Returns:
        A `TracedEndpoint`; without a trace, `endpoint` itself.
    """
    return endpoint if trace is None else TracedEndpoint(endpoint, host, trace)
