"""What people read: the whole report, in a window of any width."""

from __future__ import annotations

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.cli.demo.samples import (
    CLEAR_ROW,
    LOCAL_ROW,
    MISTAKE,
    REFUSED_ROW,
    REPORT,
    RESUMED,
    SESSION,
    SKIPPED_ROW,
    TLS_ROW,
    UNREAD_ROW,
    UPGRADE,
)
from txtransport import TransportURL
from txtransport.cli.demo.report import DemoReport, Form, MailExample, Row
from txtransport.cli.demo.table import MORE, PHP
from txtransport.cli.demo.text import as_text


def shown(*rows: Row, mail_examples: tuple[MailExample, ...] = (), width: int = 80) -> list[str]:
    """The lines of a report."""
    return as_text(
        DemoReport(rows or (CLEAR_ROW,), mail_examples, 0.25), "title", width
    ).splitlines()


class TableTests(SynchronousTestCase):
    """The table."""

    def test_row_is_one_line_with_every_cell(self) -> None:
        """Asked, read, dialled, result and milliseconds stand in one line."""
        self.assertIn(
            ["fe80::1", "tcp://[fe80::1]", "[::1]:65535", "plain", "123.5"],
            [line.split() for line in shown(CLEAR_ROW)],
        )

    def test_session_stands_below_its_row(self) -> None:
        """Cipher and key exchange stand below the row, whether resumed, whether verified."""
        self.assertIn(
            "  TLS_AES_256_GCM_SHA384, X25519MLKEM768, resumed: no, verified: yes",
            shown(TLS_ROW),
        )
        self.assertIn("resumed: yes", "".join(shown(evolve(TLS_ROW, session=RESUMED))))

    def test_missing_group_leaves_no_gap(self) -> None:
        """A key exchange without a group leaves no gap."""
        row = evolve(TLS_ROW, session=evolve(SESSION, group=None))
        self.assertIn("  TLS_AES_256_GCM_SHA384, resumed: no, verified: yes", shown(row))

    def test_reason_stands_below_its_row(self) -> None:
        """Why a form was refused or skipped stands below it."""
        text = " ".join(" ".join(shown(REFUSED_ROW, SKIPPED_ROW)).split())
        self.assertIn(REFUSED_ROW.reason, text)
        self.assertIn(SKIPPED_ROW.reason, text)

    def test_temporary_folder_is_not_shown(self) -> None:
        """A local socket is shown without the path of the demo's folder."""
        self.assertIn(".../a.sock", "".join(shown(LOCAL_ROW)))
        self.assertNotIn("/tmp/", "".join(shown(LOCAL_ROW)))

    def test_columns_are_aligned(self) -> None:
        """In every row a column begins at the same position, and the numbers end at the same."""
        lines = shown(CLEAR_ROW, LOCAL_ROW, REFUSED_ROW, SKIPPED_ROW)
        (heading,) = [line for line in lines if line.startswith("asked for")]
        rows = [line for line in lines if line.split()[-1:] in (["123.5"], ["0.3"], ["-"])]
        self.assertEqual(len(rows), 4)
        for column in ("read as", "dialled", "result"):
            start = heading.index(column)
            for line in rows:
                self.assertEqual(line[start - 1], " ", line)
                self.assertNotEqual(line[start], " ", line)
        self.assertEqual({len(line) for line in (heading, *rows)}, {len(heading)})

    def test_wrong_row_says_what_was_expected(self) -> None:
        """A row that is wrong says so, and what was expected."""
        again = Form("tls://www.example.com", "TLSv1.3", is_resumed=True)
        text = "\n".join(shown(evolve(TLS_ROW, form=again), UNREAD_ROW))
        self.assertIn("NOT AS IT SHOULD BE: TLSv1.3, resumed was expected", text)
        self.assertIn("NOT AS IT SHOULD BE: plain was expected; there is no gopher", text)
        self.assertNotIn("NOT AS", "".join(shown(TLS_ROW)))


