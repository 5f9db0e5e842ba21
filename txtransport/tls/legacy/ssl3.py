"""SSL 3.0 as an engine: bytes in, bytes and events out (RFC 6101).

SSL 3.0 is broken (RFC 7568); `txtransport.tls.legacy.ssl3_records` says what of it cannot be
repaired. Here are its records, alerts and messages taken apart and given to the handshake,
which tells whether the connection may go on.

- Nothing is accepted that was not encrypted, once keys are agreed on, and no data before the
  handshake is complete.
- A handshake is done once. SSL 3.0 has no alert that refuses another one and lets the
  connection go on, so the connection ends (RFC 5746, sections 4.2 and 4.4).
- What a peer can make us keep or do is bounded: a message, the records without data in a row,
  the warnings.
"""

from __future__ import annotations

import os
from typing import ClassVar, Final

from txtransport.config.policy import Side
from txtransport.tls.connection import CLOSE_NOTIFY
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy.engine import LegacyConfig, LegacyEngine
from txtransport.tls.legacy.ssl3_fault import (
    Alert,
    SSL3Fault,
    reason_of_alert,
    unexpected_message,
)
from txtransport.tls.legacy.ssl3_handshake import (
    WARNING,
    ClientHandshake,
    Notice,
    Received,
    ServerHandshake,
    SSL2Hello,
)
from txtransport.tls.legacy.ssl3_key_exchange import Entropy
from txtransport.tls.legacy.ssl3_messages import MESSAGE_HEADER, MessageType
from txtransport.tls.legacy.ssl3_records import ContentType, RecordReader, RecordWriter
from txtransport.tls.legacy.ssl3_suites import SSL3_CIPHERS

__all__ = ["SSL3_CIPHERS", "SSL3Engine"]

_FATAL: Final = 2

_MAX_MESSAGE: Final = 2**14
"""The most bytes of a handshake message …"""

_LARGE: Final = frozenset({MessageType.CERTIFICATE, MessageType.CERTIFICATE_REQUEST})
_MAX_LARGE_MESSAGE: Final = 2**17
"""… and of one of these, which have chains and lists of authorities."""

_MAX_EMPTY_RECORDS: Final = 32
"""In a row. Old versions of OpenSSL send one before each record with data, against BEAST."""

_MAX_WARNINGS: Final = 5
"""As OpenSSL has it (MAX_WARN_ALERT_COUNT)."""


