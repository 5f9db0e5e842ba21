"""The mail story: the same server by implicit TLS, by STARTTLS, and by mistake.

Mail is sent to port 465, where TLS begins at once (RFC 8314), or to port 587,
where it begins in mid-conversation (RFC 3207). To take the one for the other is
the classic mistake.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, DeferredQueue
from twisted.internet.error import ConnectingCancelledError
from twisted.protocols.basic import LineReceiver

import txtransport
from txtransport import HandshakeFailed, Session, StartTLSMixin, TransportURL
from txtransport.cli.demo.report import Line, MailExample
from txtransport.cli.demo.servers import DemoPeer, DemoServers
from txtransport.text import escape_bytes

SERVER: Final = "mail.example.com"


class UnexpectedReply(Exception):
    """The server said something else."""


class LinePeer(StartTLSMixin, LineReceiver, DemoPeer):
    """What a mail client and a mail server have in common."""

    def write_line(self, line: str) -> None:
        """Say something."""
        cast(Any, self).sendLine(line.encode())


class Submission(LinePeer):
    """A mail server's side, as far as the story needs it.

    Args:
        local_cert: The PEM file of its certificate.
    """

    def __init__(self, local_cert: str) -> None:
        self._local_cert = local_cert

    def connectionMade(self) -> None:
        """Greet."""
        super().connectionMade()
        self.write_line(f"220 {SERVER} ESMTP")

    def lineReceived(self, line: bytes) -> None:
        """A command."""
        verb = line.partition(b" ")[0].upper()
        if verb == b"STARTTLS" and not self.is_secure:
            secured = self.startTLS({"local_cert": self._local_cert}, reply=b"220 Go ahead\r\n")
            # A failure ends the connection, and the client tells why.
            secured.addErrback(lambda reason: None)
            return
        replies = _UNDER_TLS if self.is_secure else _IN_THE_CLEAR
        for reply in replies.get(verb, ("502 Not in this story",)):
            self.write_line(reply)
        if verb == b"QUIT":
            cast(Any, self.transport).loseConnection()


_IN_THE_CLEAR: Final = {
    b"EHLO": (f"250-{SERVER}", "250 STARTTLS"),
    b"MAIL": ("530 Must issue a STARTTLS command first",),
    b"QUIT": ("221 Bye",),
}
_UNDER_TLS: Final = {
    b"EHLO": (f"250-{SERVER}", "250 AUTH PLAIN"),
    b"MAIL": ("250 OK",),
    b"QUIT": ("221 Bye",),
}


class Mailer(LinePeer):
    """A mail client's side, which writes down what is said.

    Args:
        lines: Where to.
    """

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines
        self._replies: DeferredQueue[bytes] = DeferredQueue()

    def lineReceived(self, line: bytes) -> None:
        """A line of a reply; a hyphen says that another follows (RFC 5321, 4.2.1)."""
        self._note(False, line.decode("ascii", "backslashreplace"))
        if line[3:4] != b"-":
            self._replies.put(line)

    def say(self, command: str) -> None:
        """Give a command."""
        self._note(True, command)
        self.write_line(command)

    def reply(self) -> Deferred[bytes]:
        """The last line of the next reply."""
        return self._replies.get()

    def upgrade(self, cafile: str, name: str) -> Deferred[Session]:
        """Begin with TLS, now that the server has agreed."""
        return self.startTLS({"cafile": cafile, "peer_name": name})

    def _note(self, is_client: bool, text: str) -> None:
        self._lines.append(Line(is_client, self.is_secure, text))


MailDialogue = Callable[[DemoServers, Mailer], Awaitable[Session | None]]
"""What a client says; gives the session of the conversation."""


async def story(stage: DemoServers) -> tuple[MailExample, ...]:
    """All scenes, on two servers that differ in nothing but where TLS begins."""
    submission = partial(Submission, stage.local_cert)
    at_465 = await stage.serve("tls", submission)
    at_587 = await stage.serve("tcp", submission)
    return (
        await scene(stage, evolve(_IMPLICIT, dialled=at_465), under_tls),
        await scene(stage, evolve(_STARTTLS, dialled=at_587), upgraded),
        await scene(stage, evolve(_MISTAKE, dialled=evolve(at_587, scheme="tls")), under_tls),
    )


_IMPLICIT: Final = MailExample(
    "Implicit TLS on port 465: TLS begins at once",
    f"tls://{SERVER}:465",
    "TLSv1.3",
)
_STARTTLS: Final = MailExample(
    "STARTTLS on port 587: TLS begins in mid-conversation",
    f"tcp://{SERVER}:587",
    "TLSv1.3",
)
_MISTAKE: Final = MailExample(
    "The classic mistake: TLS at once, on the port for STARTTLS",
    f"tls://{SERVER}:587",
    "plaintext-peer",
)


async def scene(stage: DemoServers, begun: MailExample, play: MailDialogue) -> MailExample:
    """How a scene goes.

    Args:
        stage: Where.
        begun: What is asked for, and where it is to be dialled.
        play: What the client says.
    """
    lines: list[Line] = []
    try:
        session = await _played(stage, begun, partial(Mailer, lines), play)
    except (CancelledError, ConnectingCancelledError):
        raise
    except Exception as problem:
        cause = problem.cause if isinstance(problem, HandshakeFailed) else type(problem).__name__
        return evolve(begun, lines=tuple(lines), cause=cause, explanation=str(problem))
    return evolve(begun, lines=tuple(lines), session=session)


async def _played(
    stage: DemoServers, begun: MailExample, build: Callable[[], Mailer], play: MailDialogue
) -> Session | None:
    assert begun.dialled is not None
    trust = stage.trust(TransportURL.parse(begun.asked))
    endpoint = txtransport.client(
        stage.reactor, begun.dialled, timeout=stage.seconds_left(), **trust
    )
    mailer = await stage.connect(endpoint, build)
    try:
        return await play(stage, mailer)
    finally:
        await stage.disconnect(mailer)


async def under_tls(stage: DemoServers, mailer: Mailer) -> Session | None:
    """What is said when TLS is there from the start."""
    await _heard(stage, mailer, b"220")
    session = txtransport.session_of(mailer.transport)
    await _submit(stage, mailer)
    return session


async def upgraded(stage: DemoServers, mailer: Mailer) -> Session | None:
    """What is said when the two agree on TLS first."""
    await _heard(stage, mailer, b"220")
    await _asked(stage, mailer, _EHLO, b"250")
    await _asked(stage, mailer, "STARTTLS", b"220")
    session = await stage.within_deadline(mailer.upgrade(stage.cafile, SERVER))
    await _submit(stage, mailer)
    return session


_EHLO: Final = "EHLO client.example.com"


async def _submit(stage: DemoServers, mailer: Mailer) -> None:
    await _asked(stage, mailer, _EHLO, b"250")
    await _asked(stage, mailer, "MAIL FROM:<someone@example.com>", b"250")
    await _asked(stage, mailer, "QUIT", b"221")


async def _asked(stage: DemoServers, mailer: Mailer, command: str, code: bytes) -> None:
    mailer.say(command)
    await _heard(stage, mailer, code)


async def _heard(stage: DemoServers, mailer: Mailer, code: bytes) -> None:
    reply = await stage.within_deadline(mailer.reply())
    if not reply.startswith(code):
        raise UnexpectedReply(
            f"the server said {escape_bytes(reply)} where {code.decode()} was due"
        )
