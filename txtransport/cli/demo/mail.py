"""Mail three ways: by implicit TLS, by STARTTLS, and TLS at once where STARTTLS was due.

Mail is submitted to port 465, where TLS begins at once (RFC 8314), or to port
587, where the client asks for it with STARTTLS (RFC 3207). To take one for the
other is a classic mistake, which the third example makes and explains.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, cast

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred, DeferredQueue
from twisted.internet.error import ConnectingCancelledError
from twisted.protocols.basic import LineReceiver

from txtransport import HandshakeFailed, Session, StartTLSMixin, TransportURL, session_of
from txtransport.cli.demo.report import Line, MailExample
from txtransport.cli.demo.servers import DemoPeer, DemoServers
from txtransport.connection.twisted_types import TCPTransport
from txtransport.text import escape_bytes

__all__ = [
    "SERVER",
    "MailClient",
    "MailConversation",
    "MailServer",
    "UnexpectedReply",
    "run_mail_example",
    "run_mail_examples",
    "submit_under_tls",
    "upgrade_and_submit",
]

SERVER: Final = "mail.example.com"


class UnexpectedReply(Exception):
    """The server's reply has another code than the conversation expects."""


class LinePeer(StartTLSMixin, LineReceiver, DemoPeer):
    """What the mail client and the mail server have in common: lines, and STARTTLS."""

    def write_line(self, line: str) -> None:
        """Send a line, without its ending."""
        self.sendLine(line.encode())  # type: ignore[no-untyped-call]


class MailServer(LinePeer):
    """A mail server (RFC 5321), with no more commands than the examples need.

    Args:
        local_cert: The PEM file of its certificate.
    """

    def __init__(self, local_cert: str) -> None:
        self._local_cert = local_cert

    def connectionMade(self) -> None:
        """Send the greeting."""
        super().connectionMade()
        self.write_line(f"220 {SERVER} ESMTP")

    def lineReceived(self, line: bytes) -> None:
        """Answer a command."""
        verb = line.partition(b" ")[0].upper()
        if verb == b"STARTTLS" and not self.is_secure:
            secured = self.startTLS({"local_cert": self._local_cert}, reply=b"220 Go ahead\r\n")
            # A failure ends the connection, and the client reports why.
            secured.addErrback(lambda reason: None)
            return
        replies = _REPLIES_UNDER_TLS if self.is_secure else _REPLIES_IN_THE_CLEAR
        for reply in replies.get(verb, ("502 Command not implemented",)):
            self.write_line(reply)
        if verb == b"QUIT":
            cast(TCPTransport, self.transport).loseConnection()


_REPLIES_IN_THE_CLEAR: Final = {
    b"EHLO": (f"250-{SERVER}", "250 STARTTLS"),
    b"MAIL": ("530 Must issue a STARTTLS command first",),
    b"QUIT": ("221 Bye",),
}
_REPLIES_UNDER_TLS: Final = {
    b"EHLO": (f"250-{SERVER}", "250 AUTH PLAIN"),
    b"MAIL": ("250 OK",),
    b"QUIT": ("221 Bye",),
}


class MailClient(LinePeer):
    """A mail client, which records what it and the server say.

    Args:
        lines: The record, to which lines are appended.
    """

    def __init__(self, lines: list[Line]) -> None:
        self._lines = lines
        self._replies: DeferredQueue[bytes] = DeferredQueue()

    def lineReceived(self, line: bytes) -> None:
        """A line of a reply; a hyphen says that another follows (RFC 5321, 4.2.1)."""
        self._record(False, line.decode("ascii", "backslashreplace"))
        if line[3:4] != b"-":
            self._replies.put(line)

    def send_command(self, command: str) -> None:
        """Send a command, without its line ending."""
        self._record(True, command)
        self.write_line(command)

    def next_reply(self) -> Deferred[bytes]:
        """The last line of the next reply."""
        return self._replies.get()

    def upgrade(self, cafile: str, name: str) -> Deferred[Session]:
        """Start TLS, after the server has agreed to STARTTLS.

        Args:
            cafile: The PEM file of the authority that must have issued its certificate.
            name: Whom the certificate must be for.
        """
        return self.startTLS({"cafile": cafile, "peer_name": name})

    def _record(self, is_client: bool, text: str) -> None:
        self._lines.append(Line(is_client, self.is_secure, text))


