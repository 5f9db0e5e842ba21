"""The machine that runs a dialogue: bytes in, bytes out, an outcome.

It keeps the rules that hold for all of them. A dialogue has so many bytes and
no more. When it is over, nothing may be left: what follows the go-ahead in the
clear is an attack (CVE-2011-0411) and never data, and only where a protocol
allows it may the first bytes of TLS be there already.
"""

from __future__ import annotations

from attrs import define, field

from txtransport.errors import PeerLeft, PeerMisbehaved, PlaintextInjected
from txtransport.starttls.wire import TOTAL, Dialogue, Speaker, Wire


@define(eq=False)
class Negotiation:
    """One dialogue, from its first word to TLS.

    Attributes:
        speaker: The side of the dialogue that is ours.
        wire: The conversation.
        where: With whom, for errors.
        is_over: Whether TLS is next.
        outcome: What the dialogue returned, when it is over.
        hello: The first bytes of TLS, if they have come already.
    """

    speaker: Speaker
    wire: Wire = field(factory=Wire)
    where: str = "the peer"
    is_complete: bool = field(default=False, init=False)
    outcome: bytes = field(default=b"", init=False)
    early_client_hello: bytes = field(default=b"", init=False)
    _total: int = field(default=0, init=False)
    _dialogue: Dialogue[bytes] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._advance(self.speaker(self.wire))

    def receive_data(self, data: bytes) -> None:
        """Bytes of the peer.

        Raises:
            NegotiationError: The dialogue has failed; `said` may still hold an
                answer that explains it to the peer.
            RuntimeError: It had ended before, well or badly.
        """
        if self._dialogue is None:
            raise RuntimeError("the dialogue has ended; what comes now is not for it to hear")
        self._total += len(data)
        self.wire.received += data
        self._advance(self._dialogue)

    def connection_lost(self) -> PeerLeft:
        """The connection ended; the error for it."""
        return PeerLeft(bytes(self.wire.received))

    def data_to_send(self) -> bytes:
        """What is to be sent now; asking takes it."""
        taken = bytes(self.wire.outgoing)
        self.wire.outgoing.clear()
        return taken

    def _advance(self, dialogue: Dialogue[bytes]) -> None:
        # Asked again, a generator that has failed looks like one that has
        # returned: it is kept only while it waits.
        self._dialogue = None
        try:
            next(dialogue)
        except StopIteration as end:
            outcome = end.value or b""
        else:
            if self._total > TOTAL:
                raise PeerMisbehaved(f"the peer has sent {self._total} bytes, and not come to TLS")
            self._dialogue = dialogue
            return
        # A ClientHello that came along belongs to TLS, which has bounds of its own.
        self.early_client_hello = self._peer_left()
        self.is_complete, self.outcome = True, outcome

    def _peer_left(self) -> bytes:
        """What has come behind the dialogue's last word; only TLS may."""
        left = bytes(self.wire.received)
        self.wire.received.clear()
        # A record of TLS's handshake, of any version (RFC 8446, 5.1).
        is_hello = left.startswith(b"\x16\x03") or left == b"\x16"
        if left and not (self.wire.takes_hello and is_hello):
            # The go-ahead is not said to someone who has not waited for it.
            self.wire.outgoing.clear()
            raise PlaintextInjected(self.where, left)
        return left
