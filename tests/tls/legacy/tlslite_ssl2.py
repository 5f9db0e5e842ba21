"""A second implementation of SSL 2.0 for the tests: tlslite-ng's messages and records.

tlslite-ng has the messages, the derivation of keys and the records, which tlsfuzzer attacks
servers with, and no handshake: that is here, a client's and a server's, without client
certificates. It works on sockets, so there is one that ends in our engine.

In one thing it differs from others. With 3DES it pads by a whole block what needs no padding,
which our engine refuses; so it is given nothing whose size is a multiple of 8.
"""

from __future__ import annotations

import secrets
from typing import Any, Final
from unittest.mock import patch

from tlslite.constants import CipherSuite
from tlslite.messages import (
    ApplicationData,
    ClientFinished,
    ClientHello,
    ClientMasterKey,
    RecordHeader2,
    ServerFinished,
    ServerHello2,
)
from tlslite.recordlayer import RecordLayer
from tlslite.utils.codec import Parser
from tlslite.utils.keyfactory import parsePEMKey
from tlslite.x509 import X509

from txtransport.tls.engine import TLSEvent
from txtransport.tls.legacy.ssl2 import SSL2Engine

KINDS: Final = {
    "RC4-MD5": CipherSuite.SSL_CK_RC4_128_WITH_MD5,
    "EXP-RC4-MD5": CipherSuite.SSL_CK_RC4_128_EXPORT40_WITH_MD5,
    "DES-CBC3-MD5": CipherSuite.SSL_CK_DES_192_EDE3_CBC_WITH_MD5,
}
"""The suites by OpenSSL's names."""

_CLEAR: Final = {"RC4-MD5": 0, "EXP-RC4-MD5": 11, "DES-CBC3-MD5": 0}
_SIZES: Final = {"RC4-MD5": 16, "EXP-RC4-MD5": 16, "DES-CBC3-MD5": 24}


class EngineSocket:
    """A socket at whose other end is an engine of ours.

    Args:
        engine: The engine.

    Attributes:
        events: What the engine has said.
    """

    def __init__(self, engine: SSL2Engine) -> None:
        self._engine = engine
        self._received = bytearray()
        self.events: list[TLSEvent] = []

    def send(self, data: bytes) -> int:
        """Give the engine bytes."""
        self.events += self._engine.receive(bytes(data))
        return len(data)

    def recv(self, size: int) -> bytearray:
        """Take bytes of the engine's.

        Raises:
            EOFError: There are none.
        """
        self._received += self._engine.data_to_send()
        if not self._received:
            raise EOFError
        data, self._received = self._received[:size], self._received[size:]
        return data

    def flush(self) -> None:
        """Nothing: nothing is held back."""


class _Peer:
    """What both sides have in common.

    Args:
        engine: Our engine at the other end.
        cipher: The suite, by OpenSSL's name.

    Attributes:
        socket: What ends in our engine.
    """

    def __init__(self, engine: SSL2Engine, cipher: str) -> None:
        self.socket = EngineSocket(engine)
        self._cipher = cipher
        self._layer = RecordLayer(self.socket)
        self._layer.version = (0, 2)

    def say(self, data: bytes) -> None:
        """Send data of the application."""
        self._send(ApplicationData().create(bytearray(data)))

    def hear(self) -> bytes:
        """Receive data of the application, one record."""
        self._layer.handshake_finished = True
        return bytes(self._receive()[1].bytes)

    def _send(self, message: Any) -> None:
        for _ in self._layer.sendRecord(message):
            pass

    def _receive(self) -> tuple[RecordHeader2, Parser]:
        for result in self._layer.recvRecord():
            if result not in (0, 1):
                return result  # type: ignore[no-any-return]
        raise EOFError

    def _message(self, kind: int) -> Parser:
        """The rest of the next message, which must be of this type."""
        parser = self._receive()[1]
        found = parser.get(1)
        if found != kind:
            raise AssertionError(f"message {found} came, not {kind}")
        return parser

    def _keys(self, master: bytearray, challenge: bytearray, connection_id: bytearray) -> bytearray:
        """Make the keys; returns the vector that tlslite-ng has drawn."""
        return self._layer.calcSSL2PendingStates(  # type: ignore[no-any-return]
            KINDS[self._cipher],
            master,
            challenge,
            connection_id,
            ["python"],
        )

    def _switch(self) -> None:
        self._layer.changeWriteState()
        self._layer.changeReadState()


