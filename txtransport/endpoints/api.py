"""`client`, `server` and `datagram`: from a URL to an endpoint.

Everything that can be wrong with the URL, the options and the files that they
name is an exception here, before any connection or port is opened.
"""

from __future__ import annotations

import functools
import os
import re
import socket
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

from attrs import define, field
from twisted.internet.interfaces import IAddress, IStreamServerEndpoint
from twisted.logger import Logger

from txtransport.config.allowed_hosts import HostRules, read_host_rules
from txtransport.config.options import MOST_CACHED
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.resolve import (
    describe_endpoint,
    header_weaknesses,
    policy_for_peer,
    resolve,
    weaknesses,
    with_port,
)
from txtransport.config.schemes import SCHEMES, Kind, Scheme
from txtransport.config.settings import Settings
from txtransport.config.url import TransportURL
from txtransport.connection.attempt import EndpointConfig
from txtransport.connection.trace import Trace
from txtransport.connection.twisted_types import Reactor
from txtransport.endpoints.client import ClientEndpoint
from txtransport.endpoints.plaintext_client import ConnectTarget, address_of, connect_target
from txtransport.endpoints.sockets import OptionSetter, SocketSetting, socket_settings
from txtransport.errors import Diagnosis, InvalidOption, InvalidTransport, TransportUnavailable
from txtransport.tls.creator import Creator, creator_for, openssl_version

# A module is imported where an endpoint needs it: to import all of them takes 20 ms, and
# most programs need few.
if TYPE_CHECKING:
    from txtransport.endpoints.datagram import DatagramEndpoint
    from txtransport.endpoints.over import OverTarget
    from txtransport.endpoints.server import ServerEndpoint
    from txtransport.endpoints.srv import ServiceResolver, ServiceTarget

__all__ = ["client", "datagram", "server"]

_log: Final = Logger()


def client(
    reactor: object,
    url: str | TransportURL,
    port: int | None = None,
    *,
    trace: Trace | None = None,
    allow_hosts: Iterable[str] | None = None,
    public_only: bool = False,
    proxied_for: object = None,
    resolver: ServiceResolver | None = None,
    **options: object,
) -> ClientEndpoint:
    """An endpoint that connects to a URL.

    Args:
        reactor: Connects and keeps time.
        url: For example ``tls://mail.example.com:465?cafile=ca.pem``.
        port: The port, 1 to 65535, when the URL has none.
        trace: Is told of each step of an attempt (`txtransport.connection.trace`).
        allow_hosts: The only hosts that may be connected to: names
            (``example.com``, ``*.example.com`` for one label more), addresses
            and networks (``192.0.2.0/24``). For URLs from strangers
            (``docs/untrusted.md``), as is the next.
        public_only: Whether only addresses of the public Internet may be
            connected to, whatever name leads to them.
        proxied_for: With ``send_proxy=``, the transport of a connection to us that is
            passed on: the PROXY header has its addresses, and what is known of its TLS
            (``docs/balancers.md``). None says that the connection is our own.
        resolver: Looks up the records of ``srv=``, in place of the system's name
            servers: one of Twisted's ``IResolver`` (``docs/srv.md``).
        **options: The same options as in the URL's query (``docs/options.md``).

    Returns:
        An endpoint whose ``connect(factory)`` returns a Deferred. It fires with
        the factory's protocol when that is connected and, for TLS, the peer is
        verified. It fails with `HandshakeFailed`, `TransportTimeout`, with
        ``starttls=`` `NegotiationError`, with `InvalidOption` if a name leads to
        no address that is allowed, or, if TCP or the look-up failed, a
        `TransportError` that is Twisted's ``ConnectError`` or
        ``DNSLookupError`` as well.

    Raises:
        InvalidTransport: The URL cannot be connected to.
        InvalidOption: An option, or a file that it names, cannot be used, or
            the host is not allowed.
        TransportUnavailable: This installation does not have the transport.
    """
    plan = _plan(url, port, options)
    settings = plan.settings
    header = b""
    try:
        if proxied_for is not None or settings.proxy_header.send_proxy is not None:
            from txtransport.connection.proxied_for import header_to_send

            header = header_to_send(settings.proxy_header.send_proxy, proxied_for)
        rules = None
        if allow_hosts is not None or public_only is not False:
            rules = read_host_rules(allow_hosts, public_only)
        reactor = cast(Reactor, reactor)
        if settings.proxying.proxy:
            return _client_behind_proxies(reactor, plan, trace, rules, header, resolver)
        target = plan.target if resolver is None else _with_resolver(plan.target, resolver)
        plaintext = target.endpoint(reactor, settings.deadlines.timeout, trace, rules)
        creator = plan.connection_creator()
    except InvalidOption as error:
        raise error.located(plan.url.location) from error.__cause__
    config = _endpoint_config(
        reactor, plan.url, plan.where, Side.CLIENT, creator, settings, plan.name, trace
    )
    return ClientEndpoint(
        plaintext, plan.set_options, plan.address, config, plan.target.bindto, header
    )


