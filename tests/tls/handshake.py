"""Handshakes in memory: two conversations, and the bytes between them.

No socket, no reactor, no time: whoever has something to say is heard by the
other, until both are content, one has had enough, or nobody says anything.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field, frozen
from OpenSSL import SSL

from tests import certificates
from txtransport.config.policy import Side, TLSPolicy
from txtransport.errors import HandshakeFailed
from txtransport.tls.connection import TLSConnection
from txtransport.tls.creator import ConnectionCreator, connection_creator
from txtransport.tls.failure import FailedConnection, handshake_failure
from txtransport.tls.session import Session, session_of

NAME: Final = "good.example"
"""Whom clients ask for unless a test says otherwise."""

_ROUNDS: Final = 20
_SOME: Final = 2**16


@define
class End:
    """One of the two, driving its own conversation as a transport would.

    Attributes:
        conversation: OpenSSL's side of it.
        is_secure: Whether it was told that the handshake is complete.
        error: What ended it, or None.
        sent: All that it said, as it went over the wire.
        received: What the peer told it, deciphered.
    """

    conversation: TLSConnection
    is_secure: bool = False
    error: SSL.Error | None = None
    sent: bytes = b""
    received: bytes = b""

    @classmethod
    def of(cls, made: ConnectionCreator) -> End:
        """The end that a creator's connection makes."""
        end = cls(made.connection())
        end.begin()
        return end

    def begin(self) -> None:
        """Take one's part: to speak first, or to listen."""
        if self.conversation.side is Side.CLIENT:
            self.conversation.set_connect_state()
        else:
            self.conversation.set_accept_state()

    def getHandle(self) -> TLSConnection:
        """As Twisted's transports have it, for `session_of`."""
        return self.conversation

    @property
    def session(self) -> Session:
        """What came of it."""
        session = session_of(self)
        assert session is not None
        return session

    def hear(self, data: bytes) -> bytes:
        """Take bytes of the peer; the bytes of the answer."""
        if data:
            self.conversation.bio_write(data)
        if self.error is None:
            try:
                self._go_on()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                self.error = error
        return self._said()

    def say(self, data: bytes) -> bytes:
        """Tell the peer something; the bytes of it."""
        self.conversation.send(data)
        return self._said()

    def goodbye(self) -> bytes:
        """Close; the bytes of it."""
        self.conversation.shutdown()
        return self._said()

    def explained(self, port: int | None = None) -> HandshakeFailed:
        """What whoever called it would be told."""
        assert self.error is not None
        return handshake_failure(
            FailedConnection(
                f"tls://{NAME}",
                self.conversation.side,
                port,
                self.conversation.first_bytes,
                self.error,
                self.conversation,
            )
        )

    def _go_on(self) -> None:
        if not self.is_secure:
            self.conversation.do_handshake()
            self.is_secure = True
        while True:
            self.received += self.conversation.recv(_SOME)

    def _said(self) -> bytes:
        try:
            said = self.conversation.bio_read(_SOME)
        except SSL.Error:  # Nothing to say.
            return b""
        self.sent += said
        return said


@frozen
class Meeting:
    """A client and a server."""

    client: End
    server: End
    creator: ConnectionCreator = field(repr=False)

    @property
    def is_secure(self) -> bool:
        """Whether both are content, and remained so."""
        return not self.errors and self.client.is_secure and self.server.is_secure

    @property
    def errors(self) -> list[SSL.Error]:
        """What ended it, on either side."""
        return [end.error for end in (self.client, self.server) if end.error is not None]

    def go_on(self, said: bytes = b"") -> Meeting:
        """Let them talk until nobody has anything to say.

        Args:
            said: By the server; is heard first.
        """
        for _ in range(_ROUNDS):
            asked = self.client.hear(said)
            said = self.server.hear(asked)
            if not asked and not said:
                return self
        raise AssertionError("they never come to an end")

    def part(self) -> None:
        """Both say goodbye, and the client keeps what it can take up again."""
        self.server.hear(self.client.goodbye())
        self.client.hear(self.server.goodbye())
        self.creator.ended(self.client.conversation)


def client(**options: object) -> TLSPolicy:
    """A client's policy: for `NAME` and the tests' root, unless it says otherwise."""
    if not options.keys() & {"cafile", "capath"}:
        options["cafile"] = certificates.cafile()
    return TLSPolicy(**{"peer_name": NAME, **options})  # type: ignore[arg-type]


def server(**options: object) -> TLSPolicy:
    """A server's policy: with the tests' good certificate, unless it says otherwise."""
    if not options.keys() & {"local_cert", "SNI_server_certs"}:
        options["local_cert"] = certificates.site()
    return TLSPolicy(**options)  # type: ignore[arg-type]


def meet(
    client_side: TLSPolicy | ConnectionCreator | None = None,
    server_side: TLSPolicy | ConnectionCreator | None = None,
) -> Meeting:
    """A handshake, from the first byte to the last.

    Args:
        client_side: The client; `client` by default.
        server_side: The server; `server` by default.
    """
    return arranged(client_side, server_side).go_on()


def arranged(
    client_side: TLSPolicy | ConnectionCreator | None = None,
    server_side: TLSPolicy | ConnectionCreator | None = None,
) -> Meeting:
    """The same, before anyone has said anything."""
    asking = _creator(client_side or client(), Side.CLIENT)
    answering = _creator(server_side or server(), Side.SERVER)
    return Meeting(End.of(asking), End.of(answering), asking)


def _creator(given: TLSPolicy | ConnectionCreator, side: Side) -> ConnectionCreator:
    return given if isinstance(given, ConnectionCreator) else connection_creator(given, side)
