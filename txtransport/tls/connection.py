"""OpenSSL's connection, with its policy and with what verification saw of the peer.

What only one connection needs is kept on it and not in its context: who the peer
must be, and the application protocols (ALPN, RFC 7301). So one context serves
connections that differ in these.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, Protocol

from attrs import Factory, define, field, frozen
from cryptography import x509
from OpenSSL import SSL

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.errors import Diagnosis
from txtransport.tls.records import RecordCutter
from txtransport.tls.server_flight import resumes_session

MAX_FIRST_BYTES: Final = 256
"""How many of a peer's first bytes are kept to explain a failure."""


CLOSE_NOTIFY: Final = "close notify"
"""Our word for the reason, where the peer sends close_notify instead of a handshake."""


_SOME: Final = 2**14


NO_COMMON_PROTOCOL: Final = "no application protocol"
"""OpenSSL's reason (ssl_err.c) for a server that refuses all protocols of a client."""


class _NoCommonProtocol(Exception):
    """Raised in OpenSSL's ALPN callback to end the handshake with the alert 120."""


@frozen
class CertificateProblem:
    """One reason to refuse a certificate.

    Attributes:
        diagnosis: What is wrong; its summary ends a sentence about the certificate.
        code: OpenSSL's number (``X509_V_ERR_…``), 0 for reasons of our own.
        depth: Where in the chain, 0 being the leaf.
        certificate: The certificate at fault, or None when it cannot be read.
    """

    diagnosis: Diagnosis
    code: int
    depth: int
    certificate: x509.Certificate | None = field(repr=False)  # Its repr may raise ValueError.


@define
class VerificationResult:
    """What verification saw of the peer's certificates.

    Attributes:
        problems: The reasons for which the handshake was refused.
        tolerated: The reasons that the policy lets pass.
        shown: The certificates that were looked at, in DER, by depth.
        is_leaf_accepted: Whether the leaf passed the checks of name, digest and key.
    """

    problems: list[CertificateProblem] = Factory(list)
    tolerated: list[CertificateProblem] = Factory(list)
    shown: dict[int, bytes] = field(factory=dict, repr=False)
    is_leaf_accepted: bool = False

    @property
    def chain(self) -> dict[int, x509.Certificate]:
        """The certificates that were looked at, by depth, without those that cannot be parsed."""
        chain = {}
        for depth, der in self.shown.items():
            # One that cannot be parsed was refused for that.
            with contextlib.suppress(ValueError, x509.InvalidVersion):
                chain[depth] = x509.load_der_x509_certificate(der)
        return chain


@define
class OutgoingBytes:
    """Counts the encrypted bytes of one connection on their way to the transport.

    Attributes:
        total: How many there were so far.
        end_of_data: How many of them end with the last of the application's data;
            those behind it are TLS's own: close_notify, KeyUpdate, tickets.
    """

    total: int = 0
    end_of_data: int = 0

    def add(self, size: int, *, is_data: bool) -> None:
        """Count bytes.

        Args:
            size: How many.
            is_data: Whether there is application data among them.
        """
        self.total += size
        if is_data:
            self.end_of_data = self.total


class Verifying(Protocol):
    """What verification needs of a connection, or of what verifies the peer for one.

    Attributes:
        policy: What the peer must be.
        side: Whether we are the client or the server.
        verification: What was seen so far of the peer's certificates.
    """

    policy: TLSPolicy
    side: Side
    verification: VerificationResult


