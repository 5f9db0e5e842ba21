"""A TLS 1.3 peer that asks for new keys again and again, and answers nothing else.

A KeyUpdate with ``update_requested`` obliges its receiver to send a KeyUpdate as
well (RFC 8446, 4.6.3). OpenSSL answers even after it has sent its close_notify.
No library sends them as fast as an attacker would, so the records are made by
hand, with the secret that OpenSSL's key log tells.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final, cast

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Only

_KEY_UPDATE: Final = b"\x18\x00\x00\x01\x01"
"""The handshake message: its type, its length, and ``update_requested``."""

_ANSWER_SIZE: Final = 27
"""How long the record of a KeyUpdate is."""

_HANDSHAKE: Final = b"\x16"
_DATA: Final = b"\x17"


class Records:
    """Encrypts one side's TLS 1.3 records, by hand.

    The cipher is TLS_AES_256_GCM_SHA384, which OpenSSL prefers.

    Args:
        secret: The side's first application traffic secret.
    """

    def __init__(self, secret: bytes) -> None:
        self._start(secret)

    def data(self, text: bytes) -> bytes:
        """A record of application data."""
        return self._record(_DATA, text)

    def key_update(self) -> bytes:
        """A record that announces new keys of this side, and asks for new ones of the other."""
        record = self._record(_HANDSHAKE, _KEY_UPDATE)
        self._start(_expand(self._secret, b"traffic upd", 48))
        return record

    def _start(self, secret: bytes) -> None:
        self._secret = secret
        self._key = AESGCM(_expand(secret, b"key", 32))
        self._iv = int.from_bytes(_expand(secret, b"iv", 12), "big")
        self._sequence = 0

    def _record(self, kind: bytes, text: bytes) -> bytes:
        # RFC 8446, 5.2 and 5.3.
        header = b"\x17\x03\x03" + (len(text) + 17).to_bytes(2, "big")
        nonce = (self._iv ^ self._sequence).to_bytes(12, "big")
        self._sequence += 1
        return header + self._key.encrypt(nonce, text + kind, header)


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label without a context (RFC 8446, 7.1)."""
    label = b"tls13 " + label
    info = size.to_bytes(2, "big") + bytes([len(label)]) + label + b"\x00"
    return HKDFExpand(SHA384(), size, info).derive(secret)


class KeyUpdater(Protocol):
    """The attacker's end of a plain connection.

    Args:
        is_client: Whether it is TLS's client.

    Attributes:
        is_connected: Whether the connection is there.
        plain: What has arrived before `start_tls`.
        received: How many bytes have arrived since the handshake.
        records: Makes its records, once the handshake is complete; None before.
    """

    def __init__(self, *, is_client: bool) -> None:
        self.is_connected = False
        self.plain = b""
        self.received = 0
        self.records: Records | None = None
        self._is_client = is_client
        self._asked = 0
        self._lost: Deferred[None] = Deferred()
        self._secrets: dict[bytes, bytes] = {}
        self._tls: SSL.Connection | None = None

    def connectionMade(self) -> None:
        self.is_connected = True

    def connectionLost(self, reason: object = None) -> None:
        self.is_connected = False
        self._lost.callback(None)

    def dataReceived(self, data: bytes) -> None:
        if self._tls is None:
            self.plain += data
        elif self.records is not None:
            self.received += len(data)
        else:
            self._tls.bio_write(data)
            self._shake_hands(self._tls)

    def say(self, data: bytes) -> None:
        """Write bytes as they are."""
        cast(Any, self.transport).write(data)

    async def hang_up(self) -> None:
        """Abort the connection, if it is there, and wait for its end."""
        if self.is_connected:
            cast(Any, self.transport).abortConnection()
            await self._lost

    def start_tls(self) -> None:
        """Begin the handshake."""
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_keylog_callback(self._learn_secret)
        context.use_certificate_chain_file(certificates.site())
        context.use_privatekey_file(certificates.site())
        self._tls = tls = SSL.Connection(context, None)
        if self._is_client:
            tls.set_connect_state()
        else:
            tls.set_accept_state()
        self._shake_hands(tls)

    async def wait_for_handshake(self, case: LoopbackTestCase) -> None:
        """Wait until the handshake is complete."""
        while self.records is None:
            await case.turn()

    async def ask_all_the_time(self, case: LoopbackTestCase, clock: Clock, seconds: int) -> None:
        """Ask for new keys 100 times a second, until the connection is gone.

        Args:
            case: The test.
            clock: Is advanced by a second, when the answers of that second are here.
            seconds: How long to ask at the most.
        """
        await self.wait_for_handshake(case)
        for _ in range(seconds):
            self.ask(100)
            while self.is_connected and not self.is_answered:
                await case.turn()
            clock.advance(1)
            for _ in range(10):
                await case.turn()
            if not self.is_connected:
                return

    @property
    def is_answered(self) -> bool:
        """Whether the answers are here, but for the last, which OpenSSL holds back."""
        return self.received >= (self._asked - 1) * _ANSWER_SIZE

    def ask(self, times: int) -> None:
        """Ask for new keys, in one write."""
        assert self.records is not None
        self._asked += times
        self.say(b"".join(self.records.key_update() for _ in range(times)))

    def _shake_hands(self, tls: SSL.Connection) -> None:
        try:
            tls.do_handshake()
        except SSL.WantReadError:
            pass
        else:
            secret = b"CLIENT_TRAFFIC_SECRET_0" if self._is_client else b"SERVER_TRAFFIC_SECRET_0"
            self.records = Records(self._secrets[secret])
            if not self._is_client:
                # What is left are session tickets, which would be records of `tls`.
                return
        with contextlib.suppress(SSL.WantReadError):
            self.say(tls.bio_read(2**16))

    def _learn_secret(self, connection: object, line: bytes) -> None:
        name, _, secret = line.split(b" ")
        self._secrets[name] = bytes.fromhex(secret.decode())


class KeyUpdaters(Factory):
    """A factory of attackers, which are TLS's servers.

    Attributes:
        all: The attackers built so far.
    """

    noisy = False

    def __init__(self) -> None:
        self.all: list[KeyUpdater] = []

    def buildProtocol(self, addr: object) -> KeyUpdater:
        updater = KeyUpdater(is_client=False)
        self.all.append(updater)
        return updater


async def attacking_client(
    case: LoopbackTestCase, port: int, command: bytes = b"", go_ahead: bytes = b""
) -> KeyUpdater:
    """Connect an attacker, and complete its handshake.

    Args:
        case: The test.
        port: The server's port.
        command: What to send before TLS.
        go_ahead: The server's answer to that.
    """
    attacker = KeyUpdater(is_client=True)
    case.addCleanup(attacker.hang_up)
    plain = txtransport.client(case.reactor, f"tcp://127.0.0.1:{port}")
    await plain.connect(Only(attacker))
    attacker.say(command)
    while go_ahead not in attacker.plain:
        await case.turn()
    attacker.start_tls()
    await attacker.wait_for_handshake(case)
    return attacker
