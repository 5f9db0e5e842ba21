"""Transports by URL for Twisted.

    import txtransport
    endpoint = txtransport.client(reactor, "tls://www.example.com:443")

One string says where to connect or listen and over what; `StartTLSMixin`
switches a running conversation to TLS. Importing this does nothing: what a
name needs is imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from txtransport.config.policy import TLSPolicy
from txtransport.config.schemes import available_schemes
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

if TYPE_CHECKING:
    from txtransport import mail, web
    from txtransport.client_service import ReconnectingService, service
    from txtransport.config.url import TransportURL
    from txtransport.connection.driver import starttls_outcome
    from txtransport.connection.proxy_header import proxy_header_of
    from txtransport.endpoints.api import client, datagram, server
    from txtransport.endpoints.client import ClientEndpoint
    from txtransport.endpoints.datagram import DatagramEndpoint
    from txtransport.endpoints.server import ServerEndpoint
    from txtransport.endpoints.strings import endpoint_string
    from txtransport.proxy.proxy_protocol.header import ProxyHeader
    from txtransport.tls.session import Session, session_of
    from txtransport.upgrade.guard import guard
    from txtransport.upgrade.mixin import StartTLSMixin
    from txtransport.upgrade.switch import TLSState

__version__: Final = "0.1.0"

__all__ = [
    "ClientEndpoint",
    "DatagramEndpoint",
    "HandshakeFailed",
    "InvalidOption",
    "InvalidTransport",
    "NegotiationError",
    "ProxyHeader",
    "ReconnectingService",
    "ServerEndpoint",
    "Session",
    "StartTLSMixin",
    "TLSPolicy",
    "TLSState",
    "TransportError",
    "TransportTimeout",
    "TransportURL",
    "TransportUnavailable",
    "UpgradeError",
    "__version__",
    "available_schemes",
    "client",
    "datagram",
    "endpoint_string",
    "guard",
    "mail",
    "proxy_header_of",
    "server",
    "service",
    "session_of",
    "starttls_outcome",
    "web",
]

# OpenSSL and Twisted's endpoints take a quarter of a second to import.
_LATER = {
    "ClientEndpoint": "txtransport.endpoints.client",
    "DatagramEndpoint": "txtransport.endpoints.datagram",
    "ProxyHeader": "txtransport.proxy.proxy_protocol.header",
    "ReconnectingService": "txtransport.client_service",
    "ServerEndpoint": "txtransport.endpoints.server",
    "Session": "txtransport.tls.session",
    "StartTLSMixin": "txtransport.upgrade.mixin",
    "TLSState": "txtransport.upgrade.switch",
    "TransportURL": "txtransport.config.url",
    "client": "txtransport.endpoints.api",
    "datagram": "txtransport.endpoints.api",
    "guard": "txtransport.upgrade.guard",
    "proxy_header_of": "txtransport.connection.proxy_header",
    "starttls_outcome": "txtransport.connection.driver",
    "endpoint_string": "txtransport.endpoints.strings",
    "server": "txtransport.endpoints.api",
    "service": "txtransport.client_service",
    "session_of": "txtransport.tls.session",
}

# Modules that are public as a whole.
_MODULES = frozenset({"mail", "web"})

# A type checker that saw this would take any name, also a misspelt one, for an object.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return import_module(f"txtransport.{name}")
        module = _LATER.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(module), name)
        return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
