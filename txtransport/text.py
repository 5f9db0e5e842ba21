"""Text from strangers, bounded and escaped, fit for a message, a log or a terminal.

What comes over the wire, out of a certificate or from a caller may hold colours,
cursor movements, line breaks, letters that run from right to left, and any
number of characters. No message shows any of it but by these functions:

============== ========================== ====================================
function       takes                      shows
============== ========================== ====================================
escape_bytes   bytes of a peer            their repr, cut and marked
first_words    bytes of a peer            two words, before any password
decode_text    bytes that should be text  UTF-8, escaped where need be
short_repr     whatever a caller wrote    its repr, cut and marked
escape_text    text of bounded length     what cannot be printed as an escape
short_text     text of any length         the same, cut and marked
ascii_text     text out of a certificate  printable ASCII, cut
ascii_repr     the same                   the same, in quotes
describe_error an exception               what it says, cut and marked
============== ========================== ====================================
"""

from __future__ import annotations

__all__ = [
    "ascii_repr",
    "ascii_text",
    "decode_text",
    "describe_error",
    "escape_bytes",
    "escape_text",
    "first_words",
    "short_repr",
    "short_text",
]


def escape_bytes(said: bytes, limit: int = 64) -> str:
    """The ``repr`` of the first bytes of a peer.

    Args:
        said: What came over the wire.
        limit: How many bytes to show at the most.

    Returns:
        Printable ASCII; an ellipsis stands where it was cut.
    """
    return repr(said) if len(said) <= limit else f"{said[:limit]!r}…"


def first_words(said: bytes) -> str:
    """How a peer began, fit for a log that others read.

    Args:
        said: What came over the wire.

    Returns:
        The first two words of its first line: enough to tell what it is, and
        before any password (``a1 LOGIN``, ``AUTH PLAIN``).
    """
    line = said[: said.find(b"\n") + 1 or None]
    rest = line.split(None, 2)[2:]
    begun = line[: len(line) - len(rest[0])].rstrip() if rest else line
    more = "…" if len(begun) < len(said) and len(begun) <= 64 else ""
    return escape_bytes(begun) + more


def decode_text(said: bytes) -> str:
    """Bytes that a peer sent as text; escaped where they are not UTF-8 or not printable.

    Args:
        said: What came over the wire, of bounded length.
    """
    return escape_text(said.decode("utf-8", "backslashreplace"))


def short_repr(given: object, limit: int = 80) -> str:
    """What a caller wrote.

    Args:
        given: The value, of whatever type.
        limit: How many characters to show at the most.

    Returns:
        The beginning of its ``repr``; an ellipsis stands where it was cut.
    """
    try:
        text = repr(given)
    except Exception:  # An int of 5000 digits has none, nor has many an object.
        return f"something of type {type(given).__name__}"
    return _cut(escape_text(text), limit)


def escape_text(text: str) -> str:
    """A text that moves no cursor: what cannot be printed becomes an escape.

    Args:
        text: Of bounded length.
    """
    return text if text.isprintable() else "".join(map(_escape, text))


def short_text(text: str, limit: int = 200) -> str:
    """The beginning of a text; what cannot be printed becomes an escape.

    Args:
        text: Of any length.
        limit: How many of its characters to show at the most.

    Returns:
        Printable text; an ellipsis stands where it was cut.
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
    """What an exception says.

    Args:
        error: Anybody's; its ``__str__`` may fail.
        limit: How many characters to show at the most.

    Returns:
        Printable text; an ellipsis stands where it was cut.
    """
    try:
        text = str(error)
    except Exception:
        return short_repr(error, limit)
    return short_text(text, limit)


def _escape(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]}…"
