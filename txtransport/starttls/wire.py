"""A conversation in the clear, as a dialogue sees it: what has come, and what to say.

A dialogue is a generator over a `Wire`. It yields to wait for more bytes, never
sees a socket, and is over when it returns: then TLS begins. What every dialogue
must keep to is built in here: lines and messages are bounded, and an answer
that was there before its question is none.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator
from typing import Final, NoReturn, TypeVar

from attrs import Factory, define

from txtransport.errors import PeerMisbehaved
from txtransport.text import escape_bytes

T = TypeVar("T")

Dialogue = Generator[None, None, T]
"""Yields when it needs more bytes; what it returns is for the guest."""

LINE: Final = 8192
"""Bytes of a line, at the most."""
LINES: Final = 200
"""Lines of a whole dialogue, at the most."""
TOTAL: Final = 65536
"""Bytes of a whole dialogue, at the most."""
COMMANDS: Final = 20
"""Commands of a client before it starts TLS, at the most."""


@define(eq=False)
class Wire:
    """One conversation in the clear.

    Attributes:
        us: Who we say we are: a client's address in brackets, a server's name.
        host: Whom a client has called.
        name: Whom TLS will verify: that host, but for protocols that verify a
            domain (XMPP).
        takes_hello: Whether TLS's first bytes may follow the dialogue's last
            ones at once. Dialogues of servers set it, where the protocol
            allows it.
        greeting: What a client's guest hears first, where its protocol has
            servers greet. Dialogues set it as soon as they know it.
        fresh: Makes words that no one can guess, such as IMAP's tags.
        received: What has come and was not taken yet.
        outgoing: What was said and is not on its way yet.
        lines: How many lines were taken.
    """

    local_name: str = "localhost"
    host: str = "localhost"
    name: str = "localhost"
    takes_hello: bool = False
    greeting: bytes = b""
    nonce: Callable[[], str] = lambda: secrets.token_hex(8)
    received: bytearray = Factory(bytearray)
    outgoing: bytearray = Factory(bytearray)
    lines: int = 0

    def send(self, data: bytes) -> None:
        """Say something that is no question: an answer, or a greeting."""
        self.outgoing += data

    def ask(self, data: bytes) -> None:
        """Say something whose answer comes afterwards.

        Raises:
            PeerMisbehaved: An answer has come already: it was made for
                another question, or by someone who knew ours (CVE-2026-42246).
        """
        if self.received:
            early = escape_bytes(bytes(self.received))
            raise PeerMisbehaved(f"the peer answered before it was asked: {early}")
        self.send(data)

    def exactly(self, count: int) -> Dialogue[bytes]:
        """That many bytes.

        Args:
            count: 0 to `TOTAL`; check what a peer says before it is used here.
        """
        if not 0 <= count <= TOTAL:
            raise PeerMisbehaved(f"the peer announces a message of {count} bytes")
        while len(self.received) < count:
            yield
        return self.take(count)

    def line(self, most: int = LINE) -> Dialogue[bytes]:
        """A line, without its end: LF, and a CR before it if there is one.

        Args:
            most: How many bytes it may have, with its end.

        Raises:
            PeerMisbehaved: It is too long, or there were too many.
        """
        looked = 0
        while (end := self.received.find(b"\n", looked)) < 0 and len(self.received) < most:
            looked = len(self.received)
            yield
        if not 0 <= end < most:
            begin = escape_bytes(bytes(self.received))
            raise PeerMisbehaved(f"a line is longer than {most} bytes: {begin}")
        self.lines += 1
        if self.lines > LINES:
            raise PeerMisbehaved(f"the peer has sent more than {LINES} lines, and not come to TLS")
        return self.take(end + 1)[:-1].removesuffix(b"\r")

    def command(self) -> Dialogue[tuple[bytes, bytes]]:
        """A line as a command: its verb in upper case, and what stands behind it.

        Raises:
            PeerMisbehaved: It is too long, or there were too many.
        """
        # Spaces and nothing else: a CR too many makes it another word.
        verb, _, argument = (yield from self.line()).strip(b" ").partition(b" ")
        return verb.upper(), argument.lstrip(b" ")

    def give_up(self, goodbye: bytes) -> NoReturn:
        """Say goodbye to a client that has sent its `COMMANDS`, and not come to TLS."""
        self.send(goodbye)
        raise PeerMisbehaved(f"the client sent {COMMANDS} commands, and none to start TLS")

    def wait_for_data(self) -> Dialogue[None]:
        """Wait until there is something at all."""
        while not self.received:
            yield

    def take(self, count: int) -> bytes:
        """The next bytes, which have come already."""
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken


Speaker = Callable[[Wire], Dialogue[bytes]]
"""One side of a dialogue; returns what the guest hears first, perhaps nothing."""
