"""Channel bindings: the same at both ends, and as others compute them, or an error."""

from __future__ import annotations

import gc
import hashlib
import ssl
from typing import Any, Final, cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, End, Meeting, arranged, client, meet, server
from txtransport.config.policy import Side
from txtransport.errors import NoChannelBinding
from txtransport.testing.devcert import self_signed
from txtransport.tls.channel_binding import CHANNEL_BINDINGS, end_point_digest
from txtransport.tls.connection import TLSConnection
from txtransport.tls.creator import ConnectionCreator, connection_creator
from txtransport.tls.session import Session

EXPORTER: Final = "tls-exporter"
UNIQUE: Final = "tls-unique"
END_POINT: Final = "tls-server-end-point"


def of(*ends: End) -> set[bytes]:
    """The tls-unique of some ends."""
    return {end.session.channel_binding(UNIQUE) for end in ends}


class PythonEnd:
    """The other end of a handshake in memory: Python's ``ssl``.

    Args:
        side: Which end it is.
        context: Of Python's.
    """

    def __init__(self, side: Side, context: ssl.SSLContext, session: Any = None) -> None:
        self._given, self._made = ssl.MemoryBIO(), ssl.MemoryBIO()
        is_server = side is Side.SERVER
        self.object: ssl.SSLObject = context.wrap_bio(
            self._given, self._made, is_server, None if is_server else NAME, session
        )

    def hear(self, data: bytes) -> bytes:
        """Process bytes of the peer; return the bytes to send."""
        self._given.write(data)
        try:
            self.object.do_handshake()
            self.object.read(1)
        except ssl.SSLWantReadError:
            pass
        return self._made.read()

    def shake(self, end: End) -> None:
        """Shake hands with an end of ours."""
        said = b""
        for _ in range(10):
            said = self.hear(end.hear(said))


class BindingTests(SynchronousTestCase):
    """Both ends of a connection of ours."""

    def refused(self, session: Session, kind: str) -> str:
        """Why there is no binding."""
        error = self.assertRaises(NoChannelBinding, session.channel_binding, kind)
        self.assertEqual((error.kind, error.cause), (kind, "no-channel-binding"))
        return str(error)

    def resumed(self, version: str) -> tuple[Meeting, Meeting]:
        """A first connection, and one that resumes its session."""
        of_client = connection_creator(client(max_version=version), Side.CLIENT, "peer")
        of_server = connection_creator(server(), Side.SERVER)
        first = meet(of_client, of_server)
        first.part()
        again = meet(of_client, of_server)
        self.assertTrue(again.client.session.resumed and again.server.session.resumed)
        return first, again

    def test_both_ends_have_the_same_and_each_connection_another(self) -> None:
        """Also where a session is resumed, where tls-unique is the server's Finished."""
        for version, kind, size in (("1.3", EXPORTER, 32), ("1.2", UNIQUE, 12)):
            seen = set()
            for meeting in self.resumed(version):
                bindings = {
                    end.session.channel_binding(kind) for end in (meeting.client, meeting.server)
                }
                self.assertEqual([len(each) for each in bindings], [size])
                seen |= bindings
            self.assertEqual(len(seen), 2)

    def test_tls_unique_is_the_first_finished_message(self) -> None:
        """The client's of a full handshake, the server's of a resumed one (RFC 5929, 3.1)."""
        first, again = self.resumed("1.2")
        self.assertEqual(of(first.server), {first.client.conversation.get_finished()})
        self.assertEqual(of(again.client), {again.server.conversation.get_finished()})

    def test_a_type_of_another_version_is_an_error(self) -> None:
        """There is no binding then, not an empty one, and the error says which type to use."""
        old, new = meet(client(max_version="1.2")), meet()
        for end in (old.client, old.server):
            self.assertIn("under TLSv1.2", self.refused(end.session, EXPORTER))
        for end in (new.client, new.server):
            self.assertIn("not defined for TLSv1.3", self.refused(end.session, UNIQUE))

    def test_an_unknown_type_is_an_error(self) -> None:
        """The error says which there are, and shows what was asked for escaped."""
        for kind in ("tls-exporters", "", "TLS-EXPORTER", "\x1b[2J" * 99):
            meeting = meet()
            text = self.refused(meeting.client.session, kind)
            self.assertIn("write one of tls-exporter, tls-unique, tls-server-end-point", text)
            self.assertTrue(text.isprintable())
            self.assertLess(len(text), 250)

    def test_the_end_point_is_the_certificate_of_the_name(self) -> None:
        """A server of several names binds the certificate that it has shown."""
        other = certificates.issued("bound.pem", "bound.example")
        serving = server(local_cert=certificates.site(), SNI_server_certs={"bound.example": other})
        seen = set()
        for name in (NAME, "bound.example"):
            for version in ("1.2", "1.3"):
                meeting = meet(client(peer_name=name, max_version=version), serving)
                leaf = meeting.client.session.peer_certificate
                assert leaf is not None
                expected = hashlib.sha256(leaf.public_bytes(Encoding.DER)).digest()
                for end in (meeting.client, meeting.server):
                    self.assertEqual(end.session.channel_binding(END_POINT), expected)
                seen.add(expected)
        self.assertEqual(len(seen), 2)

    def test_a_resumed_session_is_bound_to_the_same_end_point(self) -> None:
        """The server's certificate is that of the first connection."""
        for version in ("1.2", "1.3"):
            ends = [end for meeting in self.resumed(version)
                    for end in (meeting.client, meeting.server)]  # fmt: skip
            self.assertEqual(len({end.session.channel_binding(END_POINT) for end in ends}), 1)

    def test_a_connection_that_is_over_has_none(self) -> None:
        """A session may be kept; it keeps no connection."""
        session = meet().client.session
        gc.collect()
        for kind in CHANNEL_BINDINGS:
            self.assertIn("the connection is over", self.refused(session, kind))

    def test_a_connection_of_others_has_what_can_be_told(self) -> None:
        """The exporter, but nothing for which the end or a resumption would be guessed."""
        for version, kinds in (("1.3", (END_POINT,)), ("1.2", (END_POINT, UNIQUE))):
            meeting = arranged(client(max_version=version))
            context = SSL.Context(SSL.TLS_CLIENT_METHOD)
            context.set_max_proto_version(
                SSL.TLS1_2_VERSION if version == "1.2" else SSL.TLS1_3_VERSION
            )
            theirs = SSL.Connection(context, None)
            theirs.set_connect_state()
            meeting.client.conversation = cast(TLSConnection, theirs)
            meeting.go_on()
            for kind in kinds:
                self.assertIn("did not make", self.refused(meeting.client.session, kind))
            if version == "1.3":
                ends = (meeting.client, meeting.server)
                self.assertEqual(len({end.session.channel_binding(EXPORTER) for end in ends}), 1)


