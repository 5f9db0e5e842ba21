"""The handshake's messages, its hashes and the derivation of keys, by tlslite-ng.

This is the only module that imports tlslite-ng, an extra (``txtransport[legacy]``). What it
parses becomes a value of ours here; whatever it raises becomes a `SSL3Fault`. A message is
always whole: its type, its length in three bytes, and as many bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from itertools import islice
from typing import Any, Final

from attrs import frozen
from tlslite.constants import ExtensionType
from tlslite.extensions import RenegotiationInfoExtension
from tlslite.handshakehashes import HandshakeHashes
from tlslite.mathtls import FFDHE2048, calc_key
from tlslite.messages import (
    CertificateRequest,
    CertificateVerify,
    ClientHello,
    ClientKeyExchange,
    Finished,
    ServerHello,
    ServerHelloDone,
    ServerKeyExchange,
)
from tlslite.utils.codec import Parser, Writer
from tlslite.utils.python_rsakey import Python_RSAKey

from txtransport.config.policy import Side
from txtransport.tls.legacy.ssl3_fault import Alert, SSL3Fault
from txtransport.tls.legacy.ssl3_records import DirectionKeys
from txtransport.tls.legacy.ssl3_suites import KeyExchange, Suite

__all__ = [
    "DH_GROUP",
    "MESSAGE_HEADER",
    "RENEGOTIATION_INFO",
    "SSL3",
    "ClientOffer",
    "DHShare",
    "ECDHShare",
    "MessageType",
    "ServerChoice",
    "SignedShare",
    "Transcript",
    "certificate_request",
    "certificate_verify",
    "certificates",
    "client_hello",
    "client_key_exchange",
    "finished",
    "key_block",
    "master_secret",
    "raw_signature",
    "read_certificate_request",
    "read_certificate_verify",
    "read_certificates",
    "read_client_hello",
    "read_client_key_exchange",
    "read_finished",
    "read_server_hello",
    "read_server_hello_done",
    "read_server_key_exchange",
    "server_hello",
    "server_hello_done",
    "server_key_exchange",
]

SSL3: Final = (3, 0)
"""The version, as the wire has it."""

MESSAGE_HEADER: Final = 4
"""The bytes of a message's header: type and length."""

DH_GROUP: Final[tuple[int, int]] = FFDHE2048
"""Our generator and prime for DHE: 2048 bits (RFC 7919, appendix A.1)."""

_RENEGOTIATION_SCSV: Final = 0x00FF
"""Among a client's suites: it knows of secure renegotiation (RFC 5746, section 3.3)."""

_RSA_SIGN: Final = 1

RENEGOTIATION_INFO: Final[int] = ExtensionType.renegotiation_info
"""The number of the extension for secure renegotiation (RFC 5746, section 3.2)."""


class MessageType(IntEnum):
    """The first byte of a handshake message (RFC 6101, section 5.6)."""

    HELLO_REQUEST = 0
    CLIENT_HELLO = 1
    SERVER_HELLO = 2
    CERTIFICATE = 11
    SERVER_KEY_EXCHANGE = 12
    CERTIFICATE_REQUEST = 13
    SERVER_HELLO_DONE = 14
    CERTIFICATE_VERIFY = 15
    CLIENT_KEY_EXCHANGE = 16
    FINISHED = 20


# --- the two hellos ---------------------------------------------------------------


@frozen
class ClientOffer:
    """What a client offers.

    Attributes:
        version: The newest version that it speaks.
        random: Its 32 random bytes.
        suites: The numbers of its suites, the preferred first.
        compressions: The numbers of its compressions.
        versions: All its versions, if it says so (RFC 8446, section 4.2.1).
        groups: The numbers of its elliptic curves, if it names some.
        is_renegotiation_known: Whether it knows of secure renegotiation.
    """

    version: tuple[int, int]
    random: bytes
    suites: tuple[int, ...]
    compressions: tuple[int, ...]
    versions: tuple[tuple[int, int], ...] | None
    groups: tuple[int, ...] | None
    is_renegotiation_known: bool


@frozen
class ServerChoice:
    """What a server has chosen.

    Attributes:
        version: The version.
        random: Its 32 random bytes.
        suite: The suite's number.
        compression: The compression's number.
        extensions: The numbers of its extensions.
    """

    version: tuple[int, int]
    random: bytes
    suite: int
    compression: int
    extensions: tuple[int, ...]


def client_hello(random: bytes, suites: tuple[Suite, ...]) -> bytes:
    """Our ClientHello: SSL 3.0 alone, no session, no compression, no extensions.

    It says that we know of secure renegotiation, so that a server which knows of it too
    refuses to go on with a handshake that someone else has begun (CVE-2009-3555). It has no
    TLS_FALLBACK_SCSV (RFC 7507), which is for clients that speak something newer as well.

    Args:
        random: 32 bytes.
        suites: What we offer, the preferred first.
    """
    numbers = [suite.number for suite in suites]
    hello = ClientHello()
    hello.create(SSL3, bytearray(random), bytearray(), [*numbers, _RENEGOTIATION_SCSV])
    return bytes(hello.write())