class SecureConnection:
    """What is known of a connection, be it OpenSSL's or one of SSL 2.0 or SSL 3.0.

    Those are `TLSConnection` and `txtransport.tls.legacy.connection.LegacyConnection`;
    what describes a connection, or explains its end, knows no more of it than this. What
    has the name of a method of pyOpenSSL's does what that does.

    Attributes:
        policy: What the peer must be.
        side: Whether this is the client's or the server's end.
        verification: What verification saw of the peer's certificates.
        first_bytes: The first bytes of the peer, `MAX_FIRST_BYTES` at the most.
        protocols: Our application protocols (ALPN), the preferred first.
        offered_protocols: On servers, those that the client has offered.
    """

    policy: TLSPolicy
    side: Side
    verification: VerificationResult
    first_bytes: bytes
    protocols: tuple[bytes, ...]
    offered_protocols: tuple[bytes, ...]

    if TYPE_CHECKING:

        @property
        def is_complete(self) -> bool: ...
        @property
        def shown_chain(self) -> tuple[x509.Certificate, ...]: ...
        @property
        def is_ended_by_peer(self) -> bool: ...
        @property
        def is_resumed(self) -> bool: ...
        @property
        def is_certificate_requested(self) -> bool: ...
        def get_alpn_proto_negotiated(self) -> bytes: ...
        def get_cipher_bits(self) -> int | None: ...
        def get_cipher_name(self) -> str | None: ...
        def get_peer_certificate(self) -> object: ...
        def get_protocol_version_name(self) -> str: ...
        def get_servername(self) -> bytes | None: ...

    @property
    def is_verified(self) -> bool:
        """Whether the peer's chain and, on clients, its name were verified."""
        policy, side = self.policy, self.side
        return (
            policy.verifies(side) is not Verify.NO
            and (side is Side.SERVER or policy.verifies_name(side))
            and not self.verification.problems
            and not self.verification.tolerated
            and self.verification.is_leaf_accepted
        )


class LayeredConnection(SecureConnection):
    """A connection that Twisted's TLS layer drives, which keeps what the layer does not tell.

    Attributes:
        on_close: Is called when a close_notify is sent, ours or the answer to
            the peer's.
        outgoing: Counts the bytes that `bio_read` has returned.
    """

    on_close: Callable[[], object] | None = None
    outgoing: OutgoingBytes


