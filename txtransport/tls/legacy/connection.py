"""A connection of SSL 2.0 or SSL 3.0: an engine, and what describes it to the rest of the package.

In TLS there are two objects, OpenSSL's connection and our engine around it. Here it is the
engine that does the work, and one object around that has both faces:

- to the driver it is an engine (`txtransport.tls.engine.Engine`);
- to all that describes a connection or explains its end it is a `SecureConnection`, with
  the names of pyOpenSSL's methods.

Twisted's TLS layer, which ``transport.startTLS()`` makes, calls more of pyOpenSSL's methods.
`LayeredLegacyConnection` has those.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import ClassVar, Final

from cryptography import x509
from OpenSSL import SSL, crypto

from txtransport.config.policy import Side, TLSPolicy
from txtransport.tls.connection import (
    CLOSE_NOTIFY,
    MAX_FIRST_BYTES,
    LayeredConnection,
    OutgoingBytes,
    SecureConnection,
    VerificationResult,
)
from txtransport.tls.engine import TLSEvent
from txtransport.tls.legacy.engine import LegacyEngine, legacy_error
from txtransport.tls.legacy.verification import PeerVerifier

__all__ = ["LayeredLegacyConnection", "LegacyConnection"]

_NO_CERTIFICATE: Final = "peer did not return a certificate"
"""OpenSSL's reason (ssl_err.c) for a client that shows none."""


class LegacyConnection(SecureConnection):
    """One connection of SSL 2.0 or SSL 3.0.

    Args:
        engine: New; it asks the verifier about the peer.
        verifier: Decides whether the peer is acceptable.

    Attributes:
        engine: As given.
        first_bytes: The first bytes of the peer, `MAX_FIRST_BYTES` at the most.
        keeps_unread: Whether a conversation can go on in the clear afterwards: no.
        protocols: None: these versions cannot name application protocols.
        offered_protocols: None, for the same reason.
    """

    keeps_unread: ClassVar[bool] = False
    protocols: tuple[bytes, ...] = ()
    offered_protocols: tuple[bytes, ...] = ()

    def __init__(self, engine: LegacyEngine, verifier: PeerVerifier) -> None:
        self.engine: LegacyEngine = engine
        self.policy: TLSPolicy = verifier.policy
        self.side: Side = verifier.side
        self.verification: VerificationResult = verifier.verification
        self.first_bytes: bytes = b""
        self._verifier = verifier
        self._is_started = False

    # --- an engine, for the driver ---

    @property
    def connection(self) -> LegacyConnection:
        """What describes the connection: itself."""
        return self

    @property
    def is_complete(self) -> bool:
        """Whether the handshake is complete and the peer verified."""
        return self.engine.is_complete and not self.verification.problems

    @property
    def is_closed(self) -> bool:
        """Whether we have closed: nothing can be sent any more."""
        return self.engine.is_closed

    @property
    def is_closed_by_peer(self) -> bool:
        """Whether the peer's close_notify was read, or none can come because we have closed."""
        engine = self.engine
        return engine.is_closed_by_peer or (engine.is_closed and not engine.has_close_notify)

    @property
    def error(self) -> SSL.Error | None:
        """Why the connection is broken, or None."""
        return self.engine.error

    @property
    def piece(self) -> int:
        """The most bytes that `send` takes at once."""
        return self.engine.piece

    @property
    def unread(self) -> bytes:
        """What the peer sent behind its close_notify, if the engine keeps that."""
        return self.engine.unread

    def keep_unread(self) -> None:
        """Nothing: TLS cannot be taken off again."""

    def start(self) -> None:
        """Begin the handshake, which on clients makes the first message."""
        if not self._is_started:
            self._is_started = True
            self.engine.start()

    def receive(self, data: bytes) -> list[TLSEvent]:
        """Take bytes of the peer; returns what came of it, as `TLSEngine.receive` does."""
        engine = self.engine
        self.start()
        missing = MAX_FIRST_BYTES - len(self.first_bytes)
        if missing > 0 and not engine.is_complete:
            self.first_bytes += data[:missing]
        events = engine.receive(data)
        if engine.error is not None and self._verifier.is_missing:
            engine.error = legacy_error(_NO_CERTIFICATE)
        return events

    def send(self, data: bytes | memoryview) -> object:
        """Encrypt data of the application; `error` says so if that cannot be done."""
        return self.engine.send(bytes(data))

    def data_to_send(self) -> bytes:
        """All bytes for the peer that were not returned yet; often none."""
        return self.engine.data_to_send()

    def close(self) -> None:
        """Make our close_notify, if there is none yet; SSL 2.0 has none."""
        self.engine.close()

    # --- what describes a connection ---

    @property
    def shown_chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates that the peer sent, leaf first, without those that cannot be read."""
        chain = []
        for der in self.engine.peer_chain:
            with contextlib.suppress(ValueError, x509.InvalidVersion):
                chain.append(x509.load_der_x509_certificate(der))
        return tuple(chain)

    @property
    def is_ended_by_peer(self) -> bool:
        """Whether the peer sent close_notify, so that nothing of what it sent is missing."""
        return self.engine.is_closed_by_peer

    @property
    def is_resumed(self) -> bool:
        """Never: sessions are not resumed."""
        return False

    @property
    def is_certificate_requested(self) -> bool:
        """Whether the server has asked us for a certificate."""
        return self.engine.is_certificate_requested

    def get_peer_certificate(
        self, *, as_cryptography: bool = False
    ) -> crypto.X509 | x509.Certificate | None:
        """The peer's own certificate, or None.

        Args:
            as_cryptography: Whether as cryptography has it, or as pyOpenSSL.
        """
        chain = self.engine.peer_chain
        if not chain:
            return None
        if as_cryptography:
            return x509.load_der_x509_certificate(chain[0])
        return crypto.load_certificate(crypto.FILETYPE_ASN1, chain[0])

    def get_peer_cert_chain(self) -> list[crypto.X509] | None:
        """The certificates that the peer sent, leaf first; None without any."""
        chain = self.engine.peer_chain
        return [crypto.load_certificate(crypto.FILETYPE_ASN1, der) for der in chain] or None

    def get_protocol_version_name(self) -> str:
        """``SSLv2`` or ``SSLv3``."""
        return self.engine.version

    def get_cipher_name(self) -> str | None:
        """The cipher suite, by OpenSSL's name; None until it is agreed on."""
        return self.engine.cipher or None

    def get_cipher_bits(self) -> int | None:
        """The strength of the cipher, in bits; None until it is agreed on."""
        return self.engine.bits or None

    def get_alpn_proto_negotiated(self) -> bytes:
        """Nothing: ALPN is younger."""
        return b""

    def get_servername(self) -> bytes | None:
        """None: SNI is younger."""
        return None

    def get_group_name(self) -> str | None:
        """None that is known."""
        return None


