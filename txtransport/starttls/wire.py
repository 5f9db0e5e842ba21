r"""The plaintext before TLS, as one side of a protocol sees it: two buffers and their bounds.

A STARTTLS protocol begins in plaintext. A few lines or messages go back and
forth, the server gives its go-ahead, and TLS begins. A *dialogue* is one side
of this exchange, the client's or the server's, written as a generator function
over a `Wire`::

    def connect(wire):
        yield from reply(wire)              S: 220 mail.example.com ESMTP
        wire.ask(b"STARTTLS\r\n")           C: STARTTLS
        yield from reply(wire)              S: 220 Ready to start TLS
        return b""                          TLS

**No socket.** A dialogue does no input and no output ("sans-I/O"). It reads
from one buffer of its `Wire` and writes to the other. `Negotiation`
(negotiation.py) moves the bytes between these buffers and a transport, and in
tests there is no transport at all::

              received                 line(), exactly(), take()
    peer -->  [......................]  -->  dialogue
    peer <--  [......................]  <--  dialogue
              outgoing                 send(), ask()

**A dialogue waits by yielding.** A method that needs more bytes than
`Wire.received` holds executes a bare ``yield``. This suspends the whole chain of
``yield from`` up to the dialogue. When more bytes have arrived, `Negotiation`
appends them and resumes the generator, and the method looks again. No value
passes through ``yield`` in either direction. How far the protocol has got is
not kept in a variable: it is the place in the code where the generator is
suspended. So segments do not matter: a message is the same whether it arrives at
once or byte by byte.

**A dialogue ends** in one of two ways. It returns: the go-ahead was given, TLS
comes next, and the returned bytes are the outcome (`Speaker`). Or it raises a
`NegotiationError`: there will be no TLS, and what it has put into `outgoing`
before may still tell the peer why.

**It reads one message and not a byte more.** What arrived behind a message
stays in `Wire.received`. After the last message nothing may be left there;
negotiation.py explains why, and checks it.

**An answer never comes before its question.** Bytes that are there before a
command is sent cannot be the answer to this command, even if they look like it
(CVE-2026-42246). `Wire.ask` refuses to send a command while such bytes wait.

**Everything is bounded,** because the peer is not authenticated yet: the bytes
of a line (`LINE`), the lines of a dialogue (`LINES`), a length that the peer
announces (`TOTAL`, checked before a byte of the message is waited for), the
commands of a client (`COMMANDS`), and all bytes of a dialogue together
(`TOTAL`, counted by `Negotiation` after each segment, so that the buffer holds
at most `TOTAL` bytes and one segment). Time is bounded by the caller: a
dialogue knows no clock.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from typing import Final, NoReturn, TypeVar

from attrs import Factory, define

from txtransport.errors import PeerMisbehaved
from txtransport.text import escape_bytes

__all__ = ["COMMANDS", "LINE", "LINES", "TOTAL", "Dialogue", "Speaker", "Wire"]

T = TypeVar("T")

Dialogue = Generator[None, None, T]
"""A generator that yields when it needs more bytes, and returns a `T`.

