"""What the guard knows of Twisted's protocols, with bytes and without a connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.mail import imap4, pop3, smtp
from twisted.protocols import amp
from twisted.protocols.basic import (
    Int32StringReceiver,
    LineOnlyReceiver,
    LineReceiver,
    NetstringReceiver,
)
from twisted.trial.unittest import SynchronousTestCase
from twisted.words.protocols.jabber import xmlstream

from txtransport.errors import PeerMisbehaved
from txtransport.upgrade.twisted_protocols import (
    LONG,
    PartialBox,
    PendingReplies,
    forget_plaintext_state,
    is_logged_in,
    next_unit,
)


class UnitTests(SynchronousTestCase):
    """Where the next unit of the application's protocol ends."""

    def unit(self, protocol: object, data: bytes, boundary: bytes | None = None) -> bytes:
        """The first unit that the protocol would be given."""
        return data[: next_unit(protocol, boundary, data)]

    def test_boundary_is_used_for_unknown_parsers(self) -> None:
        """A protocol without a parser of Twisted's gets data up to the boundary."""
        protocol = Protocol()
        self.assertEqual(self.unit(protocol, b"one\ntwo\n", b"\n"), b"one\n")
        self.assertEqual(self.unit(protocol, b"one", b"\n"), b"")
        self.assertEqual(self.unit(protocol, b"one\n"), b"o")
        self.assertEqual(self.unit(protocol, b"one;;two", b";;"), b"one;;")
        self.assertEqual(self.unit(protocol, b"<a b='>'>x", b">"), b"<a b='>'>")

    def test_partial_boundary_waits(self) -> None:
        """Of a long input, all is delivered except what may be the start of a boundary."""
        protocol = Protocol()
        long = b"x" * LONG
        self.assertEqual(self.unit(protocol, long, b"\n"), b"")
        self.assertEqual(self.unit(protocol, long + b"x", b"\n"), long + b"x")
        self.assertEqual(self.unit(protocol, long + b"\r", b"\r\n"), long)

    def test_boundary_is_ignored_for_twisted_parsers(self) -> None:
        """For Twisted's parsers, lines, messages and tags are units, whatever the boundary."""
        for boundary in (None, b"\n", b"\0", b";"):
            for protocol, data, unit in (
                (LineReceiver(), b"a\nb\r\nc\r\n", b"a\nb\r\n"),
                (pop3.AdvancedPOP3Client(), b"a\nb\r\nc\r\n", b"a\nb\r\n"),
                (smtp.ESMTP(), b"a\nb\r\nc\r\n", b"a\nb\r\n"),
                (imap4.IMAP4Server(), b"a\nb\r\nc\r\n", b"a\nb\r\n"),
                (Int32StringReceiver(), b"\0\0\0\2\n\0more", b"\0\0\0\2\n\0"),
                (NetstringReceiver(), b"2:\n\0,more", b"2:\n\0,"),
                (amp.AMP(), b"\0\4_ask\0\1", b"\0\4_ask"),
                (xmlstream.XmlStream(xmlstream.Authenticator()), b"<a>\n<b>", b"<a>"),
            ):
                self.assertEqual(self.unit(protocol, data, boundary), unit, protocol)

    def test_raw_data_is_delivered_in_small_units(self) -> None:
        """Raw data is delivered byte by byte, which is always safe; IMAP's line by line."""
        protocol = LineReceiver()
        protocol.setRawMode()
        self.assertEqual(self.unit(protocol, b"ab\nc"), b"a")
        for imap in (imap4.IMAP4Server(), imap4.IMAP4Client()):
            imap.setRawMode()
            self.assertEqual(self.unit(imap, b"ab\nc\n"), b"ab\n")

    def test_protocol_inside_amp_decides(self) -> None:
        """When AMP has switched to another protocol, that protocol's units count."""
        protocol: Any = amp.AMP()
        protocol.innerProtocol = LineReceiver()
        self.assertEqual(self.unit(protocol, b"a\r\nb\r\n"), b"a\r\n")
        protocol.innerProtocol = Protocol()
        self.assertEqual(self.unit(protocol, b"ab"), b"a")

    def test_line_without_an_end_is_refused(self) -> None:
        """A line that a parser would keep for ever is refused."""
        protocol = LineOnlyReceiver()
        self.assertEqual(self.unit(protocol, b"x" * LONG), b"")
        self.assertRaises(PeerMisbehaved, next_unit, protocol, b"\n", b"x" * (LONG + 1))
        protocol.MAX_LENGTH = 10 * LONG
        self.assertEqual(self.unit(protocol, b"x" * 10 * LONG), b"")
        self.assertRaises(PeerMisbehaved, next_unit, protocol, b"\n", b"x" * (10 * LONG + 1))


