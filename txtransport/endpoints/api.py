"""The desk: a URL in, an endpoint out.

Everything that can be wrong with the URL, the options and the files is said
here, before anything is opened.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Hashable
from typing import Any, Final

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.logger import Logger

from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.resolve import (
    describe_endpoint,
    policy_for_peer,
    resolve,
    weaknesses,
    with_port,
)
from txtransport.config.schemes import SCHEMES, Kind, Scheme
from txtransport.config.settings import Settings
from txtransport.config.url import TransportURL
from txtransport.connection.lifetime import TLSEndpointConfig
from txtransport.connection.trace import Trace
from txtransport.endpoints import client as clients
from txtransport.endpoints import server as servers
from txtransport.endpoints.client import ClientEndpoint
from txtransport.endpoints.datagram import IDatagramEndpoint, UDPEndpoint
from txtransport.endpoints.server import ServerEndpoint
from txtransport.endpoints.sockets import OptionSetter, socket_settings
from txtransport.errors import InvalidOption, TransportUnavailable
from txtransport.tls.creator import ConnectionCreator, connection_creator, openssl_version

_log: Final = Logger()


def client(
    reactor: Any,
    url: str | TransportURL,
    port: int | None = None,
    *,
    trace: Trace | None = None,
    **options: Any,
) -> IStreamClientEndpoint:
    """An endpoint that connects.

    Args:
        reactor: Connects and keeps time.
        url: For example ``tls://mail.example.com:465?cafile=ca.pem``.
        port: The port, when the URL has none.
        trace: Is told of each step of an attempt (`txtransport.connection.trace`).
        **options: The same vocabulary as the URL's query (``docs/options.md``).

    Returns:
        Its ``connect(factory)`` gives a Deferred that fires with the protocol
        when it is connected and, for TLS, the peer is verified. It fails with
        `HandshakeFailed`, `TransportTimeout`, Twisted's ``ConnectError`` or,
        with ``starttls=``, `NegotiationError`.

    Raises:
        InvalidTransport: The URL is not one of a client.
        InvalidOption: An option, or a file that it names, cannot be used.
        TransportUnavailable: The transport cannot be had here.
    """
    transport, scheme, read = _resolve(url, port, options, "client", Kind.STREAM)
    where = describe_endpoint(transport, read.starttls_options)
    plain = clients.plaintext_endpoint(
        reactor, transport, read.sockets, read.deadlines.timeout, trace
    )
    config = None
    if read.tls is not None:
        policy = policy_for_peer(transport, read.tls, read.starttls_options)
        _warn(transport, weaknesses(policy, Side.CLIENT, read.starttls_options))
        place = transport.path or (transport.host, transport.port)
        made = _connection_creator(transport, policy, Side.CLIENT, place)
        config = _tls_endpoint_config(reactor, transport, made, read, transport.name, trace)
    tuner = OptionSetter(
        () if scheme.is_local else socket_settings(read.sockets, socket.SOCK_STREAM)
    )
    bindto = read.sockets.bindto
    return ClientEndpoint(plain, tuner, reactor, where, read.deadlines, config, bindto, trace)


def server(
    reactor: Any, url: str | TransportURL, port: int | None = None, **options: Any
) -> IStreamServerEndpoint:
    """An endpoint that listens.

    Args:
        reactor: Listens and keeps time.
        url: For example ``tls://*:8443?local_cert=site.pem``; ``*`` is every
            address, port 0 any port.
        port: The port, when the URL has none.
        **options: The same vocabulary as the URL's query.

    Returns:
        Its ``listen(factory)`` gives a Deferred of the port. The factory
        builds a protocol for each peer that is through the handshake. It
        fails with Twisted's ``CannotListenError`` and, for a name, with
        ``DNSLookupError`` or `TransportTimeout`.

    Raises:
        InvalidTransport: The URL is not one of a server.
        InvalidOption: An option, or a file that it names, cannot be used.
        TransportUnavailable: The transport cannot be had here.
    """
    transport, _, read = _resolve(url, port, options, "server", Kind.STREAM)
    plain = servers.plaintext_endpoint(reactor, transport, read.sockets, read.deadlines.timeout)
    config = None
    if read.tls is not None:
        _warn(transport, weaknesses(read.tls, Side.SERVER, read.starttls_options))
        made = _connection_creator(transport, read.tls, Side.SERVER)
        is_name = transport.name not in ("", "*") and not transport.is_literal
        us = transport.name if is_name else _our_name()
        config = _tls_endpoint_config(reactor, transport, made, read, us)
    return ServerEndpoint(plain, read.serving, config, transport.location)


def datagram(
    reactor: Any, url: str | TransportURL, port: int | None = None, **options: Any
) -> IDatagramEndpoint:
    """An endpoint for datagrams.

    Args:
        reactor: Looks names up, and reads the socket.
        url: For example ``udp://192.0.2.7:53``.
        port: The port, when the URL has none.
        **options: The same vocabulary as the URL's query.

    Returns:
        Its ``connect(protocol)`` gives a Deferred of the transport, which
        writes to the URL's place alone, and its ``listen(protocol)`` one of
        the port. They fail with Twisted's ``ConnectError`` or
        ``CannotListenError`` and, for a name, with ``DNSLookupError`` or
        `TransportTimeout`.

    Raises:
        InvalidTransport: The URL is not one of a datagram transport.
        InvalidOption: An option cannot be used.
        TransportUnavailable: The transport cannot be had here.
    """
    transport, _, read = _resolve(url, port, options, "datagram", Kind.DATAGRAM)
    return UDPEndpoint(reactor, transport, read)


def _resolve(
    url: str | TransportURL, port: int | None, options: dict[str, Any], side: str, kind: Kind
) -> tuple[TransportURL, Scheme, Settings]:
    transport = with_port(url, port)
    scheme = SCHEMES[transport.scheme]
    if scheme.refusal is not None:
        raise TransportUnavailable(
            scheme.name, f"{scheme.refusal} (linked here: {openssl_version()})"
        )
    return transport, scheme, resolve(transport, options, side, kind)


def _connection_creator(
    url: TransportURL, policy: TLSPolicy, side: Side, place: Hashable = None
) -> ConnectionCreator:
    try:
        return connection_creator(policy, side, place)
    except InvalidOption as error:
        raise error.located(url.location) from error.__cause__


def _our_name() -> str:
    """This machine's name, if it is one that can be said in a dialogue."""
    name = socket.gethostname()
    return name if re.fullmatch("[A-Za-z0-9._-]{1,253}", name) else "localhost"


def _tls_endpoint_config(
    reactor: Any,
    url: TransportURL,
    made: ConnectionCreator,
    read: Settings,
    host: str,
    trace: Trace | None = None,
) -> TLSEndpointConfig:
    return TLSEndpointConfig(
        reactor,
        describe_endpoint(url, read.starttls_options),
        url.port,
        made,
        read.deadlines,
        is_upgrade=read.starttls_options.starttls is not None,
        starttls_options=read.starttls_options,
        host=host,
        trace=trace,
    )


_warned: set[tuple[str, str]] = set()
_MAX_WARNINGS: Final = 1000


def _warn(url: TransportURL, weaknesses: list[str]) -> None:
    """Say once what is weaker than it should be."""
    for weakness in weaknesses:
        told = url.location, weakness
        if told not in _warned and len(_warned) < _MAX_WARNINGS:
            _warned.add(told)
            _log.warn("{where}: {weakness}", where=url.location, weakness=weakness)