MailConversation = Callable[[DemoServers, MailClient], Awaitable[Session | None]]
"""What a client says, once it is connected; gives the TLS session."""


async def run_mail_examples(servers: DemoServers) -> tuple[MailExample, ...]:
    """Run all three, on two servers that differ in nothing but where TLS begins."""
    server = partial(MailServer, servers.local_cert)
    at_465 = await servers.serve("tls", server)
    at_587 = await servers.serve("tcp", server)
    mistaken = evolve(at_587, scheme="tls")
    return (
        await run_mail_example(servers, evolve(_IMPLICIT, dialled=at_465), submit_under_tls),
        await run_mail_example(servers, evolve(_STARTTLS, dialled=at_587), upgrade_and_submit),
        await run_mail_example(servers, evolve(_MISTAKE, dialled=mistaken), submit_under_tls),
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


async def run_mail_example(
    servers: DemoServers, example: MailExample, conversation: MailConversation
) -> MailExample:
    """Run one example.

    Args:
        servers: Where the client connects.
        example: Says what is asked for, and where it is dialled.
        conversation: What the client says.

    Returns:
        The example, with what was said and with its session or its failure.
    """
    lines: list[Line] = []
    try:
        session = await _converse(servers, example, partial(MailClient, lines), conversation)
    except (CancelledError, ConnectingCancelledError):
        raise
    except Exception as problem:
        cause = problem.cause if isinstance(problem, HandshakeFailed) else type(problem).__name__
        return evolve(example, lines=tuple(lines), cause=cause, explanation=str(problem))
    return evolve(example, lines=tuple(lines), session=session)


async def _converse(
    servers: DemoServers,
    example: MailExample,
    build: Callable[[], MailClient],
    conversation: MailConversation,
) -> Session | None:
    assert example.dialled is not None
    endpoint = servers.client(TransportURL.parse(example.asked), example.dialled)
    client = await servers.connect(endpoint, build)
    try:
        return await conversation(servers, client)
    finally:
        await servers.disconnect(client)


async def submit_under_tls(servers: DemoServers, client: MailClient) -> Session | None:
    """What a client says on a connection that is TLS from the start."""
    await _expect(servers, client, b"220")
    session = session_of(client.transport)
    await _submit(servers, client)
    return session


async def upgrade_and_submit(servers: DemoServers, client: MailClient) -> Session | None:
    """What a client says when the connection has to be switched to TLS first."""
    await _expect(servers, client, b"220")
    await _command(servers, client, _EHLO, b"250")
    await _command(servers, client, "STARTTLS", b"220")
    session = await servers.within_deadline(client.upgrade(servers.cafile, SERVER))
    # What the server said before TLS is void, so that the client says EHLO
    # once more (RFC 3207, section 4.2).
    await _submit(servers, client)
    return session


_EHLO: Final = "EHLO client.example.com"


async def _submit(servers: DemoServers, client: MailClient) -> None:
    await _command(servers, client, _EHLO, b"250")
    await _command(servers, client, "MAIL FROM:<someone@example.com>", b"250")
    await _command(servers, client, "QUIT", b"221")


async def _command(servers: DemoServers, client: MailClient, command: str, code: bytes) -> None:
    client.send_command(command)
    await _expect(servers, client, code)


async def _expect(servers: DemoServers, client: MailClient, code: bytes) -> None:
    """Wait for a reply that begins with the code.

    Raises:
        UnexpectedReply: The reply has another code.
        TimeoutError: No reply came.
    """
    reply = await servers.within_deadline(client.next_reply())
    if not reply.startswith(code):
        raise UnexpectedReply(
            f"the server said {escape_bytes(reply)} where {code.decode()} was due"
        )
