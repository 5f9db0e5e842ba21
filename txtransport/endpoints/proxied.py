"""Client endpoints that connect through one proxy or several.

`through_proxies` puts them together from the inside out. Each of these is one of
Twisted's endpoints, and knows the one before only as such::

    proxy=https://a:443,socks5://b:1080        for tls://mail.example.com:465

    _ProxyEndpoint         TCP to a, then TLS with a, verified by a's own trust
    _TunnelEndpoint        asks a for b (CONNECT)
    _LookedUpEndpoint      looks up mail.example.com, since b is socks5, and tries its
                           addresses (happy eyeballs), for each of them with a
    _TunnelEndpoint        that asks b for it
    ClientEndpoint         TLS with mail.example.com, as without a proxy

Only the first proxy's name, and names for proxies of ``socks5``, are looked up here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar, cast

from attrs import evolve, field, frozen
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.address import is_ipv6, without_zone
from txtransport.config.allowed_hosts import HostRules
from txtransport.config.policy import Side
from txtransport.config.proxy_environment import proxy_from_environment
from txtransport.config.proxy_url import ProxyURL
from txtransport.config.resolve import weaknesses
from txtransport.config.settings import Settings, StartTLSOptions, proxy_policy
from txtransport.config.url import TransportURL
from txtransport.connection.attempt import EndpointConfig, Writer
from txtransport.connection.trace import Trace
from txtransport.connection.tunnel import Tunnel, TunnelAttempt, TunnelUser
from txtransport.connection.twisted_types import ProtocolFactory, Reactor, TCPTransport
from txtransport.diagnosis.proxy_refusals import PLAINTEXT_PROXY
from txtransport.endpoints.client import ClientAttempt, ClientEndpoint
from txtransport.endpoints.network_errors import located_failure
from txtransport.endpoints.plaintext_client import (
    ConnectTarget,
    HostnameEndpoint,
    address_of,
    connect_target,
)
from txtransport.endpoints.sockets import OptionSetter
from txtransport.endpoints.srv import ServiceTarget
from txtransport.errors import HandshakeFailed, InvalidOption
from txtransport.proxy.target import Target
from txtransport.tls.creator import ConnectionCreator, connection_creator

__all__ = ["Route", "proxies_for"]

_P = TypeVar("_P")


def proxies_for(
    url: TransportURL, settings: Settings, environ: Mapping[str, str]
) -> tuple[ProxyURL, ...]:
    """The proxies between us and a URL, the nearest first; often none.

    Args:
        url: Where to connect to.
        settings: Have the option.
        environ: The environment, which counts for ``proxy=env``.

    Raises:
        InvalidOption: The environment names no proxy, or one whose options are wrong.
    """
    proxies = settings.proxying.proxy
    if not isinstance(proxies, str):
        return proxies
    found = proxy_from_environment(environ, url)
    for proxy in found:
        proxy_policy(proxy)
    return found


@frozen
class Route:
    """The way of one endpoint through its proxies.

    Attributes:
        reactor: Connects and keeps time.
        url: What is behind the proxies.
        proxies: At least one, the nearest first.
        settings: What the options say.
        where: The endpoint, for messages.
        set_options: Sets the options of the socket.
        trace: Is told of each step, or None.
        rules: Which hosts may be connected to, or None for all.
    """

    reactor: Reactor
    url: TransportURL
    proxies: tuple[ProxyURL, ...]
    settings: Settings
    where: str
    set_options: OptionSetter
    trace: Trace | None = None
    rules: HostRules | None = None

    @property
    def description(self) -> str:
        """The proxies without their secrets."""
        return ",".join(proxy.redacted() for proxy in self.proxies)

    def weaknesses(self) -> list[str]:
        """What is weak about TLS with the proxies, a line each, fit for a warning."""
        return [
            f"the proxy {proxy.location}: {weakness}"
            for proxy in self.proxies
            if (policy := proxy_policy(proxy)) is not None
            for weakness in weaknesses(policy, Side.CLIENT, StartTLSOptions())
        ]

    def endpoint(self) -> IStreamClientEndpoint:
        """The endpoint that connects to the URL's address through the proxies, without TLS.

        Raises:
            InvalidOption: The way cannot be gone, or a file of a proxy's options is wrong.
        """
        self._refuse_unreachable()
        endpoint = self._to_first()
        hops = [_location(proxy) for proxy in self.proxies[1:]]
        for number, (proxy, url) in enumerate(zip(self.proxies, (*hops, self.url), strict=True), 1):
            is_last = number == len(self.proxies)
            endpoint = self._through(proxy, endpoint, url, is_last=is_last)
            if not is_last and self.proxies[number].kind.is_secure:
                endpoint = self._secured(number, endpoint)
        return endpoint

    def endpoint_of(self, target: ConnectTarget | ServiceTarget) -> IStreamClientEndpoint:
        """The endpoint that connects to a host, or to the targets of a service, without TLS.

        Args:
            target: What the URL leads to.

        Raises:
            InvalidOption: As for `endpoint`; or the proxy is to look names up, and SRV
                records are looked up here.
        """
        if not isinstance(target, ServiceTarget):
            return self.endpoint()
        proxy = self.proxies[-1]
        if not proxy.kind.looks_up_here:
            raise InvalidOption(
                "srv", f"srv asks the name servers of this machine, and {proxy.redacted()} is to "
                "look names up, so that they do not hear of it; with socks5:// names are looked "
                "up here",
            )  # fmt: skip

        def endpoint_of(url: TransportURL, rules: HostRules | None) -> IStreamClientEndpoint:
            where = f"{self.where}: {url.host}:{url.port}"
            return evolve(self, url=url, where=where, rules=rules).endpoint()

        return target.endpoint_by(
            endpoint_of, self.reactor, self.settings.deadlines.timeout, self.rules
        )

    def _refuse_unreachable(self) -> None:
        """Refuse what no proxy can be asked for, and what the rules cannot be held against."""
        for url in (*(_location(proxy) for proxy in self.proxies[1:]), self.url):
            if "%" in url.host:
                raise InvalidOption(
                    "proxy", f"{url.location}: the zone of an address means something on this "
                    "machine only, and nothing to a proxy",
                )  # fmt: skip
        if self.rules is None:
            return
        self.rules.refuse_host(self.url)
        if not self.url.is_literal and not self.proxies[-1].kind.looks_up_here:
            name = "public_only" if self.rules.is_public_only else "allow_hosts"
            raise InvalidOption(
                name, f"{name} judges addresses, and the proxy would look the name up; with "
                "socks5:// it is looked up here",
            )  # fmt: skip

    def _to_first(self) -> IStreamClientEndpoint:
        url = _location(self.proxies[0])
        target = connect_target(url, self.settings.sockets.bindto)
        tcp = target.endpoint(self.reactor, self.settings.deadlines.timeout, self.trace)
        return self._secured(0, tcp)

    def _secured(self, number: int, endpoint: IStreamClientEndpoint) -> IStreamClientEndpoint:
        """To a proxy by an endpoint that connects to its address; with TLS if it has TLS."""
        proxy, creator = self.proxies[number], None
        policy = proxy_policy(proxy)
        if policy is not None:
            creator = self._creator(number)
        is_first = number == 0
        config = EndpointConfig(
            self.reactor,
            self._where(proxy),
            proxy.port,
            Side.CLIENT,
            creator,
            self.settings.deadlines,
            host=proxy.host,
        )
        return _ProxyEndpoint(
            endpoint,
            self.set_options if is_first else _set_nothing,
            address_of(_location(proxy)),
            config,
            self.settings.sockets.bindto if is_first else None,
            proxy=proxy,
        )

    def _creator(self, number: int) -> ConnectionCreator:
        proxy = self.proxies[number]
        policy = proxy_policy(proxy)
        assert policy is not None
        try:
            # Sessions with a proxy belong to its user, and to the way that leads there.
            return connection_creator(policy, Side.CLIENT, self.proxies[: number + 1])
        except InvalidOption as error:
            raise error.located(f"the proxy {proxy.redacted()}") from error.__cause__

    def _through(
        self, proxy: ProxyURL, to_proxy: IStreamClientEndpoint, url: TransportURL, *, is_last: bool
    ) -> IStreamClientEndpoint:
        """Through one proxy to a URL's host and port."""
        port = url.port
        assert port is not None
        is_target_first = is_last and (
            self.settings.tls is None or self.settings.starttls_options.starttls is not None
        )
        tunnel = Tunnel(
            proxy, Target(url.host, port), address_of(url), self._where(proxy), is_target_first
        )
        if url.is_literal or not proxy.kind.looks_up_here:
            return _TunnelEndpoint(tunnel, to_proxy)
        return _LookedUpEndpoint(
            self.reactor,
            url,
            port,
            self.settings.deadlines.timeout,
            None,
            None,
            self.rules if is_last else None,
            tunnel=tunnel,
            to_proxy=to_proxy,
            where=self.where if is_last else self._where(self.proxies[-1]),
        )

    def _where(self, proxy: ProxyURL) -> str:
        return f"{self.where}: the proxy {proxy.redacted()}"


