"""What is going on, on one line of a terminal, while someone waits."""

from __future__ import annotations

from typing import Any, Final

from txtransport.probe.look import harmless

# Return, and erase to the end of the line (EL, ECMA-48 section 8.3.41).
_CLEAR: Final = "\r\x1b[K"


class Progress:
    """One line that is written over and over.

    Args:
        stream: A terminal, or None to say nothing.
        width: In characters.
    """

    def __init__(self, stream: Any, width: int) -> None:
        self._stream = stream
        self._width = width
        self._is_written = False

    def told(self, doing: str) -> None:
        """Say what is going on."""
        self._write(f"{_CLEAR}{harmless(doing)[: self._width - 4]} ...")
        self._is_written = True

    def done(self) -> None:
        """Take the line away."""
        if self._is_written:
            self._write(_CLEAR)
            self._is_written = False

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal is gone; what is to be seen is on standard output.
            self._stream = None
