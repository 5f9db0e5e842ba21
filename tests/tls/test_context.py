"""From policy to OpenSSL's context: each option does what it says, or is refused."""

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

AES128: Final = "ECDHE-ECDSA-AES128-GCM-SHA256"
AES256: Final = "ECDHE-ECDSA-AES256-GCM-SHA384"


class ContextTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def accepted(self, *policies: TLSPolicy | None) -> Meeting:
        """Client and server shake hands by those policies."""
        meeting = meet(*policies)
        self.assertTrue(meeting.is_secure, meeting.errors)
        return meeting

    def causes(self, *policies: TLSPolicy | None) -> tuple[str, str]:
        """They do not; what client and server are told."""
        meeting = meet(*policies)
        self.assertFalse(meeting.is_secure)
        return meeting.client.explained().cause, meeting.server.explained().cause


class VersionTests(ContextTestCase):
    """min_version and max_version."""

    def test_each_version_alone(self) -> None:
        """Each version can be spoken alone; the weak ones need security_level=0."""
        for version in VERSIONS:
            only: dict[str, Any] = {"min_version": version, "max_version": version}
            if version < "1.2":
                only["security_level"] = 0
            meeting = self.accepted(client(**only), server(**only))
            named = "TLSv1" if version == "1.0" else f"TLSv{version}"
            self.assertEqual(meeting.client.session.version, named)

    def test_the_newest_in_common(self) -> None:
        """Two sides speak the newest version that both have."""
        meeting = self.accepted(client(max_version="1.2"), server())
        self.assertEqual(meeting.client.session.version, "TLSv1.2")
        meeting = self.accepted(client(min_version="1.0"), server())
        self.assertEqual(meeting.client.session.version, "TLSv1.3")

    def test_nothing_in_common(self) -> None:
        """Sides without a common version say so, both of them."""
        for policies in (
            (client(min_version="1.3"), server(max_version="1.2")),
            (client(max_version="1.2"), server(min_version="1.3")),
        ):
            self.assertEqual(self.causes(*policies), ("no-common-version", "no-common-version"))

    def test_nothing_left(self) -> None:
        """A weak version without security_level=0 leaves nothing to speak, and says that."""
        only = {"min_version": "1.0", "max_version": "1.1"}
        meeting = meet(client(**only), server(**only, security_level=0))
        error = meeting.client.explained()
        self.assertEqual(error.cause, "no-common-version")
        self.assertIn("security_level=0", str(error))


class RenegotiationTests(ContextTestCase):
    """What TLS 1.2 could do and must not."""

    def test_nobody_negotiates_twice(self) -> None:
        """Neither side begins another handshake within a conversation, and so changes who it is."""
        meeting = self.accepted(client(max_version="1.2"))
        for end in (meeting.client, meeting.server):
            self.assertRaises(SSL.Error, end.conversation.renegotiate)

    def test_nobody_is_made_to(self) -> None:
        """A client that begins another one is turned away."""
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
    """ciphers, honor_cipher_order and security_level."""

    def test_the_cipher_that_is_asked_for(self) -> None:
        """For TLS 1.2, a side's list is what it speaks."""
        for cipher in (AES128, AES256):
            for policies in (
                (client(ciphers=cipher, max_version="1.2"), server()),
                (client(max_version="1.2"), server(ciphers=cipher)),
            ):
                self.assertEqual(self.accepted(*policies).client.session.cipher, cipher)

    def test_whose_order_counts(self) -> None:
        """The server's order counts, unless it leaves the choice to the client."""
        asking = client(ciphers=f"{AES128}:{AES256}", max_version="1.2")
        for honored, cipher in ((True, AES256), (False, AES128)):
            host = server(ciphers=f"{AES256}:{AES128}", honor_cipher_order=honored)
            self.assertEqual(self.accepted(asking, host).client.session.cipher, cipher)

    def test_nothing_in_common(self) -> None:
        """Sides without a common cipher say so, both of them."""
        for policies in (
            (client(ciphers=AES128, max_version="1.2"), server(ciphers=AES256)),
            (client(ciphers="ECDHE-RSA-AES128-GCM-SHA256", max_version="1.2"), server()),
        ):
            self.assertEqual(self.causes(*policies), ("no-common-cipher", "no-common-cipher"))

    def test_lists_that_name_none(self) -> None:
        """A list that leaves no cipher, or holds what no list can, is refused by its name."""
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

    def test_no_list_lets_anonymous_ciphers_in(self) -> None:
        """Whatever a list says, a cipher without certificate or encryption is not spoken."""
        weak = {"ciphers": "ALL:COMPLEMENTOFALL:@SECLEVEL=0", "max_version": "1.2"}
        for nothing in (
            "ADH-AES128-SHA256",
            "AECDH-AES128-SHA",
            "NULL-SHA256",
            "ECDHE-ECDSA-NULL-SHA",
        ):
            self.assertRaises(
                InvalidOption, build_context, client(ciphers=nothing, security_level=0), Side.CLIENT
            )
        meeting = self.accepted(client(**weak), server(**weak))
        self.assertIsNotNone(meeting.client.session.peer_certificate)
        self.assertGreater(meeting.client.session.bits, 0)

    def test_the_security_level_is_openssl_s(self) -> None:
        """Keys too weak for the level are refused: one's own at once, the peer's in the walk."""
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

    def test_a_level_that_leaves_nothing(self) -> None:
        """A level at which nothing can be offered ends the handshake, and both are told."""
        for level in (4, 5):
            causes = self.causes(client(security_level=level), server())
            self.assertEqual(causes[0], "no-common-cipher")


