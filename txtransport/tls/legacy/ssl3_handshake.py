"""The handshake of SSL 3.0, for both sides (RFC 6101, section 5.5).

::

      client                                    server

      ClientHello                 -------->
                                                ServerHello
                                                Certificate
                                                ServerKeyExchange    (DHE, ECDHE)
                                                CertificateRequest   (if configured)
                                  <--------     ServerHelloDone
      verify the server
      Certificate, or an alert                  (if asked for)
      ClientKeyExchange
      CertificateVerify                         (if a certificate was shown)
      ChangeCipherSpec
      Finished                    -------->
                                                verify the client
                                                ChangeCipherSpec
                                  <--------     Finished

Each side is a generator: it yields to wait for what comes next, and where it stands is all
the state there is. So a message in another place is refused, and so is a ChangeCipherSpec
before there are keys (CVE-2014-0224).

There is no resumption: we offer no session and give none, so every handshake is a whole one.
"""

from __future__ import annotations

import hmac
from abc import ABC, abstractmethod
from collections.abc import Generator
from enum import Enum
from typing import ClassVar, Final

from attrs import frozen

from txtransport.config.policy import Side, Verify
from txtransport.tls.legacy import ssl3_messages as messages
from txtransport.tls.legacy.engine import LegacyEngine, LegacyIdentity
from txtransport.tls.legacy.ssl3_fault import Alert, SSL3Fault, unexpected_message
from txtransport.tls.legacy.ssl3_key_exchange import (
    CURVES,
    DHSecret,
    ECDHSecret,
    Entropy,
    answer,
    encrypted,
    public_key_of,
    rsa_secret,
    sign,
    verify_signature,
)
from txtransport.tls.legacy.ssl3_messages import (
    SSL3,
    ClientOffer,
    MessageType,
    ServerChoice,
    Transcript,
)
from txtransport.tls.legacy.ssl3_records import (
    ContentType,
    DirectionKeys,
    RecordReader,
    RecordWriter,
)
from txtransport.tls.legacy.ssl3_suites import KeyExchange, Suite, suites_named

__all__ = [
    "WARNING",
    "ClientHandshake",
    "Dialogue",
    "Handshake",
    "Notice",
    "Received",
    "SSL2Hello",
    "ServerHandshake",
]

WARNING: Final = 1
"""The level of an alert after which the connection may go on."""

_RANDOM_SIZE: Final = 32
_NO_COMPRESSION: Final = 0


class Notice(Enum):
    """What the peer sent that is not a message of the handshake."""

    CHANGE_CIPHER_SPEC = "change cipher spec"
    NO_CERTIFICATE = "no certificate"
    """The alert of a client that was asked for a certificate and has none."""


@frozen
class SSL2Hello:
    """A ClientHello in the form of SSL 2.0, in which old clients offer SSL 3.0 as well.

    Attributes:
        message: Without its header.
    """

    message: bytes


Received = bytes | Notice | SSL2Hello
"""A whole message of the handshake, or what else the peer sent in its place."""

Dialogue = Generator[None, Received, None]
_Wait = Generator[None, Received, bytes]


