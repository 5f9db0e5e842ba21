"""`agent`: Twisted's HTTP client over our endpoints.

Twisted's ``Agent`` asks an ``IAgentEndpointFactory`` for an endpoint for each request. Here
that is an `AgentEndpointFactory`, which turns ``https://host:port`` into `client` of
``tls://host:port`` and ``http`` into ``tcp``, with the options that the agent was made
with. An agent goes to many hosts: where a redirect leads is a stranger's choice. So what is
meant for one peer (`FOR_HOSTS`) goes to the hosts that are named and to no other.

The host of a request is text from outside as well. It becomes part of a `TransportURL` only
after it was seen to be a host and nothing else, so that none carries an option.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Iterable, Mapping
from inspect import signature
from typing import Final, Protocol, cast
from urllib.parse import quote
from weakref import WeakKeyDictionary

from attrs import frozen
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.web.client import URI, Agent
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from txtransport.config.allowed_hosts import read_host_rules
from txtransport.config.named_hosts import read_named_hosts
from txtransport.config.options import OPTIONS
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.resolve import resolve
from txtransport.config.schemes import SCHEMES, Kind
from txtransport.config.url import TransportURL
from txtransport.connection.twisted_types import TCPTransport
from txtransport.endpoints.api import client
from txtransport.endpoints.client import ClientEndpoint
from txtransport.errors import HandshakeFailed, InvalidOption, InvalidTransport, TransportError
from txtransport.text import escape_text, short_repr
from txtransport.tls.creator import connection_creator
from txtransport.tls.session import session_of

__all__ = ["FOR_HOSTS", "AgentEndpointFactory", "ConnectionPool", "agent"]

_log: Final = Logger()

_DEMANDING_TLS: Final = (
    "local_cert",
    "local_pk",
    "passphrase",
    "passphrase_file",
    "peer_fingerprint",
    "peer_name",
    "pin",
)

FOR_HOSTS: Final = (*_DEMANDING_TLS, "over", "proxied_for", "send_proxy")
"""The options that are for the hosts of ``hosts=`` alone, and an error without it."""

_WEAKENING: Final = ("allow_self_signed", "verify_peer", "verify_peer_name")
"""Options that are for the hosts of ``hosts=`` alone where there are any."""

_NOT_FOR_HTTP: Final = frozenset(name for name in OPTIONS if name.startswith("starttls"))

_SCHEMES: Final = {b"http": "tcp", b"ws": "tcp", b"https": "tls", b"wss": "tls"}
_LOCAL: Final = {"tcp": "unix", "tls": "tls+unix"}

_HTTP_1: Final = frozenset({"http/1.1", "http/1.0"})
"""The application protocols (ALPN) that Twisted's agent speaks."""

# How many are kept. Requests go to a few hosts, again and again.
_ENDPOINTS: Final = 128


class ConnectionPool(Protocol):
    """Twisted's ``HTTPConnectionPool``, as every type checker understands it.

    Attributes:
        persistent: Whether it keeps connections.
    """

    persistent: bool


def agent(
    reactor: object,
    *,
    hosts: Iterable[str] = (),
    socket: str | os.PathLike[str] | None = None,
    pool: ConnectionPool | None = None,
    **options: object,
) -> Agent:
    """Twisted's HTTP client, over the endpoints of `client`.

    Args:
        reactor: Connects and keeps time.
        hosts: For which hosts the options `FOR_HOSTS` and `socket` are, and no others:
            names (``example.com``, ``*.example.com`` for one label more) and addresses,
            with a port (``example.com:8443``) or for all.
        socket: The path of a local socket, or ``@name``, over which requests for these
            hosts go; with TLS for ``https``.
        pool: Keeps connections for later requests. It belongs to one agent, since a kept
            connection is as well verified as its own agent has demanded. By default each
            request has a connection of its own.
        **options: The same options as in the query of a ``tls`` URL
            (``docs/options.md``), and the keywords of `client`. ``http`` requests take
            those that are not about TLS. ``alpn_protocols`` is ``http/1.1`` by default.

    Returns:
        An agent, whose requests fail with the errors of `client` and of its endpoint.

    Raises:
        InvalidOption: An option, or a file that it names, cannot be used, or needs
            ``hosts``; or the pool belongs to another agent.
    """
    factory = AgentEndpointFactory(reactor, hosts=hosts, socket=socket, **options)
    if pool is not None and pool.persistent:
        _adopt(pool, factory)
    return cast(Agent, Agent.usingEndpointFactory(reactor, factory, pool))


_adopted: Final[WeakKeyDictionary[ConnectionPool, AgentEndpointFactory]] = WeakKeyDictionary()


