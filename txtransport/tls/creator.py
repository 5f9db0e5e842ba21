"""Makes TLS connections for a policy; endpoints with equal policies share a context.

The peer's name and the application protocols (ALPN) do not count: they are kept on
each connection. URLs of strangers may differ in both as often as they like, and would
otherwise cost a context each.

A context is costly (with the platform's trust 4 ms and a megabyte) and a
connection is cheap (4 µs). When a file that the policy names changes, a new
context replaces the shared one. When the new one cannot be built, the old one
stays in use and `SharedContext.problem` says why.

What the peer's certificate must be is decided in `txtransport.tls.verification`.
"""

from __future__ import annotations

import functools
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, Protocol, TypeVar, overload

from attrs import evolve, field, frozen
from OpenSSL import SSL

from txtransport.config.address import is_address
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.schemes import BROKEN_VERSIONS
from txtransport.errors import InvalidOption
from txtransport.text import short_repr
from txtransport.tls import pem
from txtransport.tls.connection import (
    LayeredConnection,
    ObservedConnection,
    SecureConnection,
    TLSConnection,
)
from txtransport.tls.context import build_context
from txtransport.tls.engine import Engine, TLSEngine
from txtransport.tls.identity import expected_name
from txtransport.tls.session_cache import SessionCache
from txtransport.tls.verification import verify_after_handshake

__all__ = [
    "ConnectionCreator",
    "Creator",
    "SharedContext",
    "connection_creator",
    "creator_for",
    "openssl_version",
]

_Connection = TypeVar("_Connection", bound=TLSConnection)
_Context = TypeVar("_Context")

# A server encrypts its tickets with a key of its context, which OpenSSL never
# changes. With a stolen key, recorded TLS 1.2 connections can be decrypted, as
# far back as their tickets were encrypted with it. So a context, and with it
# the key, is used for a day at most (seconds).
_MAX_AGE: Final = 86400.0
_RETRY_INTERVAL: Final = 60.0
_MAX_CONTEXTS: Final = 256


class Reloading(Protocol):
    """What is asked of a `SharedContext`, whatever it holds.

    Attributes:
        problem: Why the latest attempt to replace the context failed, or None.
    """

    problem: InvalidOption | None

    def reload_error(self) -> InvalidOption | None:
        """Return `problem` once, for the log."""

    def require_usable(self) -> None:
        """Raise why a new endpoint cannot be made, if its files have become bad."""


class Creator(Protocol):
    """Makes the connections of one endpoint, of TLS or of SSL 2.0 or SSL 3.0."""

    @property
    def policy(self) -> TLSPolicy:
        """What the peer must be."""

    @property
    def context(self) -> Reloading:
        """What is shared by the endpoints of equal policies."""

    def new_engine(self, protocols: tuple[bytes, ...] = ()) -> Engine:
        """Make the engine of one connection."""

    def new_layered_connection(self, protocols: tuple[bytes, ...] = ()) -> LayeredConnection:
        """Make a connection that Twisted's TLS layer drives."""

    def ended(self, connection: SecureConnection) -> None:
        """Take note of the end of a connection that was complete."""