class MailExampleTests(SynchronousTestCase):
    """The mail examples."""

    def test_transcript_shows_the_switch_to_tls(self) -> None:
        """Lines in the clear and lines under TLS are told apart, with the session between."""
        lines = shown(mail_examples=(UPGRADE,))
        begin = lines.index("  clear  C: STARTTLS")
        self.assertEqual(
            lines[begin : begin + 4],
            [
                "  clear  C: STARTTLS",
                "  clear  S: 220 go",
                "  == TLSv1.3, TLS_AES_256_GCM_SHA384, X25519MLKEM768, resumed: no, verified: yes",
                "  TLS    C: QUIT",
            ],
        )

    def test_example_says_where_it_connects(self) -> None:
        """What a user would write stands above the transcript, with where it was dialled."""
        self.assertIn(
            "  tcp://mail.example.com:587, dialled at 127.0.0.1:65535",
            shown(mail_examples=(UPGRADE,)),
        )

    def test_failure_has_cause_and_explanation(self) -> None:
        """A failure has its cause and its explanation."""
        text = " ".join(" ".join(shown(mail_examples=(MISTAKE,))).split())
        self.assertIn(f"plaintext-peer: {MISTAKE.explanation}", text)
        self.assertNotIn("NOT AS", text)

    def test_wrong_example_says_so(self) -> None:
        """A mail example that went otherwise says so."""
        lines = shown(mail_examples=(evolve(MISTAKE, cause="closed", dialled=None),))
        self.assertIn("  NOT AS IT SHOULD BE: plaintext-peer was expected", lines)


class WholeTests(SynchronousTestCase):
    """The whole report."""

    def test_report_fits_eighty_columns(self) -> None:
        """Every form of the demo fits a line of 80 characters, with the longest of ports."""
        rows = [evolve(TLS_ROW, form=form, parsed=None) for form in (*PHP, *MORE)]
        rows.append(evolve(TLS_ROW, parsed=TransportURL.parse("tls+unix:///run/b.sock")))
        lines = shown(*rows, CLEAR_ROW, REFUSED_ROW, mail_examples=(UPGRADE, MISTAKE))
        self.assertEqual([line for line in lines if len(line) > 80], [])
        self.assertTrue(any(line.startswith("asked for  ") for line in lines))

    def test_narrow_window_stacks_the_cells(self) -> None:
        """In a narrow window each cell has a line of its own, with its heading."""
        lines = as_text(REPORT, "title", 40).splitlines()
        begin = lines.index("asked for tls://www.example.com")
        self.assertEqual(
            lines[begin : begin + 6],
            [
                "asked for tls://www.example.com",
                "read as   tls://www.example.com",
                "dialled   127.0.0.1:65535",
                "result    TLSv1.3",
                "ms        4.3",
                "  TLS_AES_256_GCM_SHA384,",
            ],
        )
        self.assertEqual([line for line in lines if len(line) > 40], [])

    def test_no_window_is_too_narrow(self) -> None:
        """A width that makes no sense is no reason to fail."""
        for width in (0, 1, 7):
            self.assertIn("asked for tls://www.example.com", as_text(REPORT, "title", width))

    def test_prose_stays_readable_in_a_wide_window(self) -> None:
        """Prose stays readable however wide the window is."""
        self.assertLess(max(map(len, as_text(REPORT, "title", 400).splitlines())), 100)

    def test_last_line_is_the_verdict(self) -> None:
        """The last line says how many rows, how long, and whether all was as it should be."""
        self.assertEqual(
            shown(CLEAR_ROW, SKIPPED_ROW)[-1],
            "2 rows and 0 scenes, 1 of them skipped, in 0.2 seconds: all as they should be.",
        )
        self.assertEqual(
            shown(CLEAR_ROW, UNREAD_ROW)[-1], "NOT as they should be: gopher://www.example.com."
        )

    def test_report_is_plain_ascii(self) -> None:
        """Nothing but ASCII, no colours, no blanks at the end of a line; the last line ends."""
        text = as_text(REPORT, "title", 80)
        self.assertTrue(text.isascii() and text.endswith("\n"))
        self.assertNotIn("\x1b", text)
        self.assertEqual([line for line in text.splitlines() if line != line.rstrip()], [])
