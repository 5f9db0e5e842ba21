"""What a PROXY header says, as values: `ProxyHeader`, and `ProxiedTLS` within it."""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import field, frozen

from txtransport.errors import InvalidProxyHeader
from txtransport.proxy.proxy_protocol.tlv import TLV, TLVs, read_tlvs, refuse_twice, value_of
from txtransport.text import decode_text

__all__ = ["AddressKind", "ProxiedAddress", "ProxiedTLS", "ProxyHeader"]

ProxiedAddress = tuple[str, int] | bytes
"""An address in a header: host and port, or the path of a local socket (perhaps empty)."""


class AddressKind(Enum):
    """The kinds of addresses that a header can tell; of a local socket, version 2 only."""

    IPV4 = "IPv4"
    IPV6 = "IPv6"
    LOCAL = "local socket"


_IS_TLS: Final = 0x01
_CERTIFICATE: Final = 0x02 | 0x04
"""In this connection (2), or when its session was begun (4)."""


@frozen
class ProxiedTLS:
    """The TLS between a client and the balancer, as the balancer tells it (PP2_TYPE_SSL).

    Attributes:
        has_certificate: Whether the client has shown a certificate, in this connection
            or when its session was begun.
        verify: The result of the verification (``X509_V_…``); 0 if the certificate is
            good, and, with many balancers, if there is none.
        tlvs: The facts, as type and value.
    """

    has_certificate: bool
    verify: int
    tlvs: TLVs = ()

    @property
    def is_verified(self) -> bool:
        """Whether the client has shown a certificate that the balancer found good.

        HAProxy sends 0 as `verify` of a client without a certificate as well.
        """
        return self.has_certificate and self.verify == 0

    @property
    def version(self) -> str | None:
        """The version, such as ``TLSv1.3``."""
        return _text(self.tlvs, TLV.SSL_VERSION)

    @property
    def common_name(self) -> str | None:
        """The Common Name of the client's certificate; see `is_verified`."""
        return _text(self.tlvs, TLV.SSL_CN)

    @property
    def cipher(self) -> str | None:
        """The cipher suite, by OpenSSL's name."""
        return _text(self.tlvs, TLV.SSL_CIPHER)

    @property
    def signature_algorithm(self) -> str | None:
        """By what the balancer's certificate is signed, such as ``RSA-SHA256``."""
        return _text(self.tlvs, TLV.SSL_SIG_ALG)

    @property
    def key_algorithm(self) -> str | None:
        """The kind of key of the balancer's certificate, such as ``RSA2048``."""
        return _text(self.tlvs, TLV.SSL_KEY_ALG)

    def to_bytes(self) -> bytes:
        """The value of a TLV of type `TLV.SSL`."""
        client = _IS_TLS | (_CERTIFICATE if self.has_certificate else 0)
        begin = bytes((client,)) + self.verify.to_bytes(4, "big")
        return begin + b"".join(TLV.encode(kind, value) for kind, value in self.tlvs)

    @classmethod
    def from_bytes(cls, value: bytes) -> ProxiedTLS | None:
        """Read the value of a TLV of type `TLV.SSL`.

        Args:
            value: The value.

        Returns:
            None if the client spoke to the balancer without TLS.

        Raises:
            InvalidProxyHeader: It is cut off, a TLV within it lies about its length, or
                is there twice.
        """
        if len(value) < 5:
            raise InvalidProxyHeader(f"its SSL part has {len(value)} bytes, and 5 at least")
        tlvs = read_tlvs(value[5:])
        refuse_twice(tlvs, TLV.SSL_ONCE)
        if not value[0] & _IS_TLS:
            return None
        has_certificate = bool(value[0] & _CERTIFICATE)
        return cls(has_certificate, int.from_bytes(value[1:5], "big"), tlvs)


@frozen
class ProxyHeader:
    """A PROXY header: whose connection is passed on.

    All of it is the balancer's word, and as good as the list of those who may send headers.

    Attributes:
        version: 1 or 2.
        source: The client's address; None where the header has none. Then the addresses
            of the connection itself hold.
        destination: The address that the client has connected to, of the same kind.
        is_local: Whether the connection is the balancer's own, such as a health check
            (``LOCAL``), or, in version 1, nothing is known of it (``UNKNOWN``). Of
            HAProxy's checks in version 1, whose header names the addresses of their own
            connection, servers set it.
        is_datagram: Whether the client sends datagrams to the balancer (HTTP/3).
        tlvs: Everything else (version 2), as type and value, unknown ones included;
            without checksum and padding.
    """

    version: int
    source: ProxiedAddress | None = None
    destination: ProxiedAddress | None = None
    is_local: bool = field(default=False, kw_only=True)
    is_datagram: bool = field(default=False, kw_only=True)
    tlvs: TLVs = field(default=(), kw_only=True)

    @property
    def kind(self) -> AddressKind | None:
        """The kind of both addresses; None if there are none, or they are of two kinds."""
        kinds = {_kind(self.source), _kind(self.destination)}
        return kinds.pop() if len(kinds) == 1 else None

    @property
    def alpn_protocol(self) -> str | None:
        """The application protocol that client and balancer agreed on (ALPN)."""
        return _text(self.tlvs, TLV.ALPN)

    @property
    def authority(self) -> str | None:
        """The name that the client asked for (under TLS: SNI)."""
        return _text(self.tlvs, TLV.AUTHORITY)

    @property
    def unique_id(self) -> bytes | None:
        """The balancer's name for the connection, for logs."""
        return value_of(self.tlvs, TLV.UNIQUE_ID)

    @property
    def netns(self) -> str | None:
        """The network namespace of Linux in which the balancer accepted the connection."""
        return _text(self.tlvs, TLV.NETNS)

    @property
    def tls(self) -> ProxiedTLS | None:
        """The TLS between client and balancer; None without it, and where it is not told."""
        value = value_of(self.tlvs, TLV.SSL)
        return None if value is None else ProxiedTLS.from_bytes(value)


def _kind(address: ProxiedAddress | None) -> AddressKind | None:
    if address is None:
        return None
    if isinstance(address, bytes):
        return AddressKind.LOCAL
    return AddressKind.IPV6 if ":" in address[0] else AddressKind.IPV4


def _text(tlvs: TLVs, kind: int) -> str | None:
    value = value_of(tlvs, kind)
    return None if value is None else decode_text(value)