class PythonTests(SynchronousTestCase):
    """What Python's ``ssl`` computes, which knows tls-unique alone."""

    def made(self, side: Side) -> ConnectionCreator:
        """Our end, under TLS 1.2."""
        policy = client(max_version="1.2") if side is Side.CLIENT else server(max_version="1.2")
        return connection_creator(policy, side, "python")

    def context(self, side: Side) -> ssl.SSLContext:
        """Python's end."""
        if side is Side.SERVER:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificates.site())
        else:
            context = ssl.create_default_context(cafile=certificates.cafile())
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context

    def assert_same(self, end: End, python: PythonEnd) -> bytes:
        """Both have the same tls-unique, which is returned."""
        python.shake(end)
        (ours,) = of(end)
        self.assertEqual(ours, python.object.get_channel_binding(UNIQUE))
        return ours

    def test_python_s_server_has_the_same(self) -> None:
        """Of a full handshake and of a resumed session."""
        made, context = self.made(Side.CLIENT), self.context(Side.SERVER)
        first = End.of(made)
        before = self.assert_same(first, PythonEnd(Side.SERVER, context))
        first.goodbye()
        made.ended(first.conversation)
        again = End.of(made)
        self.assertNotEqual(self.assert_same(again, PythonEnd(Side.SERVER, context)), before)
        self.assertTrue(again.session.resumed)

    def test_python_s_client_has_the_same(self) -> None:
        """Likewise."""
        made, context = self.made(Side.SERVER), self.context(Side.CLIENT)
        python = PythonEnd(Side.CLIENT, context)
        self.assert_same(End.of(made), python)
        again = End.of(made)
        self.assert_same(again, PythonEnd(Side.CLIENT, context, python.object.session))
        self.assertTrue(again.session.resumed)


class DigestTests(SynchronousTestCase):
    """The digest of a certificate (RFC 5929, section 4.1)."""

    def signed(self, key: Any, algorithm: Any, **options: Any) -> bytes:
        """A certificate whose signature is of that kind, in DER."""
        made = self_signed(NAME).certificate
        builder = x509.CertificateBuilder(
            made.issuer, made.subject, made.public_key(), made.serial_number,
            made.not_valid_before_utc, made.not_valid_after_utc,
        )  # fmt: skip
        return builder.sign(key, algorithm, **options).public_bytes(Encoding.DER)

    def test_it_is_that_of_the_signature(self) -> None:
        """Whatever the key; of RSA-PSS, the one in its parameters."""
        rsa_key = rsa.generate_private_key(65537, 2048)
        pss = padding.PSS(padding.MGF1(hashes.SHA512()), 32)
        for name, der in (
            ("sha256", self.signed(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())),
            ("sha384", self.signed(ec.generate_private_key(ec.SECP384R1()), hashes.SHA384())),
            ("sha512", self.signed(rsa_key, hashes.SHA512())),
            ("sha224", self.signed(rsa_key, hashes.SHA224())),
            ("sha3_256", self.signed(rsa_key, hashes.SHA3_256())),
            ("sha512", self.signed(rsa_key, hashes.SHA512(), rsa_padding=pss)),
        ):
            self.assertEqual(end_point_digest(der), hashlib.new(name, der).digest(), name)

    def test_sha_256_is_taken_for_md5_and_sha_1(self) -> None:
        """These are broken, and no two certificates may have one binding."""
        der = self.signed(rsa.generate_private_key(65537, 2048), hashes.SHA256())
        sha256 = bytes.fromhex("06092a864886f70d01010b")
        for algorithm in ("06092a864886f70d010104", "06092a864886f70d010105"):  # MD5, SHA-1
            old = der.replace(sha256, bytes.fromhex(algorithm))
            self.assertNotEqual(old, der)
            self.assertEqual(end_point_digest(old), hashlib.sha256(old).digest())

    def test_a_signature_without_a_digest_has_no_binding(self) -> None:
        """Ed25519 and Ed448 name none, and of an unknown algorithm none is guessed."""
        unknown = self.signed(rsa.generate_private_key(65537, 2048), hashes.SHA256()).replace(
            bytes.fromhex("06092a864886f70d01010b"), bytes.fromhex("06092a864886f70d01017b")
        )
        for der in (
            self.signed(ed25519.Ed25519PrivateKey.generate(), None),
            self.signed(ed448.Ed448PrivateKey.generate(), None),
            unknown,
        ):
            error = self.assertRaises(NoChannelBinding, end_point_digest, der)
            self.assertIn("Ed25519", str(error))
