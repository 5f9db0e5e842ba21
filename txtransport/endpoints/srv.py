"""Clients of a service that the DNS knows (``srv=``): its records, then its targets in turn.

::

    tls://example.com?srv=xmpps-client

    ServiceTarget      what the plan of a client keeps, as a `ConnectTarget` without srv=
    ServiceEndpoint    asks the DNS for _xmpps-client._tcp.example.com,
                       then tries its targets, the lowest priority first
    HostnameEndpoint   looks up the addresses of one target, and connects (happy eyeballs)
    ClientEndpoint     TLS with example.com, as without srv=

**Who the peer must be.** Records say where to connect to, and not to whom: without DNSSEC
an attacker between us and the name server can write them. Name and SNI stay the URL's host
(RFC 6120, section 13.7.2), whatever the targets are called.

**What does not lead to the plain host.** Only an answer that there are no records does
(NXDOMAIN, or none of that type). A name server that fails or says nothing, and a domain
that says that it has no such service, are failures.

**When the next target is tried.** When no address of the one before can be connected to
within its share of the time: what is left of the deadline, divided by the targets that are
left. What fails later, TLS with a target for example, is the failure of the attempt.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Sequence
from random import Random
from typing import Any, Final, Protocol, cast

from attrs import evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import ConnectBindError, DNSLookupError, TimeoutError
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from zope.interface import implementer

from txtransport.config.allowed_hosts import HostRules
from txtransport.config.url import TransportURL
from txtransport.connection.trace import Trace
from txtransport.connection.twisted_types import Reactor
from txtransport.endpoints.happy_eyeballs import is_of_address
from txtransport.endpoints.network_errors import located
from txtransport.endpoints.plaintext_client import connect_target
from txtransport.endpoints.srv_records import (
    BadTarget,
    NoServiceRecord,
    ServiceLookUpError,
    SRVRecord,
    in_order,
    read_answers,
    service_name,
)
from txtransport.errors import InvalidOption, InvalidTransport, TransportError, TransportTimeout
from txtransport.text import describe_error

__all__ = [
    "ServiceEndpoint",
    "ServiceResolver",
    "ServiceTarget",
    "ServiceUser",
    "service_target",
    "with_resolver",
]

MAX_TARGETS: Final = 16
"""How many targets one attempt tries, since how many there are is up to the domain's owner."""

EndpointMaker = Callable[[TransportURL, "HostRules | None"], IStreamClientEndpoint]
"""Makes the endpoint that connects to the host and port of a URL, within some rules."""

# What another target may not have, beside what another address may not have.
_TARGET_ERRORS: Final = (DNSLookupError, TransportTimeout, InvalidOption)


def _is_of_target(error: Exception) -> bool:
    """Whether another target may not have the problem.

    Any other error comes from building the protocol or from a proxy, or is the end of an
    attempt that was cancelled. The local address is ours, and the same for each target.
    """
    if isinstance(error, ConnectBindError):
        return False
    return isinstance(error, _TARGET_ERRORS) or is_of_address(error)


class ServiceUser(Protocol):
    """A factory that is told which target is tried; Twisted's ``IProtocolFactory`` as well."""

    def trying_target(self, where: str, port: int) -> None:
        """Connecting to a target begins.

        Args:
            where: The endpoint and the target, for messages.
            port: The target's.
        """


class ServiceResolver(Protocol):
    """Looks up SRV records: what is used of Twisted's ``IResolver``."""

    def lookupService(self, name: str, timeout: Sequence[int], /) -> Deferred[Any]:
        """Look up SRV records.

        Args:
            name: For example ``_xmpps-client._tcp.example.com``.
            timeout: Seconds to wait for each name server, round after round.

        Returns:
            Fires with the three sections of the answer, of which the first counts. Fails
            with ``DNSNameError`` or ``AuthoritativeDomainError`` of ``twisted.names.error``
            if there is no such name; any other error is a failure of the look-up.
        """


