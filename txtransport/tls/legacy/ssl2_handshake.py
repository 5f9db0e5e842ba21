"""The handshake of SSL 2.0, both sides (draft-hickman-netscape-ssl-00, section 5)::

    client                                              server

    CLIENT-HELLO: suites, challenge          ->
                                             <-         SERVER-HELLO: certificate, suites, id
    CLIENT-MASTER-KEY: suite, key            ->
      - - - - - - - - - - - - - encrypted from here on - - - - - - - - - - - - - -
    CLIENT-FINISHED: id                      ->
                                             <-         SERVER-VERIFY: challenge
                                            [<-         REQUEST-CERTIFICATE: challenge]
   [CLIENT-CERTIFICATE: certificate, proof   ->]
                                             <-         SERVER-FINISHED: session id

The client chooses the suite. A server that wants to choose offers one alone.

The server proves its key by SERVER-VERIFY: who cannot decrypt the master key cannot encrypt
the challenge. *Nothing else of what was said in the clear is authenticated.* Someone between
the two can take suites away, down to the weakest that both name. That is the worst that
RFC 6176 has to say of this protocol, and the reason why 40 bits are offered by name only.

There is no resumption. A session id of a client is not looked at, and the one that our
server gives away is random and forgotten.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from hmac import compare_digest
from typing import Final

from attrs import define, field

from txtransport.config.policy import Verify
from txtransport.tls.legacy.engine import LegacyConfig
from txtransport.tls.legacy.ssl2_keys import (
    check_response,
    decrypt_secret,
    encrypt_secret,
    key_bytes,
    sign_response,
)
from txtransport.tls.legacy.ssl2_messages import (
    MD5_WITH_RSA,
    ClientCertificate,
    ClientHello,
    ClientMasterKey,
    ErrorCode,
    MessageType,
    RequestCertificate,
    ServerHello,
    SSL2Error,
    encode_error,
    peer_error,
)
from txtransport.tls.legacy.ssl2_record import RecordReader, RecordWriter
from txtransport.tls.legacy.ssl2_suites import SessionKeys, Suite, find_suites

__all__ = ["ClientHandshake", "Handshake", "Messages", "ServerHandshake"]

Messages = Generator[None, bytes, None]
"""A side of the handshake: it is sent one message of the peer after the other."""

_NONCE_SIZE: Final = 16
_SESSION_ID_SIZE: Final = 16


@define(eq=False)
class Handshake(ABC):
    """One side of the handshake, and what it has agreed on.

    Attributes:
        config: What to demand and to offer.
        random: Makes as many random bytes as it is told.
        reader: The peer's records.
        writer: Our records.
        to_send: What the peer was not sent yet.
        suite: The cipher suite, once it is agreed on.
        chain: The certificates that the peer has shown, in DER.
        is_certificate_requested: Clients: whether the server has asked for a certificate.
    """

    config: LegacyConfig
    random: Callable[[int], bytes]
    reader: RecordReader = field(factory=RecordReader)
    writer: RecordWriter = field(factory=RecordWriter)
    to_send: list[bytes] = field(factory=list)
    suite: Suite | None = None
    chain: tuple[bytes, ...] = ()
    is_certificate_requested: bool = False

    @abstractmethod
    def run(self) -> Messages:
        """The handshake; it ends when all is said and the peer is verified.

        Raises:
            SSL2Error: The peer cannot be talked to, or must not be.
        """

    def send(self, message: bytes) -> None:
        """Send a message."""
        self.to_send.append(self.writer.seal(message))

    def verify(self, *chain: bytes) -> None:
        """Ask whether the peer is acceptable.

        Args:
            *chain: The certificates that it has shown, in DER.

        Raises:
            SSL2Error: It is not.
        """
        self.chain = chain
        if not self.config.verify(chain):
            raise SSL2Error("certificate verify failed", ErrorCode.BAD_CERTIFICATE)

    def suites(self) -> tuple[Suite, ...]:
        """Our cipher suites, the preferred first.

        Raises:
            SSL2Error: There is none.
        """
        if not self.config.ciphers:
            raise SSL2Error("no ciphers available")
        return find_suites(self.config.ciphers)


class ClientHandshake(Handshake):
    """The client's side."""

    def run(self) -> Messages:
        """The client's side of the handshake."""
        challenge = self.random(_NONCE_SIZE)
        kinds = tuple(suite.kind for suite in self.suites())
        self.send(ClientHello(kinds, challenge).encode())

        hello = ServerHello.decode(_expect((yield), MessageType.SERVER_HELLO))
        suite = self._choose(hello.kinds)
        self.suite: Suite | None = suite
        self.verify(hello.certificate)

        master, argument = self.random(suite.key_size), self.random(suite.argument_size)
        clear, secret = master[: suite.clear_size], master[suite.clear_size :]
        encrypted = encrypt_secret(hello.certificate, secret)
        self.send(ClientMasterKey(suite.kind, clear, encrypted, argument).encode())
        keys = SessionKeys.derive(suite, master, challenge + hello.connection_id, argument)
        self.writer.switch(keys.client)
        self.reader.switch(keys.server)
        self.send(bytes((MessageType.CLIENT_FINISHED,)) + hello.connection_id)

        if not compare_digest(_expect((yield), MessageType.SERVER_VERIFY)[1:], challenge):
            raise SSL2Error("challenge is different")
        message = yield
        if message[:1] == bytes((MessageType.REQUEST_CERTIFICATE,)):
            self._show_certificate(message, keys, hello.certificate)
            message = yield
        if len(_expect(message, MessageType.SERVER_FINISHED)) > _SESSION_ID_SIZE + 1:
            raise SSL2Error("read wrong packet length")

    def _choose(self, kinds: tuple[bytes, ...]) -> Suite:
        """The suite that we prefer of those that the server has."""
        for suite in self.suites():
            if suite.kind in kinds:
                return suite
        raise SSL2Error("no shared cipher", ErrorCode.NO_CIPHER)

    def _show_certificate(self, message: bytes, keys: SessionKeys, server: bytes) -> None:
        """Answer a request for our certificate; without one the server decides what follows."""
        self.is_certificate_requested = True
        request, identity = RequestCertificate.decode(message), self.config.identity
        if identity is None or request.way != MD5_WITH_RSA:
            self.send(encode_error(ErrorCode.NO_CERTIFICATE))
            return
        proof = sign_response(identity.key, keys.material, request.challenge, server)
        self.send(ClientCertificate(identity.chain[0], proof).encode())


