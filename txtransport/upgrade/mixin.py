"""`StartTLSMixin`: a protocol that switches to TLS in mid-conversation, safely.

    class Submission(txtransport.StartTLSMixin, LineReceiver):
        def lineReceived(self, line):
            if line.upper() == b"STARTTLS":
                self.startTLS(policy, reply=b"220 go ahead\\r\\n").addCallbacks(...)

How bytes reach the parser, and what happens at the switch, is
`txtransport.upgrade.switch`'s to know; this room puts it between a protocol and its
transport.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, ITransport
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure

from txtransport.connection.lifetime import log_failure
from txtransport.errors import AlreadySecure, ConversationOver, PeerMisbehaved, UpgradeError
from txtransport.tls.session import Session, session_of
from txtransport.upgrade.base_transport import describe_peer, is_client, is_under_tls
from txtransport.upgrade.buffer import InputBuffer
from txtransport.upgrade.framing import Held, is_paused, next_unit
from txtransport.upgrade.switch import Policy, TLSState, Upgrade


class StartTLSMixin(Protocol):
    """Stands first in the bases: ``class P(StartTLSMixin, LineReceiver)``.

    In the clear the protocol's parser is fed one unit at a time, so that
    nothing which follows an upgrade is in its hands when TLS begins. Works
    with any protocol, over TCP and local sockets, whosever endpoint they come
    from; under implicit TLS it stands aside.

    Attributes:
        may_pipeline_hello: Servers only. Whether the peer's ClientHello may
            come together with its request, as PostgreSQL 17 and MySQL allow.
            Otherwise it counts as clear text, and ends the connection.
        tls_clock: Keeps the handshake's deadline; None is the transport's
            reactor.
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

        In this order: is it possible now, is the policy good, was nothing
        sent ahead; then `reply` is written and TLS begins. What is written
        meanwhile waits, and is lost if the handshake fails.

        Args:
            policy: A `TLSPolicy`, a mapping of TLS options
                (``{"local_cert": "site.pem"}``), or on clients the name that
                the peer's certificate must be for.
            reply: Tells the peer to go ahead, for example ``220 ready\\r\\n``;
                it is not written if anything is wrong before.
            client: Whether we are TLS's client; by default, whether we are
                TCP's.
            timeout: Seconds for the handshake, then the connection is
                aborted; by default 30 for clients and 10 for servers.

        Returns:
            Fires with the `Session` when the peer is verified. Fails with
            `PlaintextInjected`, `HandshakeFailed` or `TransportTimeout`, which
            ``connectionLost`` then hears as well. Cancelling aborts.

        Raises:
            AlreadySecure: TLS is on already, or on its way.
            ConversationOver: The connection is closing, closed or not there.
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
        )

    @property
    def tls_state(self) -> TLSState:
        """How far the conversation is."""
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

        What to ask in place of ``ISSLTransport.providedBy(transport)``, which
        is true before any handshake.
        """
        return self.tls_state is TLSState.SECURE

    def hold_input(self) -> None:
        """Receive nothing more until `release_input` or `startTLS`.

        For a protocol that must wait before it can answer a request to
        upgrade, for example for a certificate.
        """
        if self._upgrade is not None:
            self._upgrade.buffer.hold()

    def release_input(self) -> None:
        """Receive again; there will be no upgrade now."""
        if self._upgrade is not None:
            self._upgrade.buffer.release()

    def abort(self) -> None:
        """End the connection at once, and receive nothing more.

        ``transport.abortConnection()`` alone does not keep Twisted's parsers
        from acting on the rest of what has arrived.
        """
        if self._upgrade is not None:
            self._upgrade.abort()

    # --- what a protocol may say ---

    def plaintext_unit(self, data: Held) -> int:
        """How many bytes the parser may have next, in the clear.

        Known for Twisted's line, length-prefixed and netstring receivers; any
        other protocol, and raw mode, gets byte by byte. A protocol that knows
        better says so here. It must not say more than the bytes after which it
        could call `startTLS`.

        Args:
            data: What has arrived, at least a byte.

        Returns:
            1 to ``len(data)``, or 0 to wait for more.

        Raises:
            PeerMisbehaved: The peer breaks the protocol; the conversation ends.
        """
        return next_unit(self, data)

    def forget_plaintext_state(self) -> None:
        """Forget what was learnt in the clear: greetings, names, capabilities, senders.

        Is called when the handshake is over, before the Deferred fires. Does
        nothing here; RFC 3207 (section 4.2) and its kind want it done.
        """

    # --- what Twisted calls ---

    def makeConnection(self, transport: ITransport) -> None:
        """Take the place between the protocol and its transport."""
        parse, lost = self.dataReceived, self.connectionLost
        upgrade = self._upgrade = Upgrade(
            InputBuffer(transport, parse, self._next_unit, lambda: is_paused(self)),
            unread=self._unread,
            forget=self._secured,
        )

        def connection_lost(reason: Failure) -> None:
            self._stand_aside()
            vars(self).pop("connectionLost", None)
            verdict = upgrade.lost(reason)
            if upgrade.state is TLSState.FAILED:
                _tell(transport, verdict)
            lost(verdict)

        # On the instance and not in the class: a protocol that has a
        # dataReceived or connectionLost of its own would hide ours.
        self.connectionLost = connection_lost  # type: ignore[method-assign, assignment]
        if not is_under_tls(transport):
            self.dataReceived = upgrade.received  # type: ignore[method-assign]
        super().makeConnection(transport)  # type: ignore[no-untyped-call]

    def _secured(self) -> None:
        self._stand_aside()
        self.forget_plaintext_state()

    def _stand_aside(self) -> None:
        vars(self).pop("dataReceived", None)

    def _next_unit(self, data: Held) -> int:
        try:
            return self.plaintext_unit(data)
        except PeerMisbehaved as error:
            if self._upgrade is not None:
                self._upgrade.end(error)
            return 0

    def _unread(self) -> bytes:
        take_back: Any = getattr(self, "clearLineBuffer", bytes)
        return bytes(take_back())


def _tell(transport: Any, verdict: Failure) -> None:
    """Say in a server's log why TLS did not come about; a client has its Deferred for that."""
    if is_client(transport) is False:
        log_failure(transport.getPeer(), verdict.value, describe_peer(transport))
