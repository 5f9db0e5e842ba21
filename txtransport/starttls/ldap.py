"""LDAP: the StartTLS operation (RFC 4511, 4.14).

    C: 30 1d 02 01 01                   message 1
       77 18 80 16 "1.3.6.1.4.1.1466.20037"
    S: 30 0c 02 01 01
       78 07 0a 01 00 04 00 04 00       success, no DN, no text
    TLS
    C: reads the root DSE again; everything from before is forgotten

A server may add the operation's name to its answer, and write lengths in the
long form. The guest asks first, so it hears nothing.
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSRefused
from txtransport.starttls.ber import Element, element, elements, encoded, number
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

_MESSAGE: Final = 0x30
_UNBIND: Final = 0x42
_ABANDON: Final = 0x50
_EXTENDED: Final = 0x77
_EXTENDED_ANSWER: Final = 0x78

_START_TLS: Final = b"1.3.6.1.4.1.1466.20037"
_DISCONNECTION: Final = b"1.3.6.1.4.1.1466.20036"

_ANSWERS: Final = {
    0x4A: 0x6B,  # delete
    0x60: 0x61,  # bind
    0x63: 0x65,  # search: done
    0x66: 0x67,  # modify
    0x68: 0x69,  # add
    0x6C: 0x6D,  # modify DN
    0x6E: 0x6F,  # compare
    _EXTENDED: _EXTENDED_ANSWER,
}
"""The tag of the answer to each operation that has one."""

_SUCCESS: Final = 0
_PROTOCOL_ERROR: Final = 2
_REFERRAL: Final = 10
_CONFIDENTIALITY_REQUIRED: Final = 13
_CODES: Final = {
    1: "operationsError",
    _PROTOCOL_ERROR: "protocolError",
    8: "strongerAuthRequired",
    _REFERRAL: "referral",
    _CONFIDENTIALITY_REQUIRED: "confidentialityRequired",
    51: "busy",
    52: "unavailable",
    53: "unwillingToPerform",
    80: "other",
}

# Tags in the order in which they stand (RFC 4511, 4.1.1, 4.1.9, 4.12).
_MESSAGE_ORDER: Final = re.compile(rb"\x02[^\xa0]\xa0?", re.DOTALL)
_RESULT_ORDER: Final = re.compile(rb"\x0a\x04\x04\xa3?\x8a?\x8b?")
_REQUEST_ORDER: Final = re.compile(rb"\x80\x81?")


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    wire.ask(_message(1, encoded(_EXTENDED, encoded(0x80, _START_TLS))))
    message, operation = yield from _operation(wire)
    if operation.tag != _EXTENDED_ANSWER:
        raise PeerMisbehaved(f"expected an answer, and the peer sent operation {operation.tag:02x}")
    # Of the two strings the text comes last, and stays.
    result = {part.tag: part.contents for part in _parts(operation, _RESULT_ORDER)}
    code, text, name = number(result[0x0A]), result[0x04], result.get(0x8A, _START_TLS)
    if (message, name) == (0, _DISCONNECTION):
        raise PeerLeft(text)
    if (message, name) != (1, _START_TLS):
        raise PeerMisbehaved(
            f"message {message} of the peer, {escape_bytes(name)}, is no answer to ours"
        )
    if code == _REFERRAL:
        # Where it refers to, someone in the middle may have chosen.
        text = b"it refers to another server, which is not asked"
    if code != _SUCCESS:
        raise TLSRefused(f"{code} {_CODES.get(code, '')}".strip(), text)
    return b""


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    try:
        return (yield from _serve(wire))
    except PeerMisbehaved:
        # RFC 4511, 4.4.1.
        name = encoded(0x8A, _DISCONNECTION)
        wire.send(_message(0, _result(_EXTENDED_ANSWER, _PROTOCOL_ERROR, name)))
        raise


def _serve(wire: Wire) -> Dialogue[bytes]:
    for _ in range(COMMANDS):
        message, operation = yield from _operation(wire)
        if operation.tag == _UNBIND:
            raise PeerLeft()
        if operation.tag == _ABANDON:
            continue
        if operation.tag not in _ANSWERS or not message:
            raise PeerMisbehaved(
                f"message {message}, operation {operation.tag:02x}, is none of a client's"
            )
        code = _verdict(operation)
        wire.send(_message(message, _result(_ANSWERS[operation.tag], code)))
        if code == _SUCCESS:
            return b""
    wire.give_up(b"")  # The caller says goodbye.


def _verdict(operation: Element) -> int:
    """What becomes of a client's operation; nothing but an extended one is looked into."""
    if operation.tag != _EXTENDED:
        return _CONFIDENTIALITY_REQUIRED
    request = _parts(operation, _REQUEST_ORDER)
    if request[0].contents != _START_TLS:
        return _CONFIDENTIALITY_REQUIRED
    # It has no value (RFC 4511, 4.14.1).
    return _SUCCESS if len(request) == 1 else _PROTOCOL_ERROR


def _operation(wire: Wire) -> Dialogue[tuple[int, Element]]:
    """The next message: its number and its operation."""
    message = yield from element(wire, _MESSAGE)
    number_of_it, operation, *_ = _parts(message, _MESSAGE_ORDER)
    return number(number_of_it.contents), operation


def _parts(whole: Element, order: re.Pattern[bytes]) -> list[Element]:
    """What an element is made of, its tags in that order."""
    parts = elements(whole.contents)
    if not order.fullmatch(bytes(part.tag for part in parts)):
        raise PeerMisbehaved(f"a message is not made as LDAP's are: {escape_bytes(whole.contents)}")
    return parts


def _message(message: int, operation: bytes) -> bytes:
    # With room for the sign.
    size = message.bit_length() // 8 + 1
    return encoded(_MESSAGE, encoded(0x02, message.to_bytes(size, "big")), operation)


def _result(tag: int, code: int, name: bytes = b"") -> bytes:
    text = b"StartTLS comes first" if code else b""
    return encoded(tag, encoded(0x0A, bytes((code,))), encoded(0x04), encoded(0x04, text), name)