def _client_behind_proxies(
    reactor: Reactor,
    plan: _ClientPlan,
    trace: Trace | None,
    rules: HostRules | None,
    header: bytes,
    resolver: ServiceResolver | None,
) -> ClientEndpoint:
    """The endpoint for a URL with ``proxy=``; with ``env`` there may be no proxy.

    The PROXY header is for the target: it is sent when the last proxy has connected there.

    Raises:
        InvalidOption: As for `client`.
    """
    url, settings, set_options = plan.url, plan.settings, plan.set_options
    bindto, creator, description = settings.sockets.bindto, None, ""
    from txtransport.endpoints.proxied import Route, proxies_for

    proxies = proxies_for(url, settings, os.environ)
    target = _target(url, settings, plan.where, None if proxies else bindto)
    if resolver is not None:
        target = _with_resolver(target, resolver)
    if proxies:
        route = Route(reactor, url, proxies, settings, plan.where, set_options, trace, rules)
        _warn(url, route.weaknesses())
        plaintext, description = route.endpoint_of(target), route.description
        set_options, bindto = OptionSetter(()), None
    else:
        plaintext = target.endpoint(reactor, settings.deadlines.timeout, trace, rules)
    if plan.policy is not None:
        _warn(url, plan.weaknesses)
        # Sessions belong to the way as well: a proxy keeps its users apart.
        creator = creator_for(plan.policy, Side.CLIENT, (plan.peer, proxies))
    config = _endpoint_config(
        reactor, url, plan.where, Side.CLIENT, creator, settings, plan.name, trace, description
    )
    return ClientEndpoint(plaintext, set_options, plan.address, config, bindto, header)


@define
class _ClientPlan:
    """What a URL and its options come to, for any number of endpoints and reactors.

    Attributes:
        url: The URL.
        settings: What the options say.
        where: The endpoint, for messages.
        name: The peer's name.
        peer: Under which its sessions are kept.
        policy: The demands on TLS, or None without TLS.
        weaknesses: What is weak about them, for warnings.
        set_options: Sets the options of a socket.
        address: What is connected to, as Twisted describes it.
        target: The same, checked.
    """

    url: TransportURL
    settings: Settings
    where: str
    name: str
    peer: Hashable
    policy: TLSPolicy | None
    weaknesses: tuple[str, ...]
    set_options: OptionSetter
    address: IAddress
    target: ConnectTarget | OverTarget | ServiceTarget
    _creator: Creator | None = field(default=None, init=False)

    def connection_creator(self) -> Creator | None:
        """What makes the connections, or None without TLS.

        Raises:
            InvalidOption: A file that the policy names cannot be used, now.
        """
        if self.policy is None:
            return None
        if self.weaknesses:
            _warn(self.url, self.weaknesses)
        if self._creator is None:
            self._creator = creator_for(self.policy, Side.CLIENT, self.peer)
        else:
            self._creator.context.require_usable()
        return self._creator


_Items = tuple[tuple[str, type, object], ...]


def _plan(url: str | TransportURL, port: int | None, options: dict[str, object]) -> _ClientPlan:
    """The plan for a client; that of a text that was seen before is remembered."""
    if not options and type(url) is str and len(url) <= MOST_CACHED:
        return _cached_plan(url, port, ())
    items = tuple((name, type(value), value) for name, value in options.items())
    if type(url) is str:
        texts = (value for _, kind, value in items if kind is str)
        size = len(url) + sum(map(len, cast("Iterator[str]", texts)))
        if size <= MOST_CACHED and all(kind in _HASHED for _, kind, _ in items):
            return _cached_plan(url, port, items)
    return _new_plan(url, port, items)


