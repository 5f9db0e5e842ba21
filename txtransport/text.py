"""Text from strangers, bounded and escaped, fit for a message or a log."""

from __future__ import annotations

from typing import Final


def escape_bytes(said: bytes, limit: int = 64) -> str:
    """Bytes of a stranger, fit for a message or a log.

    Args:
        said: What came over the wire.
        limit: How many bytes to show at the most.

    Returns:
        The ``repr`` of the first `limit` bytes, marked where it was cut.
    """
    return repr(said) if len(said) <= limit else f"{said[:limit]!r}…"


def first_words(said: bytes) -> str:
    """How a stranger began, fit for a log that others read.

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


def short_repr(given: object, limit: int = 80) -> str:
    """What a caller wrote, fit for a message or a log.

    Args:
        given: The value, of whatever type.
        limit: How many characters to show at the most.

    Returns:
        The beginning of its ``repr``, marked where it was cut.
    """
    try:
        text = repr(given)
    except Exception:  # An int of 5000 digits has none, nor has many an object.
        return f"something of type {type(given).__name__}"
    return text if len(text) <= limit else f"{text[:limit]}…"


def escape_text(text: str) -> str:
    """A text that moves no cursor: what cannot be printed becomes an escape."""
    return text if text.isprintable() else "".join(map(_escape_character, text))


def _escape_character(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]


_SHOWN: Final = 200


def short_text(text: str) -> str:
    """Text of a stranger, fit for a terminal: bounded, and escaped where need be."""
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:_SHOWN])
    return f"{shown}…" if len(text) > _SHOWN else shown
