"""The peer of SSL 2.0 and SSL 3.0 is verified as in TLS: the same causes for the same faults."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from functools import cache
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, meet
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.testing.devcert import Authority
from txtransport.tls.identity import spki_pin
from txtransport.tls.legacy.creator import _trusted
from txtransport.tls.legacy.verification import PeerVerifier

AT_LEISURE: Final = settings(deadline=None)
NOW: Final = datetime.now(timezone.utc)
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
ANY: Final = ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE
DIGITAL, ENCIPHER, AGREE, SIGN = (
    "digital_signature",
    "key_encipherment",
    "key_agreement",
    "crl_sign",
)


@cache
def key(bits: int, number: int = 0) -> rsa.RSAPrivateKey:
    """A key, made once."""
    return _key_of_512_bits() if bits == 512 else rsa.generate_private_key(65537, bits)


def _key_of_512_bits() -> rsa.RSAPrivateKey:
    # cryptography makes none so short any more, and reads them.
    p = 0xFFBDE8BF79C9242BBBC636BC6EECC5FD686340A9030AA57B6B882B519419469B
    q = 0xE2BD238D55B8A09E0056EAEAD5964B02AE120514D38DEABADFA01ABFD0526273
    d = pow(65537, -1, (p - 1) * (q - 1))
    public = rsa.RSAPublicNumbers(65537, p * q)
    parts = rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q)
    return rsa.RSAPrivateNumbers(p, q, d, *parts, public).private_key()


WEAK: Final = {
    "md5": (b"\x04", "3020300c06082a864886f70d020505000410"),
    "sha1": (b"\x05", "3021300906052b0e03021a05000414"),
}
"""Digests that cryptography signs nothing with: the end of the signature's OID, and the
beginning of its DigestInfo (RFC 8017, section 9.2)."""

_SHA256_WITH_RSA: Final = bytes.fromhex("06092a864886f70d01010b")


def weakly_signed(
    certificate: x509.Certificate, signer: rsa.RSAPrivateKey, digest: str
) -> x509.Certificate:
    """The same certificate, its signature made anew with MD5 or SHA-1."""
    number, info = WEAK[digest]
    der = certificate.public_bytes(Encoding.DER)
    weak = der.replace(_SHA256_WITH_RSA, _SHA256_WITH_RSA[:-1] + number)
    size = signer.key_size // 8
    tbs = certificate.tbs_certificate_bytes.replace(
        _SHA256_WITH_RSA, _SHA256_WITH_RSA[:-1] + number
    )
    hashed = bytes.fromhex(info) + hashlib.new(digest, tbs).digest()
    padded = b"\0\x01" + b"\xff" * (size - 3 - len(hashed)) + b"\0" + hashed
    private = signer.private_numbers()
    signature = pow(int.from_bytes(padded, "big"), private.d, private.public_numbers.n)
    return x509.load_der_x509_certificate(weak[:-size] + signature.to_bytes(size, "big"))


def usage(*names: str) -> x509.KeyUsage:
    """A key usage."""
    every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
             "key_agreement", "key_cert_sign", "crl_sign", "encipher_only",
             "decipher_only")  # fmt: skip
    return x509.KeyUsage(**{name: name in names for name in every})


class Made:
    """A certificate and its key.

    Args:
        subject: Its common name.
        by: The issuer; itself by default.
        bits: The size of its RSA key; 0 is a curve.
        digest: That of its signature.
        days: Until it expires.
        names: Its subject alternative names.
        authority: Whether it is one; None leaves the extension out.
        extensions: Others.
    """

    def __init__(
        self,
        subject: str,
        by: Made | None = None,
        *,
        bits: int = 2048,
        number: int = 0,
        digest: str = "sha256",
        days: float = 30,
        begin: float = -1,
        names: Sequence[str] = (NAME,),
        authority: bool | None = False,
        extensions: Sequence[x509.ExtensionType] = (),
    ) -> None:
        self.key: Any = key(bits, number) if bits else ec.generate_private_key(ec.SECP256R1())
        own = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
        issuer: x509.Name = own if by is None else by.certificate.subject
        builder = x509.CertificateBuilder(
            issuer, own, self.key.public_key(), x509.random_serial_number()
        )
        builder = builder.not_valid_before(NOW + timedelta(days=begin))
        builder = builder.not_valid_after(NOW + timedelta(days=days))
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            builder = builder.add_extension(alternative, False)
        if authority is not None:
            builder = builder.add_extension(x509.BasicConstraints(authority, None), True)
        for each in extensions:
            builder = builder.add_extension(each, False)
        signer: Any = self.key if by is None else by.key
        self.certificate: x509.Certificate = builder.sign(signer, hashes.SHA256())
        if digest in WEAK:
            self.certificate = weakly_signed(self.certificate, signer, digest)

    @property
    def der(self) -> bytes:
        """The certificate in DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> bytes:
        """The certificate in PEM."""
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        """The key in PEM."""
        return bytes(self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def root(**keywords: Any) -> Made:
    """A root authority."""
    extensions = [usage("key_cert_sign", SIGN)]
    given_ = {"authority": True, "names": (), "number": 1, "extensions": extensions, **keywords}
    return Made("root", **given_)


def trusting(*authorities: Made, **options: Any) -> TLSPolicy:
    """A policy that trusts authorities."""
    pem = b"".join(each.pem for each in authorities) or certificates.authority().pem
    cafile = certificates.written(f"trusted-{hash(pem)}.pem", pem)
    return TLSPolicy(**{"cafile": cafile, "peer_name": NAME, **options})


def verifier(policy: TLSPolicy, side: Side = Side.CLIENT) -> PeerVerifier:
    """What decides in one handshake."""
    return PeerVerifier(policy, side, _trusted(policy, side)[0])


def causes(policy: TLSPolicy, *chain: Made, side: Side = Side.CLIENT) -> list[str]:
    """What is wrong with a chain; nothing if it is accepted."""
    judge = verifier(policy, side)
    is_good = judge(tuple(each.der for each in chain))
    assert is_good is not bool(judge.verification.problems)
    return [problem.diagnosis.cause for problem in judge.verification.problems]


class SameAsTLSTests(SynchronousTestCase):
    """Each chain is shown to OpenSSL in a handshake of TLS as well."""

    def same(self, what: str, policy: TLSPolicy, *chain: Made) -> str:
        """Assert that both say the same; the cause, or nothing."""
        own = b"".join(each.pem for each in chain) + chain[0].key_pem
        path = certificates.written(f"chain-{abs(hash(own))}.pem", own)
        # Level 0 of the server's, so that it shows anything. The client's own level counts.
        met = meet(policy, TLSPolicy(local_cert=path, security_level=0))
        tls = met.client.explained().cause if met.client.error is not None else ""
        found = causes(policy, *chain)
        self.assertEqual("".join(found[:1]), tls, (what, found))
        return tls

    def test_good_chains_are_accepted(self) -> None:
        """What TLS accepts is accepted: with an authority between, without usages, a curve."""
        top = root()
        between = Made("between", top, number=2, authority=True, names=())
        for what, chain in {
            "a leaf": [Made("leaf", top)],
            "an authority between": [Made("leaf", between), between],
            "the wrong order": [Made("leaf", between), top, between],
            "all usages": [Made("leaf", top, extensions=[usage(DIGITAL, ENCIPHER),
                                                        x509.ExtendedKeyUsage([CLIENT, SERVER])])],
            "no constraints at the leaf": [Made("leaf", top, authority=None)],
            "a leaf of a curve": [Made("leaf", top, bits=0)],
        }.items():  # fmt: skip
            self.assertEqual(self.same(what, trusting(top), *chain), "")

    def test_bad_chains_have_the_cause_of_tls(self) -> None:
        """What TLS refuses is refused, and for the same cause."""
        top, other = root(), root(number=3)
        between = Made("between", top, number=2, authority=True, names=())
        no_authority = Made("between", top, number=2, authority=False, names=())
        late = Made("between", top, number=2, authority=True, names=(), days=-0.5)
        clients = Made("between", top, number=2, authority=True, names=(),
                       extensions=[x509.ExtendedKeyUsage([CLIENT])])  # fmt: skip
        forbidden = Made("between", top, number=2, authority=True, names=(), extensions=[
            x509.NameConstraints(None, [x509.DNSName("example")])])  # fmt: skip
        for what, chain in {
            "another authority": [Made("leaf", other)],
            "self-signed": [Made("leaf", number=4)],
            "an unknown root": [Made("leaf", other), other],
            "the one between is missing": [Made("leaf", between)],
            "it is no authority": [Made("leaf", no_authority), no_authority],
            "expired": [Made("leaf", top, days=-0.5)],
            "not valid yet": [Made("leaf", top, begin=1)],
            "an expired authority": [Made("leaf", late), late],
            "another name": [Made("leaf", top, names=["other.example"])],
            "no name": [Made("leaf", top, names=())],
            "for clients": [Made("leaf", top, extensions=[x509.ExtendedKeyUsage([CLIENT])])],
            "for anything": [Made("leaf", top, extensions=[x509.ExtendedKeyUsage([ANY])])],
            "an authority for clients": [Made("leaf", clients), clients],
            "a key for lists alone": [Made("leaf", top, extensions=[usage(SIGN)])],
            "a short key": [Made("leaf", top, bits=1024)],
            "a weak digest": [Made("leaf", top, digest="sha1")],
            "a weaker digest": [Made("leaf", top, digest="md5")],
            "a forbidden name": [Made("leaf", forbidden), forbidden],
        }.items():  # fmt: skip
            self.assertNotEqual(self.same(what, trusting(top), *chain), "", what)
        short = root(bits=1024)
        self.same("an authority with a short key", trusting(short), Made("leaf", short))

    def test_depth(self) -> None:
        """verify_depth counts the authorities between leaf and root, as in TLS."""
        top = root()
        first = Made("first", top, number=2, authority=True, names=())
        second = Made("second", first, number=3, authority=True, names=())
        for chain, depth in itertools.product(
            ([Made("leaf", top)], [Made("leaf", first), first],
             [Made("leaf", second), second, first]),
            range(3),
        ):  # fmt: skip
            self.same(f"{len(chain)} at {depth}", trusting(top, verify_depth=depth), *chain)

    def test_what_may_be_for_a_handshake(self) -> None:
        """Every key usage, alone, is judged as in TLS."""
        top = root()
        for name in (DIGITAL, ENCIPHER, AGREE, SIGN, "content_commitment", "data_encipherment"):
            self.same(name, trusting(top), Made("leaf", top, extensions=[usage(name)]))

    def test_the_type_of_netscape(self) -> None:
        """Certificates of the nineties say by nsCertType what they are for."""
        top = root()
        for bits in (0x80, 0x40, 0xC0, 0x20, 0x04, 0x00):
            extension = x509.UnrecognizedExtension(
                x509.ObjectIdentifier("2.16.840.1.113730.1.1"), bytes([3, 2, 0, bits])
            )
            self.same(f"{bits:x}", trusting(top), Made("leaf", top, extensions=[extension]))
            between = Made(
                "between", top, number=2, authority=True, names=(), extensions=[extension]
            )
            self.same(f"above {bits:x}", trusting(top), Made("leaf", between), between)

    def test_options(self) -> None:
        """What options let pass, or refuse, is what they do in TLS."""
        top, alone = root(), Made("leaf", number=4)
        late = Made("leaf", number=4, days=-0.5)
        good = Made("leaf", top)
        fingerprint = alone.certificate.fingerprint(hashes.SHA256()).hex()
        pin = spki_pin(top.certificate)
        for what, policy, leaf in (
            ("self-signed, allowed", trusting(top, allow_self_signed=True), alone),
            ("self-signed and late", trusting(top, allow_self_signed=True), late),
            ("unknown, self-signed allowed", trusting(alone, allow_self_signed=True), good),
            ("its own authority", trusting(alone), alone),
            ("not verified", trusting(top, verify_peer=Verify.NO), alone),
            ("not verified, wrong name",
             trusting(top, verify_peer=Verify.NO, peer_name="x.example"), alone),
            ("no name", trusting(top, verify_peer_name=False, peer_name="x.example"), good),
            ("fingerprint", trusting(top, verify_peer=Verify.NO, verify_peer_name=False,
                                     peer_fingerprint=(fingerprint,)), alone),
            ("another fingerprint", trusting(top, peer_fingerprint=(fingerprint,)), good),
            ("pin of the root", trusting(top, pin=(pin,)), good),
            ("pin of another", trusting(top, pin=(spki_pin(alone.certificate),)), good),
            ("pin of an untrusted root",
             trusting(top, verify_peer=Verify.NO, verify_peer_name=False, pin=(pin,)), alone),
            ("strict", trusting(top, x509_strict=True), good),
        ):  # fmt: skip
            self.same(what, policy, leaf)

    def test_revocation(self) -> None:
        """A list is looked into, and one that is missing is a refusal, as in TLS."""
        authority = Authority.create("revoking")
        good, bad = (authority.issue(NAME) for _ in range(2))
        other = Authority.create("other").revocation_list()
        written = certificates.written
        trusted = written("revoking.pem", authority.pem)
        own = written("own.crl", authority.revocation_list(bad.certificate))
        others = written("others.crl", other)
        for issued_, crl in itertools.product((good, bad), (own, others)):
            policy = TLSPolicy(cafile=trusted, crl=crl, peer_name=NAME)
            path = written("revoked.pem", issued_.pem)
            met = meet(policy, TLSPolicy(local_cert=path))
            tls = [met.client.explained().cause] if met.client.error is not None else []
            judge = verifier(policy)
            judge((issued_.certificate.public_bytes(Encoding.DER),))
            found = [each.diagnosis.cause for each in judge.verification.problems]
            self.assertEqual(found, tls)


class StrengthTests(SynchronousTestCase):
    """Weak certificates, which such devices have."""

    def test_level_0_lets_them_pass(self) -> None:
        """With security_level=0 a short key and a weak digest pass, and nothing else does."""
        top = root(bits=1024)
        weak = Made("leaf", top, bits=1024, digest="sha1")
        self.assertEqual(causes(trusting(top), weak)[:1], ["other"])
        self.assertEqual(causes(trusting(top, security_level=0), weak), [])
        late = Made("leaf", top, bits=1024, days=-0.5)
        self.assertEqual(causes(trusting(top, security_level=0), late), ["expired"])

    def test_each_weakness_is_told(self) -> None:
        """Key and digest are told, in the words and with the numbers of OpenSSL."""
        top = root()
        judge = verifier(trusting(top))
        judge((Made("leaf", top, bits=1024, digest="sha1").der,))
        self.assertEqual([each.code for each in judge.verification.problems], [66, 68])

    def test_a_refused_device_can_be_pinned(self) -> None:
        """What the remedy says accepts the device's certificate, whatever is wrong with it."""
        top, other = root(bits=1024), root(number=7)
        for leaf in (
            Made("device", bits=1024, digest="sha1", names=(), authority=None),
            Made("device", bits=512, digest="md5", names=(), authority=None),
            Made("device", top, bits=1024, names=(), days=-1),
            Made("device", other, names=["192.168.0.1"], begin=20),
        ):
            judge = verifier(trusting())
            self.assertFalse(judge((leaf.der,)))
            remedy = judge.verification.problems[0].diagnosis.remedy
            query = remedy.rpartition(" ")[2]
            options = dict(each.split("=") for each in query.split("&"))
            self.assertEqual(
                options,
                {
                    "verify_peer": "no",
                    "verify_peer_name": "no",
                    "peer_fingerprint": leaf.certificate.fingerprint(hashes.SHA256()).hex(),
                },
            )
            pinned = trusting(
                verify_peer=Verify.NO,
                verify_peer_name=False,
                peer_fingerprint=(options["peer_fingerprint"],),
            )
            self.assertEqual(causes(pinned, leaf), [])
            self.assertEqual(causes(pinned, Made("another", bits=1024)), ["fingerprint"])

    def test_a_changed_certificate_has_no_such_remedy(self) -> None:
        """Who has pinned one certificate is not told to accept another."""
        judge = verifier(trusting(peer_fingerprint=("ab" * 32,), verify_peer=Verify.NO,
                                  verify_peer_name=False))  # fmt: skip
        judge((Made("device").der,))
        self.assertNotIn("&", judge.verification.problems[0].diagnosis.remedy)


class ServerTests(SynchronousTestCase):
    """A server's clients."""

    def test_a_missing_certificate(self) -> None:
        """Only a server that demands one refuses a client without."""
        for mode, is_good in ((Verify.NO, True), (Verify.OPTIONAL, True), (Verify.YES, False)):
            judge = verifier(trusting(peer_name=None, verify_peer=mode), Side.SERVER)
            self.assertIs(judge(()), is_good)
            self.assertIs(judge.is_missing, not is_good)

    def test_a_client_is_no_server(self) -> None:
        """A client's certificate must be for clients."""
        top = root()
        policy = trusting(top, peer_name=None, verify_peer=Verify.YES)
        for usages, found in (([CLIENT], []), ([SERVER], ["wrong-purpose"]), ([], [])):
            extensions = [x509.ExtendedKeyUsage(usages)] if usages else []
            leaf = Made("client", top, names=(), extensions=extensions)
            self.assertEqual(causes(policy, leaf, side=Side.SERVER), found)
        leaf = Made("client", top, names=(), extensions=[usage(ENCIPHER)])
        self.assertEqual(causes(policy, leaf, side=Side.SERVER), ["wrong-purpose"])

    def test_a_weak_client_can_be_pinned(self) -> None:
        """The remedy names the level and the pin, which together accept it."""
        top = root()
        leaf = Made("client", top, bits=1024, names=())
        policy = trusting(top, peer_name=None, verify_peer=Verify.YES)
        judge = verifier(policy, Side.SERVER)
        judge((leaf.der,))
        pin = spki_pin(leaf.certificate)
        remedy = judge.verification.problems[0].diagnosis.remedy
        self.assertIn(f"security_level=0&pin={pin} accepts it", remedy)
        pinned = trusting(top, peer_name=None, verify_peer=Verify.YES, security_level=0, pin=(pin,))
        self.assertEqual(causes(pinned, leaf, side=Side.SERVER), [])


class HostileTests(SynchronousTestCase):
    """What is not a certificate, or hardly one."""

    def test_what_cannot_be_read_is_refused(self) -> None:
        """Certificates that a parser refuses, or reads in part, are no exception and no yes."""
        for what, certificate in certificates.hostile():
            judge = verifier(trusting())
            self.assertFalse(judge((certificate.public_bytes(Encoding.DER),)), what)
            self.assertTrue(judge.verification.problems, what)

    @AT_LEISURE
    @given(st.lists(st.binary(max_size=64), min_size=1, max_size=4))
    def test_any_bytes_are_refused(self, chain: list[bytes]) -> None:
        """Whatever stands where certificates should, the answer is no."""
        self.assertFalse(verifier(trusting())(tuple(chain)))

    @AT_LEISURE
    @given(st.integers(0, 2000), st.integers(0, 7))
    def test_a_changed_bit_is_refused(self, place: int, bit: int) -> None:
        """A good certificate in which one bit was changed is refused."""
        made = _good()
        changed = bytearray(made.der)
        changed[place % len(changed)] ^= 1 << bit
        judge = verifier(_trusting_good())
        self.assertTrue(judge((made.der,)))
        self.assertFalse(verifier(_trusting_good())((bytes(changed),)))

    def test_a_chain_of_a_thousand_ends(self) -> None:
        """A peer that sends a great many certificates is judged all the same."""
        made = _good()
        others = tuple(Made("between", number=2, names=()).der for _ in range(3)) * 300
        self.assertTrue(verifier(_trusting_good())((made.der, *others)))

    def test_no_store_trusts_nobody(self) -> None:
        """Without authorities nobody is trusted, rather than everybody."""
        judge = PeerVerifier(trusting(), Side.CLIENT, _trusted(
            TLSPolicy(verify_peer=Verify.NO), Side.SERVER)[0])  # fmt: skip
        self.assertFalse(judge((_good().der,)))
        self.assertIsInstance(judge.verification.problems[0].code, int)
        self.assertTrue(issubclass(SSL.Error, Exception))


@cache
def _root() -> Made:
    return root()


@cache
def _good() -> Made:
    return Made("leaf", _root())


@cache
def _trusting_good() -> TLSPolicy:
    return trusting(_root())
