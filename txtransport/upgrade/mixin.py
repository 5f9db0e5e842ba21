"""`StartTLSMixin`: a protocol that switches to TLS in mid-conversation, safely.

    class Submission(txtransport.StartTLSMixin, LineReceiver):
        def lineReceived(self, line):
            if line.upper() == b"STARTTLS":
                self.startTLS(policy, reply=b"220 go ahead\\r\\n").addCallbacks(...)

`txtransport.upgrade.switch` explains how bytes reach the parser and what happens
at the switch. This module puts that between a protocol and its transport.

The mixin does so on the instance: `makeConnection` sets the instance's attribute
``dataReceived`` to `Upgrade.received`, which delivers to the class's
``dataReceived`` unit by unit. After the handshake the attribute is removed, and
the transport calls the class's method again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from txtransport.connection.attempt import log_failure
from txtransport.connection.twisted_types import TCPTransport
from txtransport.errors import AlreadySecure, ConversationOver, PeerMisbehaved, UpgradeError
from txtransport.tls.session import Session, session_of
from txtransport.upgrade.base_transport import (
    describe_peer,
    driver_below,
    is_client,
    is_under_tls,
)
from txtransport.upgrade.buffer import InputBuffer
from txtransport.upgrade.framing import Held, is_paused, next_unit
from txtransport.upgrade.switch import Policy, TLSState, Upgrade

__all__ = ["StartTLSMixin"]


class StartTLSMixin(Protocol):
    """Adds a safe `startTLS` to a protocol: ``class P(StartTLSMixin, LineReceiver)``.

    The mixin must be the first of the bases. In the clear, the protocol's
    parser receives one unit at a time, so that no byte which follows the
    request to upgrade is in the parser's hands when TLS begins. It works with
    any protocol, over TCP and local sockets, with endpoints of ours or of
    others; under implicit TLS it leaves the input alone.

    Attributes:
        may_pipeline_hello: Servers only. Whether the peer's ClientHello may
            arrive together with the peer's request, as PostgreSQL 17 and MySQL
            allow. Otherwise a ClientHello there counts as clear text, and ends
            the connection.
        tls_clock: Runs the deadlines of handshake and close; None is the
            transport's reactor.
    """

    may_pipeline_hello: bool = False
    tls_clock: IReactorTime | None = None
    _upgrade: Upgrade | None = None

    # --- what a protocol calls ---

    def startTLS(
        self,
        policy: Policy,
        *,
        reply: bytes = b"",
        client: bool | None = None,
        timeout: float | None = None,
    ) -> Deferred[Session]:
        """Switch this conversation to TLS.

        Three checks come first: can TLS start now, can the policy be used, has
        the peer sent nothing ahead? Then `reply` is written and TLS begins.
        What the protocol writes before the handshake is over is sent after it,
        and discarded if the handshake fails.

        Args:
            policy: A `TLSPolicy`, a mapping of TLS options
                (``{"local_cert": "site.pem"}``), or on clients the name that
                the peer's certificate must be for.
            reply: Tells the peer to go ahead, for example ``220 ready\\r\\n``;
                written only when all checks have passed.
            client: Whether we are TLS's client; by default, whether we opened
                the TCP connection.
            timeout: Seconds for the handshake, after which the connection is
                aborted; by default 30 for clients and 10 for servers.

        Returns:
            Fires with the `Session` when the handshake is over and the peer is
            verified. Fails with `PlaintextInjected`, `HandshakeFailed` or
            `TransportTimeout`, which ``connectionLost`` then receives as well.
            Cancelling aborts the connection.

        Raises:
            AlreadySecure: TLS has started already.
            ConversationOver: The connection is closing, closed or not made yet.
            ProducerInTheWay: A pull producer would write in the clear.
            UpgradeError: The transport cannot start TLS.
            InvalidOption: The policy cannot be used.
        """
        if self.tls_state is TLSState.SECURE:
            raise AlreadySecure("TLS is on already")
        if self._upgrade is None and self.connected:
            raise UpgradeError("StartTLSMixin must stand first in the bases of the protocol")
        if self._upgrade is None:
            raise ConversationOver("there is no connection")
        return self._upgrade.start(
            policy,
            reply=reply,
            client=client,
            timeout=timeout,
            may_pipeline=self.may_pipeline_hello,
            clock=self.tls_clock,
            factory=self.factory,
        )

    def stopTLS(
        self, *, wait_for_peer: bool = False, timeout: float | None = None
    ) -> Deferred[None]:
        """Close TLS on both sides, and go on in the clear (RFC 4217's ``CCC``).

        What was written before is sent under TLS, then a close_notify. What the protocol
        writes before the Deferred fires is sent in the clear when TLS is off. What the peer
        sends before its close_notify is delivered before the Deferred fires, and what
        follows that afterwards. `forget_plaintext_state` is not called: whatever was learnt
        under TLS is still true. From then on nothing is protected; a new `startTLS` is
        possible.

        Args:
            wait_for_peer: Whether our close_notify is sent when the peer's has come, and
                not at once. A client such as lftp takes one that arrives together with the
                answer to its request for the end of the connection.
            timeout: Seconds to wait for the peer's close_notify, after which the
                connection is aborted; by default 5.

        Returns:
            Fires when TLS is off. Fails with `TransportTimeout`, or with the reason that
            ``connectionLost`` receives as well if the connection ends before: a peer that
            ends it without a close_notify, for example. Cancelling aborts the connection.

        Raises:
            ConversationOver: The connection is closing, closed or not made yet, or TLS is
                just beginning or ending.
            ProducerInTheWay: A producer is registered.
            UpgradeError: TLS is not on, or someone else has begun it.
            InvalidOption: `timeout` is no time.
        """
        if self._upgrade is None:
            raise ConversationOver("there is no connection")
        return self._upgrade.stop(waits=wait_for_peer, timeout=timeout, clock=self.tls_clock)

    @property
    def tls_state(self) -> TLSState:
        """How far the conversation has come with TLS."""
        if self._upgrade is None:
            return TLSState.CLOSED
        state = self._upgrade.state
        if state is TLSState.PLAINTEXT and is_under_tls(self.transport):
            # Twisted's own endpoints connect before the handshake.
            is_complete = session_of(self.transport) is not None
            return TLSState.SECURE if is_complete else TLSState.HANDSHAKING
        return state

    @property
    def is_secure(self) -> bool:
        """Whether the conversation is under TLS and its handshake is over.

        Ask this in place of ``ISSLTransport.providedBy(transport)``, which is
        true before the handshake.
        """
        return self.tls_state is TLSState.SECURE

    def hold_input(self) -> None:
        """Deliver nothing to this protocol until `release_input` or `startTLS`.

        For a protocol that must wait, for example for a certificate, before it
        can answer a request to upgrade.
        """
        if self._upgrade is not None:
            self._upgrade.buffer.hold()

    def release_input(self) -> None:
        """Deliver to this protocol again, after `hold_input`, when there is no upgrade."""
        if self._upgrade is not None:
            self._upgrade.buffer.release()

    def abort(self) -> None:
        """End the connection at once, and deliver nothing more to this protocol.

        After ``transport.abortConnection()`` alone, Twisted's parsers would
        still act on the rest of what has arrived.
        """
        if self._upgrade is not None:
            self._upgrade.abort()

    # --- what a protocol may override ---

    def plaintext_unit(self, data: Held) -> int:
        """How many bytes the parser may receive next, in the clear.

        This method knows Twisted's line, length-prefixed and netstring
        receivers, and its XML streams; any other protocol, and raw mode,
        receives single bytes. A protocol that knows its own units overrides it.
        A unit must not go on behind a byte at which the parser could call
        `startTLS`.

        Args:
            data: What has arrived; not empty.

        Returns:
            1 to ``len(data)``, or 0 to wait for more.

        Raises:
            PeerMisbehaved: The peer breaks the protocol; the conversation ends.
        """
        return next_unit(self, data)

    def forget_plaintext_state(self) -> None:
        """Forget what was learnt in the clear: greetings, names, capabilities, senders.

        Called when the handshake is over, before the Deferred of `startTLS`
        fires. This one does nothing. A protocol overrides it, since RFC 3207
        (section 4.2) and the like require it to discard that knowledge.
        """

    # --- what Twisted calls ---

    def makeConnection(self, transport: ITransport) -> None:
        """Put the upgrade between the protocol and its transport."""
        parse, lost = self.dataReceived, self.connectionLost
        below = cast(TCPTransport, transport)
        upgrade = self._upgrade = Upgrade(
            InputBuffer(below, parse, self._next_unit, lambda: is_paused(self)),
            unread=self._unread,
            forget=self._secured,
            resume=self._resume_plaintext,
        )
        driver = driver_below(transport)
        if driver is not None:
            driver.keep_unread()

        def connection_lost(reason: Failure) -> None:
            self._restore_data_received()
            vars(self).pop("connectionLost", None)
            verdict = upgrade.lost(reason)
            if upgrade.state is TLSState.FAILED:
                _log_server_failure(below, verdict)
            lost(verdict)

        # On the instance and not in the class: the methods of a protocol that
        # defines dataReceived() or connectionLost() itself would hide ours.
        vars(self)["connectionLost"] = connection_lost
        if not is_under_tls(transport):
            vars(self)["dataReceived"] = upgrade.received
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def _resume_plaintext(self) -> None:
        upgrade = cast(Upgrade, self._upgrade)
        # Where TLS was there from the start, there is another transport now.
        upgrade.buffer.transport = cast(TCPTransport, self.transport)
        vars(self)["dataReceived"] = upgrade.received

    def _secured(self) -> None:
        self._restore_data_received()
        self.forget_plaintext_state()

    def _restore_data_received(self) -> None:
        vars(self).pop("dataReceived", None)

    def _next_unit(self, data: Held) -> int:
        try:
            return self.plaintext_unit(data)
        except PeerMisbehaved as error:
            if self._upgrade is not None:
                self._upgrade.end(error)
            return 0

    def _unread(self) -> bytes:
        # LineReceiver's; without it, nothing is known of what the parser keeps.
        take_back: Callable[[], bytes] = getattr(self, "clearLineBuffer", bytes)
        return bytes(take_back())


def _log_server_failure(transport: TCPTransport, verdict: Failure) -> None:
    """Log why a server's upgrade failed; a client learns that from its Deferred."""
    if is_client(transport) is False:
        log_failure(transport.getPeer(), verdict.value, describe_peer(transport))
