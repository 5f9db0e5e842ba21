"""`service`: a service that stays connected, made of client endpoints and Twisted's own.

Twisted's `ClientService` connects again after each failure and each lost connection. It
knows neither what an error means nor how long a connection has lasted, so that a server
that takes a connection and drops it is called every other second, and one whose
certificate has expired once a minute for a week. `ClientService` has no hook for either,
but it asks its ``retryPolicy`` for each wait, after it has asked its endpoint to connect.
Here the two share a `_Pace`::

    _FirstThatConnects.connect()   -> connected(), failed(error)  \\
    trace= of each endpoint        -> failed(error)                >  _Pace
    ClientService's retryPolicy    -> next_wait()                 /

The trace tells of the one refusal that comes after the handshake: of our certificate, by
a server that speaks TLS 1.3.

What is wrong is in the log once for each cause, by the endpoints themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from random import random
from typing import Final, Generic, TypeVar, cast

from attrs import define, evolve, field, frozen
from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, NoProtocol
from twisted.internet.interfaces import (
    IDelayedCall,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txtransport.config.option_types import SECONDS
from txtransport.config.options import OPTIONS
from txtransport.config.policy import Side
from txtransport.config.resolve import represent_endpoint, resolve, weaknesses, with_port
from txtransport.config.schemes import SCHEMES, Kind
from txtransport.config.url import TransportURL
from txtransport.connection.trace import Event, Step, Trace
from txtransport.connection.twisted_types import ProtocolFactory
from txtransport.endpoints.api import client
from txtransport.endpoints.client import ClientEndpoint
from txtransport.errors import InvalidOption, InvalidTransport, TransportError
from txtransport.text import short_repr

__all__ = ["ReconnectingService", "RetryPolicy", "service"]

_log: Final = Logger()

_P = TypeVar("_P")

RetryPolicy = Callable[[int], float]
"""How many seconds to wait after so many failures in a row, 1 or more."""

_ON_PERMANENT: Final = ("slow", "stop")


def service(
    reactor: object,
    url: str | TransportURL | Sequence[str | TransportURL],
    factory: ProtocolFactory[_P],
    port: int | None = None,
    *,
    on_permanent: str = "slow",
    permanent_wait: float = 3600.0,
    healthy_after: float = 30.0,
    retry_policy: RetryPolicy | None = None,
    trace: Trace | None = None,
    **options: object,
) -> ReconnectingService[_P]:
    """A service that stays connected to a URL, or to the first of several that answers.

    Args:
        reactor: Connects and keeps time.
        url: For example ``tls://mail.example.com:465?cafile=ca.pem``; or several, which
            each attempt tries in this order.
        factory: Builds a protocol for each connection.
        port: The port, 1 to 65535, for URLs that have none.
        on_permanent: What becomes of the service when trying again cannot help until
            someone changes something (`TransportError.permanent`), such as an expired
            certificate: ``slow`` tries again after `permanent_wait`, since someone may
            renew it; ``stop`` ends the service, and `whenConnected` fails with the error.
            A service that has been connected for `healthy_after` believes only the second
            such failure in a row.
        permanent_wait: Seconds, up to a day; a tenth at the most is added at random, so
            that many services do not come back at once.
        healthy_after: Seconds that a connection must last before the waits are short
            again.
        retry_policy: How long to wait otherwise; by default Twisted's ``backoffPolicy()``,
            which grows from 2 seconds to a minute.
        trace: As for `client`, of all URLs.
        **options: The same options as in the URL's query (``docs/options.md``), and the
            keywords of `client`, for each of the URLs.

    Returns:
        A service, not started. It connects when its application starts, or at
        ``startService()``.

    Raises:
        InvalidTransport: A URL cannot be connected to, or there is none, or one is in
            the clear, or weak (SSL 3.0, ``verify_peer=no``), beside one that is not.
        InvalidOption: An option, or a file that it names, cannot be used.
        TransportUnavailable: This installation does not have the transport.
    """
    if on_permanent not in _ON_PERMANENT:
        said = short_repr(on_permanent)
        raise InvalidOption("on_permanent", f"on_permanent is slow or stop, not {said}")
    clock = cast(IReactorTime, reactor)
    pace = _Pace(
        clock,
        backoffPolicy() if retry_policy is None else _policy(retry_policy),
        _seconds("permanent_wait", permanent_wait),
        _seconds("healthy_after", healthy_after),
    )

    def traced(event: Event) -> None:
        if event.step is Step.REFUSED and event.error is not None:
            pace.failed(event.error)
        if trace is not None:
            trace(event)

    connect_to = cast(Callable[..., ClientEndpoint], client)
    urls = _read_urls(url, port)
    endpoints = [connect_to(reactor, each, trace=traced, **options) for each in urls]
    _refuse_weaker(urls, options)
    endpoint = _FirstThatConnects(tuple(endpoints), pace)
    return ReconnectingService(endpoint, factory, pace, clock, on_permanent == "stop")


def _policy(given: object) -> RetryPolicy:
    if not callable(given):
        raise InvalidOption(
            "retry_policy",
            "retry_policy is a function of the number of failures that returns seconds, such as "
            f"Twisted's backoffPolicy(), not {short_repr(given)}",
        )
    return cast(RetryPolicy, given)


def _seconds(name: str, given: object) -> float:
    try:
        return cast(float, SECONDS.read(given))
    except (ValueError, TypeError):
        said = short_repr(given)
        raise InvalidOption(
            name, f"{name} is a number of seconds above 0, up to a day (86400), not {said}"
        ) from None


def _read_urls(
    given: str | TransportURL | Sequence[str | TransportURL], port: int | None
) -> list[TransportURL]:
    """The URLs, in their order.

    Raises:
        InvalidTransport: One is no URL, or there is none, or they mix TLS and clear text.
        InvalidOption: An option in one is unknown, doubled or wrong.
    """
    if isinstance(given, (str, TransportURL)):
        given = [given]
    if isinstance(given, (bytes, bytearray)) or not isinstance(given, Sequence):
        raise InvalidTransport(f"a URL, or a list of URLs, is needed, not {short_repr(given)}")
    urls = [with_port(each, port) for each in given]
    if not urls:
        raise InvalidTransport("the list of URLs is empty")
    # Else anyone who keeps us from the one, which costs a dropped packet, would be sent in
    # the clear what is meant for it. A local socket is on no network.
    secure = [url for url in urls if SCHEMES[url.scheme].is_secure]
    for url in urls:
        scheme = SCHEMES[url.scheme]
        if secure and not scheme.is_secure and not scheme.is_local:
            raise InvalidTransport(
                f"{url.location}: it is in the clear, and anyone between could have it used in "
                f"place of {secure[0].location}; give all URLs TLS, or none"
            )
    return urls


def _refuse_weaker(urls: Iterable[TransportURL], options: Mapping[str, object]) -> None:
    """Refuse a URL whose TLS is weak beside one whose TLS is not.

    Else anyone who keeps us from the one would choose SSL 3.0, TLS 1.0, a server that is not
    verified or, with ``starttls_policy=may``, clear text.

    Raises:
        InvalidTransport: The URLs are not alike.
    """
    given = {name: value for name, value in options.items() if name in OPTIONS}
    weak: dict[TransportURL, list[str]] = {}
    for url in urls:
        settings = resolve(url, given, "client", Kind.STREAM)
        # A local socket is on no network.
        if settings.tls is not None and not SCHEMES[url.scheme].is_local:
            # Those who may read the key log are on this machine, and not in between.
            policy = evolve(settings.tls, keylog=None)
            weak[url] = weaknesses(policy, Side.CLIENT, settings.starttls_options)
    strong = next((url for url, found in weak.items() if not found), None)
    for url, found in weak.items():
        if strong is not None and found:
            raise InvalidTransport(
                f"{url.location}: {found[0]}; and anyone between could have it used in place of "
                f"{strong.location}: give all URLs the same strength"
            )


@define
class _Pace:
    """How long to wait before each attempt, by what became of those before.

    Attributes:
        clock: Tells how long a connection has lasted.
        policy: The usual waits.
        permanent_wait: As for `service`.
        healthy_after: As for `service`.
        jitter: A random number from 0 to 1.
        error: Why there is no connection; None while there is one, when it has ended
            without an error of ours, and before the first attempt.
    """

    clock: IReactorTime
    policy: RetryPolicy
    permanent_wait: float
    healthy_after: float
    jitter: Callable[[], float] = random
    error: BaseException | None = None
    _failures: int = field(default=0, init=False)
    _permanent_ones: int = field(default=0, init=False)
    _connected_at: float | None = field(default=None, init=False)
    _was_healthy: bool = field(default=False, init=False)

    def begin(self) -> None:
        """Forget all: the service starts."""
        self.error = self._connected_at = None
        self._failures = self._permanent_ones = 0
        self._was_healthy = False

    def connected(self) -> None:
        """Note that there is a connection."""
        self.error = None
        self._connected_at = self.clock.seconds()

    def failed(self, error: BaseException) -> None:
        """Note why there is none, or why the one that there was has ended."""
        self.error = error

    @property
    def is_hopeless(self) -> bool:
        """Whether trying again cannot help until someone changes something.

        A connection that was good was ours to have. One failure may then be the work of
        someone between, whom one spoiled handshake must not give an hour, or of one bad
        server among several behind a balancer.
        """
        return self._permanent_ones > self._was_healthy

    def next_wait(self) -> float:
        """How long to wait now that an attempt has failed, or a connection has ended.

        Returns:
            Seconds.
        """
        began, self._connected_at = self._connected_at, None
        if began is not None and self.clock.seconds() - began >= self.healthy_after:
            self._was_healthy = True
            self._failures = 0
        self._failures += 1
        is_permanent = isinstance(self.error, TransportError) and self.error.permanent
        self._permanent_ones = self._permanent_ones + 1 if is_permanent else 0
        if self.is_hopeless:
            return self.permanent_wait * (1 + self.jitter() / 10)
        return self.policy(self._failures)


@implementer(IStreamClientEndpoint)
@frozen(repr=False)
class _FirstThatConnects:
    """Connects to the first of several endpoints that can be connected to.

    Attributes:
        endpoints: In the order in which they are tried; at least one.
        pace: Is told what becomes of each attempt.
    """

    endpoints: tuple[ClientEndpoint, ...]
    pace: _Pace

    def __repr__(self) -> str:
        return represent_endpoint("client", self.where)

    @property
    def where(self) -> str:
        """The endpoints, for people."""
        return ", ".join(endpoint.config.where for endpoint in self.endpoints)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect as `ClientEndpoint` does, to the first that can be connected to.

        Args:
            protocolFactory: Builds the application's protocol.

        Returns:
            Fires with the protocol. Fails, when no endpoint is left, with the first error
            that may pass, or with the first if none may; at once with an error of the
            application's own, or when it is cancelled.
        """
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        errors: list[TransportError] = []
        for endpoint in self.endpoints:
            try:
                protocol: IProtocol = await endpoint.connect(factory)
            except ConnectingCancelledError:
                raise
            except Exception as error:
                if not isinstance(error, TransportError) or isinstance(error, NoProtocol):
                    # What the program raises, or refuses, is no reason to go elsewhere.
                    self.pace.failed(error)
                    raise
                errors.append(error)
            else:
                self.pace.connected()
                return protocol
        told = next((each for each in errors if not each.permanent), errors[0])
        self.pace.failed(told)
        raise told


