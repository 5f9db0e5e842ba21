"""The application protocols (ALPN) that a factory of Twisted's can build protocols for."""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.protocols.policies import WrappingFactory

__all__ = ["acceptable_protocols"]


def acceptable_protocols(factory: object) -> tuple[bytes, ...]:
    """Ask a factory for its application protocols, the preferred first.

    ``twisted.web.server.Site``, for example, answers ``h2`` and ``http/1.1``
    where the packages for HTTP/2 are installed.

    Args:
        factory: The application's factory. A factory of Twisted's that wraps
            another (limits, a guard) has no answer of its own, so the wrapped one
            is asked.

    Returns:
        Names as they go over the wire; none where no factory gives an answer.

    Source: ``IProtocolNegotiationFactory`` of Twisted.
    """
    while not IProtocolNegotiationFactory.providedBy(factory):
        if not isinstance(factory, WrappingFactory):
            return ()
        factory = factory.wrappedFactory
    return tuple(factory.acceptableProtocols())