class OwnCertificateTests(ContextTestCase):
    """local_cert."""

    def test_a_server_needs_one(self) -> None:
        """A server without a certificate is told which option gives one."""
        error: Any = self.assertRaises(InvalidOption, build_context, TLSPolicy(), Side.SERVER)
        self.assertEqual(error.option, "local_cert")
        self.assertIn("SNI_server_certs", str(error))

    def test_files_are_read_at_once(self) -> None:
        """A file that cannot be used is told when the context is built, whoever names it."""
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

    def test_a_certificate_that_openssl_cannot_read(self) -> None:
        """What cryptography reads and OpenSSL does not is refused in our words."""
        path = certificates.written("unread.pem", unread().pem)
        for policy, side, option in (
            (server(local_cert=path), Side.SERVER, "local_cert"),
            (client(cafile=path), Side.CLIENT, "cafile"),
            (server(verify_peer=Verify.YES, cafile=path), Side.SERVER, "cafile"),
        ):
            error: Any = self.assertRaises(BadCertificateFile, build_context, policy, side)
            self.assertEqual((error.option, error.path), (option, path))
            self.assertIn("OpenSSL", str(error))

    def test_keys_of_both_kinds(self) -> None:
        """Certificates with RSA keys and with elliptic curves are shown alike."""
        for kind in ("rsa", "ec"):
            path = certificates.issued("kind.pem", NAME, key=kind)
            for version in ("1.2", "1.3"):
                self.accepted(client(max_version=version), server(local_cert=path))


def unread() -> Issued:
    """A certificate whose subject is no UTF-8, which OpenSSL insists on."""
    made = self_signed(NAME, common_name="x" * 10)
    der = made.certificate.public_bytes(Encoding.DER)
    broken = der.replace(b"\x0c\x0a" + b"x" * 10, b"\x0c\x0a" + b"\xff" * 10)
    return Issued(x509.load_der_x509_certificate(broken), made.key)


class TrustTests(ContextTestCase):
    """cafile, capath and the platform's trust."""

    def test_cafile_replaces_the_platform_s(self) -> None:
        """Only the authorities of the file are trusted, each of them."""
        other = Authority.create("another").pem
        both = certificates.written("both.pem", other + certificates.authority().pem)
        self.accepted(client(cafile=both))
        alone = certificates.written("other.pem", other)
        self.assertEqual(meet(client(cafile=alone)).client.explained().cause, "unknown-issuer")

    def test_the_platform_s_is_the_default(self) -> None:
        """Without either option the tests' own root is not trusted."""
        meeting = meet(TLSPolicy(peer_name=NAME))
        self.assertEqual(meeting.client.explained().cause, "unknown-issuer")

    def test_a_folder_of_authorities(self) -> None:
        """capath is a folder in which OpenSSL finds authorities by the hash of their name."""
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

    def test_clients_are_told_whom_a_server_trusts(self) -> None:
        """A server that asks for certificates says of which authorities."""
        asking = server(verify_peer=Verify.OPTIONAL, cafile=certificates.cafile())
        meeting = self.accepted(None, asking)
        names = meeting.client.conversation.get_client_ca_list(as_cryptography=True)
        self.assertEqual(names, [certificates.authority().certificate.subject])


def _other() -> Authority:
    return Authority.create("another")


