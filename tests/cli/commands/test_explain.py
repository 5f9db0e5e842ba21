"""``txtransport explain``: its input, output and exit status."""

from __future__ import annotations

import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.__main__ import main

EXPIRED = "curl: (60) SSL certificate problem: certificate has expired"


class Terminal(io.StringIO):
    """A standard input that is a terminal."""

    def isatty(self) -> bool:
        return True


class ExplainTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def does(self, *arguments: str) -> tuple[int, str, str]:
        """Exit status, output and complaints of a command line."""
        output, complaints = io.StringIO(), io.StringIO()
        with redirect_stdout(output), redirect_stderr(complaints):
            try:
                status = main(["explain", *arguments])
            except SystemExit as end:
                status = int(end.code or 0)
        return status, output.getvalue(), complaints.getvalue()

    def type_in(self, raw: bytes) -> None:
        """Make standard input hold those bytes."""
        self.patch(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw)))


class TextTests(ExplainTestCase):
    """What people read."""

    def test_known_line_is_explained(self) -> None:
        """The output says what the line means, whose fault it is and what to do; status 0."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": "80"})
        status, output, complaints = self.does(EXPIRED)
        self.assertEqual((status, complaints), (0, ""))
        self.assertEqual(
            output,
            "line   certificate has expired (curl)\n"
            "means  The certificate, or one above it, has expired.\n"
            "fault  usually the other side's\n"
            "do     The peer must renew it; check this machine's clock if the dates look\n"
            "       right.\n"
            "cause  expired\n",
        )

    def test_vague_lines_get_a_command_to_type(self) -> None:
        """The three lines that say least are answered with what to type next."""
        for line, said in (
            ("wrong version number on port 587", "tls://HOST:587?starttls=smtp"),
            ("tls://mail.example.com:587: wrong version number",
             "tls://mail.example.com:587?starttls=smtp"),
            ("certificate verify failed", "txtransport probe tls://HOST:PORT"),
            ("PHP Warning:  stream_socket_client(): Failed to enable crypto in a.php on line 3",
             "txtransport probe tls://HOST:PORT"),
        ):  # fmt: skip
            status, output, complaints = self.does(line)
            self.assertEqual((status, complaints), (0, ""))
            self.assertIn(said, " ".join(output.split()))

    def test_quotes_around_the_text_are_optional(self) -> None:
        """A text without quotes, which comes as several arguments, is read as one."""
        self.assertEqual(self.does(*EXPIRED.split())[:2], self.does(EXPIRED)[:2])

    def test_names_settings_and_other_lines_are_shown(self) -> None:
        """Names, the tool's setting, whether to try again, and further known lines are shown."""
        _, output, _ = self.does(
            "Error: read ECONNRESET; x509: certificate is valid for a.example, not b.example"
        )
        for words in ("seen   asked for: b.example", "In Go: ServerName", "also   ECONNRESET: "):
            self.assertIn(words, output)
        _, output, _ = self.does("read ECONNRESET")
        self.assertIn("again  It may pass", output)

    def test_unknown_line_shows_its_traces_and_exits_with_1(self) -> None:
        """For an unknown line the output shows what can be told from it, and the status is 1."""
        status, output, complaints = self.does("error:05800001 at a.example:587")
        self.assertEqual((status, complaints), (1, ""))
        self.assertTrue(output.startswith("line  No line that is known"))
        self.assertIn("05800001", output)
        self.assertIn("a.example:587", output)

    def test_empty_text_is_not_explained(self) -> None:
        """An empty text is not explained."""
        self.type_in(b"")
        for arguments in ((), ("",)):
            self.assertEqual(self.does(*arguments), (1, "line  There is no text to explain.\n", ""))


