"""SSL 2.0 in memory: bytes of the peer go in, bytes and events come out.

The protocol of 1995 (draft-hickman-netscape-ssl-00), as small as it is: RFC 6176, which
forbids it, says in a page what is wrong with it. It is here for devices that speak nothing
else. The parts:

- `ssl2_messages`: the messages of the handshake;
- `ssl2_suites`: the cipher suites and the keys made for them;
- `ssl2_keys`: what is done with RSA, and why nobody learns whether a padding was good;
- `ssl2_record`: the records;
- `ssl2_handshake`: who says what, on both sides.

*There is no close_notify.* A peer that has said all closes the connection, and so does
an attacker who does not want the rest to arrive. So `is_closed_by_peer` is never True, an
end that the peer makes counts as one that the network makes (Twisted's `ConnectionLost`),
and only the application's own protocol can say whether something is missing.

*A peer that speaks something newer* is never answered in it: no version but 0x0002 is
accepted or sent. Our server tells such a client so in an alert of the client's protocol.
"""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_bytes
from typing import ClassVar, Final

from txtransport.config.policy import Side
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy.engine import LegacyConfig, LegacyEngine
from txtransport.tls.legacy.ssl2_handshake import ClientHandshake, ServerHandshake
from txtransport.tls.legacy.ssl2_messages import NewerProtocolError, SSL2Error, encode_error
from txtransport.tls.legacy.ssl2_record import MAX_DATA
from txtransport.tls.legacy.ssl2_suites import (
    SSL2_CIPHERS,
    SSL2_EXPORT_CIPHERS,
    find_suites,
)

__all__ = ["SSL2_CIPHERS", "SSL2_EXPORT_CIPHERS", "SSL2Engine"]


_MAX_EMPTY_RECORDS: Final = 32
"""In a row, as OpenSSL has it for TLS."""


class SSL2Engine(LegacyEngine):
    """One connection of SSL 2.0, driven by the bytes of its peer.

    Args:
        config: What to demand and to offer. Of `identity` the leaf alone is shown, since the
            protocol has no room for others; `authorities` have none either.
        by_record: Nothing: without a close_notify there is nothing behind it.
        random: Makes as many random bytes as it is told; for tests.

    Raises:
        ValueError: A cipher is none of SSL 2.0's that we have.
    """

    version: ClassVar[str] = "SSLv2"

    def __init__(
        self,
        config: LegacyConfig,
        *,
        by_record: bool = False,
        random: Callable[[int], bytes] = token_bytes,
    ) -> None:
        super().__init__(config, by_record=by_record)
        find_suites(config.ciphers)
        self.piece = MAX_DATA
        kind = ClientHandshake if config.side is Side.CLIENT else ServerHandshake
        self._handshake = kind(config, random)
        self._messages = self._handshake.run()
        self._is_started = False
        self._empty_records = 0

    def start(self) -> None:
        """Begin the handshake, which on clients makes the CLIENT-HELLO."""
        if self._is_started or self.error is not None:
            return
        self._is_started = True
        try:
            next(self._messages)
        except SSL2Error as error:
            self._fail(error)

    def receive(self, data: bytes) -> list[TLSEvent]:
        """Take bytes of the peer.

        Args:
            data: What the network has brought, cut anywhere.

        Returns:
            What came of it, in order. After `Signal.FAILED` nothing follows.
        """
        events: list[TLSEvent] = []
        self.start()
        if self.error is not None:
            return events
        try:
            for record in self._handshake.reader.records(data):
                if not self.is_complete:
                    self._continue_handshake(record, events)
                elif record:
                    self._empty_records = 0
                    events.append(record)
                else:
                    self._count_empty()
        except SSL2Error as error:
            self._fail(error)
            events.append(Signal.FAILED)
        except BaseException:
            # The question whether the peer is acceptable has no answer.
            self._fail(SSL2Error("internal error"))
            raise
        return events

    def send(self, data: bytes) -> None:
        """Encrypt data of the application; `data_to_send` then returns it.

        If the connection is closed, broken, or not there yet, `error` says why, and
        nothing is sent.

        Args:
            data: Any number of bytes; `piece` of them become one record.
        """
        if self.error is not None:
            return
        if self.is_closed or not self.is_complete:
            self._fail(SSL2Error("protocol is shutdown" if self.is_closed else "uninitialized"))
            return
        seal = self._handshake.writer.seal
        for begin in range(0, len(data), MAX_DATA):
            self._handshake.to_send.append(seal(data[begin : begin + MAX_DATA]))

    def data_to_send(self) -> bytes:
        """All bytes for the peer that were not returned yet; often none."""
        data = b"".join(self._handshake.to_send)
        self._handshake.to_send.clear()
        return data

    def close(self) -> None:
        """End our data. The peer is told by the end of the connection alone."""
        if self.error is None:
            self.is_closed = True

    def _continue_handshake(self, message: bytes, events: list[TLSEvent]) -> None:
        """Take a message of the peer."""
        handshake, is_over = self._handshake, False
        try:
            self._messages.send(message)
        except StopIteration:
            is_over = True
        finally:
            self.peer_chain: tuple[bytes, ...] = handshake.chain
            self.is_certificate_requested: bool = handshake.is_certificate_requested
            if handshake.suite is not None:
                self.cipher: str = handshake.suite.name
                self.bits: int = handshake.suite.bits
        if is_over:
            self.is_complete = True
            events.append(Signal.COMPLETE)

    def _count_empty(self) -> None:
        """Bound the records without data, which keep us at work and say nothing."""
        self._empty_records += 1
        if self._empty_records > _MAX_EMPTY_RECORDS:
            raise SSL2Error("record too small")

    def _fail(self, error: SSL2Error) -> None:
        """Break the connection, and tell the peer why if there is a message for it."""
        self._break(error.reason)
        to_send = self._handshake.to_send
        if error.code is not None:
            to_send.append(self._handshake.writer.seal(encode_error(error.code)))
        elif isinstance(error, NewerProtocolError) and self.config.side is Side.SERVER:
            to_send.append(error.alert)