@frozen
class ConnectionCreator:
    """Makes the connections of one endpoint of TLS.

    Attributes:
        policy: The policy; its `peer_name` is in the form that certificates
            use (`expected_name`).
        side: Whether the connections are a client's or a server's.
        peer: Where a client connects to (host and port), the key under which
            its sessions are cached; None for no resumption.
        context: The context and the cached sessions, shared by equal policies.
        server_name: The name that a client sends (SNI), or None.
        protocols: The application protocols (ALPN) of the policy.
    """

    policy: TLSPolicy
    side: Side
    peer: Hashable
    context: SharedContext[SSL.Context] = field(repr=False)
    server_name: bytes | None = field(init=False, repr=False, eq=False)
    protocols: tuple[bytes, ...] = field(init=False, repr=False, eq=False)

    @server_name.default
    def _server_name(self) -> bytes | None:
        name = self.policy.peer_name
        # No SNI for addresses (RFC 6066, section 3).
        if self.side is Side.SERVER or name is None or is_address(name):
            return None
        return name.encode("ascii") if self.policy.SNI_enabled else None

    @protocols.default
    def _protocols(self) -> tuple[bytes, ...]:
        return tuple(name.encode() for name in self.policy.alpn_protocols)

    def new_engine(self, protocols: tuple[bytes, ...] = ()) -> TLSEngine:
        """Make the engine of one connection, as `connection_of` makes the connection."""
        return TLSEngine(self.connection_of(TLSConnection, protocols))

    def new_layered_connection(self, protocols: tuple[bytes, ...] = ()) -> ObservedConnection:
        """Make a connection that Twisted's TLS layer drives, as `connection_of` does."""
        return self.connection_of(ObservedConnection, protocols)

    def connection(self, protocols: tuple[bytes, ...] = ()) -> TLSConnection:
        """Make a connection for one handshake, as `connection_of` does."""
        return self.connection_of(TLSConnection, protocols)

    def connection_of(
        self, kind: type[_Connection], protocols: tuple[bytes, ...] = ()
    ) -> _Connection:
        """Make a connection for one handshake.

        On clients it names the peer (SNI) and offers a cached session, which
        is then no longer in the cache.

        Args:
            kind: The class of the connection.
            protocols: The application protocols (ALPN), the preferred first,
                where the policy has no ``alpn_protocols``.
        """
        made = kind(
            self.context.current(),
            self.policy,
            self.side,
            verify_after_handshake,
            self.protocols or protocols,
        )
        if self.server_name is not None:
            made.set_tlsext_host_name(self.server_name)
        if self.side is Side.CLIENT and self.peer:
            session = self.context.sessions.take(self._key(made))
            if session is not None:
                made.set_session(session)
        return made

    def ended(self, connection: SecureConnection) -> None:
        """Cache the session of a client's connection for a later one.

        Nothing is kept of a connection whose context has been replaced since:
        its session was verified with the old files.

        Args:
            connection: Made here; its handshake was complete, and it is over.
        """
        if (
            self.peer
            and self.side is Side.CLIENT
            and not self.policy.no_ticket
            and isinstance(connection, TLSConnection)
            and connection.get_context() is self.context.current()
        ):
            self.context.sessions.keep(self._key(connection), connection)

    def _key(self, connection: TLSConnection) -> Hashable:
        return self.peer, self.policy.peer_name, connection.protocols


def creator_for(policy: TLSPolicy, side: Side, peer: Hashable = None) -> Creator:
    """Return the creator for a policy, of TLS or of the SSL that it allows.

    Args:
        policy: As for `connection_creator`.
        side: Whether the connections are a client's or a server's.
        peer: As for `connection_creator`.

    Raises:
        BadCertificateFile, InvalidOption: As for `connection_creator`; or SSL 2.0 or SSL
            3.0 is not allowed, or not installed.
    """
    if policy.min_version not in BROKEN_VERSIONS and policy.max_version not in BROKEN_VERSIONS:
        return connection_creator(policy, side, peer)
    # Imported by those alone who have asked for it.
    from txtransport.tls.legacy.creator import LegacyConnectionCreator, read_legacy_context

    policy = _for_expected_peer(policy, side)
    return LegacyConnectionCreator(policy, side, _shared(policy, side, read_legacy_context))


def connection_creator(policy: TLSPolicy, side: Side, peer: Hashable = None) -> ConnectionCreator:
    """Return the creator for a policy of TLS; build its context unless an equal policy has one.

    Args:
        policy: With `peer_name`, unless it does not verify names.
        side: Whether the connections are a client's or a server's.
        peer: Where a client connects to (host and port), the key under which
            its sessions are cached; None for no resumption.

    Raises:
        BadCertificateFile: A file that the policy names cannot be used.
        InvalidOption: OpenSSL does not accept an option (`build_context`), or
            `peer_name` is missing or is not a name.
    """
    policy = _for_expected_peer(policy, side)
    return ConnectionCreator(policy, side, peer, _shared(policy, side, build_context))


def _for_expected_peer(policy: TLSPolicy, side: Side) -> TLSPolicy:
    """The policy, with the peer's name in the form that certificates use."""
    name = policy.peer_name
    if name is not None:
        return policy.without_peer.for_peer(_expected(name))
    if policy.verifies_name(side):
        raise InvalidOption("peer_name", "peer_name is missing: without it no certificate "
                            "can be checked")  # fmt: skip
    return policy


def _expected(name: str) -> str:
    try:
        return expected_name(name)
    except ValueError:
        raise InvalidOption(
            "peer_name",
            f"peer_name={short_repr(name)} is neither the name of a host nor an address",
        ) from None