class InputTests(ExplainTestCase):
    """Standard input."""

    def test_standard_input_is_read_without_a_text(self) -> None:
        """Without a text the command reads standard input, and writes nothing else."""
        self.type_in(f"some\nlog\n{EXPIRED}\nmore".encode())
        status, output, complaints = self.does()
        self.assertEqual((status, complaints), (0, ""))
        self.assertIn("has expired", output)

    def test_terminal_is_prompted_on_standard_error(self) -> None:
        """At a terminal the command says, on standard error, that it waits for input."""
        self.patch(sys, "stdin", Terminal(EXPIRED))
        status, output, complaints = self.does()
        self.assertEqual(status, 0)
        self.assertIn("Ctrl-D", complaints)
        self.assertNotIn("Ctrl-D", output)

    def test_missing_standard_input_is_an_empty_text(self) -> None:
        """A process without standard input has no text to explain."""
        self.patch(sys, "stdin", None)
        self.assertEqual(self.does()[0], 1)

    def test_input_of_any_bytes_is_read_and_shown_harmless(self) -> None:
        """Bytes that are not UTF-8 are read, and no escape sequence reaches the terminal."""
        self.type_in(b"\xff\xfe\x1b[31m " + EXPIRED.encode() + b"\x00")
        status, output, _ = self.does()
        self.assertEqual(status, 0)
        self.assertNotIn("\x1b", output)

    def test_endless_input_is_read_up_to_its_bound(self) -> None:
        """The command reads 64 KiB of its input and no more."""

        class Endless(io.RawIOBase):
            def readable(self) -> bool:
                return True

            def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
                buffer[:] = b"x" * len(buffer)
                return len(buffer)

        self.patch(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Endless())))
        self.assertEqual(self.does()[0], 1)


class DocumentTests(ExplainTestCase):
    """``--json``, for programs."""

    def test_known_line_has_the_keys_of_a_diagnosis(self) -> None:
        """Each explanation has the keys of the library's diagnoses, and those of the tool."""
        status, output, _ = self.does("--json", EXPIRED)
        document = json.loads(output)
        self.assertEqual((status, document["ok"], document["traces"]), (0, True, []))
        (one,) = document["explanations"]
        self.assertEqual(
            [*one],
            ["tool", "said", "cause", "fault", "permanent", "summary", "evidence", "remedy",
             "in_tool"],
        )  # fmt: skip
        self.assertEqual((one["tool"], one["cause"], one["in_tool"]), ("curl", "expired", None))

    def test_unknown_line_has_traces_alone(self) -> None:
        """For an unknown line there are traces, and no explanations."""
        status, output, _ = self.does("--json", "at a.example:587")
        self.assertEqual(status, 1)
        self.assertEqual(
            json.loads(output),
            {"ok": False, "explanations": [], "traces": ["the place a.example:587"]},
        )


class UsageTests(ExplainTestCase):
    """What users expect of any command."""

    def test_help_names_arguments_and_exit_status(self) -> None:
        """--help says what it takes and what the exit status means."""
        status, output, _ = self.does("--help")
        self.assertEqual(status, 0)
        for words in ("--json", "TEXT", "exit status"):
            self.assertIn(words, output)

    def test_wrong_command_line_is_answered_with_usage(self) -> None:
        """An unknown option is answered with the usage and status 2."""
        status, output, complaints = self.does("--nonsense")
        self.assertEqual((status, output), (2, ""))
        self.assertTrue(complaints.startswith("usage: "))

    def test_text_may_begin_with_a_hyphen_after_two(self) -> None:
        """Behind -- a text may begin with a hyphen."""
        self.assertEqual(self.does("--", f"--- {EXPIRED}")[0], 0)

    @given(st.lists(st.text(max_size=30), min_size=1, max_size=3))
    def test_any_text_gives_printable_lines(self, words: list[str]) -> None:
        """Whatever the text, it is explained or not, in printable lines."""
        status, output, _ = self.does("--", *words)
        self.assertIn(status, (0, 1))
        self.assertTrue(all(line.isprintable() for line in output.splitlines()))