class LayeredLegacyConnection(LegacyConnection, LayeredConnection):
    """The same, for Twisted's TLS layer, with the methods of ``OpenSSL.SSL.Connection`` for it.

    Args:
        engine: New; it asks the verifier about the peer.
        verifier: Decides whether the peer is acceptable.
    """

    def __init__(self, engine: LegacyEngine, verifier: PeerVerifier) -> None:
        super().__init__(engine, verifier)
        self.outgoing: OutgoingBytes = OutgoingBytes()
        self._received: deque[bytes] = deque()
        self._has_data = False
        self._is_cut = False
        self._app_data: object = None

    def set_connect_state(self) -> None:
        """Nothing: the policy's side has said so."""

    def set_accept_state(self) -> None:
        """Nothing: the policy's side has said so."""

    def set_app_data(self, data: object) -> None:
        """Keep something for `get_app_data`."""
        self._app_data = data

    def get_app_data(self) -> object:
        """What `set_app_data` was given, or None."""
        return self._app_data

    def bio_write(self, buf: bytes | bytearray | memoryview[int]) -> int:
        """Take bytes of the peer.

        Returns:
            How many there were.
        """
        data = bytes(buf)
        self._received.extend(each for each in self.receive(data) if isinstance(each, bytes))
        return len(data)

    def bio_shutdown(self) -> None:
        """Take note that no byte of the peer will come any more."""
        self._is_cut = True

    def do_handshake(self) -> None:
        """Go on with the handshake.

        Raises:
            SSL.WantReadError: It is the peer's turn.
            SSL.Error: The handshake failed, or the peer is not acceptable and
                `verification` says why.
        """
        self.start()
        if self.error is not None:
            raise self.error
        if self.is_complete:
            return
        if self.engine.is_closed_by_peer:
            raise legacy_error(CLOSE_NOTIFY)
        raise self._nothing_yet()

    def recv(self, bufsiz: int) -> bytes:
        """Return data of the peer.

        Args:
            bufsiz: The most bytes to return.

        Raises:
            SSL.WantReadError: There is none yet.
            SSL.ZeroReturnError: The peer has closed.
            SSL.Error: The connection is broken.
        """
        if self._received:
            data = self._received.popleft()
            if len(data) > bufsiz:
                self._received.appendleft(data[bufsiz:])
            return data[:bufsiz]
        if self.error is not None:
            raise self.error
        # What closed SSL 2.0, which has no message for it, was our own close.
        if self.engine.is_closed_by_peer or (self._is_cut and self.is_closed_by_peer):
            raise SSL.ZeroReturnError
        raise self._nothing_yet()

    def send(self, data: bytes | bytearray | memoryview[int], flags: int = 0) -> int:
        """Encrypt application data.

        Args:
            data: Of any length; the engine takes `piece` bytes of it.
            flags: Not used, as in pyOpenSSL.

        Returns:
            How many bytes were taken.

        Raises:
            SSL.WantReadError: The handshake is not complete.
            SSL.Error: The connection is broken, or closed by us.
        """
        if not self.is_complete and self.error is None:
            raise self._nothing_yet()
        taken = bytes(data[: self.piece])
        if taken and self.error is None:
            if self.is_closed:
                raise legacy_error("protocol is shutdown")
            self.engine.send(taken)
        if self.error is not None:
            raise self.error
        self._has_data = True
        return len(taken)

    def bio_read(self, bufsiz: int) -> bytes:
        """Return all bytes for the peer, and count them.

        Args:
            bufsiz: Not used: `ObservedConnection.bio_read` returns all there is as well.

        Raises:
            SSL.WantReadError: There is nothing to send.
        """
        data = self.data_to_send()
        if not data:
            raise SSL.WantReadError
        self.outgoing.add(len(data), is_data=self._has_data)
        self._has_data = False
        return data

    def shutdown(self) -> bool:
        """Send our close_notify, if the version has one.

        Returns:
            Whether nothing of the peer is waited for.
        """
        self.close()
        if self.on_close is not None:
            self.on_close()
        return self.is_closed_by_peer

    def get_shutdown(self) -> int:
        """Who has closed: `SSL.SENT_SHUTDOWN` and `SSL.RECEIVED_SHUTDOWN`."""
        sent = SSL.SENT_SHUTDOWN if self.is_closed else 0
        return sent | (SSL.RECEIVED_SHUTDOWN if self.is_ended_by_peer else 0)

    def _nothing_yet(self) -> SSL.Error:
        """What OpenSSL raises where the peer has sent no more."""
        return SSL.SysCallError(-1, "Unexpected EOF") if self._is_cut else SSL.WantReadError()