class SSL3Engine(LegacyEngine):
    """One connection of SSL 3.0, driven by the bytes of its peer.

    Args:
        config: What to demand and to offer; `SSL3_CIPHERS` are all ciphers there are.
        by_record: Whether what follows the peer's close_notify is kept in `unread`.
        entropy: Returns random bytes.

    Raises:
        ValueError: SSL 3.0 has no cipher suite of a name, or a server has no certificate.
    """

    version: ClassVar[str] = "SSLv3"

    def __init__(
        self, config: LegacyConfig, *, by_record: bool = False, entropy: Entropy = os.urandom
    ) -> None:
        super().__init__(config, by_record=by_record)
        if config.side is Side.SERVER and config.identity is None:
            raise ValueError("a server needs a certificate")
        self._reader = RecordReader()
        self._writer = RecordWriter()
        kind = ClientHandshake if config.side is Side.CLIENT else ServerHandshake
        self._dialogue = kind(self, self._reader, self._writer, entropy).run()
        self._message = bytearray()
        self._is_first = True
        self._empty_records = 0
        self._warnings = 0
        if config.side is Side.SERVER:
            next(self._dialogue)

    def start(self) -> None:
        """Begin the handshake, which on clients makes the ClientHello."""
        if self.config.side is Side.CLIENT:
            if not self.config.ciphers:
                self._break("no ciphers available")
                return
            next(self._dialogue)

    def receive(self, data: bytes) -> list[TLSEvent]:
        """Take bytes of the peer.

        Args:
            data: What the network has brought, cut anywhere.

        Returns:
            What came of it, in order. After `Signal.CLOSED` and `Signal.FAILED`
            nothing follows.
        """
        events: list[TLSEvent] = []
        if self.error is not None:
            return events
        self._reader.feed(data)
        try:
            while not self.is_closed_by_peer and self._process_next(events):
                pass
        except SSL3Fault as fault:
            self._fail(fault)
            events.append(Signal.FAILED)
        if self.is_closed_by_peer:
            rest = self._reader.take_rest()
            if self._by_record:
                self.unread: bytes = self.unread + rest
        return events

    def send(self, data: bytes) -> None:
        """Encrypt data of the application; `data_to_send` then returns it.

        If SSL is broken or closed, `error` says why from then on.

        Args:
            data: The data.
        """
        if self.error is not None:
            return
        if self.is_closed:
            super()._break("protocol is shutdown")
        elif not self.is_complete:
            self._break("uninitialized")
        else:
            self._writer.write(ContentType.APPLICATION_DATA, data)

    def data_to_send(self) -> bytes:
        """All bytes for the peer that were not returned yet; often none."""
        return self._writer.take()

    def close(self) -> None:
        """Make our close_notify, if there is none yet and SSL is not broken.

        A handshake that was not complete ends with it.
        """
        if self.is_closed or self.error is not None:
            return
        self.is_closed = True
        self._alert(WARNING, Alert.CLOSE_NOTIFY)
        if not self.is_complete:
            self._break("shutdown while in init")

    # --- records ---

    def _process_next(self, events: list[TLSEvent]) -> bool:
        """Process the next record, if it has come in whole.

        Returns:
            Whether there was one.
        """
        if self._is_first and self.config.side is Side.SERVER and self._reader.is_ssl2_hello:
            return self._process_ssl2_hello(events)
        record = self._reader.read()
        if record is None:
            return False
        self._is_first = False
        kind, data = record
        if data:
            self._empty_records = 0
        else:
            self._count_empty()
        self._process(kind, data, events)
        return True

    def _process_ssl2_hello(self, events: list[TLSEvent]) -> bool:
        hello = self._reader.read_ssl2_hello()
        if hello is None:
            return False
        self._is_first = False
        self._advance(SSL2Hello(hello), events)
        return True

    def _process(self, kind: ContentType, data: bytes, events: list[TLSEvent]) -> None:
        if kind is ContentType.APPLICATION_DATA:
            if not self.is_complete:
                raise unexpected_message()
            if data:
                events.append(data)
        elif kind is ContentType.HANDSHAKE:
            self._process_handshake(data, events)
        elif kind is ContentType.ALERT:
            self._process_alert(data, events)
        else:
            # A message does not go on behind the change of keys.
            if data != b"\x01" or self.is_complete or self._message:
                raise unexpected_message()
            self._advance(Notice.CHANGE_CIPHER_SPEC, events)

    def _count_empty(self) -> None:
        self._empty_records += 1
        if self._empty_records > _MAX_EMPTY_RECORDS:
            raise SSL3Fault("record too small", Alert.UNEXPECTED_MESSAGE)

    def _process_handshake(self, data: bytes, events: list[TLSEvent]) -> None:
        """Put messages together, which records may divide anywhere."""
        if self.is_complete and data:
            is_repeated = data[0] in (MessageType.HELLO_REQUEST, MessageType.CLIENT_HELLO)
            if is_repeated:
                raise SSL3Fault("no renegotiation", Alert.HANDSHAKE_FAILURE)
            raise unexpected_message()
        self._message += data
        while len(self._message) >= MESSAGE_HEADER:
            size = MESSAGE_HEADER + int.from_bytes(self._message[1:MESSAGE_HEADER], "big")
            is_large = self._message[0] in _LARGE
            if size > (_MAX_LARGE_MESSAGE if is_large else _MAX_MESSAGE):
                raise SSL3Fault("excessive message size", Alert.ILLEGAL_PARAMETER)
            if len(self._message) < size:
                return
            message = bytes(self._message[:size])
            del self._message[:size]
            if self._is_idle_request(message):
                self._count_warning()
            else:
                self._advance(message, events)

    def _is_idle_request(self, message: bytes) -> bool:
        """Whether a server asks for the handshake that is going on (RFC 6101, 5.6.1.1)."""
        return self.config.side is Side.CLIENT and message == bytes(MESSAGE_HEADER)

    def _advance(self, received: Received, events: list[TLSEvent]) -> None:
        """Go on with the handshake."""
        try:
            self._dialogue.send(received)
        except StopIteration:
            if self._message:
                raise unexpected_message() from None
            self.is_complete = True
            events.append(Signal.COMPLETE)

    # --- alerts and the end ---

    def _process_alert(self, data: bytes, events: list[TLSEvent]) -> None:
        if len(data) != 2 or data[0] not in (WARNING, _FATAL):
            raise SSL3Fault("invalid alert", Alert.ILLEGAL_PARAMETER)
        level, number = data
        if number == Alert.CLOSE_NOTIFY:
            if not self.is_complete:
                raise SSL3Fault(CLOSE_NOTIFY, None)
            self.is_closed_by_peer = True
            events.append(Signal.CLOSED)
        elif level == _FATAL:
            raise SSL3Fault(reason_of_alert(number), None)
        elif number == Alert.NO_CERTIFICATE and not self.is_complete:
            self._advance(Notice.NO_CERTIFICATE, events)
        else:
            self._count_warning()

    def _count_warning(self) -> None:
        self._warnings += 1
        if self._warnings > _MAX_WARNINGS:
            raise SSL3Fault("too many warn alerts", Alert.UNEXPECTED_MESSAGE)

    def _fail(self, fault: SSL3Fault) -> None:
        if fault.alert is not None and not self.is_closed:
            self._alert(_FATAL, fault.alert)
        self._break(fault.reason)

    def _break(self, reason: str) -> None:
        """Nothing can be received or sent from now on, but for what is made already."""
        super()._break(reason)
        self._dialogue.close()
        self._message.clear()
        self._reader.take_rest()

    def _alert(self, level: int, alert: Alert) -> None:
        self._writer.write(ContentType.ALERT, bytes((level, alert)))
