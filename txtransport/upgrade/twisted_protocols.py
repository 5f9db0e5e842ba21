"""What the guard knows about Twisted's own protocols, by their public attributes.

Where the next command ends; which replies the mail servers still owe, or what
they already believe, when a client asks for TLS; and how they forget what they
learnt in the clear. The protocols' modules are not imported here: an
application that does not use, for example, ``twisted.mail`` need not have it.
"""

from __future__ import annotations

import sys
from typing import Final, Protocol, cast

from attrs import define
from twisted.protocols.basic import (
    IntNStringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)

from txtransport.errors import PeerMisbehaved
from txtransport.upgrade.framing import Held, is_instance_of
from txtransport.upgrade.framing import next_unit as next_unit_by_parser
from txtransport.upgrade.xml_framing import next_tag

__all__ = [
    "LONG",
    "PartialBox",
    "PendingReplies",
    "forget_plaintext_state",
    "has_known_parser",
    "is_logged_in",
    "next_unit",
]

LONG: Final = 65536
"""How many bytes of an unfinished line wait here, unless the parser allows longer lines."""


class _SMTPServer(Protocol):
    """What this module uses of ``twisted.mail.smtp.SMTP`` and ``ESMTP``.

    Attributes:
        authenticated: Whether the client has logged in; only `ESMTP` has it.
        delimiter: The end of a line.
        mode: ``"DATA"`` while the server receives a mail.
    """

    authenticated: bool
    delimiter: bytes
    mode: str

    def do_RSET(self, rest: bytes) -> None: ...


def next_unit(protocol: object, boundary: bytes | None, data: Held) -> int:
    """How many bytes a protocol may receive next.

    Args:
        protocol: The application's protocol. If it has one of Twisted's
            parsers, the unit is what that parser takes for a line, a message or
            a tag.
        boundary: The bytes that end a command of any other protocol; None means
            byte by byte.
        data: What has arrived; not empty.

    Returns:
        A number of bytes, or 0 when the unit is not complete yet.

    Raises:
        PeerMisbehaved: The peer sends a line without an end, or XML in which
            tags may hide.
    """
    if isinstance(protocol, LineOnlyReceiver):
        return _bounded_line(protocol, data)
    if isinstance(protocol, (LineReceiver, IntNStringReceiver, NetstringReceiver)):
        return _unit_of_twisted_parser(protocol, data)
    if boundary is None or is_instance_of(protocol, "twisted.words.xish.xmlstream", "XmlStream"):
        return next_unit_by_parser(protocol, data)
    return next_tag(data) if boundary == b">" else _through(boundary, data)


def has_known_parser(protocol: object, boundary: bytes | None) -> bool:
    """Whether `next_unit` finds units longer than a byte.

    Args:
        protocol: The application's protocol.
        boundary: The bytes that end a command, if they were given.
    """
    parsers = (LineOnlyReceiver, LineReceiver, IntNStringReceiver, NetstringReceiver)
    return (
        boundary is not None
        or isinstance(protocol, parsers)
        or is_instance_of(protocol, "twisted.words.xish.xmlstream", "XmlStream")
    )


def _through(boundary: bytes, data: Held) -> int:
    end = data.find(boundary)
    if end >= 0:
        return end + len(boundary)
    # The protocol decides what is too long for it, so a long piece without a
    # boundary is delivered. The last bytes may be the beginning of a boundary,
    # and stay: once they were delivered, the boundary could no longer be found,
    # and bytes behind it would be delivered together with its end.
    return len(data) - len(boundary) + 1 if len(data) > LONG else 0


def _unit_of_twisted_parser(protocol: object, data: Held) -> int:
    # AMP can pass its bytes on to another protocol.
    protocol = getattr(protocol, "innerProtocol", None) or protocol
    if isinstance(protocol, LineReceiver) and _is_imap(protocol) and not protocol.line_mode:
        # Raw data of any other protocol is delivered byte by byte. In IMAP, the
        # rest of a line follows each literal, and the command ends with it.
        return _through(b"\n", data)
    return next_unit_by_parser(protocol, data)