def read_client_hello(message: bytes, *, is_ssl2: bool) -> ClientOffer:
    """What a client offers.

    Args:
        message: The ClientHello.
        is_ssl2: Whether it has SSL 2.0's form, in which old clients offer SSL 3.0 as well
            (RFC 6101, appendix E.1).

    Raises:
        SSL3Fault: It is malformed, or not the first handshake of the connection.
    """
    hello = _read(ClientHello(ssl2=is_ssl2), message)
    versions = _extension(hello, ExtensionType.supported_versions)
    groups = _extension(hello, ExtensionType.supported_groups)
    return ClientOffer(
        hello.client_version,
        bytes(hello.random),
        tuple(hello.cipher_suites),
        tuple(hello.compression_methods),
        None if versions is None else tuple(versions.versions or ()),
        None if groups is None else tuple(groups.groups or ()),
        _RENEGOTIATION_SCSV in hello.cipher_suites or _is_first_handshake(hello),
    )


def server_hello(random: bytes, suite: Suite, *, is_renegotiation_known: bool) -> bytes:
    """Our ServerHello: no session that could be resumed, and no compression.

    Args:
        random: 32 bytes.
        suite: The suite.
        is_renegotiation_known: Whether the client knows of secure renegotiation, and so is
            told that we do (RFC 5746, section 3.6).
    """
    extensions = [RenegotiationInfoExtension().create(bytearray())]
    hello = ServerHello()
    hello.create(
        SSL3,
        bytearray(random),
        bytearray(),
        suite.number,
        extensions=extensions if is_renegotiation_known else None,
    )
    return bytes(hello.write())


def read_server_hello(message: bytes) -> ServerChoice:
    """What a server has chosen.

    Args:
        message: The ServerHello.

    Raises:
        SSL3Fault: It is malformed, or goes on with a handshake that was not ours.
    """
    hello = _read(ServerHello(), message)
    _is_first_handshake(hello)
    return ServerChoice(
        hello.server_version,
        bytes(hello.random),
        hello.cipher_suite,
        hello.compression_method,
        tuple(extension.extType for extension in hello.extensions or ()),
    )


def _is_first_handshake(hello: Any) -> bool:
    """Whether the peer says by an extension that this handshake is the first (RFC 5746)."""
    found = _extension(hello, ExtensionType.renegotiation_info)
    if found is not None and found.renegotiated_connection != bytearray():
        raise SSL3Fault("renegotiation mismatch", Alert.HANDSHAKE_FAILURE)
    return found is not None


def _extension(hello: Any, number: int) -> Any:
    """An extension of a hello, or None; of several the first."""
    extensions = hello.extensions or ()
    return next((extension for extension in extensions if extension.extType == number), None)


# --- certificates -----------------------------------------------------------------


def certificates(chain: tuple[bytes, ...]) -> bytes:
    """A Certificate message.

    Args:
        chain: The certificates in DER, leaf first.
    """
    entries, message = Writer(), Writer()
    for certificate in chain:
        entries.addVarSeq(bytearray(certificate), 1, 3)
    message.addVarSeq(entries.bytes, 1, 3)
    return _message(MessageType.CERTIFICATE, bytes(message.bytes))


def read_certificates(message: bytes) -> tuple[bytes, ...]:
    """The certificates of a Certificate message, in DER; not parsed.

    Args:
        message: The message.

    Raises:
        SSL3Fault: It is malformed.
    """
    return _read(_CertificateList(), message).chain  # type: ignore[no-any-return]


_MAX_CERTIFICATES: Final = 100


class _CertificateList:
    """A Certificate message: tlslite's own would parse the certificates, which OpenSSL does."""

    chain: tuple[bytes, ...] = ()

    def parse(self, parser: Any) -> None:
        parser.startLengthCheck(3)
        entries = Parser(parser.getVarBytes(3))
        parser.stopLengthCheck()
        chain = []
        while entries.getRemainingLength():
            chain.append(bytes(entries.getVarBytes(3)))
        if not all(chain) or len(chain) > _MAX_CERTIFICATES:
            raise ValueError("an empty certificate, or too many")
        self.chain = tuple(chain)


def certificate_request(authorities: tuple[bytes, ...]) -> bytes:
    """Asks a client for a certificate with an RSA key.

    Args:
        authorities: The names of the authorities that may have issued it, in DER. If they
            are too many for a message, none is sent, and the client chooses by itself.
    """
    if sum(len(name) + 2 for name in authorities) > _MAX_AUTHORITIES:
        authorities = ()
    request = CertificateRequest(SSL3).create([_RSA_SIGN], [bytearray(a) for a in authorities])
    return bytes(request.write())