class Handshake(ABC):
    """What both sides do.

    Args:
        engine: Learns what is agreed on; its `config` says what is demanded.
        reader: Decrypts from the peer's ChangeCipherSpec on.
        writer: Takes what is sent.
        entropy: Returns random bytes.

    Raises:
        ValueError: SSL 3.0 has no such cipher suite.
    """

    side: ClassVar[Side]
    _suite: Suite
    _keys: dict[Side, DirectionKeys]

    def __init__(
        self, engine: LegacyEngine, reader: RecordReader, writer: RecordWriter, entropy: Entropy
    ) -> None:
        self._engine = engine
        self._config = engine.config
        self._suites = suites_named(engine.config.ciphers)
        self._reader = reader
        self._writer = writer
        self._entropy = entropy
        self._transcript = Transcript()
        self._random = entropy(_RANDOM_SIZE)

    @abstractmethod
    def run(self) -> Dialogue:
        """The handshake, which ends when both Finished are good.

        Raises:
            SSL3Fault: The peer is refused, or has broken the protocol.
        """

    def _send(self, message: bytes) -> None:
        self._transcript.add(message)
        self._writer.write(ContentType.HANDSHAKE, message)

    def _expect(self, *kinds: MessageType) -> _Wait:
        """Wait for a message of one of the kinds; from then on it is in the transcript."""
        received = yield
        if not isinstance(received, bytes) or received[0] not in kinds:
            raise unexpected_message()
        self._transcript.add(received)
        return received

    def _verify(self, chain: tuple[bytes, ...]) -> None:
        """Ask whether the peer is acceptable; whatever is not a clear yes is a no."""
        self._engine.peer_chain = chain
        alert = Alert.BAD_CERTIFICATE if chain else Alert.HANDSHAKE_FAILURE
        try:
            is_acceptable = self._config.verify(chain)
        except Exception as error:
            raise SSL3Fault("certificate verify failed", alert) from error
        if is_acceptable is not True:
            raise SSL3Fault("certificate verify failed", alert)

    def _agree(self, suite: Suite) -> None:
        self._engine.cipher = suite.name
        self._engine.bits = suite.cipher.bits

    def _derive(self, suite: Suite, secret: bytes, randoms: tuple[bytes, bytes]) -> bytes:
        """Derive the keys of both directions, which are not in use yet.

        Returns:
            The master secret.
        """
        master = messages.master_secret(secret, randoms)
        self._suite = suite
        self._keys = messages.key_block(suite, master, randoms)
        return master

    def _finish(self, master: bytes) -> None:
        """Send ChangeCipherSpec and Finished."""
        self._writer.write(ContentType.CHANGE_CIPHER_SPEC, b"\x01")
        self._writer.encrypt(self._suite, self._keys[self.side])
        self._send(messages.finished(self._transcript.finished(self.side, master)))

    def _expect_finish(self, master: bytes) -> Dialogue:
        """Wait for the peer's ChangeCipherSpec and Finished, and check it."""
        peer = Side.SERVER if self.side is Side.CLIENT else Side.CLIENT
        expected = self._transcript.finished(peer, master)
        received = yield
        if received is not Notice.CHANGE_CIPHER_SPEC:
            raise unexpected_message()
        self._reader.decrypt(self._suite, self._keys[peer])
        finished = yield from self._expect(MessageType.FINISHED)
        if not hmac.compare_digest(messages.read_finished(finished), expected):
            raise SSL3Fault("digest check failed", Alert.HANDSHAKE_FAILURE)


class ClientHandshake(Handshake):
    """The client's side."""

    side = Side.CLIENT

    def run(self) -> Dialogue:
        """The handshake.

        Raises:
            SSL3Fault: The server is refused, or has broken the protocol.
        """
        self._send(messages.client_hello(self._random, self._suites))
        choice = messages.read_server_hello((yield from self._expect(MessageType.SERVER_HELLO)))
        suite, randoms = self._chosen(choice), (self._random, choice.random)
        self._reader.is_version_fixed = True
        self._agree(suite)

        chain = messages.read_certificates((yield from self._expect(MessageType.CERTIFICATE)))
        if not chain:
            raise SSL3Fault("no certificates returned", Alert.HANDSHAKE_FAILURE)
        self._verify(chain)
        key = public_key_of(chain[0])

        share = None
        if suite.exchange is not KeyExchange.RSA:
            message = yield from self._expect(MessageType.SERVER_KEY_EXCHANGE)
            signed = messages.read_server_key_exchange(suite, message, randoms)
            verify_signature(key, signed.signature, signed.digest)
            share = signed.share
        identity = yield from self._expect_server_done()

        if share is not None:
            secret, public = answer(share, self._entropy)
        else:
            secret = bytes(SSL3) + self._entropy(46)
            public = encrypted(key, secret)
        self._send(messages.client_key_exchange(suite, public))
        master = self._derive(suite, secret, randoms)
        if identity is not None:
            digest = self._transcript.certificate_verify(master)
            self._send(messages.certificate_verify(sign(identity.key, digest)))
        self._finish(master)
        yield from self._expect_finish(master)

    def _chosen(self, choice: ServerChoice) -> Suite:
        """The suite that the server has chosen, if all of its choices are among ours."""
        if choice.version != SSL3:
            raise SSL3Fault("unsupported protocol", Alert.HANDSHAKE_FAILURE)
        if choice.compression != _NO_COMPRESSION:
            raise SSL3Fault("unsupported compression algorithm", Alert.ILLEGAL_PARAMETER)
        if set(choice.extensions) - {messages.RENEGOTIATION_INFO}:
            raise SSL3Fault("bad extension", Alert.ILLEGAL_PARAMETER)
        for suite in self._suites:
            if suite.number == choice.suite:
                return suite
        raise SSL3Fault("wrong cipher returned", Alert.ILLEGAL_PARAMETER)

    def _expect_server_done(self) -> Generator[None, Received, LegacyIdentity | None]:
        """Wait for the end of the server's flight; show our certificate if it asks for one.

        Returns:
            Our certificate and key, if they are to be used.
        """
        done = MessageType.SERVER_HELLO_DONE
        message = yield from self._expect(MessageType.CERTIFICATE_REQUEST, done)
        is_asked = message[0] == MessageType.CERTIFICATE_REQUEST
        is_rsa = is_asked and messages.read_certificate_request(message)
        if is_asked:
            self._engine.is_certificate_requested = True
            message = yield from self._expect(done)
        messages.read_server_hello_done(message)
        identity = self._config.identity
        if is_rsa and identity is not None:
            self._send(messages.certificates(identity.chain))
            return identity
        if is_asked:
            self._writer.write(ContentType.ALERT, bytes((WARNING, Alert.NO_CERTIFICATE)))
        return None