def _new_plan(url: str | TransportURL, port: int | None, items: _Items) -> _ClientPlan:
    options = {name: value for name, _, value in items}
    transport_url, scheme, settings = _resolve(url, port, options, "client", Kind.STREAM)
    sockets, starttls = settings.sockets, settings.starttls_options
    where = describe_endpoint(transport_url, starttls, sockets.srv, needs_port=sockets.over is None)
    policy, weak = None, []
    if settings.tls is not None:
        policy = policy_for_peer(transport_url, settings.tls, starttls)
        weak = weaknesses(policy, Side.CLIENT, starttls)
    peer: Hashable = transport_url.path or (transport_url.host, transport_url.port, sockets.srv)
    target: ConnectTarget | OverTarget | ServiceTarget
    wanted: tuple[SocketSetting, ...] = ()
    with _located(transport_url):
        if sockets.over is not None:
            from txtransport.endpoints.over import over_target

            target = over_target(transport_url, sockets.over)
            peer = target.peer
        else:
            # With a proxy it is the connection to that which is bound.
            bindto = None if settings.proxying.proxy else sockets.bindto
            target = _target(transport_url, settings, where, bindto)
            wanted = () if scheme.is_local else socket_settings(sockets, socket.SOCK_STREAM)
    return _ClientPlan(
        transport_url,
        settings,
        where,
        transport_url.name,
        peer,
        policy,
        tuple(weak),
        OptionSetter(wanted),
        address_of(transport_url),
        target,
    )


def _target(
    url: TransportURL, settings: Settings, where: str, bindto: tuple[str, int] | None
) -> ConnectTarget | ServiceTarget:
    """What a client connects to.

    Raises:
        InvalidTransport, InvalidOption: As for `client`.
    """
    srv = settings.sockets.srv
    if srv is None:
        return connect_target(url, bindto)
    from txtransport.endpoints.srv import service_target

    return service_target(url, srv, where, bindto)


def _with_resolver(target: object, resolver: object) -> ServiceTarget:
    from txtransport.endpoints.srv import with_resolver

    return with_resolver(target, resolver)


# The types of options stand beside their values, since True, 1 and 1.0 are equal.
_HASHED: Final = frozenset({str, int, float, bool, type(None)})
_cached_plan: Final = functools.lru_cache(maxsize=512, typed=True)(_new_plan)


def server(
    reactor: object, url: str | TransportURL, port: int | None = None, **options: object
) -> ServerEndpoint:
    """An endpoint that listens at a URL.

    Args:
        reactor: Listens and keeps time.
        url: For example ``tls://*:8443?local_cert=site.pem``; ``*`` is every
            address (a socket of IPv6 and one of IPv4), port 0 any port.
        port: The port, 0 to 65535, when the URL has none.
        **options: The same options as in the URL's query (``docs/options.md``).

    Returns:
        An endpoint whose ``listen(factory)`` returns a Deferred of the port.
        Before the reactor runs (twistd's start) the port is bound when
        ``listen`` returns, or the Deferred has failed, for a name as well.
        Under TLS the factory builds a protocol only for a peer whose handshake
        is complete. The Deferred fails with a `TransportError` that is
        Twisted's ``CannotListenError`` or, for a name, ``DNSLookupError`` as
        well, or with `TransportTimeout`.

    Raises:
        InvalidTransport: The URL cannot be listened at.
        InvalidOption: An option, or a file that it names, cannot be used.
        TransportUnavailable: This installation does not have the transport.
    """
    from txtransport.endpoints.server import ServerEndpoint

    reactor = cast(Reactor, reactor)
    transport_url, _, settings = _resolve(url, port, options, "server", Kind.STREAM)
    with _located(transport_url):
        plaintext = _plaintext_listener(reactor, transport_url, settings)
    creator, host = None, ""
    _warn(transport_url, header_weaknesses(transport_url, settings.proxy_header))
    if settings.tls is not None:
        _warn(transport_url, weaknesses(settings.tls, Side.SERVER, settings.starttls_options))
        creator = _connection_creator(transport_url, settings.tls, Side.SERVER)
        is_name = transport_url.name not in ("", "*") and not transport_url.is_literal
        host = transport_url.name if is_name else _machine_name()
    needs_port = settings.sockets.over is None
    where = describe_endpoint(transport_url, settings.starttls_options, needs_port=needs_port)
    config = _endpoint_config(reactor, transport_url, where, Side.SERVER, creator, settings, host)
    return ServerEndpoint(
        plaintext, settings.serving, config, transport_url.location, settings.proxy_header
    )


def _plaintext_listener(
    reactor: Reactor, url: TransportURL, settings: Settings
) -> IStreamServerEndpoint:
    sockets = settings.sockets
    if sockets.over is not None:
        from txtransport.endpoints.over import over_listener

        return over_listener(reactor, url, settings)
    if SCHEMES[url.scheme].is_inherited:
        from txtransport.endpoints.inherited import inherited_listener

        return inherited_listener(reactor, url, settings)
    from txtransport.endpoints.server import plaintext_endpoint

    return plaintext_endpoint(reactor, url, sockets, settings.deadlines.timeout)


