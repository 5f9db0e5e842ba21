"""Transports by URL for Twisted.

    import txtransport
    endpoint = txtransport.client(reactor, "tls://www.example.com:443")

One string says where to connect or listen and over what; `StartTLSMixin`
switches a running conversation to TLS. Importing this does nothing: what a
name needs is imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from txtransport.errors import (
    HandshakeFailed,
    InvalidOption,
    InvalidTransport,
    NegotiationError,
    TransportError,
    TransportTimeout,
    TransportUnavailable,
    UpgradeError,
)
from txtransport.schemes import names
from txtransport.tls.policy import TLSPolicy

if TYPE_CHECKING:
    from txtransport.endpoints import client, datagram, server
    from txtransport.gate import outcome_of
    from txtransport.guard import guard
    from txtransport.mixin import StartTLSMixin
    from txtransport.strings import quote
    from txtransport.tls.session import Session, session_of
    from txtransport.upgrade import TLSState
    from txtransport.url import Transport

__all__ = [
    "HandshakeFailed",
    "InvalidOption",
    "InvalidTransport",
    "NegotiationError",
    "Session",
    "StartTLSMixin",
    "TLSPolicy",
    "TLSState",
    "Transport",
    "TransportError",
    "TransportTimeout",
    "TransportUnavailable",
    "UpgradeError",
    "client",
    "datagram",
    "guard",
    "names",
    "outcome_of",
    "quote",
    "server",
    "session_of",
]

# OpenSSL and Twisted's endpoints take a quarter of a second to import.
_LATER = {
    "Session": "txtransport.tls.session",
    "StartTLSMixin": "txtransport.mixin",
    "TLSState": "txtransport.upgrade",
    "Transport": "txtransport.url",
    "client": "txtransport.endpoints",
    "datagram": "txtransport.endpoints",
    "guard": "txtransport.guard",
    "outcome_of": "txtransport.gate",
    "quote": "txtransport.strings",
    "server": "txtransport.endpoints",
    "session_of": "txtransport.tls.session",
}


def __getattr__(name: str) -> Any:
    module = _LATER.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(module), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