_MAX_AUTHORITIES: Final = 2**16 - 1
"""Bytes."""


def read_certificate_request(message: bytes) -> bool:
    """Whether a certificate with an RSA key is among what the server asks for.

    Args:
        message: The CertificateRequest.

    Raises:
        SSL3Fault: It is malformed.
    """
    return _RSA_SIGN in _read(CertificateRequest(SSL3), message).certificate_types


def certificate_verify(signature: bytes) -> bytes:
    """Proves that we have our certificate's key.

    Args:
        signature: Of the handshake's hash.
    """
    return bytes(CertificateVerify(SSL3).create(bytearray(signature)).write())


def read_certificate_verify(message: bytes) -> bytes:
    """The signature of a CertificateVerify.

    Args:
        message: The message.

    Raises:
        SSL3Fault: It is malformed.
    """
    return bytes(_read(CertificateVerify(SSL3), message).signature)


def raw_signature(key: tuple[int, int, int, int, int, int, int, int], digest: bytes) -> bytes:
    """A PKCS #1 signature of a hash without its name, as SSL 3.0 wants it.

    For versions of `cryptography` that do not have this (before 47). It is computed in pure
    Python, with blinding.

    Args:
        key: The private key's n, e, d, p, q, d mod (p - 1), d mod (q - 1), q^-1 mod p.
        digest: What is signed.
    """
    return bytes(Python_RSAKey(*key).sign(bytearray(digest), padding="pkcs1", hashAlg=None))


# --- the key exchange -------------------------------------------------------------


@frozen
class DHShare:
    """A server's half of a Diffie-Hellman key exchange.

    Attributes:
        generator: The group's generator.
        prime: The group's prime.
        public: The server's public value.
    """

    generator: int
    prime: int
    public: int


@frozen
class ECDHShare:
    """A server's half of a key exchange on an elliptic curve.

    Attributes:
        curve: The curve's number (RFC 4492, section 5.1.1).
        point: The server's public point, encoded.
    """

    curve: int
    point: bytes


@frozen
class SignedShare:
    """What a ServerKeyExchange says.

    Attributes:
        share: The server's half.
        digest: The hash of it and of both hellos' random bytes, which is signed.
        signature: The server's signature.
    """

    share: DHShare | ECDHShare
    digest: bytes
    signature: bytes


_NAMED_CURVE: Final = 3


def server_key_exchange(
    suite: Suite,
    share: DHShare | ECDHShare,
    randoms: tuple[bytes, bytes],
    sign: Callable[[bytes], bytes],
) -> bytes:
    """Our half of the key exchange, signed.

    Args:
        suite: The suite.
        share: Our half.
        randoms: The random bytes of the client and of the server.
        sign: Returns the signature of a hash.
    """
    message = ServerKeyExchange(suite.number, SSL3)
    if isinstance(share, DHShare):
        message.createDH(share.prime, share.generator, share.public)
    else:
        message.createECDH(_NAMED_CURVE, share.curve, bytearray(share.point))
    message.signature = bytearray(sign(bytes(message.hash(*map(bytearray, randoms)))))
    return bytes(message.write())


def read_server_key_exchange(
    suite: Suite, message: bytes, randoms: tuple[bytes, bytes]
) -> SignedShare:
    """The server's half of the key exchange; its signature is not verified yet.

    Args:
        suite: The suite.
        message: The ServerKeyExchange.
        randoms: The random bytes of the client and of the server.

    Raises:
        SSL3Fault: It is malformed.
    """
    found = _read(ServerKeyExchange(suite.number, SSL3), message)
    share: DHShare | ECDHShare = (
        DHShare(found.dh_g, found.dh_p, found.dh_Ys)
        if found.curve_type is None
        else ECDHShare(found.named_curve, bytes(found.ecdh_Ys))
    )
    digest = bytes(found.hash(*map(bytearray, randoms)))
    return SignedShare(share, digest, bytes(found.signature))


def client_key_exchange(suite: Suite, value: bytes) -> bytes:
    """The client's half of the key exchange.

    Args:
        suite: The suite.
        value: With RSA the encrypted secret, otherwise our public value or point.
    """
    message = ClientKeyExchange(suite.number, SSL3)
    if suite.exchange is KeyExchange.RSA:
        message.createRSA(bytearray(value))
    elif suite.exchange is KeyExchange.DHE:
        message.createDH(int.from_bytes(value, "big"))
    else:
        message.createECDH(bytearray(value))
    return bytes(message.write())