def _bounded_line(parser: LineOnlyReceiver, data: Held) -> int:
    end = data.find(parser.delimiter)
    if end >= 0:
        return end + len(parser.delimiter)
    # This parser would keep a line of any length, and Twisted's mail server
    # does not close the connection when a line is too long.
    if len(data) > max(LONG, parser.MAX_LENGTH):
        raise PeerMisbehaved(f"a line has no end within {len(data)} bytes")
    return 0


@define(eq=False)
class PendingReplies:
    """Whether the client of one of Twisted's mail servers waits for each reply, in the clear.

    A command may take its time, for example a log-in. If the client asks for
    TLS before the reply, the server would reply under TLS, and the command's
    effect (a sender, a log-in) would count there.

    Attributes:
        is_late: Whether a command was ever delivered before the reply to the
            command before it.
    """

    is_late: bool = False
    _is_awaited: bool = False

    def asking(self) -> None:
        """Note that the server is about to receive a unit."""
        self.is_late = self.is_late or self._is_awaited
        self._is_awaited = True

    def asked(self, protocol: object, unit: bytes) -> None:
        """Note that the server has received the unit.

        Args:
            protocol: The server; other protocols have no pending replies.
            unit: The unit.
        """
        self._is_awaited = self._is_awaited and _expects_reply(protocol, unit)

    def refused(self) -> None:
        """Note that a command was answered in the server's place, and not delivered."""
        self.is_late = self.is_late or self._is_awaited

    def answered(self) -> None:
        """Note that the server has written something."""
        self._is_awaited = False


def _expects_reply(protocol: object, unit: bytes) -> bool:
    if is_instance_of(protocol, "twisted.mail.smtp", "SMTP"):
        smtp = cast(_SMTPServer, protocol)
        return smtp.mode != "DATA" and unit.endswith(smtp.delimiter)
    if is_instance_of(protocol, "twisted.mail.imap4", "IMAP4Server"):
        imap = cast(LineReceiver, protocol)
        return bool(imap.line_mode) and unit.endswith(imap.delimiter)
    return False


@define(eq=False)
class PartialBox:
    """The beginning of a box that AMP has received, while the box is not complete.

    AMP keeps this beginning in its parser; after a switch to TLS the parser
    would complete the box with decrypted bytes.

    Attributes:
        begun: The first 64 of the box's bytes, at most; empty between two boxes.
    """

    begun: bytes = b""
    _is_value_next: bool = False

    def given(self, protocol: object, unit: bytes) -> None:
        """Note that AMP is about to receive a key, a value, or the empty key that ends a box.

        Args:
            protocol: The AMP protocol; other protocols have no boxes.
            unit: The key or value, with its length prefix.
        """
        if not is_instance_of(protocol, "twisted.protocols.amp", "BinaryBoxProtocol"):
            return
        if unit == _EMPTY_STRING and not self._is_value_next:
            self.begun = b""
        else:
            self.begun = (self.begun + unit)[:_MAX_SHOWN]
            self._is_value_next = not self._is_value_next


_EMPTY_STRING: Final = b"\0\0"
_MAX_SHOWN: Final = 64


def is_logged_in(protocol: object) -> bool:
    """Whether a client has logged in to Twisted's mail server.

    Args:
        protocol: The application's protocol, of whatever class.
    """
    return is_instance_of(protocol, "twisted.mail.smtp", "ESMTP") and bool(
        cast(_SMTPServer, protocol).authenticated
    )


def forget_plaintext_state(protocol: object) -> None:
    """Make a protocol forget what it learnt in the clear, if it does not do so itself.

    Twisted's mail server keeps the client's name, the sender and the
    recipients, which RFC 3207 (section 4.2) requires it to discard. Twisted's
    other protocols start afresh by themselves.

    Args:
        protocol: The application's protocol. The caller discards what the
            protocol writes meanwhile: the peer has sent no command.
    """
    if is_instance_of(protocol, "twisted.mail.smtp", "SMTP"):
        cast(_SMTPServer, protocol).do_RSET(b"")
        # Called on Twisted's class, not on the protocol: a subclass may do more
        # on HELO than to remember the name.
        sys.modules["twisted.mail.smtp"].SMTP.do_HELO(protocol, b"")


def _is_imap(protocol: object) -> bool:
    return any(
        is_instance_of(protocol, "twisted.mail.imap4", f"IMAP4{side}")
        for side in ("Server", "Client")
    )