def datagram(
    reactor: object, url: str | TransportURL, port: int | None = None, **options: object
) -> DatagramEndpoint:
    """An endpoint that sends or receives datagrams.

    Args:
        reactor: Looks names up, and reads the socket.
        url: For example ``udp://192.0.2.7:53``.
        port: The port, 0 to 65535, when the URL has none; 0 is for listening.
        **options: The same options as in the URL's query (``docs/options.md``).

    Returns:
        An endpoint with two methods. ``connect(protocol)`` returns a Deferred
        of the transport, which sends to the URL's address and receives from no
        other. ``listen(protocol)`` returns a Deferred of the port. They fail
        with a `TransportError` that is Twisted's ``ConnectError``,
        ``CannotListenError`` or, for a name, ``DNSLookupError`` as well, or
        with `TransportTimeout`.

    Raises:
        InvalidTransport: The URL is not one of a datagram transport, or has no port.
        InvalidOption: An option cannot be used.
        TransportUnavailable: This installation does not have the transport.
    """
    from txtransport.endpoints.datagram import DatagramEndpoint

    transport_url, scheme, settings = _resolve(url, port, options, "datagram", Kind.DATAGRAM)
    if scheme.is_inherited:
        from txtransport.endpoints.inherited import inherited_datagram_sockets

        found = inherited_datagram_sockets(transport_url)
        return DatagramEndpoint(cast(Reactor, reactor), transport_url, 0, settings, found)
    if transport_url.port is None:
        where = transport_url.location
        raise InvalidTransport(
            f"{where}: the port is missing; write {where}:PORT, 0 to listen at any, or give port="
        )
    with _located(transport_url):
        return DatagramEndpoint(cast(Reactor, reactor), transport_url, transport_url.port, settings)


def _resolve(
    url: str | TransportURL, port: int | None, options: dict[str, object], side: str, kind: Kind
) -> tuple[TransportURL, Scheme, Settings]:
    transport_url = with_port(url, port)
    scheme = SCHEMES[transport_url.scheme]
    if scheme.refusal is not None and not scheme.is_available:
        raise _unavailable(scheme, scheme.refusal, transport_url)
    settings = resolve(transport_url, options, side, kind)
    if scheme.danger is not None and not (settings.tls and settings.tls.allow_broken_ssl):
        raise _unavailable(scheme, scheme.danger, transport_url)
    return transport_url, scheme, settings


def _unavailable(scheme: Scheme, why: Diagnosis, url: TransportURL) -> TransportUnavailable:
    linked = f"linked here: {openssl_version()}"
    return TransportUnavailable(scheme.name, why.summary, why.remedy, linked, url.location)


def _connection_creator(
    url: TransportURL, policy: TLSPolicy, side: Side, peer: Hashable = None
) -> Creator:
    with _located(url):
        return creator_for(policy, side, peer)


@contextmanager
def _located(url: TransportURL) -> Iterator[None]:
    """Put the endpoint in front of what is wrong with an option."""
    try:
        yield
    except InvalidOption as error:
        raise error.located(url.location) from error.__cause__


def _machine_name() -> str:
    """The name of this machine, for a server's dialogue; ``localhost`` if it is no plain name."""
    name = socket.gethostname()
    return name if re.fullmatch("[A-Za-z0-9._-]{1,253}", name) else "localhost"


def _endpoint_config(
    reactor: Reactor,
    url: TransportURL,
    where: str,
    side: Side,
    creator: Creator | None,
    settings: Settings,
    host: str,
    trace: Trace | None = None,
    proxy: str = "",
) -> EndpointConfig:
    return EndpointConfig(
        reactor,
        where,
        url.port,
        side,
        creator,
        settings.deadlines,
        is_upgrade=settings.starttls_options.starttls is not None,
        starttls_options=settings.starttls_options,
        host=host,
        trace=trace,
        proxy=proxy,
    )


# In the order in which they were last met; the values mean nothing.
_warned: dict[tuple[str, str], None] = {}
_MAX_WARNINGS: Final = 1000


def _warn(url: TransportURL, weaknesses: Iterable[str]) -> None:
    """Log a warning for each weakness, once for each endpoint.

    Of more endpoints than are remembered, the oldest is forgotten: its warning comes
    again, and none is left out.
    """
    for weakness in weaknesses:
        warning = url.location, weakness
        if warning not in _warned:
            _log.warn("{where}: {weakness}", where=url.location, weakness=weakness)
        _warned.pop(warning, None)
        _warned[warning] = None
        if len(_warned) > _MAX_WARNINGS:
            del _warned[next(iter(_warned))]
