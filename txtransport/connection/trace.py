"""What a connection attempt tells whoever watches it: each step, when it is taken.

Nothing depends on it. An endpoint that no one watches pays nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer


class Step(Enum):
    """What was done."""

    TRYING = "trying"
    """An address has its turn; the look-up is over."""
    FAILED = "failed"
    """That address does not answer, or is given up for another."""
    CONNECTED = "connected"
    """There is a connection, in the clear."""
    NEGOTIATED = "negotiated"
    """The dialogue of ``starttls=`` is over, and TLS begins."""


@frozen
class Event:
    """One step of an attempt.

    Attributes:
        step: Which.
        host: The address that it is about, or a local socket's path; empty for
            a step that has none.
        error: Why an address failed.
    """

    step: Step
    host: str = ""
    error: BaseException | None = None


Trace = Callable[[Event], object]
"""Is told; must not raise."""


@implementer(IStreamClientEndpoint)
@frozen
class TracedEndpoint:
    """The endpoint of one address, watched.

    Attributes:
        endpoint: Connects.
        host: The address.
        trace: Is told when it is tried, and when it fails.
    """

    endpoint: IStreamClientEndpoint
    host: str
    trace: Trace

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect, and tell."""
        self.trace(Event(Step.TRYING, self.host))
        return self.endpoint.connect(protocolFactory).addErrback(self._failed)

    def _failed(self, reason: Failure) -> Failure:
        self.trace(Event(Step.FAILED, self.host, reason.value))
        return reason


def with_trace(
    endpoint: IStreamClientEndpoint, host: str, trace: Trace | None
) -> IStreamClientEndpoint:
    """The endpoint, watched if anyone watches."""
    return endpoint if trace is None else TracedEndpoint(endpoint, host, trace)