def _location(proxy: ProxyURL) -> TransportURL:
    """A proxy's host and port, for what connects to the place of a URL."""
    return TransportURL(proxy.scheme, proxy.host, proxy.port)


def _set_nothing(transport: TCPTransport) -> None:
    """Set no option: the socket below has them."""


@frozen(repr=False)
class _ProxyEndpoint(ClientEndpoint):
    """Connects to a proxy, with TLS if the proxy has that, and verifies it.

    Attributes:
        proxy: The proxy.
    """

    proxy: ProxyURL = field(kw_only=True)

    def connect(self, protocolFactory: ProtocolFactory[_P]) -> Deferred[_P]:
        """Connect; the factory is a `TunnelUser` as well."""
        factory = cast(IProtocolFactory, protocolFactory)
        return cast("Deferred[_P]", _ProxyAttempt(self, factory, self.proxy).begin())

    def _failed(self, error: BaseException) -> None:
        """Leave it to the endpoint behind the proxies to log the failure."""


_WITHOUT_TLS: Final = ("plaintext-peer", "closed")
"""The causes of a failed handshake with a proxy that may speak in the clear."""


class _ProxyAttempt(ClientAttempt):
    """One attempt to connect to a proxy.

    Args:
        endpoint: The endpoint.
        factory: A tunnel's user.
        proxy: The proxy.
    """

    def __init__(
        self, endpoint: _ProxyEndpoint, factory: IProtocolFactory, proxy: ProxyURL
    ) -> None:
        super().__init__(endpoint, factory)
        self._proxy = proxy

    def connected(self, transport: TCPTransport, writer: Writer) -> None:
        """Set the socket's options, and pass on that the proxy is connected to."""
        super().connected(transport, writer)
        cast(TunnelUser, self.factory).proxying(self._proxy, transport.getPeer())

    def explained(self, reason: Failure) -> Failure:
        """Why the handshake failed, with the scheme to write if the proxy has no TLS."""
        failure = super().explained(reason)
        error = failure.value
        if not isinstance(error, HandshakeFailed) or error.cause not in _WITHOUT_TLS:
            return failure
        # The remedies for servers have URLs of transports in them.
        return Failure(
            HandshakeFailed(
                error.summary,
                cause=error.cause,
                permanent=error.permanent,
                remedy=PLAINTEXT_PROXY,
                fault=error.fault,
                evidence=error.evidence,
                original=error.original,
                received=error.received,
            )
        )

    def proxying(self, proxy: ProxyURL, address: IAddress) -> None:
        """Pass on that a proxy before this one is connected to."""
        cast(TunnelUser, self.factory).proxying(proxy, address)


