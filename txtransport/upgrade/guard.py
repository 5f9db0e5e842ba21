"""`guard`: a safe switch to TLS for protocols that are not ours to change.

    factory = txtransport.guard(smtp_factory)           # Twisted's ESMTP, IMAP4, XMPP, AMP …
    factory = txtransport.guard(others, boundary=b";")  # where a command ends in someone else's

**The problem.** Twisted's own protocols switch to TLS by
``self.transport.startTLS(context)``, and are open to injected commands
(CVE-2011-0411). `txtransport.upgrade.switch` describes the attack and the
defence, which needs two places: in front of the parser, and at the call of
``startTLS()``. A protocol that is not ours cannot get `StartTLSMixin` as a base
class. But all its input comes from its transport, and so does ``startTLS()``.

**The wrapper.** So `Guard` stands between the protocol and its transport, as
Twisted's `ProtocolWrapper`: the transport's protocol, and the protocol's
transport. Input passes through it, and so does the call of ``startTLS()``::

      application's protocol
        |                  ^
        | startTLS(context)| one unit at a time, by `InputBuffer`
        | write()          |
        v                  |
      Guard, with its `Upgrade`
        |                  ^
        | write()          | all bytes, by dataReceived()
        v                  |
      other wrappers, if there are any; below them, after the switch, the TLS layer
        |                  ^
        v                  |
      transport (TCP or local socket)

`Guard.startTLS` looks at what has arrived, and then has `Upgrade` start TLS on
the transport under all wrappers: with the context that the protocol brought, or
with the guard's policy in its place. Unlike the mixin, the guard stays on
the bytes' path when the conversation is secure, since it is the protocol's
transport; it passes everything on.

**What the protocol believes.** A wrapper cannot see what a command has done, and
what the client did in the clear must not count under TLS. So the guard knows
Twisted's protocols (`txtransport.upgrade.twisted_protocols`). It refuses TLS to
a client that has logged in or did not wait for its replies, counts the half box
that AMP's parser keeps as injected text, and has the mail server forget its
client's name, sender and recipients. Twisted's wrappers inside the guard do not
hide the protocol from it, except the parser, since a wrapper may change the bytes.

**What the protocol asks its transport.** Whether TLS can start (`ITLSTransport`),
and whether it has (`ISSLTransport`). Twisted's transport provides the latter
from the call of ``startTLS()`` on; the guard provides it when the handshake is
over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, cast

from twisted.internet.error import ConnectionClosed
from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    ISSLTransport,
    ITLSTransport,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import alsoProvides, directlyProvides, noLongerProvides, providedBy

from txtransport.connection.attempt import log_failure
from txtransport.connection.twisted_types import ProtocolFactory, TCPTransport
from txtransport.errors import PeerMisbehaved, UpgradeError
from txtransport.upgrade.base_transport import (
    describe_peer,
    is_client,
    is_under_tls,
    wrapped_protocols,
)
from txtransport.upgrade.buffer import InputBuffer
from txtransport.upgrade.framing import Held, is_paused
from txtransport.upgrade.mail_login import (
    LoginRefusal,
    MailProtocol,
    SentLines,
    insist_on_tls,
    mail_protocol,
    unsent_login,
    use_policy,
    withhold_offers,
)
from txtransport.upgrade.switch import Policy, TLSState, Upgrade, upgrade_of
from txtransport.upgrade.twisted_protocols import (
    PartialBox,
    PendingReplies,
    forget_plaintext_state,
    has_known_parser,
    is_logged_in,
    next_unit,
)

__all__ = ["Guard", "GuardFactory", "guard"]

_log: Final = Logger()


def guard(
    factory: ProtocolFactory[object],
    boundary: bytes | None = None,
    policy: Policy | None = None,
    *,
    require_tls: bool | None = None,
) -> GuardFactory:
    """Make protocols that call ``transport.startTLS()`` safe to use.

    For Twisted's SMTP, IMAP4, POP3, XMPP and AMP, and for any other protocol
    that calls ``startTLS()`` as they do: while it receives the command, or the
    reply, that leads to TLS.

    Args:
        factory: Builds the protocols, of a client or of a server.
        boundary: The bytes that end a command; they may occur elsewhere too.
            Of use only for a protocol that has none of Twisted's parsers for
            lines, messages and XML: without a boundary, it receives single
            bytes, which is slow, as the log then says. ``b">"`` means tags of
            XML.
        policy: The demands on TLS, in place of the protocols' own context
            factories: a `TLSPolicy`, a mapping of TLS options, or on clients
            the name that the peer's certificate must be for. Without a policy,
            the protocols' own context factories are used, and these decide what
            is verified. With one, Twisted's ESMTP and IMAP4Server offer STARTTLS
            also if they have no context factory.
        require_tls: Whether Twisted's protocols for SMTP, IMAP4 and POP3 may log
            in under TLS only; True by default if there is a policy. In the
            clear, Twisted's servers for SMTP and IMAP4 offer no log-in, and a
            client's does not reach the server's protocol, but is answered with
            a refusal (RFC 4954, RFC 9051). A client's own is
            not sent, and ends the conversation with a `NegotiationError`.
            Clients that can insist on TLS by themselves are made to. Under
            implicit TLS it does nothing.

    Returns:
        The factory to use with any endpoint, in place of `factory`. Clear
        text where TLS begins ends the connection with `PlaintextInjected`; a
        handshake has a deadline, and its failure is explained; a close has a
        deadline too. A client endpoint's Deferred fires with the `Guard`, whose
        ``wrappedProtocol`` is the protocol.

    Raises:
        TypeError: `boundary` is not bytes, or `require_tls` neither a bool nor None.
        ValueError: `boundary` is empty.
    """
    if boundary is not None and not isinstance(boundary, bytes):
        raise TypeError(f"boundary is bytes, not {type(boundary).__name__}")
    if boundary == b"":
        raise ValueError("boundary is empty: what ends a command?")
    if require_tls is None:
        require_tls = policy is not None
    if not isinstance(require_tls, bool):
        raise TypeError(f"require_tls is True or False, not {require_tls!r}")
    return GuardFactory(cast(IProtocolFactory, factory), boundary, policy, require_tls)


class Guard(ProtocolWrapper):
    """One guarded conversation: the protocol's transport, and the transport's protocol."""

    factory: GuardFactory
    disconnecting: bool = False

    def __init__(self, factory: GuardFactory, protocol: IProtocol) -> None:
        super().__init__(factory, protocol)
        *_, self._application = wrapped_protocols(self)
        self._pending_replies = PendingReplies()
        self._partial_box = PartialBox()
        self._mail: MailProtocol | None = None
        self._sent_lines: SentLines | None = None
        self._give_offers_back: Callable[[], None] = lambda: None
        self._has_refused = False
        self._is_paused = False
        self._discards_writes = False

    # --- what the transport calls ---

    def makeConnection(self, transport: ITransport) -> None:
        """Connect the guard to its transport, and the protocol to the guard."""
        is_secure = is_under_tls(transport)
        self._upgrade = Upgrade(
            self._input_buffer(cast(TCPTransport, transport)),
            unread=lambda: self._partial_box.begun,
            forget=self._secured,
            state=TLSState.SECURE if is_secure else TLSState.PLAINTEXT,
        )
        directlyProvides(self, providedBy(transport))
        if is_secure:
            # Twisted's servers offer STARTTLS to clients if their transport
            # provides ITLSTransport, but TLS cannot start twice.
            noLongerProvides(self, ITLSTransport)
        elif not ISSLTransport.providedBy(transport):
            self._prepare()
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)  # type: ignore[no-untyped-call]
        self._protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Deliver bytes from the peer to the protocol, unit by unit in the clear."""
        self._upgrade.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell the protocol, and the log, why the connection is over."""
        reason = self._upgrade.lost(reason)
        self._log_failure(reason)
        ProtocolWrapper.connectionLost(self, reason)

    # --- what the protocol calls ---

    def startTLS(self, ctx: object, normal: bool = True) -> None:
        """Twisted's ``ITLSTransport.startTLS``, made safe.

        Args:
            ctx: The protocol's own context factory; not used when the guard
                has a policy.
            normal: Whether TLS's client is the one that opened the TCP
                connection.

        Raises:
            UpgradeError: TLS cannot start now, or the protocol has
                `StartTLSMixin` or a guard of its own; the conversation is as it was.
            InvalidOption: The guard's policy cannot be used.
            TypeError: Twisted cannot use `ctx`; the conversation is as it was.
        """
        if any(upgrade_of(protocol) is not None for protocol in wrapped_protocols(self)):
            # The clear text that waits there would not be looked at.
            raise UpgradeError(
                f"{describe_peer(self._below)}: a protocol with StartTLSMixin, or with a guard of "
                "its own, starts TLS by that"
            )
        objection = self._objection()
        if objection and self._upgrade.state is TLSState.PLAINTEXT:
            self._refuse(objection)
            return
        policy = self.factory.policy
        if policy is None:
            self._upgrade.start_with_context(ctx, normal=normal)
        else:
            is_tls_client = None if normal else not is_client(self.transport)
            started = self._upgrade.start(policy, client=is_tls_client, factory=self.factory)
            # A failure reaches the protocol and the log by connectionLost().
            started.addErrback(lambda reason: None)
        # Before this method returns: Twisted's IMAP server then adds to them.
        self._give_offers_back()

    def write(self, data: bytes) -> None:
        """Send the protocol's bytes."""
        self._pending_replies.answered()
        if not (self._discards_writes or self._is_unsent(data)):
            ProtocolWrapper.write(self, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """Send several pieces of the protocol's bytes."""
        self.write(b"".join(data))

    def pauseProducing(self) -> None:
        """Deliver nothing to the protocol until `resumeProducing`."""
        self._is_paused = True
        # A handshake goes on while the protocol pauses: its deadline runs.
        if self._upgrade.state is not TLSState.HANDSHAKING:
            self._below.pauseProducing()

    def resumeProducing(self) -> None:
        """Deliver to the protocol again, after `pauseProducing`."""
        self._is_paused = False
        self._below.resumeProducing()
        self._upgrade.buffer.deliver_units()

    def abortConnection(self) -> None:
        """End the connection at once; the protocol receives nothing more."""
        # Twisted's line parsers check this flag at each line, and drop the rest.
        self.disconnecting = True
        self._upgrade.abort()

    # --- log-ins before TLS ---

    def _prepare(self) -> None:
        """Have a protocol for mail, in the clear, offer TLS and insist on it."""
        factory, protocol = self.factory, self._application
        mail = mail_protocol(protocol)
        if mail is not None and factory.policy is not None:
            use_policy(mail, protocol)
        factory.explain_limits(self._protocol, protocol, mail)
        if mail is None:
            return
        if factory.require_tls:
            self._mail = mail
            self._sent_lines = SentLines(mail) if mail.is_client and mail.language.logins else None
            self._give_offers_back = withhold_offers(mail, protocol)
            insist_on_tls(mail, protocol)

    def _refused_login(self, unit: bytes) -> LoginRefusal | None:
        """The answer to a log-in of a client in the clear; None for any other unit."""
        if self._mail is None or self._upgrade.state is not TLSState.PLAINTEXT:
            return None
        return self._mail.refused_login(self._application, unit)

    def _refuse_login(self, refusal: LoginRefusal) -> None:
        self._pending_replies.refused()
        ProtocolWrapper.write(self, refusal.reply)
        if not self._has_refused:
            self._has_refused = True
            _log.info(
                "{where}: the client's {command} came before TLS and was refused",
                where=describe_peer(self._below), peer=self._below.getPeer(),
                command=refusal.command,
            )  # fmt: skip
        if refusal.ends_connection:
            self.loseConnection()  # type: ignore[no-untyped-call]

    def _is_unsent(self, data: bytes) -> bool:
        """Whether a client's bytes must not be sent: a log-in before TLS, and all behind it."""
        if self._mail is None or self._sent_lines is None:
            return False
        if self._upgrade.state is not TLSState.PLAINTEXT:
            return self._upgrade.state is TLSState.FAILED
        command = self._sent_lines.login(data)
        if command:
            self.disconnecting = True
            self._upgrade.end(*unsent_login(self._mail, command))
        return bool(command)

    # --- inside ---

    @property
    def _below(self) -> TCPTransport:
        return cast(TCPTransport, self.transport)

    @property
    def _protocol(self) -> Protocol:
        return cast(Protocol, self.wrappedProtocol)

    def _input_buffer(self, transport: TCPTransport) -> InputBuffer:
        """The buffer in front of the protocol's parser."""
        if has_known_parser(self._protocol, self.factory.boundary):
            return InputBuffer(
                transport,
                self._deliver,
                self._next_unit,
                lambda: self._is_paused or is_paused(self.wrappedProtocol),
            )
        # Nothing is known of this protocol that would have to be asked at each
        # of its bytes, and there may be millions.
        return InputBuffer(transport, self._deliver_byte, lambda data: 1, lambda: self._is_paused)

    def _next_unit(self, data: Held) -> int:
        try:
            return next_unit(self._protocol, self.factory.boundary, data)
        except PeerMisbehaved as error:
            self._refuse(str(error))
            return 0

    def _deliver(self, data: bytes) -> None:
        refusal = self._refused_login(data)
        if refusal is not None:
            self._refuse_login(refusal)
            return
        protocol = self._protocol
        if self._sent_lines is not None and protocol is self._application:
            # Inside a wrapper, the unit may be other than a line.
            self._sent_lines.received(data)
        self._pending_replies.asking()
        # Noted before the delivery: at the end of a box, AMP may call startTLS().
        self._partial_box.given(protocol, data)
        protocol.dataReceived(data)
        self._pending_replies.asked(self._application, data)

    def _deliver_byte(self, data: bytes) -> None:
        self.wrappedProtocol.dataReceived(data)

    def _objection(self) -> str:
        """What the client did in the clear that must not count under TLS; ``""`` for nothing."""
        if is_logged_in(self._application):
            return "the client had logged in before it asked for TLS"
        if self._pending_replies.is_late:
            return "the client did not wait for an answer before it asked for TLS"
        return ""

    def _refuse(self, misbehaviour: str) -> None:
        # As in `abortConnection`.
        self.disconnecting = True
        self._upgrade.end(PeerMisbehaved(misbehaviour))

    def _secured(self) -> None:
        protocol = self._protocol
        # Here if it is not this guard that has started TLS, but one above it.
        self._give_offers_back()
        self._discards_writes = True
        try:
            forget_plaintext_state(self._application)
        finally:
            self._discards_writes = False
        alsoProvides(self, ISSLTransport)
        if self._is_paused:
            self._below.pauseProducing()
        if IHandshakeListener.providedBy(protocol):
            cast(IHandshakeListener, protocol).handshakeCompleted()

    def _log_failure(self, reason: Failure) -> None:
        peer, where = self._below.getPeer(), describe_peer(self._below)
        if log_failure(peer, reason.value, where):
            return
        if self._upgrade.state is TLSState.FAILED and not reason.check(ConnectionClosed):
            _log.failure(
                "{where}: the protocol failed as TLS began", reason, where=where, peer=peer
            )


if TYPE_CHECKING:
    _WrappingFactory = WrappingFactory[Guard]
else:
    # At run time Twisted's class takes no argument before Twisted 26.4.
    _WrappingFactory = WrappingFactory


class GuardFactory(_WrappingFactory):
    """Builds protocols with a `Guard` around each; made by `guard`.

    Attributes:
        boundary: The bytes that end a command, or None.
        policy: The demands on TLS, or None for the protocols' own contexts.
        require_tls: Whether protocols for mail may log in under TLS only.
    """

    protocol: type[Guard] = Guard
    noisy = False

    def __init__(
        self,
        factory: IProtocolFactory,
        boundary: bytes | None,
        policy: Policy | None,
        require_tls: bool,
    ) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.boundary = boundary
        self.policy = policy
        self.require_tls = require_tls
        self._has_explained = False

    # Twisted's own never returns None: it would put a wrapper around None.
    def buildProtocol(self, addr: IAddress | None) -> Guard | None:  # type: ignore[override]
        """A guarded protocol, or None if the wrapped factory builds none.

        Args:
            addr: The peer's address.
        """
        protocol = self.wrappedFactory.buildProtocol(addr)
        return None if protocol is None else Guard(self, protocol)

    def explain_limits(
        self, protocol: object, application: object, mail: MailProtocol | None
    ) -> None:
        """Log, at the first connection in the clear, what the guard cannot do.

        Args:
            protocol: The connection's protocol, perhaps a wrapper.
            application: The protocol inside all wrappers.
            mail: What is known about that, if it is one of Twisted's for mail.
        """
        if self._has_explained:
            return
        self._has_explained = True
        if not has_known_parser(protocol, self.boundary):
            is_wrapper = isinstance(protocol, ProtocolWrapper)
            _log.warn(
                "guard() does not know the parser of {protocol}, which receives single bytes "
                "until TLS begins: that is slow{unknown}. {advice}",
                protocol=type(protocol).__name__,
                unknown=_LOGINS_UNKNOWN if self.require_tls else "",
                advice=_ADVICE_ON_WRAPPERS if is_wrapper else _ADVICE_ON_BOUNDARIES,
            )
        elif mail is not None and self._demands_tls and not mail.can_start_tls(application):
            _log.warn(
                "{protocol} cannot start TLS, so guard() cannot secure it: use an endpoint with "
                "TLS from the start (tls://), or one that starts TLS in front of it "
                "(tls://…?starttls={starttls})",
                protocol=type(application).__name__, starttls=mail.starttls,
            )  # fmt: skip
        elif mail is not None and self._demands_tls and not mail.has_context(application):
            _log.warn(
                "{protocol} cannot start TLS, since it has no context and guard() no policy; so "
                "nobody can log in (require_tls). Say guard(factory, policy=…)",
                protocol=type(application).__name__,
            )

    @property
    def _demands_tls(self) -> bool:
        return self.policy is not None or self.require_tls


_LOGINS_UNKNOWN: Final = ", and none of its commands is known to log in (require_tls)"
_ADVICE_ON_BOUNDARIES: Final = "Say what ends its commands: guard(factory, boundary=…)"
_ADVICE_ON_WRAPPERS: Final = "guard() the factory inside this wrapper, and wrap that"
