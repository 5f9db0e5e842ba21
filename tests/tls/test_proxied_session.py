"""What is passed on of a TLS session that ended here."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from cryptography.x509 import Certificate
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.proxy.proxy_protocol.header import ProxiedTLS
from txtransport.proxy.proxy_protocol.tlv import TLV, value_of
from txtransport.tls.proxied_session import session_tlvs
from txtransport.tls.session import Session

SESSION = Session(
    version="TLSv1.2", cipher="ECDHE-RSA-AES128-GCM-SHA256", bits=128, group=None,
    alpn_protocol=None, server_name=None, resumed=False, peer_certificate=None, peer_chain=(),
    verified=False,
)  # fmt: skip


def leaf(*names: str, **details: Any) -> Certificate:
    """A client's certificate."""
    return certificates.authority().issue(*names, purpose="client", **details).certificate


class SessionTests(SynchronousTestCase):
    """The facts."""

    def told(self, **facts: Any) -> ProxiedTLS:
        """What is told of a session with these facts."""
        value = value_of(session_tlvs(evolve(SESSION, **facts)), TLV.SSL)
        tls = ProxiedTLS.from_bytes(value or b"")
        assert tls is not None
        return tls

    def test_names_are_told_where_there_are_any(self) -> None:
        """What was asked for, and what was agreed on."""
        self.assertEqual([kind for kind, _ in session_tlvs(SESSION)], [TLV.SSL])
        tlvs = session_tlvs(evolve(SESSION, alpn_protocol="h2", server_name="h.example"))
        self.assertEqual(tlvs[:2], ((TLV.ALPN, b"h2"), (TLV.AUTHORITY, b"h.example")))

    def test_a_client_without_a_certificate_is_not_verified(self) -> None:
        """Not even for those who look at the result alone."""
        for is_verified in (False, True):
            tls = self.told(verified=is_verified)
            self.assertFalse(tls.has_certificate or tls.is_verified)
            self.assertNotEqual(tls.verify, 0)
            self.assertIsNone(tls.common_name)

    def test_a_certificate_is_told_with_its_verdict(self) -> None:
        """Shown, and good; or only shown."""
        for is_verified in (False, True):
            tls = self.told(peer_certificate=leaf("c.example"), verified=is_verified)
            self.assertEqual((tls.has_certificate, tls.is_verified), (True, is_verified))
            self.assertEqual((tls.version, tls.cipher), (SESSION.version, SESSION.cipher))

    def test_a_subject_that_cannot_be_read_has_no_name(self) -> None:
        """The certificate of an old appliance breaks no connection."""
        self.assertEqual(
            self.told(peer_certificate=leaf("c.example", common_name="Jörg")).common_name, "Jörg"
        )
        unreadable = certificates.mislabelled().certificate
        self.assertIsNone(self.told(peer_certificate=unreadable, verified=True).common_name)
