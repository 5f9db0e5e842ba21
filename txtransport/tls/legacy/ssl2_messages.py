"""The messages of SSL 2.0's handshake: bytes to values and back.

A message is one record (draft-hickman-netscape-ssl-00, section 5.4). It begins with its
type, then come a few bytes of fixed size, then the lengths of its variable fields, 2 bytes
each, and these fields in the same order. Nothing may be missing, and nothing may follow.

After the handshake records carry the application's data, with nothing that tells it from
a message. So no message is understood there: what looks like one is data.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from attrs import frozen

__all__ = [
    "X509",
    "ClientCertificate",
    "ClientHello",
    "ClientMasterKey",
    "ErrorCode",
    "MessageType",
    "NewerProtocolError",
    "RequestCertificate",
    "SSL2Error",
    "ServerHello",
    "encode_error",
    "peer_error",
]

VERSION: Final = b"\x00\x02"
X509: Final = 1
"""The one type of certificate (appendix C.5)."""
MD5_WITH_RSA: Final = 1
"""The one way for a client to prove its key (appendix C.6)."""

NONCE_SIZES: Final = range(16, 33)
"""What a challenge or a connection's id may have, in bytes (5.5.1, 5.6.1, 5.6.4)."""

SESSION_ID_SIZES: Final = (0, 16)
KIND_SIZE: Final = 3


class MessageType(IntEnum):
    """The first byte of a message (appendix C.2)."""

    ERROR = 0
    CLIENT_HELLO = 1
    CLIENT_MASTER_KEY = 2
    CLIENT_FINISHED = 3
    SERVER_HELLO = 4
    SERVER_VERIFY = 5
    SERVER_FINISHED = 6
    REQUEST_CERTIFICATE = 7
    CLIENT_CERTIFICATE = 8


class ErrorCode(IntEnum):
    """What an ERROR message says (appendix C.3)."""

    NO_CIPHER = 1
    NO_CERTIFICATE = 2
    BAD_CERTIFICATE = 4
    UNSUPPORTED_CERTIFICATE_TYPE = 6


