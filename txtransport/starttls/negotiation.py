"""The machine that runs one dialogue: bytes in, bytes out, an outcome.

A `Negotiation` drives the generator of a dialogue (wire.py). It has no
transport; its caller has one::

    negotiation = Negotiation(smtp.connect)             runs to the first wait
    transport.write(negotiation.data_to_send())
    ...
    negotiation.receive_data(data)                      for each segment
    transport.write(negotiation.data_to_send())
    if negotiation.is_complete:                         TLS begins

The constructor and each `receive_data` advance the generator once, to the next
place where it needs more bytes. There are three results. The generator yields:
the dialogue waits. It returns: the dialogue is complete. It raises: the dialogue
has failed. A generator that has ended is dropped at once, because to ``next()`` a
failed generator looks like one that has returned. After the end no byte is
accepted, so a failure stays a failure.

**Why nothing may follow the go-ahead.** TLS protects what is sent inside TLS.
A byte behind the go-ahead (for a server: behind the client's last command) came
before there was a key, so anyone on the path may have put it there. A program
that still has this byte in a buffer when TLS starts, and parses the buffer
afterwards, takes it for a byte of the authenticated peer: a server carries out
commands that the client never sent, a client believes answers that the server
never gave (CVE-2011-0411; "Why TLS is better without STARTTLS", USENIX Security
2021). Honest peers have nothing to say
there: the client's next bytes are the ClientHello, and the server waits for it
(RFC 3207, section 4). So such a byte is an attack or a bug. The bytes are not
dropped in silence and not delivered; the dialogue fails with
`PlaintextInjected`. A server does not send its go-ahead then.

**The exception.** With a few protocols a client may send its ClientHello
without waiting for the go-ahead (MySQL, NATS, PostgreSQL since 17). The server's
dialogue sets `Wire.accepts_early_client_hello`, and what is left is handed to
TLS (`early_client_hello`), never to the application, if it begins as a TLS
handshake record does. Nothing is lost by this: TLS authenticates its own
handshake, and a forged ClientHello only makes it fail.

Bytes that arrive in a later segment are not seen here. They go to TLS, whose
handshake fails on plaintext.
"""

from __future__ import annotations

from attrs import define, field

from txtransport.errors import PeerLeft, PeerMisbehaved, PlaintextInjected
from txtransport.starttls.tls_record import begins_handshake
from txtransport.starttls.wire import TOTAL, Dialogue, Speaker, Wire

__all__ = ["Negotiation"]


@define(eq=False)
class Negotiation:
    """One run of a dialogue, from its first byte to the start of TLS or to its failure.

    Attributes:
        speaker: The side of the dialogue that is ours.
        wire: The buffers and names of the dialogue.
        where: The peer, for messages.
        is_complete: Whether the dialogue has returned, and TLS is next.
        outcome: What the dialogue returned, once it is complete (`Speaker`).
        early_client_hello: The first bytes of TLS, if they have come already.
        keeps_leftover: Whether bytes may stand behind the dialogue's last message; to be set
            before it is complete. It is for proxies, behind whose answer are the bytes of
            somewhere else.
        leftover: Those bytes.

    Raises:
        NegotiationError: The dialogue failed before it needed a byte.
    """

    speaker: Speaker
    wire: Wire = field(factory=Wire)
    where: str = "the peer"
    is_complete: bool = field(default=False, init=False)
    outcome: bytes = field(default=b"", init=False)
    early_client_hello: bytes = field(default=b"", init=False)
    keeps_leftover: bool = field(default=False, init=False)
    leftover: bytes = field(default=b"", init=False)
    _total: int = field(default=0, init=False)
    _dialogue: Dialogue[bytes] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._advance(self.speaker(self.wire))

    def receive_data(self, data: bytes) -> None:
        """Give the dialogue bytes of the peer, and run it as far as they last.

        Args:
            data: A segment of any size, as it was received.

        Raises:
            NegotiationError: The dialogue has failed. `data_to_send` may still
                return an answer that tells the peer why.
            RuntimeError: The dialogue had ended before, well or badly.
        """
        if self._dialogue is None:
            raise RuntimeError("the dialogue has ended; what comes now is not for it to hear")
        self._total += len(data)
        self.wire.received += data
        self._advance(self._dialogue)

    def connection_lost(self, *, is_reset: bool = False) -> PeerLeft:
        """Return the error for a connection that ended before the dialogue did.

        Args:
            is_reset: Whether TCP was reset (RST) instead of closed (FIN).
        """
        return PeerLeft(bytes(self.wire.received), is_reset=is_reset)

    def data_to_send(self) -> bytes:
        """Take the bytes that are to be sent to the peer now; each byte is returned once."""
        taken = bytes(self.wire.outgoing)
        self.wire.outgoing.clear()
        return taken

    def _advance(self, dialogue: Dialogue[bytes]) -> None:
        # Kept only while it waits: next() on a failed generator raises
        # StopIteration, as if the dialogue had returned.
        self._dialogue = None
        try:
            next(dialogue)
        except StopIteration as end:
            outcome = end.value or b""
        else:
            if self._total > TOTAL:
                raise PeerMisbehaved(
                    f"the peer has sent {self._total} bytes, and the dialogue is not over"
                )
            self._dialogue = dialogue
            return
        # What is left is not counted: who takes it has bounds of its own.
        if self.keeps_leftover:
            self.leftover = self.wire.take(len(self.wire.received))
        else:
            self.early_client_hello = self._take_leftover()
        self.is_complete, self.outcome = True, outcome

    def _take_leftover(self) -> bytes:
        """Take what came behind the last message of the dialogue: an early ClientHello or nothing.

        Raises:
            PlaintextInjected: It is anything else.
        """
        leftover = bytes(self.wire.received)
        self.wire.received.clear()
        # A TLS record of type handshake, of any version (RFC 8446, 5.1).
        is_hello = begins_handshake(leftover)
        if leftover and not (self.wire.accepts_early_client_hello and is_hello):
            # The go-ahead is not sent to a client that did not wait for it.
            self.wire.outgoing.clear()
            raise PlaintextInjected(self.where, leftover)
        return leftover