class ReconnectingService(ClientService, Generic[_P]):
    """A `ClientService` that knows which failures pass; what `service` returns.

    Args:
        endpoint: Connects.
        factory: Builds a protocol for each connection.
        pace: Says how long to wait.
        clock: Keeps the waits.
        is_stopping: Whether a failure that does not pass ends the service.
    """

    _stopped_by: BaseException | None = None
    _stop: IDelayedCall | None = None

    def __init__(
        self,
        endpoint: _FirstThatConnects,
        factory: ProtocolFactory[_P],
        pace: _Pace,
        clock: IReactorTime,
        is_stopping: bool,
    ) -> None:
        # The factory is Twisted's in all but its type.
        super().__init__(endpoint, cast(IProtocolFactory, factory), self._next_wait, clock)
        self._where = endpoint.where
        self._pace = pace
        self._clock = clock
        self._is_stopping = is_stopping

    @property
    def error(self) -> BaseException | None:
        """Why the service is not connected, or None.

        It is None while there is a connection, before the first attempt has ended, and
        after a connection that ended without an error of ours.
        """
        return self._pace.error

    def startService(self) -> None:
        """Connect, and stay connected until the service is stopped."""
        if not self.running:
            self._stopped_by = None
            self._pace.begin()
        super().startService()

    def stopService(self) -> Deferred[None]:
        """Close the connection, or give the attempt up.

        Returns:
            Fires when there is no connection and no attempt any more.
        """
        stop, self._stop = self._stop, None
        if stop is not None and stop.active():
            stop.cancel()
        return super().stopService()

    def whenConnected(  # type: ignore[override]
        self, failAfterFailures: int | None = None
    ) -> Deferred[_P]:
        """Wait for the connection.

        Args:
            failAfterFailures: After so many failed attempts from now the Deferred fails,
                with the error of the last; None to wait on.

        Returns:
            Fires with the protocol of the connection that there is, or of the next one.
            Fails with the error for which the service has ended itself
            (``on_permanent="stop"``), and with `CancelledError` when it is stopped.
        """
        told = super().whenConnected(failAfterFailures).addErrback(self._cause_of_stop)
        if not told.called:
            # What waits is told in the middle of a change of ClientService's state, in which
            # its methods raise RuntimeError: that of a callback which stops the service.
            told.addBoth(self._in_next_turn)
        return cast("Deferred[_P]", told)

    def _in_next_turn(self, result: object) -> Deferred[object]:
        later: Deferred[object] = Deferred(lambda later: call.cancel())
        call = self._clock.callLater(0, later.callback, result)
        return later

    def _cause_of_stop(self, reason: Failure) -> Failure:
        if self._stopped_by is not None and reason.check(CancelledError):
            return Failure(self._stopped_by)
        return reason

    def _next_wait(self, attempt: int) -> float:
        # `attempt` begins anew with each connection, however short.
        wait = self._pace.next_wait()
        if self._is_stopping and self._pace.is_hopeless:
            # Later, since ClientService is in the middle of beginning to wait.
            self._stop = self._clock.callLater(0, self._stop_for_good)
        return wait

    def _stop_for_good(self) -> None:
        self._stopped_by = self._pace.error
        _log.warn(
            "{where}: the service has stopped, since trying again cannot help (on_permanent=stop)",
            where=self._where, error=self._stopped_by,
        )  # fmt: skip
        # Nothing to wait for: there is neither a connection nor an attempt.
        self.stopService()
