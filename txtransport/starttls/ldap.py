"""LDAP: the StartTLS operation (RFC 4511, 4.14).

    C: 30 1d 02 01 01                   message 1
       77 18 80 16 "1.3.6.1.4.1.1466.20037"
    S: 30 0c 02 01 01
       78 07 0a 01 00 04 00 04 00       success, no DN, no text
    TLS
    C: reads the root DSE again; everything from before is forgotten

A server may add the operation's name to its answer, and encode lengths in the
long form. The application's protocol receives nothing: a client sends first.
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSRefused
from txtransport.starttls.ber import Element, element, elements, encoded, number
from txtransport.starttls.wire import COMMANDS, Dialogue, Wire
from txtransport.text import escape_bytes

__all__ = ["connect", "serve"]

_MESSAGE: Final = 0x30
_UNBIND: Final = 0x42
_ABANDON: Final = 0x50
_EXTENDED: Final = 0x77
_EXTENDED_RESPONSE: Final = 0x78

_START_TLS: Final = b"1.3.6.1.4.1.1466.20037"
_DISCONNECTION: Final = b"1.3.6.1.4.1.1466.20036"

_RESPONSE_TAGS: Final = {
    0x4A: 0x6B,  # delete
    0x60: 0x61,  # bind
    0x63: 0x65,  # search: done
    0x66: 0x67,  # modify
    0x68: 0x69,  # add
    0x6C: 0x6D,  # modify DN
    0x6E: 0x6F,  # compare
    _EXTENDED: _EXTENDED_RESPONSE,
}
"""The tag of the response to each request that has one."""

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

# The tags of the parts, in the order of RFC 4511 (4.1.1, 4.1.9, 4.12).
_MESSAGE_ORDER: Final = re.compile(rb"\x02[^\xa0]\xa0?", re.DOTALL)
_RESULT_ORDER: Final = re.compile(rb"\x0a\x04\x04\xa3?\x8a?\x8b?")
_REQUEST_ORDER: Final = re.compile(rb"\x80\x81?")


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side."""
    wire.ask(_message(1, encoded(_EXTENDED, encoded(0x80, _START_TLS))))
    message_id, operation = yield from _next_message(wire)
    if operation.tag != _EXTENDED_RESPONSE:
        raise PeerMisbehaved(f"expected an answer, and the peer sent operation {operation.tag:02x}")
    # Tag 04 comes twice, matchedDN and diagnosticMessage: the dict keeps the second.
    result = {part.tag: part.contents for part in _parts(operation, _RESULT_ORDER)}
    code, text, name = number(result[0x0A]), result[0x04], result.get(0x8A, _START_TLS)
    if (message_id, name) == (0, _DISCONNECTION):
        raise PeerLeft(text)
    if (message_id, name) != (1, _START_TLS):
        raise PeerMisbehaved(
            f"message {message_id} of the peer, {escape_bytes(name)}, is no answer to ours"
        )
    if code == _REFERRAL:
        # Someone on the path may have chosen the server in the referral.
        text = b"it refers to another server, which is not asked"
    if code != _SUCCESS:
        raise TLSRefused(f"{code} {_CODES.get(code, '')}".strip(), text)
    return b""


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side."""
    try:
        return (yield from _serve(wire))
    except PeerMisbehaved:
        # Notice of Disconnection (RFC 4511, 4.4.1).
        name = encoded(0x8A, _DISCONNECTION)
        wire.send(_message(0, _result(_EXTENDED_RESPONSE, _PROTOCOL_ERROR, name)))
        raise


def _serve(wire: Wire) -> Dialogue[bytes]:
    for _ in range(COMMANDS):
        message_id, operation = yield from _next_message(wire)
        if operation.tag == _UNBIND:
            raise PeerLeft()
        if operation.tag == _ABANDON:
            continue
        if operation.tag not in _RESPONSE_TAGS or not message_id:
            raise PeerMisbehaved(
                f"message {message_id}, operation {operation.tag:02x}, is none of a client's"
            )
        code = _result_code(operation)
        wire.send(_message(message_id, _result(_RESPONSE_TAGS[operation.tag], code)))
        if code == _SUCCESS:
            return b""
    wire.give_up(b"")  # `serve` sends the Notice of Disconnection.


def _result_code(operation: Element) -> int:
    """The result code for a client's operation; only an extended one is parsed."""
    if operation.tag != _EXTENDED:
        return _CONFIDENTIALITY_REQUIRED
    request = _parts(operation, _REQUEST_ORDER)
    if request[0].contents != _START_TLS:
        return _CONFIDENTIALITY_REQUIRED
    # A StartTLS request has no requestValue (RFC 4511, 4.14.1).
    return _SUCCESS if len(request) == 1 else _PROTOCOL_ERROR


def _next_message(wire: Wire) -> Dialogue[tuple[int, Element]]:
    """Wait for a message; return its messageID and its operation."""
    message = yield from element(wire, _MESSAGE)
    message_id, operation, *_ = _parts(message, _MESSAGE_ORDER)
    return number(message_id.contents), operation


def _parts(whole: Element, order: re.Pattern[bytes]) -> list[Element]:
    """Split an element into its parts, whose tags have to match `order`."""
    parts = elements(whole.contents)
    if not order.fullmatch(bytes(part.tag for part in parts)):
        raise PeerMisbehaved(f"a message is not made as LDAP's are: {escape_bytes(whole.contents)}")
    return parts


def _message(message_id: int, operation: bytes) -> bytes:
    # An INTEGER is signed: the first bit has to be 0.
    size = message_id.bit_length() // 8 + 1
    return encoded(_MESSAGE, encoded(0x02, message_id.to_bytes(size, "big")), operation)


def _result(tag: int, code: int, name: bytes = b"") -> bytes:
    text = b"StartTLS comes first" if code else b""
    return encoded(tag, encoded(0x0A, bytes((code,))), encoded(0x04), encoded(0x04, text), name)
