"""What the engines of SSL 2.0 and SSL 3.0 are given, and what they have in common.

Their interface is that of `txtransport.tls.engine.TLSEngine`: bytes in, bytes and events
out, and no transport. So the driver, and all that stands on it, cannot tell which engine
it has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, Final

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from OpenSSL import SSL

from txtransport.config.policy import Side, Verify
from txtransport.tls.engine import TLSEvent

__all__ = ["LegacyConfig", "LegacyEngine", "LegacyIdentity", "legacy_error"]

_PIECE: Final = 16384


@frozen
class LegacyIdentity:
    """Our certificate and its key.

    Attributes:
        chain: The certificates in DER, leaf first.
        key: The leaf's private key.
    """

    chain: tuple[bytes, ...] = field(repr=False)
    key: RSAPrivateKey = field(repr=False)


@frozen
class LegacyConfig:
    """What an engine needs to know of the policy.

    Attributes:
        side: Whether we are the client or the server.
        ciphers: The cipher suites, by OpenSSL's names, the preferred first.
        verify: Is asked once in each handshake whether the peer is acceptable, with the
            certificates that it has shown, in DER, leaf first; with none if it has shown
            none. An engine that is told False refuses the peer, with an alert where the
            protocol has one. It is asked before anything of ours is encrypted with a key
            that the peer's certificate protects, our own certificate is shown, or data
            of the application is accepted.
        identity: Our certificate. Servers have one always.
        certificate: Servers: whether the client is asked for a certificate, and whether
            the handshake goes on without one (`Verify.OPTIONAL`).
        authorities: Servers: the names of the authorities of which a client's
            certificate may be, in DER.
        honor_cipher_order: Servers: whether the cipher is chosen by our order, and not
            by the client's.
    """

    side: Side
    ciphers: tuple[str, ...]
    verify: Callable[[tuple[bytes, ...]], bool] = field(repr=False)
    identity: LegacyIdentity | None = None
    certificate: Verify = Verify.NO
    authorities: tuple[bytes, ...] = field(default=(), repr=False)
    honor_cipher_order: bool = True


class LegacyEngine(ABC):
    """One connection of SSL 2.0 or SSL 3.0, driven by the bytes of its peer.

    Args:
        config: What to demand and to offer.
        by_record: Whether what follows the peer's close_notify is kept in `unread`.

    Attributes:
        version: OpenSSL's name of the version: ``SSLv2`` or ``SSLv3``.
        config: As given.
        is_complete: Whether the handshake is complete and the peer verified.
        is_closed: Whether we have closed: nothing can be sent any more.
        is_closed_by_peer: Whether the peer's close_notify was read.
        error: Why the connection is broken, or None.
        piece: The most bytes that `send` should be given at once.
        unread: With `by_record`, what the peer sent behind its close_notify.
        cipher: The cipher suite, by OpenSSL's name; empty until it is agreed on.
        bits: The strength of the cipher, in bits, or 0.
        peer_chain: The certificates that the peer has shown, in DER, leaf first.
        is_certificate_requested: Clients: whether the server has asked for a certificate.
    """

    version: ClassVar[str]

    def __init__(self, config: LegacyConfig, *, by_record: bool = False) -> None:
        self.config: LegacyConfig = config
        self.is_complete: bool = False
        self.is_closed: bool = False
        self.is_closed_by_peer: bool = False
        self.error: SSL.Error | None = None
        self.piece: int = _PIECE
        self.unread: bytes = b""
        self.cipher: str = ""
        self.bits: int = 0
        self.peer_chain: tuple[bytes, ...] = ()
        self.is_certificate_requested: bool = False
        self._by_record = by_record

    @property
    def has_close_notify(self) -> bool:
        """Whether the version has a message that says that no data follows."""
        return self.version != "SSLv2"

    def _break(self, reason: str) -> None:
        """The connection is broken, for a reason as `legacy_error` takes it."""
        self.error = legacy_error(reason)

    @abstractmethod
    def start(self) -> None:
        """Begin the handshake, which on clients makes the first message."""

    @abstractmethod
    def receive(self, data: bytes) -> list[TLSEvent]:
        """Take bytes of the peer; returns what came of it, as `TLSEngine.receive` does."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Encrypt data of the application; `data_to_send` then returns it."""

    @abstractmethod
    def data_to_send(self) -> bytes:
        """All bytes for the peer that were not returned yet; often none."""

    @abstractmethod
    def close(self) -> None:
        """Make our close_notify, if there is none yet; SSL 2.0 has none."""


def legacy_error(reason: str) -> SSL.Error:
    """An error as OpenSSL would raise it, which `txtransport.tls.failure` explains.

    Args:
        reason: In OpenSSL's words where it has some (``no shared cipher``, ``sslv3 alert
            handshake failure``), since diagnosis goes by them.
    """
    return SSL.Error([("txtransport", "", reason)])
