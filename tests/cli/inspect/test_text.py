"""The report as people read it: the verdict first, 80 columns, and nothing secret."""

from __future__ import annotations

from datetime import datetime, timezone

from attrs import evolve

from tests.cli.inspect.samples import NOW, SECRET, samples
from tests.cli.inspect.test_inspecting import SampleTestCase
from txtransport.cli.inspect.report import FileReport, Finding, ListSummary, PeerVerdict
from txtransport.cli.inspect.text import as_text
from txtransport.cli.terminal import TerminalStyle
from txtransport.errors import Diagnosis

PLAIN = TerminalStyle(80)
EMPTY = FileReport("site.pem", None, "local_cert")


class TextTests(SampleTestCase):
    """What stands on the screen."""

    def test_the_verdict_comes_first(self) -> None:
        """The first line says whether the file is good, and for what; the second what is wrong."""
        for sample in samples():
            path, key_path = self.put(sample)
            report = self.report(sample, path, key_path)
            first, second = f"{as_text(report, PLAIN, NOW)}\n".splitlines()[:2]
            good = "good for " if sample.is_good else "NOT good for "
            self.assertTrue(first.startswith(f"{good}{sample.purpose}: "), (sample.name, first))
            if sample.fault:
                self.assertTrue(second.startswith("  "), (sample.name, second))

    def test_it_fits_80_columns(self) -> None:
        """Nothing is wider than the terminal but paths and commands, which are to be copied."""
        for sample in samples():
            path, key_path = self.put(sample)
            report = self.report(sample, path, key_path)
            copied = [finding.command for finding in report.findings if finding.command]
            for line in as_text(report, PLAIN, NOW).splitlines():
                if len(line) > 80:
                    self.assertTrue(line.strip() in copied or path in line, (sample.name, line))

    def test_no_secret_is_shown(self) -> None:
        """Neither a key nor its passphrase is anywhere in a report."""
        for sample in samples():
            path, key_path = self.put(sample)
            report = self.report(sample, path, key_path)
            shown = as_text(report, PLAIN, NOW) + repr(report)
            self.assertNotIn(SECRET, shown, sample.name)
            for content in (sample.content or b"", sample.key or b""):
                secret = content.partition(b"PRIVATE KEY-----\n")[2][:60].decode("latin-1")
                self.assertFalse(secret and secret in shown, sample.name)

    def test_hostile_text_is_escaped(self) -> None:
        """What a file's name or a peer's text has of control characters reaches no terminal."""
        bad = Diagnosis("other", "evil \x1b[31m", "do \x07", evidence=("\x1b]0;",))
        report = evolve(
            EMPTY,
            path="a\x1b[2J.pem",
            key_path="b\x1b.pem",
            trust="c\x1b.pem",
            findings=(Finding(bad, True),),
            verdicts=(PeerVerdict("evil\x1b", bad),),
        )
        self.assertTrue(as_text(report, PLAIN, NOW).replace("\n", "").isprintable())

    def test_a_command_stands_on_a_line_of_its_own(self) -> None:
        """A command is not broken where the line ends, so that it can be copied."""
        command = f"openssl x509 -in {'x' * 100} -out y"
        finding = Finding(Diagnosis("other", "it is so", "Convert it"), True, command)
        lines = as_text(evolve(EMPTY, findings=(finding,)), PLAIN, NOW).splitlines()
        self.assertIn(f"      {command}", lines)

    def test_colours_tell_good_from_bad(self) -> None:
        """The verdict is green, yellow or red where colours are wanted."""
        style = TerminalStyle(80, True, True)
        finding = Finding(Diagnosis("other", "it is so"), False)
        for findings, colour in (
            ((), "\x1b[32mgood"),
            ((finding,), "\x1b[33mgood"),
            ((evolve(finding, is_wrong=True),), "\x1b[31mNOT good"),
        ):
            text = as_text(evolve(EMPTY, findings=findings), style, NOW)
            self.assertTrue(text.startswith(colour), text)

    def test_a_long_bundle_is_cut(self) -> None:
        """Of many lists the first are shown, and how many more there are."""
        begin = datetime(2026, 1, 1, tzinfo=timezone.utc)
        text = as_text(evolve(EMPTY, lists=(ListSummary("CN=x", begin, None, 3),) * 30), PLAIN, NOW)
        self.assertIn("from 2026-01-01 on, without an end", text)
        self.assertIn("… and 10 more", text)
