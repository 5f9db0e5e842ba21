"""Makes untrusted text fit for a message, a log or a terminal: bounded and escaped.

What comes from a peer, from a certificate or from a caller may contain colours, cursor
movements, line breaks, letters that run from right to left, and any number of
characters. Every message shows such text by one of these functions:

============== ========================== ====================================
function       takes                      shows
============== ========================== ====================================
escape_bytes   bytes of a peer            their repr, cut with an ellipsis
first_words    bytes of a peer            two words, before any password
decode_text    bytes that should be text  UTF-8, escaped if not printable
short_repr     a caller's value           its repr, cut with an ellipsis
escape_text    text of bounded length     it, escaped if not printable
short_text     text of any length         the same, cut with an ellipsis
ascii_text     text of a certificate      printable ASCII, cut
ascii_repr     text of a certificate      the same, in quotes
describe_error an exception               its text, cut with an ellipsis
shell_path     the path of a file         it, quoted for a shell, or nothing
============== ========================== ====================================
"""

from __future__ import annotations

import os
import shlex

__all__ = [
    "ascii_repr",
    "ascii_text",
    "decode_text",
    "describe_error",
    "escape_bytes",
    "escape_text",
    "first_words",
    "shell_path",
    "short_repr",
    "short_text",
]


def escape_bytes(received: bytes, limit: int = 64) -> str:
    """The ``repr`` of a peer's first bytes.

    Args:
        received: What the peer sent.
        limit: How many bytes to show at the most.

    Returns:
        Printable ASCII, and an ellipsis where bytes were left out.
    """
    return repr(received) if len(received) <= limit else f"{received[:limit]!r}…"


def first_words(received: bytes) -> str:
    """How a client began, for a server's log, which people other than the client read.

    Args:
        received: What the peer sent.

    Returns:
        The first two words of its first line, escaped: enough to recognise the
        protocol, and no password yet (``a1 LOGIN``, ``AUTH PLAIN``). An ellipsis shows
        that there was more.
    """
    line = received[: received.find(b"\n") + 1 or None]
    rest = line.split(None, 2)[2:]
    begun = line[: len(line) - len(rest[0])].rstrip() if rest else line
    more = "…" if len(begun) < len(received) and len(begun) <= 64 else ""
    return escape_bytes(begun) + more


def decode_text(received: bytes) -> str:
    """Decode a peer's text; bytes that are not UTF-8 or not printable become escapes.

    Args:
        received: What the peer sent, of bounded length.
    """
    return escape_text(received.decode("utf-8", "backslashreplace"))


def short_repr(value: object, limit: int = 80) -> str:
    """The ``repr`` of a caller's value, which may be of any type.

    Args:
        value: The value; its ``__repr__`` may fail.
        limit: How many characters to show at the most.

    Returns:
        Printable text, and an ellipsis where characters were left out.
    """
    try:
        text = repr(value)
    except Exception:  # Python refuses to show an int of 5000 digits, for example.
        return f"something of type {type(value).__name__}"
    return _cut(escape_text(text), limit)


def escape_text(text: str) -> str:
    """Replace the characters of a text that cannot be printed by escapes.

    Args:
        text: Of bounded length: nothing is cut.
    """
    return text if text.isprintable() else "".join(map(_escape, text))


def short_text(text: str, limit: int = 200) -> str:
    """The beginning of a text; what cannot be printed becomes an escape.

    Args:
        text: Of any length.
        limit: How many of its characters to show at the most.

    Returns:
        Printable text, and an ellipsis where characters were left out.
    """
    return escape_text(text[:limit]) + ("…" if len(text) > limit else "")


def ascii_text(text: str, limit: int) -> str:
    """The beginning of a text in printable ASCII; other characters become escapes.

    Args:
        text: Of any length.
        limit: How many of its characters to show at the most.
    """
    return ascii_repr(text, limit)[1:-1]


def ascii_repr(text: str, limit: int) -> str:
    """The beginning of a text in printable ASCII and in quotes.

    Args:
        text: Of any length.
        limit: How many of its characters to show at the most.
    """
    return ascii(text[:limit])


def describe_error(error: BaseException, limit: int = 200) -> str:
    """The text of an exception.

    Args:
        error: Any exception; its ``__str__`` may fail, which leaves its ``repr``.
        limit: How many characters to show at the most.

    Returns:
        Printable text, and an ellipsis where characters were left out.
    """
    try:
        text = str(error)
    except Exception:
        return short_repr(error, limit)
    return short_text(text, limit)


def shell_path(path: str) -> str:
    """A path as a word of a command that people copy from a terminal into a shell.

    Args:
        path: Of any file.

    Returns:
        The path, quoted; nothing for a path that would not survive being copied.
    """
    if not path.isprintable():
        return ""
    # A path that begins with a hyphen would be taken for an option.
    return shlex.quote(os.path.join(".", path) if path.startswith("-") else path)


def _escape(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
