"""One key is for SSL 2.0 or for all else, and never for both (DROWN)."""

from __future__ import annotations

import functools
import gc
import weakref
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import server
from tests.tls.legacy.fake import install_fakes
from txtransport.config.policy import Side, TLSPolicy
from txtransport.errors import BadCertificateFile
from txtransport.testing.devcert import write_private
from txtransport.tls import pem
from txtransport.tls.creator import Creator, SharedContext, creator_for
from txtransport.tls.key_use import KeyUse, KeyUses
from txtransport.tls.legacy.creator import read_legacy_context


def old(version: str, path: str, **options: object) -> TLSPolicy:
    """A server's policy of SSL 2.0 or SSL 3.0."""
    return TLSPolicy(
        local_cert=path,
        min_version=version,
        max_version=version,
        allow_broken_ssl=True,
        **options,  # type: ignore[arg-type]
    )


def made(policy: TLSPolicy) -> Creator:
    """A server of a policy."""
    return creator_for(policy, Side.SERVER)


@functools.cache
def identities() -> tuple[pem.Identity, ...]:
    """Three certificates with their keys."""
    files = (certificates.rsa_site(), certificates.ssl2_site(), certificates.rsa_client())
    found = [pem.identity(TLSPolicy(local_cert=path)) for path in files]
    return tuple(own for own in found if own is not None)


class DROWNTests(SynchronousTestCase):
    """Endpoints of one process."""

    def setUp(self) -> None:
        install_fakes(self)
        self.site = certificates.rsa_site()

    def refused(self, policy: TLSPolicy, side: Side = Side.SERVER) -> str:
        """Why an endpoint is not made: the key of its certificate."""
        error = self.assertRaises(BadCertificateFile, creator_for, policy, side)
        self.assertIn("DROWN, CVE-2016-0800", str(error))
        self.assertIn("make a key for SSL 2.0 alone", str(error))
        return str(error)

    def test_what_tls_has_ssl2_never_gets(self) -> None:
        """A server of SSL 2.0 is refused the key of a server of TLS, or of SSL 3.0."""
        made(server(local_cert=self.site))
        self.assertIn("was used for TLS or SSL 3.0", self.refused(old("SSLv2", self.site)))
        made(old("SSLv3", self.site))
        other = certificates.ssl2_site()
        made(old("SSLv3", other))
        self.refused(old("SSLv2", other))

    def test_what_ssl2_has_tls_never_gets(self) -> None:
        """Whatever came first: the second is refused, on clients and for a name (SNI) as well."""
        made(old("SSLv2", self.site))
        self.assertIn("by a server of SSL 2.0", self.refused(server(local_cert=self.site)))
        self.refused(old("SSLv3", self.site))
        self.refused(TLSPolicy(SNI_server_certs={"good.example": self.site}))
        client = TLSPolicy(local_cert=self.site, peer_name="good.example")
        self.refused(client, Side.CLIENT)
        made(old("SSLv2", self.site, honor_cipher_order=False))

    def test_the_key_counts_and_not_the_file(self) -> None:
        """Another file, and another certificate of the same key, make no difference."""
        made(server(local_cert=self.site))
        own = pem.identity(TLSPolicy(local_cert=self.site))
        assert own is not None
        assert isinstance(own.key, rsa.RSAPrivateKey)
        name = x509.Name([])
        again = (
            x509.CertificateBuilder(name, name, own.key.public_key(), 1)
            .not_valid_before(own.leaf.not_valid_before_utc)
            .not_valid_after(own.leaf.not_valid_after_utc)
            .sign(own.key, hashes.SHA256())
        )
        key = own.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        copy = certificates.written("again.pem", again.public_bytes(Encoding.PEM) + key)
        self.refused(old("SSLv2", copy))

    def test_a_reload_keeps_the_old_key_and_says_so(self) -> None:
        """A file that changes to a key of the other use is not taken; the old one goes on."""
        tls, ssl2 = (Path(path).read_bytes() for path in (self.site, certificates.ssl2_site()))
        made(server(local_cert=certificates.written("tls.pem", tls)))
        made(old("SSLv2", certificates.written("ssl2.pem", ssl2)))
        paths = [
            certificates.written(f"changing-{n}.pem", own) for n, own in enumerate((tls, ssl2))
        ]
        of_tls = SharedContext(server(local_cert=paths[0]), Side.SERVER)
        of_ssl2 = SharedContext(old("SSLv2", paths[1]), Side.SERVER, build=read_legacy_context)
        before = of_tls.current(), of_ssl2.current()
        write_private(paths[0], ssl2)
        write_private(paths[1], tls)
        self.assertIs(of_tls.current(), before[0])
        self.assertIs(of_ssl2.current(), before[1])
        for shared in (of_tls, of_ssl2):
            self.assertIn("DROWN", str(shared.reload_error()))

    def test_an_endpoint_that_is_gone_still_counts(self) -> None:
        """What it has sent may have been recorded, so that its key stays what it was."""
        context = SharedContext(server(local_cert=self.site), Side.SERVER)
        gone = weakref.ref(context)
        del context
        gc.collect()
        self.assertIsNone(gone())
        self.refused(old("SSLv2", self.site))

    def test_a_client_of_ssl2_is_no_server_of_it(self) -> None:
        """A client decrypts nothing for others: its key is as that of any other endpoint."""
        client = old("SSLv2", certificates.rsa_client(), peer_name="good.example")
        creator_for(client, Side.CLIENT)
        self.refused(old("SSLv2", certificates.rsa_client()))


class KeyUsesTests(SynchronousTestCase):
    """The record itself."""

    @settings(deadline=None)
    @given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(KeyUse)), max_size=12))
    def test_no_key_ever_has_two_uses(self, claims: list[tuple[int, KeyUse]]) -> None:
        """However uses are claimed, in whatever order, a key keeps its first."""
        uses, first = KeyUses(), dict[int, KeyUse]()
        for number, use in claims:
            own = identities()[number]
            if first.setdefault(number, use) is use:
                uses.claim([own], use)
            else:
                self.assertRaises(BadCertificateFile, uses.claim, [own], use)

    def test_all_or_none(self) -> None:
        """An endpoint whose second key is refused has not claimed its first."""
        first, second, _ = identities()
        uses = KeyUses()
        uses.claim([second], KeyUse.SSL2_SERVER)
        self.assertRaises(BadCertificateFile, uses.claim, [first, second], KeyUse.OTHER)
        uses.claim([first], KeyUse.SSL2_SERVER)