@frozen
class ServiceTarget:
    """Where a client with ``srv=`` connects to; has what is used of a `ConnectTarget`.

    Attributes:
        url: The URL; without a port, there is no plain host to go to.
        name: The name of the SRV records.
        where: The endpoint, for messages.
        bindto: The local address and port, or None for any.
        resolver: Looks up the records, or None for the system's name servers.
    """

    url: TransportURL
    name: str
    where: str
    bindto: tuple[str, int] | None
    resolver: ServiceResolver | None = None

    def endpoint(
        self,
        reactor: Reactor,
        timeout: float,
        trace: Trace | None = None,
        rules: HostRules | None = None,
    ) -> IStreamClientEndpoint:
        """An endpoint that connects there, without TLS; the arguments are `ConnectTarget`'s.

        Raises:
            InvalidOption: The host is not allowed, or this system does not say which name
                servers it has.
        """

        def endpoint_of(url: TransportURL, rules: HostRules | None) -> IStreamClientEndpoint:
            return connect_target(url, self.bindto).endpoint(reactor, timeout, trace, rules)

        return self.endpoint_by(endpoint_of, reactor, timeout, rules)

    def endpoint_by(
        self,
        endpoint_of: EndpointMaker,
        reactor: Reactor,
        timeout: float,
        rules: HostRules | None,
    ) -> ServiceEndpoint:
        """An endpoint that connects to the service by a way of its own, a proxy for example.

        Args:
            endpoint_of: Makes the endpoint of a target, or of the plain host.
            reactor: Looks up and keeps time.
            timeout: The most seconds that the caller waits for a connection.
            rules: Which hosts may be connected to, or None for all.

        Raises:
            InvalidOption: As for `endpoint`.
        """
        if self.resolver is None and os.name != "posix":
            raise InvalidOption(
                "srv", "srv needs the keyword resolver on this system, which has no resolv.conf"
            )
        if rules is not None:
            rules.refuse_host(self.url)
            rules = rules.for_targets_of(self.url)

        def endpoint_of_record(record: SRVRecord) -> IStreamClientEndpoint:
            return endpoint_of(TransportURL(self.url.scheme, record.target, record.port), rules)

        plain = None if self.url.port is None else endpoint_of(self.url, rules)
        return ServiceEndpoint(reactor, self, timeout, endpoint_of_record, plain)


def service_target(
    url: TransportURL, service: str, where: str, bindto: tuple[str, int] | None
) -> ServiceTarget:
    """Where a client with ``srv=`` connects to.

    Args:
        url: Its scheme and options are ignored.
        service: The service, without the underscore.
        where: The endpoint, for messages.
        bindto: The local address and port, or None for any.

    Raises:
        InvalidTransport: Host or port are for servers only.
        InvalidOption: The host is an address, or its name too long.
    """
    if url.is_literal:
        raise InvalidOption("srv", f"srv needs a domain: {url.host} is an address")
    if url.host == "*":
        raise InvalidTransport(f"{url.location}: * is for servers; name the domain")
    try:
        name = service_name(service, url.host)
    except ValueError as problem:
        raise InvalidOption("srv", f"srv={service}: {problem}") from None
    if url.port is not None:
        connect_target(url, bindto)
    return ServiceTarget(url, name, where, bindto)


def with_resolver(target: object, resolver: object) -> ServiceTarget:
    """The same target, whose records a given resolver looks up.

    Args:
        target: Of a client.
        resolver: One of Twisted's ``IResolver``.

    Raises:
        InvalidOption: The client has no ``srv=``, or it is no resolver.
    """
    if not isinstance(target, ServiceTarget):
        raise InvalidOption("resolver", "resolver needs srv, without which it does nothing")
    if not callable(getattr(resolver, "lookupService", None)):
        raise InvalidOption(
            "resolver", "resolver takes one of Twisted's IResolver, which has lookupService()"
        )
    return evolve(target, resolver=cast(ServiceResolver, resolver))