class TlsliteClient(_Peer):
    """tlslite-ng as a client."""

    def connect(self) -> None:
        """Do the handshake."""
        self._layer.client = True
        challenge = bytearray(secrets.token_bytes(16))
        hello = ClientHello(ssl2=True)
        hello.create((0, 2), challenge, bytearray(), [KINDS[self._cipher]])
        self._send(hello)
        answer = ServerHello2().parse(self._message(4))
        if answer.ciphers != [KINDS[self._cipher]]:
            raise AssertionError(f"other suites came: {answer.ciphers}")
        certificate = X509()
        certificate.parseBinary(answer.certificate)
        key = certificate.publicKey
        master = bytearray(secrets.token_bytes(_SIZES[self._cipher]))
        clear = _CLEAR[self._cipher]
        vector = self._keys(master, challenge, answer.session_id)
        chosen = ClientMasterKey()
        chosen.create(KINDS[self._cipher], master[:clear], key.encrypt(master[clear:]), vector)
        self._send(chosen)
        self._switch()
        self._send(ClientFinished().create(answer.session_id))
        verified = self._message(5)
        if verified.getFixBytes(16) != challenge:
            raise AssertionError("another challenge came back")
        ServerFinished().parse(self._message(6))


class TlsliteServer(_Peer):
    """tlslite-ng as a server.

    Args:
        engine: Our client.
        cipher: The suite, by OpenSSL's name.
        certificate: In DER.
        key: Its key, in PEM.
    """

    def __init__(self, engine: SSL2Engine, cipher: str, certificate: bytes, key: str) -> None:
        super().__init__(engine, cipher)
        self._certificate = bytearray(certificate)
        self._key = parsePEMKey(key, private=True, implementations=["python"])

    def accept(self) -> None:
        """Do the handshake."""
        self._layer.client = False
        challenge = _client_hello(self._message(1), KINDS[self._cipher])
        connection_id = bytearray(secrets.token_bytes(16))
        hello = ServerHello2()
        hello.create(0, 1, (0, 2), self._certificate, [KINDS[self._cipher]], connection_id)
        self._send(hello)
        chosen = ClientMasterKey().parse(self._message(2))
        master = chosen.clear_key + self._key.decrypt(chosen.encrypted_key)
        # It draws the vector where it makes the keys, also on servers, which are told.
        with patch("tlslite.recordlayer.getRandomBytes", lambda size: chosen.key_argument):
            self._keys(master, challenge, connection_id)
        self._switch()
        finished = ClientFinished().parse(self._message(3))
        if finished.verify_data != connection_id:
            raise AssertionError("another id came back")
        verify = ServerFinished().create(challenge)
        verify.handshakeType = 5
        self._send(verify)
        self._send(ServerFinished().create(bytearray(secrets.token_bytes(16))))


def _client_hello(parser: Parser, kind: int) -> bytearray:
    """The challenge of a CLIENT-HELLO, which tlslite-ng reads for SSL 3.0 and TLS alone."""
    if (parser.get(1), parser.get(1)) != (0, 2):
        raise AssertionError("another version came")
    kinds, session_id, challenge = (parser.get(2) for _ in range(3))
    if kind not in parser.getFixList(3, kinds // 3):
        raise AssertionError("the suite was not offered")
    parser.getFixBytes(session_id)
    return parser.getFixBytes(challenge)  # type: ignore[no-any-return]
