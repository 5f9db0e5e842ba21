"""From a policy to OpenSSL's context: each option has its effect, or is refused."""

from __future__ import annotations

from typing import Any, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, Meeting, arranged, client, meet, server
from txtransport.config.policy import VERSIONS, Side, TLSPolicy, Verify
from txtransport.errors import BadCertificateFile, InvalidOption
from txtransport.testing.devcert import Authority, Issued, self_signed
from txtransport.tls.connection import TLSConnection
from txtransport.tls.context import build_context
from txtransport.tls.creator import connection_creator
from txtransport.tls.identity import spki_pin

AES128: Final = "ECDHE-ECDSA-AES128-GCM-SHA256"
AES256: Final = "ECDHE-ECDSA-AES256-GCM-SHA384"


class ContextTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def accepted(self, *policies: TLSPolicy | None) -> Meeting:
        """Client and server complete a handshake with these policies."""
        meeting = meet(*policies)
        self.assertTrue(meeting.is_secure, meeting.errors)
        return meeting

    def causes(self, *policies: TLSPolicy | None) -> tuple[str, str]:
        """The handshake fails with these policies; what the client and the server are told."""
        meeting = meet(*policies)
        self.assertFalse(meeting.is_secure)
        return meeting.client.explained().cause, meeting.server.explained().cause


class VersionTests(ContextTestCase):
    """`min_version` and `max_version`."""

    def test_each_version_alone(self) -> None:
        """Each version can be the only one; TLS 1.0 and 1.1 need security_level=0."""
        for version in VERSIONS:
            only: dict[str, Any] = {"min_version": version, "max_version": version}
            if version < "1.2":
                only["security_level"] = 0
            meeting = self.accepted(client(**only), server(**only))
            named = "TLSv1" if version == "1.0" else f"TLSv{version}"
            self.assertEqual(meeting.client.session.version, named)

    def test_the_newest_common_version_is_used(self) -> None:
        """Client and server use the newest version that both allow."""
        meeting = self.accepted(client(max_version="1.2"), server())
        self.assertEqual(meeting.client.session.version, "TLSv1.2")
        meeting = self.accepted(client(min_version="1.0"), server())
        self.assertEqual(meeting.client.session.version, "TLSv1.3")

    def test_no_common_version_fails_on_both_sides(self) -> None:
        """Without a common version the handshake fails, and both sides name that cause."""
        for policies in (
            (client(min_version="1.3"), server(max_version="1.2")),
            (client(max_version="1.2"), server(min_version="1.3")),
        ):
            self.assertEqual(self.causes(*policies), ("no-common-version", "no-common-version"))

    def test_an_old_version_needs_a_lower_security_level(self) -> None:
        """TLS 1.1 without security_level=0 fails, and the error names that option."""
        only = {"min_version": "1.0", "max_version": "1.1"}
        meeting = meet(client(**only), server(**only, security_level=0))
        error = meeting.client.explained()
        self.assertEqual(error.cause, "no-common-version")
        self.assertIn("security_level=0", str(error))


class RenegotiationTests(ContextTestCase):
    """TLS 1.2 allows renegotiation; we do not."""

    def test_neither_side_can_renegotiate(self) -> None:
        """Neither side can start another handshake in a connection, which could change the peer."""
        meeting = self.accepted(client(max_version="1.2"))
        for end in (meeting.client, meeting.server):
            self.assertRaises(SSL.Error, end.conversation.renegotiate)

    def test_a_renegotiating_client_is_refused(self) -> None:
        """A server refuses another client's attempt to renegotiate."""
        theirs = SSL.Context(SSL.TLS_CLIENT_METHOD)
        theirs.set_max_proto_version(SSL.TLS1_2_VERSION)
        meeting = arranged()
        meeting.client.conversation = cast(TLSConnection, SSL.Connection(theirs, None))
        meeting.client.conversation.set_connect_state()
        meeting.go_on()
        meeting.client.is_secure = False
        meeting.client.conversation.renegotiate()
        meeting.go_on()
        self.assertIn("no renegotiation", str(meeting.client.error))