def openssl_version() -> str:
    """The name and version of the OpenSSL that pyOpenSSL uses: ``OpenSSL 4.0.3``."""
    return SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace")[:40]


class SharedContext(Generic[_Context]):
    """The current context for a policy and a side; replaced when its files change.

    Args:
        policy: Without what each connection keeps.
        side: Whether the context is for clients or for servers.
        clock: Returns seconds that never run backwards.
        build: Makes a context of the policy and its files, for the side.

    Attributes:
        sessions: The sessions that clients can resume with the current
            context; a new context begins with an empty cache.
        problem: Why the latest attempt to replace the context failed; None
            when it did not.

    Raises:
        InvalidOption: The first context cannot be built.
    """

    @overload
    def __init__(
        self: SharedContext[SSL.Context],
        policy: TLSPolicy,
        side: Side,
        clock: Callable[[], float] = ...,
    ) -> None: ...
    @overload
    def __init__(
        self,
        policy: TLSPolicy,
        side: Side,
        clock: Callable[[], float] = ...,
        *,
        build: Callable[[TLSPolicy, Side], _Context],
    ) -> None: ...

    def __init__(
        self,
        policy: TLSPolicy,
        side: Side,
        clock: Callable[[], float] = time.monotonic,
        *,
        build: Callable[[TLSPolicy, Side], Any] = build_context,
    ) -> None:
        self.policy = policy
        self.side = side
        self.sessions: SessionCache = SessionCache()
        self.problem: InvalidOption | None = None
        self._is_reported = True
        self._clock = clock
        self._files = pem.policy_files(policy)
        self._stamp = pem.file_stamps(self._files)
        self._due = clock() + _MAX_AGE
        self._build = build
        self._context: _Context = build(policy, side)

    def current(self) -> _Context:
        """Return the context, a new one if a file has changed or a day has passed.

        When a new context cannot be built, the old one stays in use and
        `problem` says why. The next change of a file leads to another
        attempt, because certificate and key are often replaced one after the
        other. So does the next minute, because the reason may lie outside the
        files (the process has too many files open, for example).
        """
        stamp, now = pem.file_stamps(self._files), self._clock()
        if stamp == self._stamp and now < self._due:
            return self._context
        self._stamp = stamp
        try:
            self._context = self._build(self.policy, self.side)
        except InvalidOption as problem:
            self._is_reported = self._is_reported and str(problem) == str(self.problem)
            self.problem, self._due = problem, now + _RETRY_INTERVAL
        else:
            self.problem, self._due = None, now + _MAX_AGE
            self.sessions = SessionCache()
        return self._context

    def require_usable(self) -> None:
        """Look at the files now, so that a new endpoint fails at once when one has become bad.

        Endpoints that were made earlier keep the old context.

        Raises:
            InvalidOption: The latest attempt to replace the context failed.
        """
        self.current()
        if self.problem is not None:
            # The same exception is raised each time, so its traceback is reset, which
            # would otherwise grow.
            raise self.problem.with_traceback(None)

    def reload_error(self) -> InvalidOption | None:
        """Return `problem` once, for the log: None until there is another one."""
        is_reported, self._is_reported = self._is_reported, True
        return None if is_reported else self.problem


# As in `TLSPolicy`, copying takes longer than everything else.
@functools.lru_cache(maxsize=1024)
def _of_context(policy: TLSPolicy, side: Side) -> TLSPolicy:
    """The policy without what each connection keeps: the key of a shared context.

    A server that checks its clients' name keeps the name there as well. The context
    has the key of its session tickets, and a session that was verified for one name,
    with the constraints of its authorities, must not be resumed for another.
    """
    is_named = side is Side.SERVER and policy.verifies_name(side)
    name = policy.peer_name if is_named else None
    return evolve(policy, peer_name=name, alpn_protocols=(), alpn_mismatch="refuse")


# What a context is made by is settled by the policy's versions.
_contexts: OrderedDict[tuple[TLSPolicy, Side], SharedContext[Any]] = OrderedDict()


def _shared(
    policy: TLSPolicy, side: Side, build: Callable[[TLSPolicy, Side], _Context]
) -> SharedContext[_Context]:
    key = _of_context(policy, side), side
    shared = _contexts.get(key)
    if shared is None:
        shared = _contexts[key] = SharedContext(*key, build=build)
        if len(_contexts) > _MAX_CONTEXTS:
            _contexts.popitem(last=False)
        return shared
    _contexts.move_to_end(key)
    shared.require_usable()
    return shared
