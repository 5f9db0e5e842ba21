"""What the guard must know of Twisted's own protocols, by their public attributes.

Where their next command ends; what their mail servers still owe an answer for,
or already believe, when a client asks for TLS; and how they forget it. None
of them is imported here: who does not use them need not have them.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from attrs import define
from twisted.protocols.basic import (
    IntNStringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)

from txtransport.errors import PeerMisbehaved
from txtransport.upgrade.framing import Held, is_instance_of
from txtransport.upgrade.framing import next_unit as next_known
from txtransport.upgrade.xml_framing import next_tag

LONG: Final = 65536
"""How long a line may be, if its parser does not allow it to be longer; in bytes."""


def next_unit(protocol: object, boundary: bytes | None, data: Held) -> int:
    """How many bytes a guest may have next.

    Args:
        guest: The protocol. One with a parser of Twisted's gets what that
            parser takes for a line, a message or a tag.
        boundary: What ends a command of any other; None is byte by byte.
        data: What has arrived, not empty.

    Returns:
        A number of bytes, or 0 when the unit is not whole yet.

    Raises:
        PeerMisbehaved: The peer sends a line without an end, or XML in which
            tags may hide.
    """
    if isinstance(protocol, LineOnlyReceiver):
        return _line(protocol, data)
    if isinstance(protocol, (LineReceiver, IntNStringReceiver, NetstringReceiver)):
        return _known(protocol, data)
    if boundary is None or is_instance_of(protocol, "twisted.words.xish.xmlstream", "XmlStream"):
        return next_known(protocol, data)
    return next_tag(data) if boundary == b">" else _by(boundary, data)


def _by(boundary: bytes, data: Held) -> int:
    end = data.find(boundary)
    if end >= 0:
        return end + len(boundary)
    # What is too long is for the guest to know. The boundary's beginning stays
    # here: given away, what follows its end would be given with it.
    return len(data) - len(boundary) + 1 if len(data) > LONG else 0


def _known(protocol: Any, data: Held) -> int:
    # AMP can give its bytes to another protocol.
    protocol = getattr(protocol, "innerProtocol", None) or protocol
    if _is_imap(protocol) and not protocol.line_mode:
        # Byte by byte is what raw data takes in general; of IMAP's, a line's
        # end always follows.
        return _by(b"\n", data)
    return next_known(protocol, data)


def _line(parser: LineOnlyReceiver, data: Held) -> int:
    end = data.find(parser.delimiter)
    if end >= 0:
        return end + len(parser.delimiter)
    # This parser keeps what is too long, and Twisted's mail server goes on.
    if len(data) > max(LONG, parser.MAX_LENGTH):
        raise PeerMisbehaved(f"a line has no end within {len(data)} bytes")
    return 0


@define(eq=False)
class PendingReplies:
    """Whether a client waits for the answers of Twisted's mail servers, in the clear.

    A question that takes its time would be answered under TLS, and what comes
    of it, a sender or a log-in, would count there.

    Attributes:
        is_late: Whether something was ever asked before the last answer.
    """

    is_late: bool = False
    _is_awaited: bool = False

    def asking(self) -> None:
        """The server is about to be given a unit."""
        self.is_late = self.is_late or self._is_awaited
        self._is_awaited = True

    def asked(self, protocol: object, unit: bytes) -> None:
        """The server has been given it."""
        self._is_awaited = self._is_awaited and _is_question(protocol, unit)

    def answered(self) -> None:
        """The server has written something."""
        self._is_awaited = False


def _is_question(protocol: Any, unit: bytes) -> bool:
    if is_instance_of(protocol, "twisted.mail.smtp", "SMTP"):
        is_command = protocol.mode != "DATA"
    elif is_instance_of(protocol, "twisted.mail.imap4", "IMAP4Server"):
        is_command = bool(protocol.line_mode)
    else:
        return False
    return is_command and unit.endswith(protocol.delimiter)


@define(eq=False)
class PartialBox:
    """What AMP has of a box that is not whole yet.

    It keeps the beginning, and would take the rest of the box from TLS.

    Attributes:
        begun: The first of its bytes; empty between two boxes.
    """

    begun: bytes = b""
    _is_value_next: bool = False

    def given(self, protocol: object, unit: bytes) -> None:
        """AMP has been given a key, a value, or the empty key that ends a box."""
        if not is_instance_of(protocol, "twisted.protocols.amp", "BinaryBoxProtocol"):
            return
        if unit == _NOTHING and not self._is_value_next:
            self.begun = b""
        else:
            self.begun = (self.begun + unit)[:_SHOWN]
            self._is_value_next = not self._is_value_next


_NOTHING: Final = b"\0\0"
_SHOWN: Final = 64


def is_logged_in(protocol: Any) -> bool:
    """Whether a client of Twisted's mail server has logged in."""
    return is_instance_of(protocol, "twisted.mail.smtp", "ESMTP") and bool(protocol.authenticated)


def forget_plaintext_state(protocol: Any) -> None:
    """Have a guest forget what it learnt in the clear, if it does not do so itself.

    Twisted's mail server keeps name, sender and recipients, which RFC 3207
    (section 4.2) wants gone. Its other protocols begin anew.

    Args:
        guest: The protocol; what it writes meanwhile, nobody has asked for.
    """
    if is_instance_of(protocol, "twisted.mail.smtp", "SMTP"):
        protocol.do_RSET(b"")
        # Twisted's own: what someone else makes of a greeting is not wanted.
        sys.modules["twisted.mail.smtp"].SMTP.do_HELO(protocol, b"")


def _is_imap(protocol: object) -> bool:
    return any(
        is_instance_of(protocol, "twisted.mail.imap4", f"IMAP4{side}")
        for side in ("Server", "Client")
    )
