"""From a policy to the engine of SSL 2.0 or SSL 3.0: consent, ciphers and our certificate."""

from __future__ import annotations

import sys
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.legacy.fake import FakeSSL3, install_fakes
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.errors import BadCertificateFile, InvalidOption
from txtransport.tls.context import build_context
from txtransport.tls.creator import connection_creator, creator_for
from txtransport.tls.legacy import creator as legacy_creator
from txtransport.tls.legacy.connection import LayeredLegacyConnection, LegacyConnection
from txtransport.tls.legacy.creator import LegacyConnectionCreator


def policy(**options: Any) -> TLSPolicy:
    """A policy of SSL 3.0."""
    given = {"min_version": "SSLv3", "max_version": "SSLv3", "allow_broken_ssl": True}
    return TLSPolicy(**{**given, **options})


def server(**options: Any) -> TLSPolicy:
    """A server's policy of SSL 3.0."""
    return policy(**{"local_cert": certificates.rsa_site(), **options})


class CreatorTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def setUp(self) -> None:
        install_fakes(self)

    def made(self, policy: TLSPolicy, side: Side = Side.SERVER) -> LegacyConnectionCreator:
        """The creator of a policy."""
        creator = creator_for(policy, side)
        assert isinstance(creator, LegacyConnectionCreator)
        return creator

    def engine(self, policy: TLSPolicy, side: Side = Side.SERVER) -> FakeSSL3:
        """A new engine."""
        engine = self.made(policy, side).new_engine().engine
        assert isinstance(engine, FakeSSL3)
        return engine


class ConsentTests(CreatorTestCase):
    """Consent is looked at once more where the engine is made."""

    def test_a_policy_must_allow_it(self) -> None:
        """A policy that names the version and does not allow it makes no connection."""
        for wrong in (
            server(allow_broken_ssl=False), server(max_version="1.3"), server(min_version="1.2"),
            server(min_version="SSLv2"),
        ):  # fmt: skip
            self.assertRaises(InvalidOption, creator_for, wrong, Side.SERVER)

    def test_the_extra_must_be_installed(self) -> None:
        """Without the extra no policy makes a connection."""
        self.patch(legacy_creator, "is_legacy_installed", lambda: False)
        error = self.assertRaises(InvalidOption, creator_for, server(), Side.SERVER)
        self.assertIn("txtransport[legacy]", str(error))

    def test_openssl_gets_no_such_policy(self) -> None:
        """The builders of TLS know neither version, so that they can only fail."""
        for build in (build_context, connection_creator):
            self.assertRaises(KeyError, build, server(), Side.SERVER)

    def test_tls_imports_nothing_of_it(self) -> None:
        """An endpoint of TLS imports neither the engines nor what they need."""
        names = [name for name in sys.modules if name.startswith("txtransport.tls.legacy.ssl")]
        creator_for(TLSPolicy(peer_name="h.example"), Side.CLIENT)
        now = [name for name in sys.modules if name.startswith("txtransport.tls.legacy.ssl")]
        self.assertEqual(names, now)


class CipherTests(CreatorTestCase):
    """The option ``ciphers``."""

    def test_export_ciphers_are_used_by_name_alone(self) -> None:
        """Without the option no export cipher is offered or accepted."""
        self.assertEqual(self.engine(server()).config.ciphers, ("STRONG", "WEAK"))
        self.assertEqual(self.engine(server(ciphers="EXP-WEAK")).config.ciphers, ("EXP-WEAK",))

    def test_the_order_is_that_of_the_list(self) -> None:
        """The list says the order; its separators are those of OpenSSL's lists."""
        for text in ("WEAK:STRONG", "WEAK,STRONG", "WEAK STRONG:WEAK"):
            self.assertEqual(self.engine(server(ciphers=text)).config.ciphers, ("WEAK", "STRONG"))
        self.assertFalse(self.engine(server(honor_cipher_order=False)).config.honor_cipher_order)

    def test_unknown_ciphers_are_refused(self) -> None:
        """A name that the version has not is refused with those that it has."""
        for text in ("DEFAULT", "ECDHE-ECDSA-AES128-GCM-SHA256", "STRONG:@SECLEVEL=0", ":", "!WEAK",
                     "strong", "WEAK:\u202e"):  # fmt: skip
            error = self.assertRaises(InvalidOption, creator_for, server(ciphers=text), Side.SERVER)
            self.assertIn("STRONG, WEAK, EXP-WEAK", str(error))
            self.assertTrue(str(error).isprintable())


class CertificateTests(CreatorTestCase):
    """Our own certificate, and what a server asks of its clients."""

    def test_a_server_needs_a_certificate(self) -> None:
        """A server without a certificate is refused."""
        error = self.assertRaises(InvalidOption, creator_for, policy(), Side.SERVER)
        self.assertEqual(error.option, "local_cert")

    def test_the_key_is_rsa(self) -> None:
        """A key of another kind is refused with the file and the reason."""
        own = certificates.site()
        error = self.assertRaises(
            BadCertificateFile, creator_for, server(local_cert=own), Side.SERVER
        )
        self.assertIn("no RSA key", str(error))
        self.assertIn(own, str(error))

    def test_the_engine_gets_the_chain_and_the_demands(self) -> None:
        """The engine has our chain, and knows whether clients must show a certificate."""
        config = self.engine(server()).config
        assert config.identity is not None
        self.assertEqual(config.certificate, Verify.NO)
        self.assertEqual(config.authorities, ())
        asking = server(verify_peer=Verify.OPTIONAL, cafile=certificates.cafile())
        config = self.engine(asking).config
        root = certificates.authority().certificate
        self.assertEqual(config.certificate, Verify.OPTIONAL)
        self.assertEqual(config.authorities, (root.subject.public_bytes(),))

    def test_a_new_file_is_used(self) -> None:
        """The certificate is read again when its file has changed."""
        path = certificates.issued("changing-rsa.pem", "a.example", key="rsa")
        creator = self.made(server(local_cert=path))
        before = creator.new_engine().engine.config.identity
        certificates.issued("changing-rsa.pem", "a.example", key="rsa")
        after = creator.new_engine().engine.config.identity
        assert before is not None
        assert after is not None
        self.assertNotEqual(before.chain, after.chain)

    def test_both_drivers_get_a_connection_of_their_kind(self) -> None:
        """Our driver and Twisted's TLS layer get connections that have what each needs."""
        creator = self.made(policy(peer_name="h.example"), Side.CLIENT)
        self.assertIs(type(creator.new_engine()), LegacyConnection)
        self.assertIs(type(creator.new_layered_connection()), LayeredLegacyConnection)