@implementer(IStreamClientEndpoint)
@frozen
class _TunnelEndpoint:
    """Connects through one proxy to one name or address.

    Attributes:
        tunnel: What the proxy is asked.
        to_proxy: Connects to the proxy.
    """

    tunnel: Tunnel
    to_proxy: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect; the factory is a `TunnelUser` as well."""
        return TunnelAttempt(self.tunnel, protocolFactory).begin(self.to_proxy)


@frozen
class _LookedUpEndpoint(HostnameEndpoint):
    """Looks a name up, and connects through one proxy to the first address that answers.

    Attributes:
        tunnel: What the proxy is asked, but for the address.
        to_proxy: Connects to the proxy.
        where: The endpoint, for messages about the look-up.
    """

    tunnel: Tunnel = field(kw_only=True)
    to_proxy: IStreamClientEndpoint = field(kw_only=True)
    where: str = field(kw_only=True)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Look the name up and connect; the factory is a `TunnelUser` as well."""
        connecting = HostnameEndpoint.connect(self, protocolFactory)

        def located(reason: Failure) -> Failure:
            return located_failure(reason, self.where)

        return connecting.addErrback(located)

    def _endpoint_of(self, host: str) -> IStreamClientEndpoint:
        address = (IPv6Address if is_ipv6(host) else IPv4Address)("TCP", host, self.port)
        target = Target(without_zone(host), self.port)
        return _TunnelEndpoint(evolve(self.tunnel, target=target, address=address), self.to_proxy)