class SSL2Error(Exception):
    """The peer cannot be talked to, or must not be.

    Args:
        reason: Why, in OpenSSL's words where it has some.
        code: What the peer is told, or None if it is told nothing: the specification has
            four errors, and for most of what goes wrong there is none.

    Attributes:
        reason: As given.
        code: As given.
    """

    def __init__(self, reason: str, code: ErrorCode | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class NewerProtocolError(SSL2Error):
    """The peer speaks SSL 3.0 or TLS.

    Args:
        minor: The second byte of its version, of which the first is 3.

    Attributes:
        alert: What tells it so in its own protocol: in SSL 3.0 "handshake failure" (RFC 6101,
            section 5.4.2), in TLS "protocol version" (RFC 5246, section 7.2.2), both fatal.
    """

    def __init__(self, minor: int) -> None:
        super().__init__("peer speaks ssl 3.0 or tls")
        self.alert: bytes = b"\x15\x03\x01\x00\x02\x02\x46" if minor else _SSL3_ALERT


_SSL3_ALERT: Final = b"\x15\x03\x00\x00\x02\x02\x28"

_PEER_ERRORS: Final[dict[int, str]] = {
    ErrorCode.NO_CIPHER: "peer error no cipher",
    ErrorCode.NO_CERTIFICATE: "peer error no certificate",
    ErrorCode.BAD_CERTIFICATE: "peer error certificate",
    ErrorCode.UNSUPPORTED_CERTIFICATE_TYPE: "peer error unsupported certificate type",
}


def encode_error(code: ErrorCode) -> bytes:
    """The ERROR message that says so."""
    return bytes((MessageType.ERROR, 0, code))


def peer_error(message: bytes) -> str:
    """What the peer's ERROR message says, in OpenSSL's words; empty if it is none.

    Args:
        message: A whole message of any type.
    """
    if len(message) != 3 or message[0] != MessageType.ERROR:
        return ""
    return _PEER_ERRORS.get(int.from_bytes(message[1:], "big"), "peer error")


@frozen
class ClientHello:
    """CLIENT-HELLO (5.5.1), without a session id: there is no resumption.

    Attributes:
        kinds: The cipher suites that the client has, the preferred first.
        challenge: Random bytes, which the server must send back encrypted.
    """

    kinds: tuple[bytes, ...]
    challenge: bytes

    def encode(self) -> bytes:
        """The message in bytes."""
        head = bytes((MessageType.CLIENT_HELLO,)) + VERSION
        return _join(head, b"".join(self.kinds), b"", self.challenge)

    @classmethod
    def decode(cls, message: bytes) -> ClientHello:
        """The message of bytes.

        Raises:
            SSL2Error: They are none, or one for another version. A client that would
                speak SSL 3.0 or TLS as well sends the same message with that version
                (RFC 5246, appendix E.2).
        """
        kinds, session_id, challenge = _split(message, 3, 3)
        _check_version(message[1:3])
        _check_size(session_id, SESSION_ID_SIZES)
        _check_size(challenge, NONCE_SIZES)
        return cls(_kinds(kinds), challenge)


@frozen
class ServerHello:
    """SERVER-HELLO (5.6.1).

    Attributes:
        certificate: The server's, in DER.
        kinds: The cipher suites that the client may choose from.
        connection_id: Random bytes, which the client must send back encrypted.
    """

    certificate: bytes
    kinds: tuple[bytes, ...]
    connection_id: bytes

    def encode(self) -> bytes:
        """The message in bytes."""
        head = bytes((MessageType.SERVER_HELLO, 0, X509)) + VERSION
        return _join(head, self.certificate, b"".join(self.kinds), self.connection_id)

    @classmethod
    def decode(cls, message: bytes) -> ServerHello:
        """The message of bytes.

        Raises:
            SSL2Error: They are none, or the server goes on with a session although the
                client has asked for none.
        """
        certificate, kinds, connection_id = _split(message, 5, 3)
        _check_version(message[3:5])
        if message[1]:
            raise SSL2Error("ssl session id is different")
        if message[2] != X509:
            raise SSL2Error("unknown certificate type", ErrorCode.UNSUPPORTED_CERTIFICATE_TYPE)
        _check_size(connection_id, NONCE_SIZES)
        return cls(certificate, _kinds(kinds), connection_id)


@frozen
class ClientMasterKey:
    """CLIENT-MASTER-KEY (5.5.2).

    Attributes:
        kind: The cipher suite that the client has chosen.
        clear: The part of the master key that is sent in the clear; empty but for suites
            that were made for export.
        encrypted: The rest of it, encrypted with the server's key.
        argument: The initialization vector; empty for ciphers without one.
    """

    kind: bytes
    clear: bytes
    encrypted: bytes
    argument: bytes

    def encode(self) -> bytes:
        """The message in bytes."""
        head = bytes((MessageType.CLIENT_MASTER_KEY,)) + self.kind
        return _join(head, self.clear, self.encrypted, self.argument)

    @classmethod
    def decode(cls, message: bytes) -> ClientMasterKey:
        """The message of bytes; whether the sizes suit the suite is not known here.

        Raises:
            SSL2Error: They are none.
        """
        return cls(message[1:4], *_split(message, 4, 3))


@frozen
class RequestCertificate:
    """REQUEST-CERTIFICATE (5.6.4).

    Attributes:
        way: How the client is to prove that it has the key.
        challenge: Random bytes that the client must sign.
    """

    challenge: bytes
    way: int = MD5_WITH_RSA

    def encode(self) -> bytes:
        """The message in bytes."""
        return bytes((MessageType.REQUEST_CERTIFICATE, self.way)) + self.challenge

    @classmethod
    def decode(cls, message: bytes) -> RequestCertificate:
        """The message of bytes.

        Raises:
            SSL2Error: They are none.
        """
        way, challenge = message[1:2], message[2:]
        _check_size(challenge, NONCE_SIZES)
        return cls(challenge, way[0])


@frozen
class ClientCertificate:
    """CLIENT-CERTIFICATE (5.5.3).

    Attributes:
        certificate: The client's, in DER; the protocol has room for one alone.
        response: The signature that proves that the client has the key.
    """

    certificate: bytes
    response: bytes

    def encode(self) -> bytes:
        """The message in bytes."""
        head = bytes((MessageType.CLIENT_CERTIFICATE, X509))
        return _join(head, self.certificate, self.response)

    @classmethod
    def decode(cls, message: bytes) -> ClientCertificate:
        """The message of bytes.

        Raises:
            SSL2Error: They are none.
        """
        certificate, response = _split(message, 2, 2)
        if message[1] != X509:
            raise SSL2Error("unknown certificate type", ErrorCode.UNSUPPORTED_CERTIFICATE_TYPE)
        return cls(certificate, response)


def _join(head: bytes, *fields: bytes) -> bytes:
    if max(map(len, fields)) > 0xFFFF:
        raise SSL2Error("message too long")
    lengths = b"".join(len(field).to_bytes(2, "big") for field in fields)
    return b"".join((head, lengths, *fields))


def _split(message: bytes, head: int, count: int) -> list[bytes]:
    """The variable fields of a message.

    Args:
        message: All of it.
        head: How many bytes stand before the lengths.
        count: How many fields there are.

    Raises:
        SSL2Error: The message is shorter, or longer, than its lengths say.
    """
    at = head + 2 * count
    sizes = [int.from_bytes(message[i : i + 2], "big") for i in range(head, at, 2)]
    if len(message) != at + sum(sizes):
        raise SSL2Error("read wrong packet length")
    fields = []
    for size in sizes:
        fields.append(message[at : at + size])
        at += size
    return fields


def _check_size(field: bytes, sizes: range | tuple[int, ...]) -> None:
    if len(field) not in sizes:
        raise SSL2Error("read wrong packet length")


def _check_version(version: bytes) -> None:
    if version[:1] == b"\x03":
        raise NewerProtocolError(version[1])
    if version != VERSION:
        raise SSL2Error("unsupported protocol")


def _kinds(field: bytes) -> tuple[bytes, ...]:
    if len(field) % KIND_SIZE:
        raise SSL2Error("read wrong packet length")
    return tuple(field[i : i + KIND_SIZE] for i in range(0, len(field), KIND_SIZE))