@implementer(IStreamClientEndpoint)
@frozen
class ServiceEndpoint:
    """Connects to a service's first target that answers, in the order of its SRV records.

    Attributes:
        reactor: Connects and keeps time.
        target: The service.
        timeout: Seconds for all targets together.
        endpoint_of: The endpoint of one record that can be used.
        plain: The endpoint of the plain host, or None if the URL has no port.
        random: Chooses among records of one priority.
    """

    reactor: Reactor
    target: ServiceTarget
    timeout: float
    endpoint_of: Callable[[SRVRecord], IStreamClientEndpoint]
    plain: IStreamClientEndpoint | None
    random: Random = field(factory=Random)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Look the service up, and connect to the first target that answers.

        Args:
            protocolFactory: Builds the protocol for the connection; a `ServiceUser`.

        Returns:
            Fires with the protocol. Fails with a `NetworkError` that names the target, or,
            if there is none, with one about the look-up.
        """
        return self._connect(protocolFactory)

    @inlineCallbacks
    def _connect(self, factory: IProtocolFactory) -> Generator[Deferred[Any], Any, IProtocol]:
        expiry = self.reactor.seconds() + self.timeout
        records: list[SRVRecord] = yield self._look_up()
        if not records:
            if self.plain is None:
                raise NoServiceRecord(f"no SRV record {self.target.name}")
            protocol: IProtocol = yield self.plain.connect(factory)
            return protocol
        targets = in_order(records, self.random)[:MAX_TARGETS]
        failures: list[str] = []
        for number, record in enumerate(targets):
            place = record.place
            if len(targets) > 1:
                place = f"{place} (target {number + 1} of {len(targets)})"
            where = f"{self.target.where}: {place}"
            cast(ServiceUser, factory).trying_target(where, record.port)
            left = len(targets) - number
            share = (expiry - self.reactor.seconds()) / left if left > 1 else None
            try:
                protocol = yield self._try(record, factory, share)
            except Exception as problem:
                if not _is_of_target(problem):
                    raise
                failed = _at(problem, where)
                failures.append(failed.summary.removeprefix(f"{self.target.where}: "))
            else:
                return protocol
        failed.evidence = (*failed.evidence, *failures[:-1])
        raise failed

    def _try(
        self, record: SRVRecord, factory: IProtocolFactory, share: float | None
    ) -> Deferred[IProtocol]:
        """Connect to one target, for some seconds, or, if it is the last, until the end."""
        if record.problem:
            raise BadTarget(f"the target of the SRV record {record.problem}")
        connecting = maybeDeferred(self.endpoint_of(record).connect, factory)
        if share is not None:
            connecting.addTimeout(max(share, 0), self.reactor, _timed_out)
        return connecting

    @inlineCallbacks
    def _look_up(self) -> Generator[Deferred[Any], Any, list[SRVRecord]]:
        """The service's records; none if the domain has none."""
        # Programs without srv= do not import it.
        from twisted.names import error

        name = self.target.name
        looking = maybeDeferred(self._resolver().lookupService, name, _rounds(self.timeout))
        try:
            answers, _, _ = yield looking
        except (error.DNSNameError, error.AuthoritativeDomainError):
            return []
        except CancelledError:
            raise
        except Exception as problem:
            said = f"{type(problem).__name__} {describe_error(problem)}".strip()
            raise ServiceLookUpError(said) from problem
        return read_answers(name, answers)

    def _resolver(self) -> Any:
        if self.target.resolver is not None:
            return self.target.resolver
        from txtransport.endpoints.name_servers import NameServers, system_name_servers

        return NameServers(self.reactor, system_name_servers())


def _rounds(seconds: float) -> Sequence[int]:
    """How long to wait for each name server, round after round, for some seconds at least."""
    rounds = [1]
    while sum(rounds) < seconds:
        rounds.append(min(2 * rounds[-1], 16))
    return tuple(rounds)


def _timed_out(result: object, seconds: float) -> None:
    raise TimeoutError(string="the target did not answer in its share of the time")


def _at(problem: Exception, where: str) -> TransportError:
    """An error of one target, with the target in front."""
    if isinstance(problem, InvalidOption):
        return problem.located(where)
    return cast(TransportError, located(problem, where))
