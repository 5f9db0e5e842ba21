"""Replies with a code, text that ends with a dot, and literals."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from twisted.trial.unittest import SynchronousTestCase

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSRefused
from txtransport.starttls.replies import (
    Reply,
    announces_literal,
    dot_terminated,
    expect_code,
    expect_greeting,
    ftp_reply,
    line_without_literal,
    reply,
)
from txtransport.starttls.wire import LINES, Dialogue, Wire

T = TypeVar("T")


def read(reading: Callable[[Wire], Dialogue[T]], received: bytes) -> T:
    """What a reader makes of these bytes."""
    try:
        next(reading(Wire(received=bytearray(received))))
    except StopIteration as end:
        value: T = end.value
        return value
    raise AssertionError("it waits for more")


class ReplyTests(SynchronousTestCase):
    """Replies with a code, of FTP and of the other protocols."""

    def test_a_reply_of_one_line_is_read(self) -> None:
        """A reply is a code, with or without a text."""
        rows = {
            b"220 ready\r\n": Reply(b"220", (b"ready",)),
            b"220 \n": Reply(b"220", (b"",)),
            b"220\r\n": Reply(b"220", (b"",)),
            b"555 \x00\xff\r\r\n": Reply(b"555", (b"\x00\xff\r",)),
        }
        for received, expected in rows.items():
            self.assertEqual(read(reply, received), expected)
            self.assertEqual(read(ftp_reply, received), expected)

    def test_a_hyphen_continues_a_reply(self) -> None:
        """A hyphen after the code means that another line follows."""
        several = read(reply, b"250-mail\r\n250-\r\n250-SIZE 10\r\n250 starttls  now\r\n")
        self.assertEqual(several.lines, (b"mail", b"", b"SIZE 10", b"starttls  now"))
        self.assertEqual(several.keywords, [b"SIZE", b"STARTTLS"])
        self.assertEqual(several.full_text, b"250 mail  SIZE 10 starttls  now")
        self.assertEqual(read(reply, b"250-a\r\n250\r\n").lines, (b"a", b""))
        self.assertEqual(read(reply, b"250-a\r\n250-b\r\n250 c d\r\n").keywords, [b"B", b"C"])

    def test_the_first_line_is_no_keyword(self) -> None:
        """A server that is called STARTTLS does not offer STARTTLS by its name."""
        self.assertEqual(read(reply, b"250 STARTTLS\r\n").keywords, [])

    def test_lines_without_a_code_are_refused(self) -> None:
        """A code is three digits, the first 1 to 5, and a space, a hyphen or nothing follows."""
        for received in (
            b"", b"22", b"2200 x", b"220ok", b"220\tok", b"220_ok", b" 220 ok", b"* 220", b"620 x",
            b"020 x", b"+OK", b"22O x", b"\xb2\xb2\xb0 x", b"\x16\x03\x01", b"HTTP/1.1 400 Bad",
        ):  # fmt: skip
            for reading in (reply, ftp_reply):
                error = self.assertRaises(PeerMisbehaved, read, reading, received + b"\r\n")
                self.assertIn(repr(received), str(error))

    def test_every_line_of_a_reply_has_the_same_code(self) -> None:
        """A reply whose code changes is refused."""
        for received in (b"250-a\r\n220 b\r\n", b"250-a\r\n250-b\r\n550 c\r\n", b"250-a\r\nb\r\n"):
            self.assertRaises(PeerMisbehaved, read, reply, received)

    def test_an_ftp_reply_ends_with_its_code_and_a_space(self) -> None:
        """Lines before the last one of an FTP reply may hold anything."""
        received = b"211-Features:\r\n AUTH TLS\r\n211-x\r\n220 no end\r\n2110\r\n211 End\r\n"
        self.assertEqual(
            read(ftp_reply, received).lines,
            (b"Features:", b" AUTH TLS", b"211-x", b"220 no end", b"2110", b"End"),
        )
        self.assertEqual(read(ftp_reply, b"211-a\r\n211\r\n").lines, (b"a", b""))

    def test_a_flood_ends_the_dialogue(self) -> None:
        """A reply or text that does not end is not waited for without end."""
        flood = b"250-x\r\n" * (LINES + 1)
        for reading in (reply, ftp_reply):
            self.assertRaises(PeerMisbehaved, read, reading, flood)
        self.assertRaises(PeerMisbehaved, read, dot_terminated, flood)


class ExpectTests(SynchronousTestCase):
    """Checks of the code of a reply."""

    def test_an_expected_code_is_accepted(self) -> None:
        """A reply with one of the expected codes is accepted."""
        expect_code(Reply(b"220", (b"",)), b"220")
        expect_code(Reply(b"334", (b"",)), b"234", b"334")
        expect_greeting(Reply(b"201", (b"",)), b"200", b"201")

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A refusal is reported with its code, and its text escaped and cut."""
        for code in (b"421", b"454", b"502", b"580"):
            answer = Reply(code, (b"not\x1b[2J\r", b"now" * 200))
            error = self.assertRaises(TLSRefused, expect_code, answer, b"220")
            self.assertEqual(error.code, code.decode())
            self.assertEqual(error.text, (b"not\x1b[2J\r " + b"now" * 200)[:200])
            self.assertTrue(str(error).isprintable())

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Any other code breaks the protocol, even a positive one."""
        for code in (b"100", b"200", b"221", b"250", b"354"):
            error = self.assertRaises(
                PeerMisbehaved, expect_code, Reply(code, (b"ok",)), b"220", b"234"
            )
            self.assertIn(
                f"expected reply 220 or 234, and the peer sent b'{code.decode()} ok'", str(error)
            )

    def test_a_server_may_refuse_the_connection(self) -> None:
        """A negative greeting is PeerLeft, and not a refusal of TLS."""
        for code in (b"400", b"421", b"502", b"554"):
            error = self.assertRaises(PeerLeft, expect_greeting, Reply(code, (b"no",)), b"220")
            self.assertEqual(error.received, code + b" no")
        self.assertRaises(PeerMisbehaved, expect_greeting, Reply(b"250", (b"no",)), b"220")


class DotTerminatedTests(SynchronousTestCase):
    """Text that ends with a line that holds a dot."""

    def test_dot_stuffing_is_undone(self) -> None:
        """A lone dot ends the text; a dot before any other line is removed."""
        self.assertEqual(
            read(dot_terminated, b"STLS\r\n..\r\n..x\r\n.y\r\n\r\n.\r\n"),
            [b"STLS", b".", b".x", b"y", b""],
        )
        self.assertEqual(read(dot_terminated, b".\n"), [])


class LiteralTests(SynchronousTestCase):
    """Literals, which no dialogue before TLS needs."""

    def test_literals_end_the_dialogue(self) -> None:
        """A line that announces a literal is refused, in every notation."""
        for line in (
            b"* 1 FETCH (BODY[] {28}",
            b"x {0}",
            b"x {5+}",
            b"x ~{5}",
            b'"A" {12345}',
            b"{1}",
        ):
            self.assertTrue(announces_literal(line))
            error = self.assertRaises(PeerMisbehaved, read, line_without_literal, line + b"\r\n")
            self.assertIn("announced a literal", str(error))

    def test_other_braces_are_text(self) -> None:
        """Braces elsewhere, or without a number, are text."""
        for line in (b"", b"{5} x", b"{}", b"{x}", b"{+}", b"{5", b"{-1}", b"5}"):
            self.assertFalse(announces_literal(line))
            self.assertEqual(read(line_without_literal, line + b"\r\n"), line)