def _adopt(pool: ConnectionPool, factory: AgentEndpointFactory) -> None:
    """Note whose connections a pool keeps.

    A pool knows a connection by scheme, host and port alone, and would give one that was
    made with verify_peer=no to an agent that verifies.
    """
    if not _adopted.setdefault(pool, factory).is_like(factory):
        raise InvalidOption(
            "pool",
            "the pool belongs to an agent with other options, whose connections this one would "
            "be given: make a pool for each",
        )


@implementer(IAgentEndpointFactory)
class AgentEndpointFactory:
    """The endpoints for the requests of an ``Agent``.

    Args:
        reactor: Connects and keeps time.
        hosts: As for `agent`.
        socket: As for `agent`.
        **options: As for `agent`.

    Raises:
        InvalidOption: As for `agent`.
    """

    def __init__(
        self,
        reactor: object,
        *,
        hosts: Iterable[str] = (),
        socket: str | os.PathLike[str] | None = None,
        **options: object,
    ) -> None:
        allowed = options.get("allow_hosts")
        if isinstance(allowed, Iterable) and not isinstance(allowed, (str, bytes)):
            # It is read again for each endpoint.
            options["allow_hosts"] = tuple(allowed)
        self._reactor = reactor
        self._hosts = read_named_hosts(hosts)
        self._socket = None if socket is None else _socket_path(socket)
        self._for_hosts = {
            name: options.pop(name)
            for name in (*FOR_HOSTS, *(_WEAKENING if self._hosts else ()))
            if name in options
        }
        self._for_all = {"alpn_protocols": ("http/1.1",), **options}
        self._demanding_tls = [name for name in _DEMANDING_TLS if name in self._for_hosts]
        self._require_hosts()
        self._check_options()
        # Kept, so that the log has each new cause of a failure once, and not once a request.
        self._endpoint = functools.lru_cache(_ENDPOINTS)(self._new_endpoint)

    def is_like(self, other: AgentEndpointFactory) -> bool:
        """Whether its connections are as good as those of another.

        Args:
            other: The other.
        """
        return all(
            getattr(self, name) == getattr(other, name)
            for name in ("_reactor", "_hosts", "_socket", "_for_hosts", "_for_all")
        )

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """The endpoint for a request.

        Args:
            uri: Where the request goes.

        Returns:
            An endpoint. Where the request cannot go, its ``connect`` fails and says why.

        Raises:
            SchemeNotSupported: The scheme is neither http nor https (ws, wss).
        """
        scheme = _SCHEMES.get(uri.scheme)
        if scheme is None:
            said = escape_text(uri.scheme.decode("ascii", "replace"))[:40]
            raise SchemeNotSupported(f"Unsupported scheme: {said}")
        try:
            return self._endpoint(scheme, uri.host, uri.port)
        except TransportError as error:
            return _Refused(error)

    def _new_endpoint(self, scheme: str, host: bytes, port: int) -> IStreamClientEndpoint:
        url = _read_host(scheme, host, port)
        is_named = self._hosts.includes(url)
        if is_named and self._demanding_tls and scheme == "tcp":
            raise InvalidTransport(
                f"{url.location}: http has no TLS, which {', '.join(self._demanding_tls)} "
                "demand of this host: ask for https"
            )
        options = {**self._for_all, **self._for_hosts} if is_named else self._for_all
        if is_named and self._socket is not None:
            url, options = _local_url(scheme, self._socket), {"peer_name": url.name, **options}
        endpoint = _connect_to(self._reactor, url, **_served(url, options))
        return _HTTP1Endpoint(endpoint)

    def _require_hosts(self) -> None:
        """Refuse what would go to any host that a redirect leads to."""
        needing = [name for name in FOR_HOSTS if name in self._for_hosts]
        if self._socket is not None:
            needing.append("socket")
        if needing and not self._hosts:
            name = needing[0]
            raise InvalidOption(
                name,
                f"{name} is for some hosts and no others, to which a redirect may lead: name them, "
                "hosts=['example.com']",
            )

    def _check_options(self) -> None:
        """Refuse what no endpoint could be made with, before there is a request."""
        options = {**self._for_all, **self._for_hosts}
        for name in options:
            if name in _NOT_FOR_HTTP:
                raise InvalidOption(name, f"{name} is not for HTTP, which has TLS from the start")
        allow_hosts = options.pop("allow_hosts", None)
        rules = read_host_rules(allow_hosts, options.pop("public_only", False))
        if options.get("over") is not None and (rules is not None or self._socket is not None):
            raise InvalidOption(
                "over",
                "over cannot stand beside socket, public_only or allow_hosts: it alone says what "
                "is connected to",
            )
        if rules is not None and self._socket is not None:
            raise InvalidOption(
                "socket",
                "socket cannot stand beside public_only or allow_hosts, which allow no local "
                "socket: make an agent for each",
            )
        for name in _KEYWORDS & options.keys():
            del options[name]
        policy = _read_policy(options)
        unspoken = [name for name in policy.alpn_protocols if name not in _HTTP_1]
        if unspoken:
            _log.warn(
                "alpn_protocols offers {names}, which Twisted's Agent does not speak: a server "
                "that agrees to it is refused", names=", ".join(map(escape_text, unspoken)),
            )  # fmt: skip