class CipherTests(ContextTestCase):
    """`ciphers`, `honor_cipher_order` and `security_level`."""

    def test_ciphers_limits_each_side(self) -> None:
        """In TLS 1.2, a side uses only the ciphers of its list."""
        for cipher in (AES128, AES256):
            for policies in (
                (client(ciphers=cipher, max_version="1.2"), server()),
                (client(max_version="1.2"), server(ciphers=cipher)),
            ):
                self.assertEqual(self.accepted(*policies).client.session.cipher, cipher)

    def test_servers_offer_mozilla_s_intermediate_profile_by_default(self) -> None:
        """In TLS 1.2 a server has forward secrecy and AEAD alone, at any security level."""
        rsa = certificates.issued("rsa.pem", NAME, key="rsa")
        for level in (None, 1, 2):
            for name in ("AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA256", "ECDHE-RSA-AES256-SHA"):
                asking = client(ciphers=f"{name}:@SECLEVEL=0", max_version="1.2")
                answering = server(local_cert=rsa, security_level=level)
                self.assertEqual(self.causes(asking, answering), ("no-common-cipher",) * 2)
                given = server(local_cert=rsa, ciphers=name)
                self.assertEqual(self.accepted(asking, given).client.session.cipher, name)
        for kind, cert in (("RSA", rsa), ("ECDSA", certificates.site())):
            for end in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"):
                asking = client(ciphers=f"ECDHE-{kind}-{end}", max_version="1.2")
                meeting = self.accepted(asking, server(local_cert=cert))
                self.assertEqual(meeting.client.session.cipher, f"ECDHE-{kind}-{end}")

    def test_servers_of_old_versions_keep_openssl_s_ciphers(self) -> None:
        """Where TLS 1.0 or 1.1 is allowed, a server has the ciphers that these versions need."""
        for version in ("1.0", "1.1"):
            asking = client(min_version=version, max_version=version, security_level=0)
            answering = server(min_version=version, security_level=0)
            self.accepted(asking, answering)

    def test_the_server_s_order_counts(self) -> None:
        """The server's order of ciphers counts, unless honor_cipher_order is off."""
        asking = client(ciphers=f"{AES128}:{AES256}", max_version="1.2")
        for honored, cipher in ((True, AES256), (False, AES128)):
            answering = server(ciphers=f"{AES256}:{AES128}", honor_cipher_order=honored)
            self.assertEqual(self.accepted(asking, answering).client.session.cipher, cipher)

    def test_no_common_cipher_fails_on_both_sides(self) -> None:
        """Without a common cipher the handshake fails, and both sides name that cause."""
        for policies in (
            (client(ciphers=AES128, max_version="1.2"), server(ciphers=AES256)),
            (client(ciphers="ECDHE-RSA-AES128-GCM-SHA256", max_version="1.2"), server()),
        ):
            self.assertEqual(self.causes(*policies), ("no-common-cipher", "no-common-cipher"))

    def test_a_list_without_any_cipher_is_refused(self) -> None:
        """A list that names no usable cipher, or cannot be a list, is refused and quoted."""
        for wrong in (
            "NONSENSE", ":", "é", "DEFAULT:@SECLEVEL=9", "TLS_AES_128_GCM_SHA256",
            "aNULL", "eNULL", "aNULL:eNULL", "AECDH-AES128-SHA", "aNULL\0", f"{AES128}\0",
        ):  # fmt: skip
            for side, policy in ((Side.CLIENT, client), (Side.SERVER, server)):
                error: Any = self.assertRaises(
                    InvalidOption, build_context, policy(ciphers=wrong), side
                )
                self.assertEqual(error.option, "ciphers")
                self.assertIn(f"ciphers={wrong!r}", str(error))

    def test_no_list_allows_anonymous_ciphers(self) -> None:
        """No list can allow a cipher without authentication or without encryption."""
        weak = {"ciphers": "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "max_version": "1.2"}
        for cipher in (
            "ADH-AES128-SHA256",
            "AECDH-AES128-SHA",
            "NULL-SHA256",
            "ECDHE-ECDSA-NULL-SHA",
        ):
            self.assertRaises(
                InvalidOption, build_context, client(ciphers=cipher, security_level=0), Side.CLIENT
            )
        meeting = self.accepted(client(**weak), server(**weak))
        self.assertIsNotNone(meeting.client.session.peer_certificate)
        self.assertGreater(meeting.client.session.bits, 0)

    def test_weak_keys_are_refused_by_security_level(self) -> None:
        """A key too weak for security_level is refused: ours at once, the peer's when shown."""
        weak = certificates.issued("rsa.pem", NAME, key="rsa")
        self.accepted(client(security_level=2), server(local_cert=weak))
        error = meet(client(security_level=3), server(local_cert=weak)).client.explained()
        self.assertEqual(error.cause, "other")
        self.assertIn("too short for the security level", str(error))
        own: Any = self.assertRaises(
            BadCertificateFile,
            build_context,
            server(local_cert=weak, security_level=3),
            Side.SERVER,
        )
        self.assertEqual((own.option, own.path), ("local_cert", weak))
        self.assertIn("ee key too small", str(own))
        self.assertIn("lower security_level", str(own))

    def test_a_level_without_ciphers_fails_with_a_cause(self) -> None:
        """A security_level that leaves no cipher fails the handshake, and the error says why."""
        for level in (4, 5):
            causes = self.causes(client(security_level=level), server())
            self.assertEqual(causes[0], "no-common-cipher")


class OwnCertificateTests(ContextTestCase):
    """`local_cert`."""

    def test_a_server_needs_a_certificate(self) -> None:
        """A server without a certificate is refused, and the error names the options for one."""
        error: Any = self.assertRaises(InvalidOption, build_context, TLSPolicy(), Side.SERVER)
        self.assertEqual(error.option, "local_cert")
        self.assertIn("SNI_server_certs", str(error))

    def test_files_are_read_when_the_context_is_built(self) -> None:
        """A file that cannot be used is reported when the context is built, for every option."""
        missing = "/nonexistent/a.pem"
        for option, side in (
            ("local_cert", Side.CLIENT), ("local_cert", Side.SERVER), ("cafile", Side.CLIENT),
            ("capath", Side.CLIENT), ("crl", Side.CLIENT),
        ):  # fmt: skip
            policy = server if side is Side.SERVER else client
            error: Any = self.assertRaises(
                BadCertificateFile, build_context, policy(**{option: missing}), side
            )
            self.assertEqual((error.option, error.path), (option, missing))
        named = server(SNI_server_certs={NAME: missing})
        error = self.assertRaises(BadCertificateFile, build_context, named, Side.SERVER)
        self.assertEqual((error.option, error.path), ("SNI_server_certs", missing))

    def test_a_list_openssl_cannot_read_is_refused(self) -> None:
        """A revocation list that only cryptography reads is a bad file, and crashes nothing."""
        made = x509.load_pem_x509_crl(certificates.authority().revocation_list())
        # The issuer's name: UTF8String with a byte that is none of UTF-8.
        der = made.public_bytes(Encoding.DER)
        place = der.index(b"\x55\x04\x03\x0c") + 5
        broken = x509.load_der_x509_crl(der[:place] + b"\xff" + der[place + 1 :])
        file = certificates.written("odd-list.pem", broken.public_bytes(Encoding.PEM))
        policy = TLSPolicy(cafile=certificates.cafile(), crl=file)
        error = self.assertRaises(BadCertificateFile, build_context, policy, Side.CLIENT)
        self.assertEqual((error.option, error.path), ("crl", file))
        self.assertIn("OpenSSL cannot read revocation list 1 in it (", str(error))

    def test_a_certificate_openssl_cannot_read_is_refused(self) -> None:
        """A certificate that cryptography reads and OpenSSL does not is refused with our error."""
        path = certificates.written("unread.pem", unreadable_for_openssl().pem)
        for policy, side, option in (
            (server(local_cert=path), Side.SERVER, "local_cert"),
            (client(cafile=path), Side.CLIENT, "cafile"),
            (server(verify_peer=Verify.YES, cafile=path), Side.SERVER, "cafile"),
        ):
            error: Any = self.assertRaises(BadCertificateFile, build_context, policy, side)
            self.assertEqual((error.option, error.path), (option, path))
            self.assertIn("OpenSSL", str(error))

    def test_rsa_and_ec_certificates_both_work(self) -> None:
        """Certificates with RSA keys and with elliptic curve keys both work."""
        for kind in ("rsa", "ec"):
            path = certificates.issued("kind.pem", NAME, key=kind)
            for version in ("1.2", "1.3"):
                self.accepted(client(max_version=version), server(local_cert=path))


def unreadable_for_openssl() -> Issued:
    """A certificate whose subject is not valid UTF-8, which OpenSSL refuses."""
    made = self_signed(NAME, common_name="x" * 10)
    der = made.certificate.public_bytes(Encoding.DER)
    broken = der.replace(b"\x0c\x0a" + b"x" * 10, b"\x0c\x0a" + b"\xff" * 10)
    return Issued(x509.load_der_x509_certificate(broken), made.key)


class TrustTests(ContextTestCase):
    """`cafile`, `capath` and the platform's trust store."""

    def test_cafile_replaces_the_platform_s_trust(self) -> None:
        """With cafile only the authorities of that file are trusted, and all of them."""
        other = Authority.create("another").pem
        both = certificates.written("both.pem", other + certificates.authority().pem)
        self.accepted(client(cafile=both))
        alone = certificates.written("other.pem", other)
        self.assertEqual(meet(client(cafile=alone)).client.explained().cause, "unknown-issuer")

    def test_the_platform_s_trust_is_the_default(self) -> None:
        """Without cafile and capath the tests' own root is not trusted."""
        meeting = meet(TLSPolicy(peer_name=NAME))
        self.assertEqual(meeting.client.explained().cause, "unknown-issuer")

    def test_capath_finds_authorities_by_hash(self) -> None:
        """In capath, OpenSSL finds an authority by the hash of its name."""
        root = certificates.authority()
        folder = certificates.folder() / "authorities"
        folder.mkdir(exist_ok=True)
        trusting = client(capath=str(folder))
        self.assertEqual(meet(trusting).client.explained().cause, "unknown-issuer")
        number = crypto.X509.from_cryptography(root.certificate).subject_name_hash()
        certificates.written(f"authorities/{number:08x}.0", root.pem)
        self.accepted(client(capath=str(folder), verify_depth=8))
        both = client(capath=str(folder), cafile=certificates.written("x.pem", _other().pem))
        self.accepted(both)

    def test_an_intermediate_may_be_the_anchor(self) -> None:
        """Whatever certificate cafile has ends the chain: a root, an intermediate, or a leaf."""
        between = certificates.authority().intermediate()
        made = between.issue(NAME)
        leaf_alone = certificates.written("alone.pem", Issued(made.certificate, made.key).pem)
        trusted = (
            certificates.written("between.pem", between.pem),
            certificates.written("leaf.pem", made.certificate.public_bytes(Encoding.PEM)),
        )
        for path in trusted:
            for strict in (False, True):
                trusting = client(cafile=path, x509_strict=strict)
                for site in (leaf_alone, certificates.written("whole.pem", made.pem)):
                    meeting = self.accepted(trusting, server(local_cert=site))
                    self.assertIs(meeting.client.session.verified, True)
        stranger = certificates.authority().intermediate().issue(NAME)
        refused = server(local_cert=certificates.written("stranger.pem", stranger.pem))
        for path in trusted:
            self.assertEqual(meet(client(cafile=path), refused).client.explained().cause,
                             "unknown-issuer")  # fmt: skip

    def test_a_server_may_trust_an_intermediate(self) -> None:
        """With an intermediate in cafile, a server lets in the clients below it."""
        between = certificates.authority().intermediate()
        asking = server(verify_peer=Verify.YES, cafile=certificates.written("b.pem", between.pem))
        known = certificates.issued("below.pem", "x.example", by=between, purpose="client")
        meeting = self.accepted(client(local_cert=known), asking)
        self.assertIs(meeting.server.session.verified, True)
        self.assertFalse(meet(client(local_cert=certificates.client()), asking).server.is_secure)

    def test_with_a_pin_the_chain_goes_on_to_the_root(self) -> None:
        """A pinned root is found, also where cafile has the intermediate below it as well."""
        root, between = certificates.authority(), certificates.authority().intermediate()
        site = server(local_cert=certificates.issued("pinned.pem", NAME, by=between))
        both = certificates.written("both.pem", between.pem + root.pem)
        self.accepted(client(cafile=both, pin=spki_pin(root.certificate)), site)
        self.accepted(client(cafile=both, pin=spki_pin(between.certificate)), site)
        alone = certificates.written("between.pem", between.pem)
        error = meet(client(cafile=alone, pin=spki_pin(between.certificate)), site)
        self.assertEqual(error.client.explained().cause, "unknown-issuer")

    def test_an_intermediate_that_is_the_anchor_still_needs_its_revocation_list(self) -> None:
        """With crl, a leaf is looked up in the list of the intermediate that cafile has."""
        between = certificates.authority().intermediate()
        good, bad = between.issue(NAME), between.issue(NAME)
        listed = certificates.written("list.pem", between.revocation_list(bad.certificate))
        trusting = client(cafile=certificates.written("between.pem", between.pem), crl=listed)
        self.accepted(trusting, server(local_cert=certificates.written("good.pem", good.pem)))
        refused = meet(trusting, server(local_cert=certificates.written("bad.pem", bad.pem)))
        self.assertEqual(refused.client.explained().cause, "revoked")

    def test_a_server_names_the_authorities_it_trusts(self) -> None:
        """A server that asks for a certificate names the authorities that it trusts."""
        asking = server(verify_peer=Verify.OPTIONAL, cafile=certificates.cafile())
        meeting = self.accepted(None, asking)
        (name,) = meeting.client.conversation.get_client_ca_list()
        subject = certificates.authority().certificate.subject
        self.assertEqual(name.der(), subject.public_bytes())


def _other() -> Authority:
    return Authority.create("another")


class ApplicationProtocolTests(ContextTestCase):
    """`alpn_protocols`."""

    def agreed(self, theirs: tuple[str, ...], ours: tuple[str, ...]) -> str | None:
        """The protocol that client and server agree on, with these lists."""
        meeting = self.accepted(client(alpn_protocols=theirs), server(alpn_protocols=ours))
        found = {meeting.client.session.alpn_protocol, meeting.server.session.alpn_protocol}
        self.assertEqual(len(found), 1)
        return found.pop()

    def test_the_server_s_preference_counts(self) -> None:
        """Of the common protocols, the one that the server lists first is chosen."""
        self.assertEqual(self.agreed(("h2", "imap"), ("imap", "h2")), "imap")
        self.assertEqual(self.agreed(("h2", "imap"), ("h2",)), "h2")

    def test_a_list_on_one_side_only_does_not_end_the_handshake(self) -> None:
        """A client that offers no protocols is let in, and so is any where a server has none."""
        for theirs, ours in ((("h2",), ()), ((), ("imap",)), ((), ())):
            self.assertIsNone(self.agreed(theirs, ours))

    def test_alpn_mismatch_ends_the_handshake(self) -> None:
        """A client that offers only other protocols is refused with the alert 120."""
        for version in ("1.2", "1.3"):
            meeting = meet(
                client(alpn_protocols=("h2", "\x1b"), max_version=version),
                server(alpn_protocols=("imap", "smtp")),
            )
            self.assertFalse(meeting.client.is_secure or meeting.server.is_secure)
            refused = meeting.client.explained()
            self.assertEqual(refused.cause, "no-common-protocol")
            self.assertIn("(120)", str(refused))
            refusing = meeting.server.explained()
            self.assertEqual(refusing.cause, "no-common-protocol")
            self.assertIn("our application protocols: b'imap, smtp' (ALPN)", refusing.evidence)
            self.assertIn(
                "the client's application protocols: b'h2, \\x1b' (ALPN)", refusing.evidence
            )

    def test_alpn_mismatch_ignore_goes_on_without_a_protocol(self) -> None:
        """With alpn_mismatch=ignore, a client that offers only other protocols is let in."""
        tolerant = server(alpn_protocols="imap", alpn_mismatch="ignore")
        meeting = self.accepted(client(alpn_protocols="h2"), tolerant)
        self.assertIsNone(meeting.server.session.alpn_protocol)

    def test_one_refusal_does_not_touch_the_next_client(self) -> None:
        """A refused client leaves nothing behind that another client would be refused for."""
        strict = connection_creator(server(alpn_protocols="imap"), Side.SERVER)
        self.assertFalse(meet(client(alpn_protocols="h2"), strict).is_secure)
        self.assertTrue(meet(client(alpn_protocols="imap"), strict).is_secure)
        self.assertTrue(meet(client(), strict).is_secure)


class SNIServerCertsTests(ContextTestCase):
    """`SNI_server_certs`: a certificate for each name."""

    def setUp(self) -> None:
        authority = certificates.authority()
        self.made = {
            name: authority.issue(*names)
            for name, names in (
                ("default", ("default.example",)),
                ("a.example", ("a.example",)),
                ("*.b.example", ("*.b.example",)),
                ("x.b.example", ("x.b.example",)),
            )
        }
        paths = {
            name: certificates.written(f"{number}.pem", made.pem)
            for number, (name, made) in enumerate(self.made.items())
        }
        self.default = paths.pop("default")
        self.named = tuple(paths.items())

    def shown(self, name: str | None) -> str:
        """Which of `self.made` a client is shown that asks for that name."""
        named = server(SNI_server_certs=self.named, local_cert=self.default)
        policy = client(peer_name=name, verify_peer_name=False)
        leaf = self.accepted(policy, named).client.session.peer_certificate
        (found,) = (key for key, made in self.made.items() if made.certificate == leaf)
        return found

    def test_each_name_has_its_own_certificate(self) -> None:
        """An exact name is preferred, then a wildcard, then local_cert."""
        for name, found in (
            ("a.example", "a.example"), ("A.Example.", "a.example"),
            ("y.b.example", "*.b.example"), ("x.b.example", "x.b.example"),
            ("y.x.b.example", "default"), ("b.example", "default"), ("c.example", "default"),
            ("example", "default"), ("127.0.0.1", "default"), (None, "default"),
        ):  # fmt: skip
            self.assertEqual(self.shown(name), found, name)

    def test_a_key_may_have_a_file_of_its_own(self) -> None:
        """PHP's form names two files for a name: the certificate's and the key's."""
        made = self.made["a.example"]
        files = {
            "local_cert": certificates.written("a.cert.pem", made.cert_pem),
            "local_pk": certificates.written("a.key.pem", made.key_pem()),
        }
        named = server(SNI_server_certs={"a.example": files}, local_cert=self.default)
        session = self.accepted(client(peer_name="a.example"), named).client.session
        self.assertEqual(session.peer_certificate, made.certificate)

    def test_the_rest_of_the_policy_holds_for_each_name(self) -> None:
        """Versions, ALPN and verification of clients are the same for each name."""
        trusting = {"verify_peer": Verify.YES, "cafile": certificates.cafile()}
        named = server(
            SNI_server_certs=self.named, max_version="1.2", alpn_protocols="imap", **trusting
        )
        for name in ("a.example", "y.b.example"):
            asking = {"peer_name": name, "alpn_protocols": "imap"}
            meeting = self.accepted(client(local_cert=certificates.client(), **asking), named)
            self.assertEqual(meeting.server.session.version, "TLSv1.2")
            self.assertEqual(meeting.server.session.alpn_protocol, "imap")
            self.assertIs(meeting.server.session.verified, True)
            asking["alpn_protocols"] = "h2"
            refused = meet(client(local_cert=certificates.client(), **asking), named).client
            self.assertEqual(refused.explained().cause, "no-common-protocol")
            self.assertFalse(meet(client(**asking), named).is_secure)

    def test_an_unknown_name_fails_on_both_sides(self) -> None:
        """Without local_cert, a handshake for another name fails and both sides say why."""
        named = TLSPolicy(SNI_server_certs=self.named)
        for version in ("1.2", "1.3"):
            asking = client(peer_name="c.example", max_version=version)
            self.assertEqual(self.causes(asking, named), ("no-common-cipher", "no-common-cipher"))
            error = meet(asking, named).server.explained()
            self.assertIn("for the name that was asked for", str(error))

    def test_the_session_has_the_name_that_was_asked_for(self) -> None:
        """On the server, the session tells the name that the client asked for."""
        meeting = self.accepted(
            client(peer_name="a.example"), TLSPolicy(SNI_server_certs=self.named)
        )
        self.assertEqual(meeting.server.session.server_name, "a.example")
        self.assertIs(meeting.server.session.resumed, False)


class PlatformTests(SynchronousTestCase):
    """The platform's trust store."""

    def test_an_unreadable_trust_store_is_an_error_of_cafile(self) -> None:
        """An unreadable trust store gives an error of ours that suggests cafile."""

        def broken(context: SSL.Context) -> None:
            raise SSL.Error([("PEM routines", "", "bad base64 decode")])

        self.patch(SSL.Context, "set_default_verify_paths", broken)
        error = self.assertRaises(
            InvalidOption, build_context, TLSPolicy(peer_name="localhost"), Side.CLIENT
        )
        self.assertEqual(error.option, "cafile")
        self.assertIn("bad base64 decode", str(error))
