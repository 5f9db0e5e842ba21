"""What a PROXY header tells of a TLS session that ended here, when its connection is passed on."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from txtransport.proxy.proxy_protocol.header import ProxiedTLS
from txtransport.proxy.proxy_protocol.tlv import TLV, TLVs
from txtransport.tls.session import Session

__all__ = ["session_tlvs"]

_NOT_VERIFIED: Final = 1
"""``X509_V_ERR_UNSPECIFIED``: why, is not told."""


def session_tlvs(session: Session) -> TLVs:
    """The application protocol (ALPN), the name that was asked for (SNI), and the facts of TLS.

    Args:
        session: A client's session with us.
    """
    certificate = session.peer_certificate
    is_good = certificate is not None and session.verified
    tls = ProxiedTLS(
        has_certificate=certificate is not None,
        verify=0 if is_good else _NOT_VERIFIED,
        tlvs=_present(
            (TLV.SSL_VERSION, session.version),
            (TLV.SSL_CN, _common_name(certificate)),
            (TLV.SSL_CIPHER, session.cipher),
        ),
    )
    names = _present((TLV.ALPN, session.alpn_protocol), (TLV.AUTHORITY, session.server_name))
    return (*names, (TLV.SSL, tls.to_bytes()))


def _present(*facts: tuple[int, str | None]) -> TLVs:
    return tuple((kind, text.encode()) for kind, text in facts if text)


def _common_name(certificate: x509.Certificate | None) -> str | None:
    # A subject that cannot be read has none.
    with suppress(ValueError):
        for attribute in certificate.subject if certificate is not None else ():
            if attribute.oid == NameOID.COMMON_NAME and isinstance(attribute.value, str):
                return attribute.value
    return None
