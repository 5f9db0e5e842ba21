"""The application protocols (ALPN) that a factory of Twisted's can build protocols for."""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.protocols.policies import WrappingFactory

from txtransport.errors import InvalidOption
from txtransport.text import short_repr

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

    Raises:
        InvalidOption: The answer is not a list of names that can go over the wire.

    Source: ``IProtocolNegotiationFactory`` of Twisted; RFC 7301, section 3.1.
    """
    while not IProtocolNegotiationFactory.providedBy(factory):
        if not isinstance(factory, WrappingFactory):
            return ()
        factory = factory.wrappedFactory
    names = factory.acceptableProtocols()
    if not isinstance(names, (list, tuple)) or not all(map(_is_name, names)):
        raise InvalidOption(
            "alpn_protocols",
            f"acceptableProtocols() of {type(factory).__qualname__} returned "
            f"{short_repr(names)}; expected a list of names, bytes of length 1 to 255",
        )
    return tuple(names)


def _is_name(name: object) -> bool:
    return isinstance(name, bytes) and 1 <= len(name) <= 255
