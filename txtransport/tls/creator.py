"""Policy to connection, over a context that is shared.

A context is costly (with the platform's trust 4 ms and a megabyte) and a
connection is cheap (4 µs), so one context serves every endpoint with an equal
policy. When a file that the policy names changes, a new context takes the old
one's place, and when the new one cannot be built, the old one goes on and the
reason is told.

What the peer's certificate must be is `txtransport.tls.verification`'s to say.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final

from attrs import field, frozen
from OpenSSL import SSL

from txtransport.config.address import is_address
from txtransport.config.policy import Side, TLSPolicy
from txtransport.errors import InvalidOption
from txtransport.text import short_repr
from txtransport.tls import pem
from txtransport.tls.connection import TLSConnection
from txtransport.tls.context import build_context
from txtransport.tls.identity import expected_name
from txtransport.tls.session_cache import SessionCache
from txtransport.tls.verification import verify_after_handshake

# Tickets are sealed with a key of the context's own, which OpenSSL never
# changes; a day is how long a stolen one may open old conversations.
_A_DAY: Final = 86400.0
_A_MINUTE: Final = 60.0
_CONTEXTS: Final = 256


@frozen
class ConnectionCreator:
    """Makes connections that keep to one policy.

    Attributes:
        policy: The policy, with the peer's name as certificates have it.
        side: Who we are.
        place: What sessions are kept by (host and port), or None for no
            resumption.
        shared: The context and the sessions, shared by equal policies.
    """

    policy: TLSPolicy
    side: Side
    peer: Hashable
    context: SharedContext = field(repr=False)

    def connection(self) -> TLSConnection:
        """A new connection, ready for its handshake."""
        context = self.context.current()
        made = TLSConnection(context, self.policy, self.side, verify_after_handshake)
        if self.side is Side.CLIENT:
            name = self.policy.peer_name
            # No SNI for addresses (RFC 6066, section 3).
            if name is not None and self.policy.SNI_enabled and not is_address(name):
                made.set_tlsext_host_name(name.encode("ascii"))
            session = self.context.sessions.take(self._key) if self.peer else None
            if session is not None:
                made.set_session(session)
        return made

    def ended(self, connection: TLSConnection) -> None:
        """Keep what can be kept of a connection that was complete and is over."""
        if (
            self.peer
            and self.side is Side.CLIENT
            and not self.policy.no_ticket
            and connection.get_context() is self.context.current()
        ):
            self.context.sessions.keep(self._key, connection)

    @property
    def _key(self) -> Hashable:
        return self.peer, self.policy.peer_name


def connection_creator(policy: TLSPolicy, side: Side, place: Hashable = None) -> ConnectionCreator:
    """The creator for a policy.

    Args:
        policy: With `peer_name`, unless it does not verify names.
        side: Who we are.
        place: For clients, host and port: what sessions are kept by.

    Raises:
        BadCertificateFile: A file that the policy names cannot be used.
        InvalidOption: OpenSSL will not have a cipher list, or the peer's name
            is missing or none.
    """
    name = policy.peer_name
    if name is not None:
        policy = policy.without_peer.for_peer(_expected(name))
    elif policy.verifies_name(side):
        raise InvalidOption("peer_name", "peer_name is missing: without it no certificate "
                            "can be checked")  # fmt: skip
    return ConnectionCreator(policy, side, place, _shared_context(policy, side))


def _expected(name: str) -> str:
    try:
        return expected_name(name)
    except ValueError:
        raise InvalidOption(
            "peer_name",
            f"peer_name={short_repr(name)} is neither the name of a host nor an address",
        ) from None


def openssl_version() -> str:
    """The OpenSSL that is linked, such as ``OpenSSL 4.0.3``."""
    return SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode("ascii", "replace")[:40]


class SharedContext:
    """The context of one policy on one side.

    Args:
        policy: Without the peer's name.
        side: Who uses it.
        clock: Seconds, monotonic.

    Attributes:
        sessions: What clients may resume; gone with the context it belongs to.
        problem: Why the files, as they are now, cannot be used; None when all
            is well.

    Raises:
        InvalidOption: The context cannot be built.
    """

    def __init__(
        self, policy: TLSPolicy, side: Side, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.policy = policy
        self.side = side
        self.sessions = SessionCache()
        self.problem: InvalidOption | None = None
        self._is_told = True
        self._clock = clock
        self._files = pem.policy_files(policy)
        self._stamp = pem.file_stamps(self._files)
        self._due = clock() + _A_DAY
        self._context = build_context(policy, side)

    def current(self) -> SSL.Context:
        """The context, made anew if a file has changed or a day has passed.

        A context that cannot be made anew goes on, and `problem` says why. A
        certificate is replaced file by file, so the next change brings
        another attempt; so does the next minute, since the reason need not
        lie in the files (too many are open, say).
        """
        stamp, now = pem.file_stamps(self._files), self._clock()
        if stamp == self._stamp and now < self._due:
            return self._context
        self._stamp = stamp
        try:
            self._context = build_context(self.policy, self.side)
        except InvalidOption as problem:
            self._is_told = self._is_told and str(problem) == str(self.problem)
            self.problem, self._due = problem, now + _A_MINUTE
        else:
            self.problem, self._due = None, now + _A_DAY
            self.sessions = SessionCache()
        return self._context

    def reload_error(self) -> InvalidOption | None:
        """A problem that nobody has been told of; asking is being told."""
        is_told, self._is_told = self._is_told, True
        return None if is_told else self.problem


_contexts: OrderedDict[tuple[TLSPolicy, Side], SharedContext] = OrderedDict()


def _shared_context(policy: TLSPolicy, side: Side) -> SharedContext:
    key = policy.without_peer, side
    shared = _contexts.get(key)
    if shared is None:
        shared = _contexts[key] = SharedContext(*key)
        if len(_contexts) > _CONTEXTS:
            _contexts.popitem(last=False)
        return shared
    _contexts.move_to_end(key)
    shared.current()
    if shared.problem is not None:
        # Whoever asks for an endpoint hears at once that a file is bad; the
        # endpoints that are there already go on with what they have.
        # Without the traceback that it grew when it was raised before.
        raise shared.problem.with_traceback(None)
    return shared