def read_client_key_exchange(suite: Suite, message: bytes) -> bytes:
    """The client's half of the key exchange, as `client_key_exchange` takes it.

    Args:
        suite: The suite.
        message: The ClientKeyExchange.

    Raises:
        SSL3Fault: It is malformed.
    """
    found = _read(ClientKeyExchange(suite.number, SSL3), message)
    if suite.exchange is KeyExchange.RSA:
        return bytes(found.encryptedPreMasterSecret)
    if suite.exchange is KeyExchange.ECDHE:
        return bytes(found.ecdh_Yc)
    public: int = found.dh_Yc
    return public.to_bytes((public.bit_length() + 7) // 8, "big")


# --- the rest of the handshake ----------------------------------------------------


def server_hello_done() -> bytes:
    """Ends the server's first flight."""
    return bytes(ServerHelloDone().write())


def read_server_hello_done(message: bytes) -> None:
    """Check the end of the server's first flight, which says nothing.

    Args:
        message: The ServerHelloDone.

    Raises:
        SSL3Fault: It is malformed.
    """
    _read(ServerHelloDone(), message)


def finished(digest: bytes) -> bytes:
    """A Finished message.

    Args:
        digest: What `Transcript.finished` returns.
    """
    return bytes(Finished(SSL3).create(bytearray(digest)).write())


def read_finished(message: bytes) -> bytes:
    """The hash in a Finished message.

    Args:
        message: The message.

    Raises:
        SSL3Fault: It is malformed.
    """
    return bytes(_read(Finished(SSL3), message).verify_data)


class Transcript:
    """The hashes of all handshake messages so far, of both sides."""

    def __init__(self) -> None:
        self._hashes = HandshakeHashes()

    def add(self, message: bytes) -> None:
        """Add a message.

        Args:
            message: The whole message.
        """
        self._hashes.update(bytearray(message))

    def finished(self, side: Side, master: bytes) -> bytes:
        """What a side's Finished must have (RFC 6101, section 5.6.9).

        Args:
            side: Whose.
            master: The master secret.
        """
        label = b"client finished" if side is Side.CLIENT else b"server finished"
        return bytes(calc_key(SSL3, bytearray(master), 0, label, self._hashes))

    def certificate_verify(self, master: bytes) -> bytes:
        """What a client signs to show that it has its key (RFC 6101, section 5.6.8).

        Args:
            master: The master secret.
        """
        return bytes(self._hashes.digestSSL(bytearray(master), bytearray()))


def master_secret(secret: bytes, randoms: tuple[bytes, bytes]) -> bytes:
    """The master secret (RFC 6101, section 6.1).

    Args:
        secret: What the key exchange has led to.
        randoms: The random bytes of the client and of the server.
    """
    return _derived(b"master secret", secret, randoms, 48)


def key_block(
    suite: Suite, master: bytes, randoms: tuple[bytes, bytes]
) -> dict[Side, DirectionKeys]:
    """The keys for what each side sends (RFC 6101, section 6.2.2).

    Args:
        suite: The suite.
        master: The master secret.
        randoms: The random bytes of the client and of the server.
    """
    cipher = suite.cipher
    sizes = [_MAC_SIZES[suite.digest], cipher.key_size, cipher.block_size]
    block = iter(_derived(b"key expansion", master, randoms, 2 * sum(sizes)))
    parts = [bytes(islice(block, size)) for size in sizes for _ in range(2)]
    return {
        Side.CLIENT: DirectionKeys(parts[0], parts[2], parts[4]),
        Side.SERVER: DirectionKeys(parts[1], parts[3], parts[5]),
    }


_MAC_SIZES: Final = {"md5": 16, "sha1": 20}


def _derived(label: bytes, secret: bytes, randoms: tuple[bytes, bytes], size: int) -> bytes:
    client, server = map(bytearray, randoms)
    return bytes(
        calc_key(
            SSL3,
            bytearray(secret),
            0,
            label,
            client_random=client,
            server_random=server,
            output_length=size,
        )
    )


def _message(kind: MessageType, body: bytes) -> bytes:
    return bytes((kind,)) + len(body).to_bytes(3, "big") + body


def _read(message: Any, data: bytes) -> Any:
    """The message, with what the data says.

    Args:
        message: One of tlslite-ng's, which has a method ``parse``.
        data: The whole message. tlslite-ng wants to begin behind the type.
    """
    parser = Parser(bytearray(data))
    parser.skip_bytes(1)
    try:
        message.parse(parser)
    except Exception as error:
        # SyntaxError, ValueError, AssertionError, IndexError: there is no one class.
        raise SSL3Fault("length mismatch", Alert.ILLEGAL_PARAMETER) from error
    if parser.getRemainingLength():
        raise SSL3Fault("length mismatch", Alert.ILLEGAL_PARAMETER)
    return message
