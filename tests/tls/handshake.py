"""Handshakes in memory: a client, a server, and the bytes between them.

There is no socket, no reactor and no clock. Each side's bytes go to the other
side until both are silent: then the handshake is complete, has failed, or is
stuck.
"""

from __future__ import annotations

from typing import Final

from attrs import define, field, frozen
from OpenSSL import SSL

from tests import certificates
from txtransport.config.policy import Side, TLSPolicy
from txtransport.errors import HandshakeFailed
from txtransport.tls.connection import ObservedConnection, TLSConnection
from txtransport.tls.creator import ConnectionCreator, connection_creator
from txtransport.tls.failure import FailedConnection, handshake_failure
from txtransport.tls.session import Session, session_of

NAME: Final = "good.example"
"""The name that clients expect unless a test says otherwise."""

GROUP_IS_KNOWN: Final = hasattr(SSL.Connection, "get_group_name")
"""Whether pyOpenSSL tells the group of the key exchange, as version 26.0 and newer do."""

_MAX_ROUNDS: Final = 20
_CHUNK: Final = 2**16


@define
class End:
    """One side of a handshake; drives its connection as a transport would.

    Attributes:
        conversation: The TLS connection.
        is_secure: Whether `do_handshake` has returned without an error.
        error: What ended the handshake or the connection; None when nothing has.
        sent: All bytes that it has sent, as they went over the wire.
        received: All bytes of the peer, decrypted.
    """

    conversation: TLSConnection
    is_secure: bool = False
    error: SSL.Error | None = None
    sent: bytes = b""
    received: bytes = b""

    @classmethod
    def of(cls, made: ConnectionCreator) -> End:
        """A side with a new connection of a creator, ready to begin."""
        end = cls(made.connection_of(ObservedConnection))
        end.begin()
        return end

    def begin(self) -> None:
        """Make the connection a client's or a server's."""
        if self.conversation.side is Side.CLIENT:
            self.conversation.set_connect_state()
        else:
            self.conversation.set_accept_state()

    def getHandle(self) -> TLSConnection:
        """The TLS connection, as Twisted's transports give it to `session_of`."""
        return self.conversation

    @property
    def session(self) -> Session:
        """The session; the handshake must be complete."""
        session = session_of(self)
        assert session is not None
        return session

    def hear(self, data: bytes) -> bytes:
        """Process bytes of the peer; return the bytes to send."""
        if data:
            self.conversation.bio_write(data)
        if self.error is None:
            try:
                self._proceed()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                self.error = error
        return self._bytes_to_send()

    def say(self, data: bytes) -> bytes:
        """Encrypt application data; return the bytes to send."""
        self.conversation.send(data)
        return self._bytes_to_send()

    def goodbye(self) -> bytes:
        """Close with a close_notify; return the bytes to send."""
        self.conversation.shutdown()
        return self._bytes_to_send()

    def explained(self, port: int | None = None) -> HandshakeFailed:
        """The error that a user would get for this side's failure.

        Args:
            port: The port that the client connected to, if the test has one.
        """
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

    def _proceed(self) -> None:
        if not self.is_secure:
            self.conversation.do_handshake()
            self.is_secure = True
        while True:
            self.received += self.conversation.recv(_CHUNK)

    def _bytes_to_send(self) -> bytes:
        try:
            data = self.conversation.bio_read(_CHUNK)
        except SSL.Error:  # There is nothing to send.
            return b""
        self.sent += data
        return data


@frozen
class Meeting:
    """A client and a server that shake hands.

    Attributes:
        client: The client's side.
        server: The server's side.
        creator: Made the client's connection, and caches its sessions.
    """

    client: End
    server: End
    creator: ConnectionCreator = field(repr=False)

    @property
    def is_secure(self) -> bool:
        """Whether the handshake is complete on both sides, and nothing has failed since."""
        return not self.errors and self.client.is_secure and self.server.is_secure

    @property
    def errors(self) -> list[SSL.Error]:
        """What ended the connection, on either side."""
        return [end.error for end in (self.client, self.server) if end.error is not None]

    def go_on(self, said: bytes = b"") -> Meeting:
        """Exchange bytes until neither side sends any.

        Args:
            said: Bytes of the server that the client has not processed yet.
        """
        for _ in range(_MAX_ROUNDS):
            of_client = self.client.hear(said)
            said = self.server.hear(of_client)
            if not of_client and not said:
                return self
        raise AssertionError("client and server never stop sending")

    def part(self) -> None:
        """Close both sides; the client caches its session."""
        self.server.hear(self.client.goodbye())
        self.client.hear(self.server.goodbye())
        self.creator.ended(self.client.conversation)


def client(**options: object) -> TLSPolicy:
    """A client's policy: it expects `NAME` and trusts the tests' root by default.

    Args:
        **options: The fields of `TLSPolicy`.
    """
    if not options.keys() & {"cafile", "capath"}:
        options["cafile"] = certificates.cafile()
    return TLSPolicy(**{"peer_name": NAME, **options})  # type: ignore[arg-type]


def server(**options: object) -> TLSPolicy:
    """A server's policy: with the tests' good certificate by default.

    Args:
        **options: The fields of `TLSPolicy`.
    """
    if not options.keys() & {"local_cert", "SNI_server_certs"}:
        options["local_cert"] = certificates.site()
    return TLSPolicy(**options)  # type: ignore[arg-type]


def meet(
    client_side: TLSPolicy | ConnectionCreator | None = None,
    server_side: TLSPolicy | ConnectionCreator | None = None,
) -> Meeting:
    """Run a handshake to its end.

    Args:
        client_side: The client's policy or creator; `client` by default.
        server_side: The server's policy or creator; `server` by default.
    """
    return arranged(client_side, server_side).go_on()


def arranged(
    client_side: TLSPolicy | ConnectionCreator | None = None,
    server_side: TLSPolicy | ConnectionCreator | None = None,
) -> Meeting:
    """Prepare a handshake of which no byte has been exchanged.

    Args:
        client_side: As for `meet`.
        server_side: As for `meet`.
    """
    of_client = _creator(client_side or client(), Side.CLIENT)
    of_server = _creator(server_side or server(), Side.SERVER)
    return Meeting(End.of(of_client), End.of(of_server), of_client)


def _creator(given: TLSPolicy | ConnectionCreator, side: Side) -> ConnectionCreator:
    return given if isinstance(given, ConnectionCreator) else connection_creator(given, side)
