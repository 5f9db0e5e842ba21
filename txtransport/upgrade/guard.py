"""`guard`: a safe switch to TLS for protocols that are not ours to change.

    factory = txtransport.guard(smtp_factory)           # Twisted's ESMTP, IMAP4, XMPP, AMP …
    factory = txtransport.guard(others, boundary=b";")  # where a command ends in someone else's

The guard stands between a protocol and its transport, and is the transport
that the protocol sees. It gives the protocol one command at a time, and when
the protocol calls ``transport.startTLS()``, nothing else has reached it. What
it must know of Twisted's protocols for that is in `txtransport.upgrade.twisted_protocols`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

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

from txtransport.connection.lifetime import log_failure
from txtransport.errors import PeerMisbehaved
from txtransport.upgrade.base_transport import describe_peer, is_client, is_under_tls
from txtransport.upgrade.buffer import InputBuffer
from txtransport.upgrade.framing import Held, is_paused
from txtransport.upgrade.switch import Policy, TLSState, Upgrade
from txtransport.upgrade.twisted_protocols import (
    PartialBox,
    PendingReplies,
    forget_plaintext_state,
    is_logged_in,
    next_unit,
)

_log: Final = Logger()


def guard(
    factory: IProtocolFactory, boundary: bytes | None = None, policy: Policy | None = None
) -> GuardFactory:
    """Make protocols that call ``transport.startTLS()`` safe to use.

    For Twisted's SMTP, IMAP4, POP3, XMPP and AMP, and whatever else calls it
    as they do: while it receives the command, or the answer, that leads to
    TLS.

    Args:
        factory: Builds the protocols; of a client or of a server.
        boundary: What ends a command, as bytes; it may occur elsewhere too.
            Of use only with a protocol that has none of Twisted's parsers for
            lines, messages and XML: it makes faster what without it comes
            byte by byte. ``b">"`` means tags of XML.
        policy: What TLS is to be like, in place of the protocols' own context
            factories: a `TLSPolicy`, a mapping of options, or on clients the
            name that the peer's certificate must be for. Without it their own
            are used, and what these verify is their affair.

    Returns:
        The factory to use with any endpoint, in place of `factory`. Clear
        text where TLS begins ends the connection with `PlaintextInjected`, a
        handshake has a deadline and an explained end, and a close ends. A
        client endpoint's Deferred fires with the `Guard`, whose
        ``wrappedProtocol`` is the protocol.

    Raises:
        TypeError, ValueError: `boundary` is no bytes, or there are none.
    """
    if boundary is not None and not isinstance(boundary, bytes):
        raise TypeError(f"boundary is bytes, not {type(boundary).__name__}")
    if boundary == b"":
        raise ValueError("boundary is empty: what ends a command?")
    return GuardFactory(factory, boundary, policy)


class Guard(ProtocolWrapper):
    """One guarded conversation: the protocol's transport, and the transport's protocol."""

    factory: GuardFactory

    def __init__(self, factory: GuardFactory, protocol: IProtocol) -> None:
        super().__init__(factory, protocol)
        self._answers = PendingReplies()
        self._box = PartialBox()
        self._is_paused = False
        self._is_mute = False

    # --- what the transport calls ---

    def makeConnection(self, transport: ITransport) -> None:
        """The connection is made."""
        is_secure = is_under_tls(transport)
        self._upgrade = Upgrade(
            InputBuffer(
                transport,
                self._deliver,
                self._next_unit,
                lambda: self._is_paused or is_paused(self.wrappedProtocol),
            ),
            unread=lambda: self._box.begun,
            forget=self._secured,
            state=TLSState.SECURE if is_secure else TLSState.PLAINTEXT,
        )
        directlyProvides(self, providedBy(transport))
        if is_secure:
            # A server that is offered ITLSTransport offers STARTTLS.
            noLongerProvides(self, ITLSTransport)
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)  # type: ignore[no-untyped-call]
        self._protocol.makeConnection(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer."""
        self._upgrade.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is over."""
        reason = self._upgrade.lost(reason)
        self._tell(reason)
        ProtocolWrapper.connectionLost(self, reason)

    # --- what the protocol calls ---

    def startTLS(self, ctx: object, normal: bool = True) -> None:
        """Twisted's ``ITLSTransport.startTLS``, made safe.

        Args:
            ctx: The protocol's own context factory; not used when the guard
                has a policy.
            normal: Whether TLS's client is TCP's.

        Raises:
            UpgradeError: It cannot be done now; the conversation is as it was.
            InvalidOption: The guard's policy cannot be used.
        """
        objection = self._objection()
        if objection and self._upgrade.state is TLSState.PLAINTEXT:
            self._refuse(objection)
            return
        policy = self.factory.policy
        if policy is None:
            self._upgrade.start_with_context(ctx, normal=normal)
        else:
            is_reversed = None if normal else not is_client(self.transport)
            started = self._upgrade.start(policy, client=is_reversed)
            # connectionLost() tells the protocol, and the log.
            started.addErrback(lambda reason: None)

    def write(self, data: bytes) -> None:
        """The protocol writes."""
        self._answers.answered()
        if not self._is_mute:
            ProtocolWrapper.write(self, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The protocol writes several."""
        self.write(b"".join(data))

    def pauseProducing(self) -> None:
        """The protocol wants nothing for the moment."""
        self._is_paused = True
        # A handshake goes on, since its deadline does.
        if self._upgrade.state is not TLSState.HANDSHAKING:
            cast(Any, self.transport).pauseProducing()

    def resumeProducing(self) -> None:
        """The protocol wants more."""
        self._is_paused = False
        cast(Any, self.transport).resumeProducing()
        self._upgrade.buffer.deliver_units()

    def abortConnection(self) -> None:
        """End the connection at once; the protocol receives nothing more."""
        # Twisted's parsers of lines look at this before each.
        self.disconnecting = True
        self._upgrade.abort()

    # --- inside ---

    @property
    def _protocol(self) -> Protocol:
        return cast(Protocol, self.wrappedProtocol)

    def _next_unit(self, data: Held) -> int:
        try:
            return next_unit(self._protocol, self.factory.boundary, data)
        except PeerMisbehaved as error:
            self._refuse(str(error))
            return 0

    def _deliver(self, data: bytes) -> None:
        protocol = self._protocol
        self._answers.asking()
        # Before it acts on the end of a box, which may be by startTLS().
        self._box.given(protocol, data)
        protocol.dataReceived(data)
        self._answers.asked(protocol, data)

    def _objection(self) -> str:
        """What the client has done in the clear that must not count under TLS."""
        if is_logged_in(self._protocol):
            return "the client had logged in before it asked for TLS"
        if self._answers.is_late:
            return "the client did not wait for an answer before it asked for TLS"
        return ""

    def _refuse(self, what: str) -> None:
        # As in `abortConnection`.
        self.disconnecting = True
        self._upgrade.end(PeerMisbehaved(what))

    def _secured(self) -> None:
        protocol = self._protocol
        self._is_mute = True
        try:
            forget_plaintext_state(protocol)
        finally:
            self._is_mute = False
        alsoProvides(self, ISSLTransport)
        if self._is_paused:
            cast(Any, self.transport).pauseProducing()
        if IHandshakeListener.providedBy(protocol):
            cast(IHandshakeListener, protocol).handshakeCompleted()

    def _tell(self, reason: Failure) -> None:
        peer = cast(Any, self.transport).getPeer()
        if log_failure(peer, reason.value, describe_peer(self.transport)):
            return
        if self._upgrade.state is TLSState.FAILED and not reason.check(ConnectionClosed):
            _log.failure("{peer}: the protocol failed as TLS began", reason, peer=peer)


class GuardFactory(WrappingFactory[Guard]):
    """Builds guarded protocols; `guard` makes it.

    Attributes:
        boundary: What ends a command, or None.
        policy: What TLS is to be like, or None for the protocols' own contexts.
    """

    protocol = Guard
    noisy = False

    def __init__(
        self, factory: IProtocolFactory, boundary: bytes | None, policy: Policy | None
    ) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.boundary = boundary
        self.policy = policy

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A guarded protocol, or None if there is to be none."""
        protocol = self.wrappedFactory.buildProtocol(addr)
        return None if protocol is None else Guard(self, protocol)