class ApplicationProtocolTests(ContextTestCase):
    """alpn_protocols."""

    def agreed(self, theirs: tuple[str, ...], ours: tuple[str, ...]) -> str | None:
        """The protocol that client and server agree on."""
        meeting = self.accepted(client(alpn_protocols=theirs), server(alpn_protocols=ours))
        found = {meeting.client.session.alpn_protocol, meeting.server.session.alpn_protocol}
        self.assertEqual(len(found), 1)
        return found.pop()

    def test_the_server_s_preference_counts(self) -> None:
        """Of the protocols in common, the one that the server names first is spoken."""
        self.assertEqual(self.agreed(("h2", "imap"), ("imap", "h2")), "imap")
        self.assertEqual(self.agreed(("h2", "imap"), ("h2",)), "h2")

    def test_no_protocol_is_no_reason_to_fail(self) -> None:
        """Without an overlap, or without an offer, the handshake goes on and there is none."""
        for theirs, ours in (
            (("h2",), ("imap",)), (("h2",), ()), ((), ("imap",)), ((), ()),
        ):  # fmt: skip
            self.assertIsNone(self.agreed(theirs, ours))


class ServedNameTests(ContextTestCase):
    """SNI_server_certs: a certificate for each name."""

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
        """Which certificate a server shows to who asks for that name."""
        host = server(SNI_server_certs=self.named, local_cert=self.default)
        policy = client(peer_name=name, verify_peer_name=False)
        leaf = self.accepted(policy, host).client.session.peer_certificate
        (found,) = (key for key, made in self.made.items() if made.certificate == leaf)
        return found

    def test_each_name_has_its_own(self) -> None:
        """The exact name comes first, then the wildcard, then local_cert."""
        for name, found in (
            ("a.example", "a.example"), ("A.Example.", "a.example"),
            ("y.b.example", "*.b.example"), ("x.b.example", "x.b.example"),
            ("y.x.b.example", "default"), ("b.example", "default"), ("c.example", "default"),
            ("example", "default"), ("127.0.0.1", "default"), (None, "default"),
        ):  # fmt: skip
            self.assertEqual(self.shown(name), found, name)

    def test_the_rest_of_the_policy_holds_for_all(self) -> None:
        """Versions, protocols and what clients must show are the same for each name."""
        trusting = {"verify_peer": Verify.YES, "cafile": certificates.cafile()}
        host = server(
            SNI_server_certs=self.named, max_version="1.2", alpn_protocols="imap", **trusting
        )
        for name in ("a.example", "y.b.example"):
            asking = {"peer_name": name, "alpn_protocols": "imap"}
            meeting = self.accepted(client(local_cert=certificates.client(), **asking), host)
            self.assertEqual(meeting.server.session.version, "TLSv1.2")
            self.assertEqual(meeting.server.session.alpn_protocol, "imap")
            self.assertIs(meeting.server.session.verified, True)
            self.assertFalse(meet(client(**asking), host).is_secure)

    def test_a_name_without_certificate(self) -> None:
        """A server without local_cert has none for other names, and both sides are told."""
        host = TLSPolicy(SNI_server_certs=self.named)
        for version in ("1.2", "1.3"):
            asking = client(peer_name="c.example", max_version=version)
            self.assertEqual(self.causes(asking, host), ("no-common-cipher", "no-common-cipher"))
            error = meet(asking, host).server.explained()
            self.assertIn("for the name that was asked for", str(error))

    def test_sessions_are_told_apart(self) -> None:
        """The name that was asked for is part of the session on the server."""
        meeting = self.accepted(
            client(peer_name="a.example"), TLSPolicy(SNI_server_certs=self.named)
        )
        self.assertEqual(meeting.server.session.server_name, "a.example")
        self.assertIs(meeting.server.session.resumed, False)


class PlatformTests(SynchronousTestCase):
    """The platform's own trust."""

    def test_a_store_that_cannot_be_read(self) -> None:
        """It is an error of the option that would help, and no crash of OpenSSL's."""

        def broken(context: SSL.Context) -> None:
            raise SSL.Error([("PEM routines", "", "bad base64 decode")])

        self.patch(SSL.Context, "set_default_verify_paths", broken)
        error = self.assertRaises(
            InvalidOption, build_context, TLSPolicy(peer_name="localhost"), Side.CLIENT
        )
        self.assertEqual(error.option, "cafile")
        self.assertIn("bad base64 decode", str(error))
