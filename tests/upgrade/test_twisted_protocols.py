"""What the guard knows of Twisted's protocols, with bytes and no connection."""

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
    """Where the next unit of a guest ends."""

    def unit(self, protocol: object, data: bytes, boundary: bytes | None = None) -> bytes:
        """What a guest would be given."""
        return data[: next_unit(protocol, boundary, data)]

    def test_the_boundary_is_for_a_stranger_s_parser(self) -> None:
        """A protocol without a parser of Twisted's gets what ends with the boundary."""
        protocol = Protocol()
        self.assertEqual(self.unit(protocol, b"one\ntwo\n", b"\n"), b"one\n")
        self.assertEqual(self.unit(protocol, b"one", b"\n"), b"")
        self.assertEqual(self.unit(protocol, b"one\n"), b"o")
        self.assertEqual(self.unit(protocol, b"one;;two", b";;"), b"one;;")
        self.assertEqual(self.unit(protocol, b"<a b='>'>x", b">"), b"<a b='>'>")

    def test_half_a_boundary_stays(self) -> None:
        """Of what is too long, all is given away but what may be a boundary's beginning."""
        protocol = Protocol()
        long = b"x" * LONG
        self.assertEqual(self.unit(protocol, long, b"\n"), b"")
        self.assertEqual(self.unit(protocol, long + b"x", b"\n"), long + b"x")
        self.assertEqual(self.unit(protocol, long + b"\r", b"\r\n"), long)

    def test_twisted_s_parsers_are_known(self) -> None:
        """Their lines, messages and tags are theirs, whatever the boundary is."""
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

    def test_raw_data(self) -> None:
        """Raw data comes byte by byte, which is always right; IMAP's, up to the end of the line."""
        protocol = LineReceiver()
        protocol.setRawMode()
        self.assertEqual(self.unit(protocol, b"ab\nc"), b"a")
        for imap in (imap4.IMAP4Server(), imap4.IMAP4Client()):
            imap.setRawMode()
            self.assertEqual(self.unit(imap, b"ab\nc\n"), b"ab\n")

    def test_a_protocol_within_amp(self) -> None:
        """When AMP has given its bytes to another protocol, that one counts."""
        protocol: Any = amp.AMP()
        protocol.innerProtocol = LineReceiver()
        self.assertEqual(self.unit(protocol, b"a\r\nb\r\n"), b"a\r\n")
        protocol.innerProtocol = Protocol()
        self.assertEqual(self.unit(protocol, b"ab"), b"a")

    def test_a_line_without_an_end(self) -> None:
        """A parser that would keep it for ever is not given it."""
        protocol = LineOnlyReceiver()
        self.assertEqual(self.unit(protocol, b"x" * LONG), b"")
        self.assertRaises(PeerMisbehaved, next_unit, protocol, b"\n", b"x" * (LONG + 1))
        protocol.MAX_LENGTH = 10 * LONG
        self.assertEqual(self.unit(protocol, b"x" * 10 * LONG), b"")
        self.assertRaises(PeerMisbehaved, next_unit, protocol, b"\n", b"x" * (10 * LONG + 1))


class AnswerTests(SynchronousTestCase):
    """Whether a client has waited for its answers."""

    def ask(self, answers: PendingReplies, protocol: object, *units: bytes) -> None:
        """Give these, and no answer."""
        for unit in units:
            answers.asking()
            answers.asked(protocol, unit)

    def test_a_question_behind_a_question(self) -> None:
        """Two commands without an answer in between are one too many, also later."""
        for protocol in (smtp.ESMTP(), smtp.SMTP(), imap4.IMAP4Server()):
            answers = PendingReplies()
            for _ in range(2):
                self.ask(answers, protocol, b"NOOP\r\n")
                self.assertFalse(answers.is_late)
                answers.answered()
            self.ask(answers, protocol, b"NOOP\r\n", b"NOOP\r\n")
            self.assertTrue(answers.is_late)
            answers.answered()
            self.assertTrue(answers.is_late)

    def test_what_needs_no_answer(self) -> None:
        """Parts of a line, the lines of a mail and raw data need none; nor what others are told."""
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
            answers = PendingReplies()
            self.ask(answers, protocol, unit, unit, unit)
            self.assertFalse(answers.is_late, protocol)


class BoxTests(SynchronousTestCase):
    """How far AMP is in a box."""

    def begun(self, *units: bytes, protocol: Any = None) -> bytes:
        """What there is of a box after these."""
        box = PartialBox()
        for unit in units:
            box.given(protocol or amp.AMP(), unit)
        return box.begun

    def test_a_box_ends_with_an_empty_key(self) -> None:
        """An empty value is none; what has begun is bounded."""
        self.assertEqual(self.begun(), b"")
        self.assertEqual(self.begun(b"\0\1k"), b"\0\1k")
        self.assertEqual(self.begun(b"\0\1k", b"\0\0"), b"\0\1k\0\0")
        self.assertEqual(self.begun(b"\0\1k", b"\0\0", b"\0\0"), b"")
        self.assertEqual(self.begun(b"\0\1k", b"\0\0", b"\0\0", b"\0\1l"), b"\0\1l")
        self.assertEqual(len(self.begun(b"\0\1k", b"\4\0" + b"x" * 1024)), 64)

    def test_others_have_no_boxes(self) -> None:
        """It is of no matter what other protocols are given."""
        self.assertEqual(self.begun(b"\0\1k", protocol=Int32StringReceiver()), b"")


class MemoryTests(SynchronousTestCase):
    """What a mail server believes, and how it forgets it."""

    def test_who_has_logged_in(self) -> None:
        """A log-in is seen where there can be one."""
        server = smtp.ESMTP()
        self.assertFalse(is_logged_in(server))
        server.authenticated = True
        self.assertTrue(is_logged_in(server))
        for other in (smtp.SMTP(), imap4.IMAP4Server(), Protocol(), None):
            self.assertFalse(is_logged_in(other))

    def test_forgetting(self) -> None:
        """The mail's sender is gone; what a subclass knows, it forgets by its own RSET."""
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
