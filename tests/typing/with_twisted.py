"""What a user with mypy-zope passes to Twisted: our endpoints are Twisted's.

Nothing here is run. Without mypy-zope, the type checkers take no endpoint, of ours or of
Twisted's, for an ``IStreamClientEndpoint``, and no factory for an ``IProtocolFactory``.
"""

from __future__ import annotations

from twisted.application.internet import ClientService, StreamServerEndpointService
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory, Protocol
from typing_extensions import assert_type

import txtransport
from txtransport.endpoints.datagram import IDatagramEndpoint


def endpoints(
    reactor: object,
) -> tuple[IStreamClientEndpoint, IStreamServerEndpoint, IDatagramEndpoint]:
    """Each is one of its interface."""
    return (
        txtransport.client(reactor, "tcp://192.0.2.7:25"),
        txtransport.server(reactor, "tcp://*:25"),
        txtransport.datagram(reactor, "udp://192.0.2.7:53"),
    )


def services(reactor: object, policy: IOpenSSLClientConnectionCreator) -> None:
    """Twisted's own functions and classes take them."""
    calling = txtransport.client(reactor, "tcp://192.0.2.7:25")
    listening = txtransport.server(reactor, "tcp://*:25")
    factory = Factory.forProtocol(Protocol)
    ClientService(calling, factory)
    ClientService(calling, txtransport.guard(factory))
    StreamServerEndpointService(listening, factory)
    wrapClientTLS(policy, calling)


def any_factory(factory: IProtocolFactory, endpoint: txtransport.ClientEndpoint) -> None:
    """A factory of which only the interface is known builds protocols of that interface."""
    assert_type(endpoint.connect(factory), Deferred[IProtocol])
    endpoint.connect(txtransport.guard(factory))