class ServerHandshake(Handshake):
    """The server's side."""

    def run(self) -> Messages:
        """The server's side of the handshake."""
        identity = self.config.identity
        assert identity is not None, "servers have a certificate"
        hello = ClientHello.decode(_expect((yield), MessageType.CLIENT_HELLO))
        offered = self._offer(hello.kinds)
        connection_id = self.random(_NONCE_SIZE)
        kinds = tuple(suite.kind for suite in offered)
        self.send(ServerHello(identity.chain[0], kinds, connection_id).encode())

        chosen = ClientMasterKey.decode(_expect((yield), MessageType.CLIENT_MASTER_KEY))
        suite = _chosen(chosen, offered, key_bytes(identity.key))
        self.suite: Suite | None = suite
        secret = decrypt_secret(identity.key, chosen.encrypted, suite.secret_size)
        nonces = hello.challenge + connection_id
        keys = SessionKeys.derive(suite, chosen.clear + secret, nonces, chosen.argument)
        self.reader.switch(keys.client)
        self.writer.switch(keys.server)
        # Clients may wait for this before they finish, though the specification has
        # CLIENT-FINISHED first.
        self.send(bytes((MessageType.SERVER_VERIFY,)) + hello.challenge)

        if not compare_digest(_expect((yield), MessageType.CLIENT_FINISHED)[1:], connection_id):
            raise SSL2Error("connection id is different")
        if self.config.certificate is Verify.NO:
            self.verify()
        else:
            challenge = self.random(_NONCE_SIZE)
            self.send(RequestCertificate(challenge).encode())
            self._check_client((yield), keys.material, challenge, identity.chain[0])
        self.send(bytes((MessageType.SERVER_FINISHED,)) + self.random(_SESSION_ID_SIZE))

    def _offer(self, kinds: tuple[bytes, ...]) -> tuple[Suite, ...]:
        """The suites that the client may choose from."""
        ours = {suite.kind: suite for suite in self.suites()}
        if self.config.honor_cipher_order:
            shared = [suite for kind, suite in ours.items() if kind in kinds][:1]
        else:
            shared = [ours[kind] for kind in dict.fromkeys(kinds) if kind in ours]
        if not shared:
            raise SSL2Error("no shared cipher", ErrorCode.NO_CIPHER)
        return tuple(shared)

    def _check_client(
        self, message: bytes, material: bytes, challenge: bytes, server: bytes
    ) -> None:
        """Read the answer to our request for a certificate."""
        if message == encode_error(ErrorCode.NO_CERTIFICATE):
            if self.config.certificate is Verify.YES:
                raise SSL2Error("peer did not return a certificate", ErrorCode.BAD_CERTIFICATE)
            self.verify()
            return
        shown = ClientCertificate.decode(_expect(message, MessageType.CLIENT_CERTIFICATE))
        check_response(shown.certificate, shown.response, material, challenge, server)
        self.verify(shown.certificate)


def _expect(message: bytes, kind: MessageType) -> bytes:
    """The same message, if it is of this type.

    Raises:
        SSL2Error: It is of another.
    """
    if message[:1] != bytes((kind,)):
        raise SSL2Error(peer_error(message) or "read wrong packet type")
    return message


def _chosen(message: ClientMasterKey, offered: tuple[Suite, ...], key_size: int) -> Suite:
    """The suite that the client has chosen.

    Each of these checks was once missing from OpenSSL's server. A suite that was not offered
    was taken (CVE-2015-3197), and so were bytes of the key in the clear with suites that
    have none, which let an attacker guess the rest byte by byte (CVE-2016-0703).

    Args:
        message: The client's.
        offered: The suites that we have offered.
        key_size: The size of our RSA key in bytes.

    Raises:
        SSL2Error: We have not offered it, or the sizes are not its own.
    """
    suite = next((suite for suite in offered if suite.kind == message.kind), None)
    if suite is None:
        raise SSL2Error("wrong cipher returned", ErrorCode.NO_CIPHER)
    sizes = len(message.clear), len(message.encrypted), len(message.argument)
    if sizes != (suite.clear_size, key_size, suite.argument_size):
        raise SSL2Error("wrong number of key bits")
    return suite
