"""`guard`: a safe switch to TLS for protocols that are not ours to change.

    factory = txtransport.guard(smtp_factory)                    # Twisted's ESMTP, IMAP4 …
    factory = txtransport.guard(xmpp_factory, boundary=b">")

The guard stands between a protocol and its transport, and is the transport
that the protocol sees. It gives the protocol one command at a time, and when
the protocol calls ``transport.startTLS()``, nothing else has reached it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, Final, cast

from twisted.internet.interfaces import (
    IAddress,
    IHandshakeListener,
    IProtocol,
    IProtocolFactory,
    ISSLTransport,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import alsoProvides

from txtransport.bottom import is_client
from txtransport.errors import PeerMisbehaved
from txtransport.feed import Feed
from txtransport.units import Held, is_paused
from txtransport.upgrade import Policy, TLSState, Upgrade

_log: Final = Logger()

_LONG: Final = 65536


def guard(
    factory: IProtocolFactory, boundary: bytes = b"\n", policy: Policy | None = None
) -> GuardFactory:
    """Make protocols that call ``transport.startTLS()`` safe to use.

    For Twisted's SMTP, IMAP4 and POP3 (the default boundary), XMPP (``b">"``),
    AMP (``b"\\0"``), and whatever else calls it as they do: while it receives
    the command, or the answer, that leads to TLS.

    Args:
        factory: Builds the protocols; of a client or of a server.
        boundary: What ends a command, as bytes; it may occur elsewhere too.
        policy: What TLS is to be like, in place of the protocols' own context
            factories: a `TLSPolicy`, a mapping of options, or on clients the
            name that the peer's certificate must be for. Without it their own
            are used, and what these verify is their affair.

    Returns:
        The factory to use with any endpoint, in place of `factory`. Clear
        text where TLS begins ends the connection with `PlaintextInjected`, a
        handshake has a deadline and an explained end, and a close ends.
    """
    if not boundary:
        raise ValueError("boundary is empty: what ends a command?")
    return GuardFactory(factory, boundary, policy)


class Guard(ProtocolWrapper):
    """One guarded conversation: the protocol's transport, and the transport's protocol."""

    factory: GuardFactory

    def __init__(self, factory: GuardFactory, guest: IProtocol) -> None:
        super().__init__(factory, guest)
        self._is_paused = False
        self._is_mute = False

    # --- what the transport calls ---

    def makeConnection(self, transport: ITransport) -> None:
        """The connection is made."""
        guest = cast(Protocol, self.wrappedProtocol)
        self._upgrade = Upgrade(
            Feed(
                transport,
                guest.dataReceived,
                self._next_unit,
                lambda: self._is_paused or is_paused(guest),
            ),
            unread=bytes,
            forget=self._secured,
        )
        ProtocolWrapper.makeConnection(self, transport)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the peer."""
        self._upgrade.received(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The connection is over."""
        was = self._upgrade.state
        reason = self._upgrade.lost(reason)
        if self._upgrade.state is TLSState.FAILED:
            _log.info(
                "{peer}: {error}",
                peer=cast(Any, self.transport).getPeer(),
                error=reason.value,
                stage=was.value,
            )
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
        policy = self.factory.policy
        if policy is None:
            self._upgrade.borrow(ctx, normal=normal)
        else:
            is_reversed = None if normal else not is_client(self.transport)
            started = self._upgrade.start(policy, client=is_reversed)
            # connectionLost() tells the protocol, and the log.
            started.addErrback(lambda reason: None)

    def write(self, data: bytes) -> None:
        """The protocol writes."""
        if not self._is_mute:
            ProtocolWrapper.write(self, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """The protocol writes several."""
        self.write(b"".join(data))

    def pauseProducing(self) -> None:
        """The protocol wants nothing for the moment."""
        self._is_paused = True
        cast(Any, self.transport).pauseProducing()

    def resumeProducing(self) -> None:
        """The protocol wants more."""
        self._is_paused = False
        cast(Any, self.transport).resumeProducing()
        self._upgrade.feed.go_on()

    def abortConnection(self) -> None:
        """End the connection at once; the protocol receives nothing more."""
        self._upgrade.abort()

    # --- inside ---

    def _next_unit(self, data: Held) -> int:
        boundary = self.factory.boundary
        end = data.find(boundary)
        if end >= 0:
            return end + len(boundary)
        return len(data) if len(data) > _LONG else 0

    def _secured(self) -> None:
        guest = self.wrappedProtocol
        # What a protocol says while it forgets, nobody has asked for.
        self._is_mute = True
        try:
            _forget(guest)
        finally:
            self._is_mute = False
        alsoProvides(self, ISSLTransport)
        if IHandshakeListener.providedBy(guest):
            cast(IHandshakeListener, guest).handshakeCompleted()


class GuardFactory(WrappingFactory[Guard]):
    """Builds guarded protocols; `guard` makes it.

    Attributes:
        boundary: What ends a command.
        policy: What TLS is to be like, or None for the protocols' own contexts.
    """

    protocol = Guard
    noisy = False

    def __init__(self, factory: IProtocolFactory, boundary: bytes, policy: Policy | None) -> None:
        super().__init__(factory)  # type: ignore[no-untyped-call]
        self.boundary = boundary
        self.policy = policy

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A guarded protocol, or None if there is to be none."""
        guest = self.wrappedFactory.buildProtocol(addr)
        return None if guest is None else Guard(self, guest)


def _forget(guest: object) -> None:
    """Have a protocol forget what it learnt in the clear, where it does not do so itself.

    Twisted's SMTP server keeps sender, recipients and log-in (RFC 3207, 4.2
    wants them gone); its other protocols start anew.
    """
    smtp = sys.modules.get("twisted.mail.smtp")
    if smtp is None or not isinstance(guest, smtp.SMTP):
        return
    if getattr(guest, "authenticated", False):
        raise PeerMisbehaved("the client had logged in before it asked for TLS")
    guest.do_RSET(b"")