class ServerHandshake(Handshake):
    """The server's side.

    TLS_FALLBACK_SCSV (RFC 7507) says that a client would have liked a newer version. A server
    that speaks none ignores it (section 3).
    """

    side = Side.SERVER

    def run(self) -> Dialogue:
        """The handshake.

        Raises:
            SSL3Fault: The client is refused, or has broken the protocol.
        """
        offer = yield from self._expect_hello()
        suite, randoms = self._choose(offer), (offer.random, self._random)
        self._reader.is_version_fixed = True
        self._agree(suite)
        identity = self._config.identity
        assert identity is not None
        key = identity.key
        is_known = offer.is_renegotiation_known
        self._send(messages.server_hello(self._random, suite, is_renegotiation_known=is_known))
        self._send(messages.certificates(identity.chain))
        ephemeral = self._ephemeral(suite, offer)
        if ephemeral is not None:
            share = ephemeral.share
            message = messages.server_key_exchange(suite, share, randoms, lambda d: sign(key, d))
            self._send(message)
        is_asked = self._config.certificate is not Verify.NO
        if is_asked:
            self._send(messages.certificate_request(self._config.authorities))
        self._send(messages.server_hello_done())

        chain: tuple[bytes, ...] = ()
        if is_asked:
            chain = yield from self._expect_certificates()
        self._verify(chain)
        client_key = public_key_of(chain[0]) if chain else None

        value = messages.read_client_key_exchange(
            suite, (yield from self._expect(MessageType.CLIENT_KEY_EXCHANGE))
        )
        if ephemeral is not None:
            secret = ephemeral.agree(value)
        else:
            secret = rsa_secret(key, value, offer.version, self._entropy)
        master = self._derive(suite, secret, randoms)
        if client_key is not None:
            digest = self._transcript.certificate_verify(master)
            message = yield from self._expect(MessageType.CERTIFICATE_VERIFY)
            verify_signature(client_key, messages.read_certificate_verify(message), digest)
        yield from self._expect_finish(master)
        self._finish(master)

    def _expect_hello(self) -> Generator[None, Received, ClientOffer]:
        received = yield
        if isinstance(received, SSL2Hello):
            self._transcript.add(received.message)
            return messages.read_client_hello(received.message, is_ssl2=True)
        if not isinstance(received, bytes) or received[0] != MessageType.CLIENT_HELLO:
            raise unexpected_message()
        self._transcript.add(received)
        return messages.read_client_hello(received, is_ssl2=False)

    def _choose(self, offer: ClientOffer) -> Suite:
        if offer.version < SSL3 or (offer.versions is not None and SSL3 not in offer.versions):
            raise SSL3Fault("unsupported protocol", Alert.HANDSHAKE_FAILURE)
        if _NO_COMPRESSION not in offer.compressions:
            raise SSL3Fault("no compression specified", Alert.ILLEGAL_PARAMETER)
        shared = [
            suite
            for suite in self._suites
            if suite.number in offer.suites
            and (suite.exchange is not KeyExchange.ECDHE or _curve(offer) is not None)
        ]
        if not shared:
            raise SSL3Fault("no shared cipher", Alert.HANDSHAKE_FAILURE)
        if self._config.honor_cipher_order:
            return shared[0]
        return min(shared, key=lambda suite: offer.suites.index(suite.number))

    def _ephemeral(self, suite: Suite, offer: ClientOffer) -> DHSecret | ECDHSecret | None:
        """Our half of the key exchange, new for each handshake; None with RSA."""
        if suite.exchange is KeyExchange.RSA:
            return None
        if suite.exchange is KeyExchange.DHE:
            return DHSecret(self._entropy)
        curve = _curve(offer)
        assert curve is not None
        return ECDHSecret(curve)

    def _expect_certificates(self) -> Generator[None, Received, tuple[bytes, ...]]:
        """The client's certificates; SSL 3.0 has an alert for those who have none."""
        received = yield
        if received is Notice.NO_CERTIFICATE:
            chain: tuple[bytes, ...] = ()
        elif isinstance(received, bytes) and received[0] == MessageType.CERTIFICATE:
            self._transcript.add(received)
            chain = messages.read_certificates(received)
        else:
            raise unexpected_message()
        if not chain and self._config.certificate is Verify.YES:
            raise SSL3Fault("peer did not return a certificate", Alert.HANDSHAKE_FAILURE)
        return chain


def _curve(offer: ClientOffer) -> int | None:
    """The curve for a client: one that it names, or ours if it names none."""
    if offer.groups is None:
        return next(iter(CURVES))
    return next((curve for curve in CURVES if curve in offer.groups), None)
