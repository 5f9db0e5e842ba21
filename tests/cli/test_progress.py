"""Progress stays on one line, and goes when it is over."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from txtransport.cli.terminal import Progress


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise OSError("gone")


class ProgressTests(SynchronousTestCase):
    """The line."""

    def test_one_line(self) -> None:
        """Each step is written over the one before, and in the end nothing is left."""
        stream = io.StringIO()
        progress = Progress(stream, 80)
        progress.show("looking up a.example")
        progress.show("connecting to 192.0.2.1")
        progress.done()
        progress.done()
        self.assertEqual(
            stream.getvalue(),
            "\r\x1b[Klooking up a.example ...\r\x1b[Kconnecting to 192.0.2.1 ...\r\x1b[K",
        )

    def test_it_fits(self) -> None:
        """A long step is cut, so that it does not begin a second line; escapes stay text."""
        stream = io.StringIO()
        Progress(stream, 20).show("\x1b[2J" + "x" * 100)
        line = stream.getvalue().removeprefix("\r\x1b[K")
        self.assertEqual((len(line), line.isprintable()), (20, True))

    def test_no_one_looks(self) -> None:
        """Without a terminal nothing is written, and one that is gone is no failure."""
        Progress(None, 80).show("x")
        progress = Progress(Gone(), 80)
        progress.show("x")
        progress.show("y")
        progress.done()