class PendingRepliesTests(SynchronousTestCase):
    """Whether a client has waited for the replies to its commands."""

    def give(self, replies: PendingReplies, protocol: object, *units: bytes) -> None:
        """Give the protocol these units, and send no reply."""
        for unit in units:
            replies.asking()
            replies.asked(protocol, unit)

    def test_two_commands_without_a_reply_are_noticed(self) -> None:
        """A second command before the reply to the first is noticed, and remembered."""
        for protocol in (smtp.ESMTP(), smtp.SMTP(), imap4.IMAP4Server()):
            replies = PendingReplies()
            for _ in range(2):
                self.give(replies, protocol, b"NOOP\r\n")
                self.assertFalse(replies.is_late)
                replies.answered()
            self.give(replies, protocol, b"NOOP\r\n", b"NOOP\r\n")
            self.assertTrue(replies.is_late)
            replies.answered()
            self.assertTrue(replies.is_late)

    def test_partial_lines_and_data_need_no_reply(self) -> None:
        """Parts of a line, mail data and raw data need no reply; other protocols have none."""
        mail, imap = smtp.ESMTP(), imap4.IMAP4Server()
        mail.mode = smtp.DATA
        imap.setRawMode()
        for protocol, unit in (
            (smtp.ESMTP(), b"part\n"),
            (mail, b"line\r\n"),
            (imap, b"raw\r\n"),
            (imap4.IMAP4Client(), b"* OK\r\n"),
            (LineReceiver(), b"line\r\n"),
            (Protocol(), b"line\r\n"),
        ):
            replies = PendingReplies()
            self.give(replies, protocol, unit, unit, unit)
            self.assertFalse(replies.is_late, protocol)


class PartialBoxTests(SynchronousTestCase):
    """How much of a box AMP has received."""

    def partial_box(self, *units: bytes, protocol: Any = None) -> bytes:
        """The bytes of the box that has begun, after these units."""
        box = PartialBox()
        for unit in units:
            box.given(protocol or amp.AMP(), unit)
        return box.begun

    def test_box_ends_with_an_empty_key(self) -> None:
        """An empty value does not end a box; what is kept of a partial box is bounded."""
        self.assertEqual(self.partial_box(), b"")
        self.assertEqual(self.partial_box(b"\0\1k"), b"\0\1k")
        self.assertEqual(self.partial_box(b"\0\1k", b"\0\0"), b"\0\1k\0\0")
        self.assertEqual(self.partial_box(b"\0\1k", b"\0\0", b"\0\0"), b"")
        self.assertEqual(self.partial_box(b"\0\1k", b"\0\0", b"\0\0", b"\0\1l"), b"\0\1l")
        self.assertEqual(len(self.partial_box(b"\0\1k", b"\4\0" + b"x" * 1024)), 64)

    def test_other_protocols_have_no_boxes(self) -> None:
        """For other protocols nothing is kept."""
        self.assertEqual(self.partial_box(b"\0\1k", protocol=Int32StringReceiver()), b"")


class PlaintextStateTests(SynchronousTestCase):
    """What a mail server learnt in the clear, and how it is forgotten."""

    def test_log_in_is_detected(self) -> None:
        """An ESMTP server says whether a client has logged in; other protocols do not."""
        server = smtp.ESMTP()
        self.assertFalse(is_logged_in(server))
        server.authenticated = True
        self.assertTrue(is_logged_in(server))
        for other in (smtp.SMTP(), imap4.IMAP4Server(), Protocol(), None):
            self.assertFalse(is_logged_in(other))

    def test_mail_is_forgotten_with_rset(self) -> None:
        """The mail's sender is forgotten; a subclass forgets what it knows in its own RSET."""
        forgotten: list[bytes] = []

        class Careful(smtp.ESMTP):
            def do_RSET(self, rest: bytes) -> None:
                forgotten.append(rest)
                super().do_RSET(rest)

            def do_HELO(self, rest: bytes) -> None:
                raise AssertionError("nobody said HELO")

        server = Careful()
        server.noisy = False
        server.makeConnection(StringTransport())
        self.addCleanup(server.setTimeout, None)
        forget_plaintext_state(server)
        self.assertEqual(forgotten, [b""])
        for other in (imap4.IMAP4Server(), Protocol()):
            forget_plaintext_state(other)