class TLSConnection(SSL.Connection, SecureConnection):
    """OpenSSL's connection, with the policy it must keep and what verification saw.

    It decides when a handshake is complete: `do_handshake` returns only when the
    peer is acceptable, whatever drives it (`txtransport.tls.engine`, or Twisted's TLS
    layer after an upgrade).

    Args:
        context: The context that the connection is made from.
        policy: What the peer must be.
        side: Whether this is the client's or the server's end.
        is_acceptable: Is called when OpenSSL finds the handshake complete, and
            answers whether the peer is who the policy demands.
        protocols: The application protocols (ALPN), the preferred first: those
            that a client offers, or that a server accepts.

    Attributes:
        first_bytes: The first bytes of the peer, `MAX_FIRST_BYTES` at the most.
        verification: What verification saw of the peer's certificates.
        protocols: Our application protocols (ALPN), the preferred first.
        offered_protocols: On servers, those that the client has offered.
    """

    def __init__(
        self,
        context: SSL.Context,
        policy: TLSPolicy,
        side: Side,
        is_acceptable: Callable[[TLSConnection], bool],
        protocols: tuple[bytes, ...] = (),
    ) -> None:
        super().__init__(context, None)
        # A server that has changed to a name's own context is still asked by
        # the first one for the name of a second ClientHello (RFC 8446, 4.1.4).
        # Renewed meanwhile, it would be gone, and with it what OpenSSL calls.
        self._first_context = context
        self.policy = policy
        self.side = side
        self.verification: VerificationResult = VerificationResult()
        self.first_bytes: bytes = b""
        self.protocols = protocols
        self.offered_protocols: tuple[bytes, ...] = ()
        self._is_acceptable = is_acceptable
        self._resumes: bool | None = None
        if side is Side.SERVER:
            self.set_accept_state()
            return
        self.set_connect_state()
        if protocols:
            self.set_alpn_protos(list(protocols))

    def do_handshake(self) -> None:
        """Go on with the handshake, and verify the peer when OpenSSL finds it complete.

        Raises:
            SSL.WantReadError: It is the peer's turn.
            SSL.Error: The handshake failed, or the peer is not acceptable and
                `verification` says why.
        """
        try:
            super().do_handshake()
        except SSL.ZeroReturnError as goodbye:
            # Twisted reads args[0] of every SSL.Error, and this one has none: an
            # IndexError would hide the reason.
            raise SSL.Error([("txtransport", "", CLOSE_NOTIFY)]) from goodbye
        except _NoCommonProtocol as refusal:
            raise SSL.Error([("txtransport", "", NO_COMMON_PROTOCOL)]) from refusal
        if not self._is_acceptable(self):
            self._discard_output()
            raise SSL.Error([("txtransport", "", "the peer is not acceptable")])

    def _discard_output(self) -> None:
        """Drop the bytes that would tell a refused peer that the handshake is complete."""
        with contextlib.suppress(SSL.WantReadError):  # Nothing is left to read.
            while True:
                self.bio_read(_SOME)

    @property
    def is_complete(self) -> bool:
        """Whether the handshake is over, for both sides, and the peer is acceptable."""
        return _is_finished(self) and not self.verification.problems

    @property
    def shown_chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates that the peer sent, leaf first, also when they were refused."""
        return _chain(self)

    @property
    def is_ended_by_peer(self) -> bool:
        """Whether the peer sent close_notify, so that nothing of what it sent is missing."""
        return bool(self.get_shutdown() & SSL.RECEIVED_SHUTDOWN)

    @property
    def is_certificate_requested(self) -> bool:
        """Clients: whether the server has named authorities of which a certificate may be."""
        return bool(self.get_client_ca_list())

    @property
    def is_resumed(self) -> bool:
        """Whether the handshake resumed an earlier session; False as long as that is not known.

        A client has verified a chain, unless it resumed a session. A server's answer
        shows it (`remember_flight`).
        """
        if self.side is Side.CLIENT:
            return not self.verification.shown
        return bool(self._resumes)

    def remember_flight(self, data: bytes) -> None:
        """Look whether a server's answer resumes a session.

        Args:
            data: Bytes for the client, as OpenSSL has made them for one flight. Of a
                client, and when the answer is known, nothing is done.
        """
        if self._resumes is None and self.side is Side.SERVER:
            self._resumes = resumes_session(data)


class ObservedConnection(TLSConnection, LayeredConnection):
    """A connection that Twisted's TLS layer drives: it takes note of what passes.

    `txtransport.tls.engine` knows these things itself, and needs none of this.

    Attributes:
        is_stopping: Whether the connection goes on in the clear after TLS. The layer,
            which would close it, then does not learn of the peer's close_notify.
        is_stopped: Whether, while that was so, the peer's close_notify was read.
    """

    first_bytes: bytes
    is_stopping: bool = False
    is_stopped: bool = False

    def __init__(
        self,
        context: SSL.Context,
        policy: TLSPolicy,
        side: Side,
        is_acceptable: Callable[[TLSConnection], bool],
        protocols: tuple[bytes, ...] = (),
    ) -> None:
        super().__init__(context, policy, side, is_acceptable, protocols)
        self.outgoing: OutgoingBytes = OutgoingBytes()
        self._has_data = False
        # What follows a close_notify is not given to OpenSSL, which would lose it.
        self._cutter = RecordCutter()
        self._unfed: deque[bytes] = deque()
        self._pieces: Iterator[bytes | memoryview] | None = None
        self._is_open = False

    def bio_write(self, buf: bytes | bytearray | memoryview[int]) -> int:
        """Take bytes of the peer; the first of them are kept to explain a failure.

        When the handshake is complete, `recv` gives OpenSSL one piece after the other.

        Returns:
            How many there were.
        """
        data = bytes(buf)
        if self._is_open:
            if self._pieces is None and not self._unfed and self._cutter.is_one_record(data):
                return super().bio_write(data)
            self._unfed.append(data)
            return len(data)
        missing = MAX_FIRST_BYTES - len(self.first_bytes)
        if missing > 0:
            self.first_bytes += data[:missing]
        self._cutter.skip(data)
        return super().bio_write(data)

    def do_handshake(self) -> None:
        """Go on with the handshake, and verify the peer when OpenSSL finds it complete.

        Raises:
            SSL.WantReadError: It is the peer's turn.
            SSL.Error: The handshake failed, or the peer is not acceptable and
                `verification` says why.
        """
        super().do_handshake()
        self._is_open = True

    def recv(self, bufsiz: int, flags: int | None = None) -> bytes:
        """Return data of the peer.

        Args:
            bufsiz: The most bytes to return.
            flags: As pyOpenSSL has them.

        Raises:
            SSL.WantReadError: There is none yet. While `is_stopping`, also where there
                will be none.
            SSL.ZeroReturnError: The peer has closed.
            SSL.Error: TLS is broken.
        """
        while not self.is_stopped:
            try:
                return super().recv(bufsiz, flags)
            except SSL.WantReadError:
                piece = self._next_piece()
                if piece is None:
                    raise
                super().bio_write(piece)
            except SSL.ZeroReturnError:
                if not self.is_stopping:
                    raise
                self.is_stopped = True
        raise SSL.WantReadError

    def close_notify(self) -> bytes:
        """Send our close_notify, where that is not the close of the connection.

        `on_close` is not called for it.

        Returns:
            The bytes for the peer; none if TLS is broken.
        """
        try:
            super().shutdown()
            return self.bio_read(_SOME)
        except SSL.Error:
            return b""

    def take_unread(self) -> bytes:
        """Return what the peer has sent behind its close_notify, once."""
        unread = b"".join((*(self._pieces or ()), *self._unfed))
        self._unfed.clear()
        return unread

    def _next_piece(self) -> bytes | memoryview | None:
        while self._pieces is not None or self._unfed:
            if self._pieces is None:
                self._pieces = self._cutter.cut(self._unfed.popleft())
            for piece in self._pieces:
                return piece
            self._pieces = None
        return None

    def send(self, buf: bytes | bytearray | memoryview[int], flags: int = 0) -> int:
        """Encrypt application data."""
        sent = super().send(buf, flags)
        self._has_data = True
        return sent

    def bio_read(self, bufsiz: int) -> bytes:
        """Return all encrypted bytes for the peer, and count them.

        Twisted's TLS layer reads 32 KiB once for each event and leaves the rest in
        OpenSSL. In a handshake no event would follow: a long list of authorities, for
        example, would never be sent whole. Later, what is left could not be told from
        data that the application writes then.

        Args:
            bufsiz: How many bytes to read at a time; the result may be longer.

        Raises:
            SSL.WantReadError: There is nothing to send.
        """
        data = super().bio_read(bufsiz)
        size = len(data)
        if size == bufsiz:
            data += self._rest(bufsiz)
            size = len(data)
        if self._resumes is None and self.side is Side.SERVER:
            self.remember_flight(data)
        outgoing = self.outgoing
        outgoing.total += size
        if self._has_data:
            outgoing.end_of_data = outgoing.total
            self._has_data = False
        return data

    def _rest(self, size: int) -> bytes:
        parts = []
        with contextlib.suppress(SSL.WantReadError):
            while True:
                parts.append(super().bio_read(size))
        return b"".join(parts)

    def shutdown(self) -> bool:
        """Send our close_notify.

        Returns:
            Whether both sides have sent theirs.
        """
        try:
            return super().shutdown()
        finally:
            if self.on_close is not None:
                self.on_close()


def select_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes | None:
    """Select a server's application protocol, in OpenSSL's ALPN callback.

    OpenSSL calls it only for a client that offers protocols, so that one which
    offers none is always let in. A server without protocols of its own accepts
    every client, and none is selected.

    Args:
        connection: Its `protocols` are the server's.
        offered: The client's protocols.

    Returns:
        The first of the server's protocols that the client has offered; None
        to go on without one.

    Raises:
        _NoCommonProtocol: They have none in common. pyOpenSSL then sends the
            alert no_application_protocol (120), and raises this from
            `TLSConnection.do_handshake`. That stops attacks in which a client is
            led to a server of another protocol with the same certificate (ALPACA).

    Source: RFC 7301, section 3.2.
    """
    if not isinstance(connection, TLSConnection) or not connection.protocols:
        return None
    connection.offered_protocols = tuple(offered)
    for name in connection.protocols:
        if name in offered:
            return name
    if connection.policy.alpn_mismatch == "ignore":
        return None
    raise _NoCommonProtocol


def _chain(connection: SSL.Connection) -> tuple[x509.Certificate, ...]:
    chain = []
    for sent in connection.get_peer_cert_chain() or ():
        # OpenSSL reads more than cryptography does, and looks at none of what
        # it did not need to verify the leaf.
        with contextlib.suppress(ValueError, x509.InvalidVersion):
            chain.append(sent.to_cryptography())
    return tuple(chain)


def _is_finished(connection: SSL.Connection) -> bool:
    # Each side's Finished has been seen (RFC 8446, 4.4.4).
    return bool(connection.get_finished() and connection.get_peer_finished())