A whole side of a protocol is a ``Dialogue[bytes]``; a part of it, such as the
reading of one line, may return anything.
"""

LINE: Final = 8192
"""The most bytes that a line may have, with its end."""
LINES: Final = 200
"""The most lines that a dialogue reads from the peer."""
TOTAL: Final = 65536
"""The most bytes that a dialogue accepts from the peer."""
COMMANDS: Final = 20
"""The most commands that a client may send before TLS, the one for TLS among them."""


@define(eq=False)
class Wire:
    """The plaintext of one connection: bytes received, bytes to send, and names.

    Attributes:
        local_name: Our own name in the dialogue: a client's address in
            brackets, or the name of a server or domain.
        host: The host that a client has called.
        name: The name that TLS will verify: the host, or a domain for protocols
            that verify a domain (XMPP).
        accepts_early_client_hello: Whether a ClientHello may already stand in
            `received` when the dialogue returns. Dialogues of servers set it
            where their protocol allows this.
        greeting: What the application's protocol of a client receives first,
            where servers of the protocol greet. Dialogues set it as soon as
            they know it, so that it can also be used after a refusal of TLS.
        nonce: Returns an unpredictable word of ASCII letters and digits, such
            as for a tag in IMAP; another one at each call.
        received: Bytes of the peer that the dialogue has not taken yet.
        outgoing: Bytes for the peer that `Negotiation` has not taken yet.
        lines: How many lines the dialogue has taken.
    """

    local_name: str = "localhost"
    host: str = "localhost"
    name: str = "localhost"
    accepts_early_client_hello: bool = False
    greeting: bytes = b""
    nonce: Callable[[], str] = lambda: secrets.token_hex(8)
    received: bytearray = Factory(bytearray)
    outgoing: bytearray = Factory(bytearray)
    lines: int = 0

    def send(self, data: bytes) -> None:
        """Send bytes that ask for nothing, such as a greeting or an answer.

        A client may have pipelined more commands, so `received` need not be
        empty.
        """
        self.outgoing += data

    def ask(self, data: bytes) -> None:
        """Send a command whose answer is still to come.

        Raises:
            PeerMisbehaved: Bytes have come already. They answer another
                command, or someone guessed this one (CVE-2026-42246).
        """
        if self.received:
            early = escape_bytes(bytes(self.received))
            raise PeerMisbehaved(f"the peer answered before it was asked: {early}")
        self.send(data)

    def exactly(self, count: int) -> Dialogue[bytes]:
        """Wait for `count` bytes, and take them.

        Args:
            count: How many bytes; it may come from the peer.

        Raises:
            PeerMisbehaved: The count is not within 0 and `TOTAL`.
        """
        if not 0 <= count <= TOTAL:
            raise PeerMisbehaved(f"the peer announces a message of {count} bytes")
        while len(self.received) < count:
            yield
        return self.take(count)

    def line(self, limit: int = LINE) -> Dialogue[bytes]:
        """Wait for a line, and take it; the result is without its LF or CR LF.

        Args:
            limit: The most bytes that the line may have, with its end.

        Raises:
            PeerMisbehaved: The line is longer, or it is one more than `LINES`.
        """
        searched = 0
        while (end := self.received.find(b"\n", searched)) < 0 and len(self.received) < limit:
            # A line that comes byte by byte is not searched from its start each time.
            searched = len(self.received)
            yield
        if not 0 <= end < limit:
            begin = escape_bytes(bytes(self.received))
            raise PeerMisbehaved(f"a line is longer than {limit} bytes: {begin}")
        self.lines += 1
        if self.lines > LINES:
            raise PeerMisbehaved(
                f"the peer has sent more than {LINES} lines, and the dialogue is not over"
            )
        return self.take(end + 1)[:-1].removesuffix(b"\r")

    def command(self) -> Dialogue[tuple[bytes, bytes]]:
        """Wait for a line, and take it as a command: its verb in upper case, its argument.

        Raises:
            PeerMisbehaved: As for `line`.
        """
        # Only spaces are stripped: "STLS" and "STLS\r" are two different verbs.
        verb, _, argument = (yield from self.line()).strip(b" ").partition(b" ")
        return verb.upper(), argument.lstrip(b" ")

    def give_up(self, goodbye: bytes) -> NoReturn:
        """End the dialogue with a client that has sent `COMMANDS` commands, and none for TLS.

        Args:
            goodbye: What the client is sent; it may be empty.

        Raises:
            PeerMisbehaved: Always.
        """
        self.send(goodbye)
        raise PeerMisbehaved(f"the client sent {COMMANDS} commands, and none to start TLS")

    def wait_for_data(self) -> Dialogue[None]:
        """Wait until `received` holds at least one byte, and take nothing."""
        while not self.received:
            yield

    def take(self, count: int) -> bytes:
        """Take the first `count` bytes of `received`, without waiting.

        Args:
            count: How many bytes, at most as many as have come.
        """
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken


Speaker = Callable[[Wire], Dialogue[bytes]]
"""A function that begins one side of a dialogue.

The dialogue returns its outcome: what the application's protocol receives first
or, where `StartTLSProtocol.is_transparent` is false, what it may ask for; often
nothing.
"""