_connect_to: Final = cast(Callable[..., ClientEndpoint], client)
# Those of `client` that are no options: ``trace``, ``public_only`` and the like.
_KEYWORDS: Final = frozenset(
    name for name, each in signature(client).parameters.items() if each.kind is each.KEYWORD_ONLY
)


def _read_policy(options: Mapping[str, object]) -> TLSPolicy:
    """What options come to for any host, their files read as well.

    An endpoint is not made, which would warn of what is weak for a host that is none.
    """
    url = TransportURL("tls", "host.invalid", 443)
    try:
        policy = resolve(url, options, "client", Kind.STREAM).tls
    except InvalidOption as error:
        made = copy.copy(error)
        made.args = (str(error).removeprefix(f"{url.location}: "),)
        raise made from error.__cause__
    assert policy is not None, "the scheme is one of TLS"
    connection_creator(policy.for_peer(url.name), Side.CLIENT)
    return policy


def _served(url: TransportURL, options: Mapping[str, object]) -> dict[str, object]:
    """The options that a URL of that scheme has, and all that is no option."""
    scheme = SCHEMES[url.scheme]
    return {
        name: value
        for name, value in options.items()
        # A local socket is behind no proxy, and would refuse the one that others go through.
        if (name not in OPTIONS or OPTIONS[name].serves(scheme))
        and not (scheme.is_local and name == "proxy")
    }


def _read_host(scheme: str, host: bytes, port: int) -> TransportURL:
    """Where a request goes.

    Args:
        scheme: ``tcp`` or ``tls``.
        host: As Twisted has it, an IPv6 address without its brackets.
        port: Any number.

    Raises:
        InvalidTransport: It is no host, or no port.
    """
    text = host.decode("ascii", "replace")
    if "@" in text:
        # Not shown: a password stands before it.
        raise InvalidTransport(
            "a URL's user name and password are not sent by Agent: leave them out, and set the "
            "header Authorization"
        )
    if "?" in text or "/" in text:
        raise InvalidTransport(f"{short_repr(text)} is not a host")
    if ":" in text:
        text = f"[{text}]"
    return TransportURL.parse(f"{scheme}://{text}:{port:d}")


def _socket_path(given: object) -> str:
    """The path of a local socket, in the form of `TransportURL.path`."""
    try:
        path = os.fspath(cast("str | os.PathLike[str]", given))
        return TransportURL.parse(f"unix://{quote(path, safe='/@')}").path
    except (TypeError, InvalidTransport):
        raise InvalidOption(
            "socket",
            f"socket is the whole path of a local socket, or @name, not {short_repr(given)}",
        ) from None


def _local_url(scheme: str, path: str) -> TransportURL:
    return TransportURL(_LOCAL[scheme], path=path)


@implementer(IStreamClientEndpoint)
@frozen(repr=False)
class _HTTP1Endpoint:
    """Refuses a connection on which the server speaks another protocol than HTTP/1.

    Attributes:
        endpoint: Connects.
    """

    endpoint: ClientEndpoint

    def __repr__(self) -> str:
        return repr(self.endpoint)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect as `ClientEndpoint` does.

        Args:
            protocolFactory: Builds the protocol.

        Returns:
            Fires and fails likewise; fails with `HandshakeFailed` as well when the server
            has agreed to a protocol such as ``h2``.
        """
        connecting: Deferred[IProtocol] = self.endpoint.connect(protocolFactory)
        return connecting.addCallback(self._require_http_1)

    def _require_http_1(self, protocol: IProtocol) -> IProtocol:
        transport = cast(TCPTransport, getattr(protocol, "transport", None))
        session = session_of(transport)
        agreed = None if session is None else session.alpn_protocol
        if agreed is None or agreed in _HTTP_1:
            return protocol
        transport.abortConnection()
        where = self.endpoint.config.where
        raise HandshakeFailed(
            f"{where}: the server has agreed to the application protocol {agreed}, which "
            "Twisted's Agent does not speak",
            cause="no-common-protocol",
            fault="ours",
            permanent=True,
            remedy="Leave alpn_protocols out: then http/1.1 alone is offered",
            evidence=(f"the server chose {agreed} (ALPN)",),
        )


@implementer(IStreamClientEndpoint)
@frozen
class _Refused:
    """The endpoint of a request that cannot be made.

    An exception of ``endpointForURI`` would be one of ``Agent.request``, where every other
    failure is one of its Deferred.

    Attributes:
        error: Why.
    """

    error: TransportError

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Fail."""
        return fail(self.error)
