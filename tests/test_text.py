"""Untrusted text: what is shown of it is printable and of bounded length."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Final

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.text import (
    ascii_repr,
    ascii_text,
    decode_text,
    describe_error,
    escape_bytes,
    escape_text,
    first_words,
    shell_path,
    short_repr,
    short_text,
)

HOSTILE: Final = (
    "\x1b[2J\x1b[31mred",  # a terminal's control sequences
    "one\r\ntwo: forged line of a log",
    "\0\x07\x08\x7f\x9b",
    "\u202egnp.exe",  # right to left from here
    "\u2028\u2029\ufeff\u200b",
    "\ud800 half a pair",
    "‮\U000e0041\U000e0042",  # tags, which show as nothing
    "'quotes\" and \\backslashes\\",
    "x" * 100_000,
    "\x1b" * 100_000,
)
"""What a peer sends to hide something from a reader, or to confuse a terminal."""


class Awkward:
    """An object whose repr is the given text; with None, it raises."""

    def __init__(self, text: str | None) -> None:
        self._text = text

    def __repr__(self) -> str:
        if self._text is None:
            raise ValueError("no")
        return self._text


class AwkwardError(Exception):
    """An exception whose text is the given one; with None, it raises."""

    def __str__(self) -> str:
        text = self.args[0]
        if text is None:
            raise ValueError("no")
        return str(text)


def _bytes(show: Callable[[bytes], str]) -> Callable[[str], str]:
    return lambda text: show(text.encode("utf-8", "surrogatepass"))


SHOWN: Final[dict[str, tuple[Callable[[str], str], int]]] = {
    "escape_bytes": (_bytes(escape_bytes), 4 * 64 + 5),
    "first_words": (_bytes(first_words), 4 * 64 + 5),
    "short_repr": (short_repr, 81),
    "short_repr of an object": (lambda text: short_repr(Awkward(text)), 81),
    "short_text": (short_text, 10 * 200 + 1),
    "ascii_text": (lambda text: ascii_text(text, 80), 10 * 80),
    "ascii_repr": (lambda text: ascii_repr(text, 80), 10 * 80 + 2),
    "describe_error": (lambda text: describe_error(AwkwardError(text)), 10 * 200 + 1),
}
"""Each function with a bound, and how long its result may be."""


class HostileTextTests(SynchronousTestCase):
    """What every function promises."""

    def check(self, text: str) -> None:
        """Every function's result is printable, short enough, and can be encoded."""
        for name, (show, longest) in SHOWN.items():
            shown = show(text)
            self.assertTrue(shown.isprintable(), (name, text[:80]))
            self.assertLessEqual(len(shown), longest, (name, text[:80]))
            shown.encode("utf-8")
        for name, shown in (
            ("escape_text", escape_text(text)),
            ("decode_text", decode_text(text.encode("utf-8", "surrogatepass"))),
        ):
            self.assertTrue(shown.isprintable(), (name, text[:80]))
            shown.encode("utf-8")

    def test_hostile_text_is_shown_printable(self) -> None:
        """Control characters, reordered letters and very long texts are escaped or cut."""
        for text in HOSTILE:
            self.check(text)

    @settings(deadline=None)
    @given(st.text())
    def test_any_text_is_shown_printable(self, text: str) -> None:
        """The same holds for any text."""
        self.check(text)

    @settings(deadline=None)
    @given(st.binary(max_size=300))
    def test_any_bytes_are_shown_printable(self, data: bytes) -> None:
        """The same holds for bytes that are no text."""
        for shown in (escape_bytes(data), first_words(data), decode_text(data)):
            self.assertTrue(shown.isprintable(), data)

    def test_good_text_stays_as_it_is(self) -> None:
        """Characters that can be printed are shown as they are, in any script."""
        for text in ("bücher └─", "www.example.com", "日本"):
            self.assertEqual(escape_text(text), text)
            self.assertEqual(short_text(text), text)
            self.assertEqual(decode_text(text.encode()), text)
            self.assertEqual(describe_error(AwkwardError(text)), text)
        self.assertEqual(escape_text("a\x1bb\u202e\n"), "a\\x1bb\\u202e\\n")


class BoundTests(SynchronousTestCase):
    """Where a text is cut, and how the reader sees that."""

    @settings(deadline=None)
    @given(st.binary(max_size=300), st.integers(0, 100))
    def test_bytes_are_marked_where_cut(self, data: bytes, limit: int) -> None:
        """Bytes are shown up to the limit; an ellipsis says that there were more."""
        text = escape_bytes(data, limit)
        self.assertLessEqual(len(text), 4 * limit + 4)
        self.assertEqual(text.endswith("…"), len(data) > limit)

    @settings(deadline=None)
    @given(st.one_of(st.text(), st.binary(), st.floats(), st.lists(st.text())))
    def test_values_are_shown_escaped(self, value: object) -> None:
        """Any value of a caller becomes printable text of bounded length."""
        text = short_repr(value, 40)
        self.assertTrue(text.isprintable())
        self.assertLessEqual(len(text), 41)

    def test_texts_are_marked_where_cut(self) -> None:
        """A text is shown up to the limit; an ellipsis says that there was more."""
        self.assertEqual(short_text("x" * 200), "x" * 200)
        self.assertEqual(short_text("x" * 1000), "x" * 200 + "…")
        self.assertEqual(ascii_text("bücher", 3), "b\\xfcc")
        self.assertEqual(ascii_repr("bücher", 3), "'b\\xfcc'")

    def test_what_cannot_be_shown_is_named(self) -> None:
        """A value whose repr fails is named by its type."""
        self.assertEqual(short_repr(10**5000), "something of type int")
        self.assertEqual(short_repr(Awkward(None)), "something of type Awkward")
        self.assertEqual(describe_error(AwkwardError(None)), "AwkwardError(None)")


class ShellPathTests(SynchronousTestCase):
    """A path in a command that people copy."""

    @given(st.text(min_size=1))
    def test_a_shell_reads_one_word_that_is_the_path(self, path: str) -> None:
        """Whatever a file is called, a shell gets that one file, and never an option."""
        word = shell_path(path)
        if not path.isprintable():
            self.assertEqual(word, "")
            return
        (read,) = shlex.split(word)
        self.assertFalse(read.startswith("-"))
        self.assertEqual(os.path.normpath(read), os.path.normpath(path))


class FirstWordsTests(SynchronousTestCase):
    """What a server's log shows of a client's first line."""

    def test_two_words_and_no_password(self) -> None:
        """Two words are enough to recognise the protocol; a password may come after them."""
        rows = {
            b"GET / HTTP/1.1\r\n": "b'GET /'…",
            b"a1 LOGIN alice secret\r\n": "b'a1 LOGIN'…",
            b"AUTH PLAIN AGFsaWNlAHNlY3JldA==\r\n": "b'AUTH PLAIN'…",
            b"EHLO x\r\n": "b'EHLO x\\r\\n'",
            b"USER alice\r\nPASS secret\r\n": "b'USER alice\\r\\n'…",
            b"  a  b  c": "b'  a  b'…",
            b"": "b''",
            b"\n": "b'\\n'",
        }
        for data, text in rows.items():
            self.assertEqual(first_words(data), text, data)

    def test_words_of_any_length_are_bounded(self) -> None:
        """Bytes without blanks are cut like any others."""
        self.assertLess(len(first_words(b"\xff" * 100_000)), 300)
        self.assertEqual(first_words(b"x" * 65), repr(b"x" * 64) + "…")
