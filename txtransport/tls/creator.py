"""Policy to connection. The one room that builds a context.

A context is costly (with the platform's trust 4 ms and a megabyte) and a
connection is cheap (4 µs), so one context serves every endpoint with an equal
policy. OpenSSL and pyOpenSSL allow no change to a context in use; when a file
that the policy names changes, a new context takes the old one's place, and
when the new one cannot be built, the old one goes on and the reason is told.

What the peer's certificate must be is `txtransport.tls.verification`'s to say.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final

from attrs import field, frozen
from OpenSSL import SSL, crypto

from txtransport.errors import InvalidOption
from txtransport.tls import pem
from txtransport.tls.identity import is_address
from txtransport.tls.policy import Side, TLSPolicy, Verify
from txtransport.tls.resumption import Sessions
from txtransport.tls.session import Conversation
from txtransport.tls.verification import completed, judge, note

_VERSIONS: Final = {
    "1.0": SSL.TLS1_VERSION,
    "1.1": SSL.TLS1_1_VERSION,
    "1.2": SSL.TLS1_2_VERSION,
    "1.3": SSL.TLS1_3_VERSION,
}
_MODES: Final = {
    Verify.NO: SSL.VERIFY_NONE,
    Verify.OPTIONAL: SSL.VERIFY_PEER,
    Verify.YES: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}
# Tickets are sealed with a key of the context's own, which OpenSSL never
# changes; a day is how long a stolen one may open old conversations.
_A_DAY: Final = 86400.0
_CONTEXTS: Final = 256


@frozen
class Creator:
    """Makes connections that keep to one policy.

    Attributes:
        policy: The policy, with the peer's name for clients.
        side: Who we are.
        place: What sessions are kept by (host and port), or None for no
            resumption.
        shared: The context and the sessions, shared by equal policies.
    """

    policy: TLSPolicy
    side: Side
    place: Hashable
    shared: SharedContext = field(repr=False)

    def connection(self) -> Conversation:
        """A new connection, ready for its handshake."""
        context = self.shared.current()
        made = Conversation(context, self.policy, self.side, completed)
        if self.side is Side.CLIENT:
            name = self.policy.peer_name
            # No SNI for addresses (RFC 6066, section 3).
            if name is not None and self.policy.SNI_enabled and not is_address(name):
                made.set_tlsext_host_name(name.encode("ascii"))
            session = self.shared.sessions.take(self._key) if self.place else None
            if session is not None:
                made.set_session(session)
        return made

    def ended(self, connection: Conversation) -> None:
        """Keep what can be kept of a connection that was complete and is over."""
        if (
            self.place
            and self.side is Side.CLIENT
            and not self.policy.no_ticket
            and connection.get_context() is self.shared.current()
        ):
            self.shared.sessions.keep(self._key, connection)

    @property
    def _key(self) -> Hashable:
        return self.place, self.policy.peer_name


def creator(policy: TLSPolicy, side: Side, place: Hashable = None) -> Creator:
    """The creator for a policy.

    Args:
        policy: For clients, with `peer_name`, unless it does not verify names.
        side: Who we are.
        place: For clients, host and port: what sessions are kept by.

    Raises:
        BadCertificateFile: A file that the policy names cannot be used.
        InvalidOption: OpenSSL will not have a cipher list, or a name is
            missing.
    """
    if side is Side.CLIENT and policy.peer_name is None and policy.verifies_name(side):
        raise InvalidOption("peer_name", "peer_name is missing: without it no certificate "
                            "can be checked")  # fmt: skip
    return Creator(policy, side, place, _shared_context(policy, side))


def linked() -> str:
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
        self.sessions = Sessions()
        self.problem: InvalidOption | None = None
        self._is_told = True
        self._clock = clock
        self._files = pem.files(policy)
        self._stamp = pem.stamp(self._files)
        self._born = clock()
        self._context = _build(policy, side)

    def current(self) -> SSL.Context:
        """The context, made anew if a file has changed or a day has passed.

        A context that cannot be made anew goes on, and `problem` says why: a
        certificate is replaced file by file, and the next change of either
        brings another attempt.
        """
        stamp = pem.stamp(self._files) if self._files else ()
        if stamp != self._stamp or self._clock() - self._born > _A_DAY:
            self._stamp, self._born = stamp, self._clock()
            try:
                self._context = _build(self.policy, self.side)
            except InvalidOption as problem:
                self.problem, self._is_told = problem, False
            else:
                self.problem = None
                self.sessions = Sessions()
        return self._context

    def news(self) -> InvalidOption | None:
        """A problem that nobody has been told of; asking is being told."""
        if self._is_told:
            return None
        self._is_told = True
        return self.problem


_contexts: OrderedDict[tuple[TLSPolicy, Side], SharedContext] = OrderedDict()


def _shared_context(policy: TLSPolicy, side: Side) -> SharedContext:
    key = policy.nameless, side
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
        raise shared.problem
    return shared


# --- building ---------------------------------------------------------------------


def _build(policy: TLSPolicy, side: Side) -> SSL.Context:
    own = pem.identity(policy)
    context = _context(policy, side, own)
    if side is Side.SERVER:
        if own is None and not policy.SNI_server_certs:
            raise InvalidOption("local_cert", "a TLS server needs local_cert, the PEM file of "
                                "its certificate, chain and key (or SNI_server_certs)")  # fmt: skip
        _serve_names(context, policy)
    return context


def _context(policy: TLSPolicy, side: Side, own: pem.Identity | None) -> SSL.Context:
    is_client = side is Side.CLIENT
    context = SSL.Context(SSL.TLS_CLIENT_METHOD if is_client else SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_VERSIONS[policy.min_version])
    context.set_max_proto_version(_VERSIONS[policy.max_version])
    context.set_options(_options(policy))
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    # Tickets carry the session; OpenSSL's own cache would only hold memory.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"txtransport")
    _set_ciphers(context, policy)
    if own is not None:
        _show(context, own)
    context.set_verify(_MODES[policy.verifies(side)], judge)
    context.set_verify_depth(policy.verify_depth)
    if is_client or policy.verifies(side) is not Verify.NO:
        _trust(context, policy, side)
    protocols = [name.encode() for name in policy.alpn_protocols]
    if is_client and protocols:
        context.set_alpn_protos(protocols)
    if not is_client:
        context.set_alpn_select_callback(_choosing(protocols))
        context.set_info_callback(note)
    return context


def _options(policy: TLSPolicy) -> int:
    options = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
    if policy.honor_cipher_order:
        options |= SSL.OP_CIPHER_SERVER_PREFERENCE
    if policy.no_ticket:
        options |= SSL.OP_NO_TICKET
    return options


def _set_ciphers(context: SSL.Context, policy: TLSPolicy) -> None:
    if policy.ciphers is None and policy.security_level is None:
        return
    # Ciphers without authentication or encryption are no TLS at all.
    wanted = f"{policy.ciphers or 'DEFAULT'}:!aNULL:!eNULL"
    if policy.security_level is not None:
        wanted += f":@SECLEVEL={policy.security_level}"
    try:
        context.set_cipher_list(wanted.encode())
    except (SSL.Error, UnicodeEncodeError) as problem:
        raise InvalidOption(
            "ciphers", f"OpenSSL knows no cipher of ciphers={policy.ciphers!a}; "
            "see openssl ciphers -v, and note that it is for TLS 1.2 and older",
        ) from problem  # fmt: skip


def _show(context: SSL.Context, own: pem.Identity) -> None:
    try:
        context.use_certificate(own.leaf)
        for authority in own.chain:
            context.add_extra_chain_cert(authority)
        context.use_privatekey(own.key)
        context.check_privatekey()
    except SSL.Error as problem:
        reasons = ", ".join(text for *_, text in problem.args[0]) if problem.args else ""
        raise InvalidOption(
            "local_cert", f"OpenSSL will not use {pem.shown_name(own.leaf.subject)}: {reasons}; "
            "a weak key or digest needs a lower security_level",
        ) from problem  # fmt: skip


def _trust(context: SSL.Context, policy: TLSPolicy, side: Side) -> None:
    store = context.get_cert_store()
    assert store is not None
    if policy.cafile is not None:
        authorities = pem.read_authorities("cafile", policy.cafile)
        for authority in authorities:
            store.add_cert(crypto.X509.from_cryptography(authority))
            if side is Side.SERVER:
                context.add_client_ca(authority)
    if policy.capath is not None:
        pem.check_folder("capath", policy.capath)
        context.load_verify_locations(None, os.fsencode(policy.capath))
    if policy.cafile is None and policy.capath is None:
        context.set_default_verify_paths()
    if policy.crl is not None:
        for revocations in pem.read_revocations("crl", policy.crl):
            store.add_crl(revocations)
        store.set_flags(crypto.X509StoreFlags.CRL_CHECK)


def _serve_names(context: SSL.Context, policy: TLSPolicy) -> None:
    """Choose the certificate by the name that the client asks for (RFC 6066, 3)."""
    named = {
        name: _context(policy, Side.SERVER, pem.read_identity(policy, "SNI_server_certs", path))
        for name, path in policy.SNI_server_certs
    }
    if not named:
        return

    def choose(connection: SSL.Connection) -> None:
        asked = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        chosen = named.get(asked) or named.get(f"*.{asked.partition('.')[2]}")
        if chosen is not None:
            connection.set_context(chosen)

    context.set_tlsext_servername_callback(choose)


def _choosing(ours: list[bytes]) -> Callable[[SSL.Connection, list[bytes]], Any]:
    """The server's choice of an application protocol.

    No overlap is no reason to end a handshake: the guest sees None and
    decides. Without any callback Twisted's own answers with an alert.
    """

    def choose(connection: SSL.Connection, offered: list[bytes]) -> Any:
        return next((name for name in ours if name in offered), SSL.NO_OVERLAPPING_PROTOCOLS)

    return choose
