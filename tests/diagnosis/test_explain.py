"""Explanations: which line wins, what is added to it, and that any text will do."""

from __future__ import annotations

import time

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.diagnosis.tools.test_known import known_lines
from txtransport.diagnosis.error_line import MAX_TEXT
from txtransport.diagnosis.explain import KnownLine, clues, explain
from txtransport.errors import CAUSES, Diagnosis
from txtransport.text import short_text


class WinnerTests(SynchronousTestCase):
    """Several known lines in one text."""

    def causes(self, text: str) -> list[str]:
        """What a text comes to, the best first."""
        return [one.diagnosis.cause for one in explain(text)]

    def test_the_reason_wins(self) -> None:
        """A line with the reason counts, and those that only say that it failed do not."""
        log = (
            "PHP Warning:  SSL operation failed with code 1. OpenSSL Error messages:\n"
            "error:0A000086:SSL routines::certificate verify failed\n"
            "PHP Warning:  Peer certificate CN=`a.example' did not match expected CN=`b.example'\n"
            "PHP Warning:  Failed to enable crypto\n"
        )
        self.assertEqual(self.causes(log), ["wrong-name"])

    def test_the_certificate_before_the_end(self) -> None:
        """What explains most comes first, wherever it stands; the rest is told as well."""
        log = "read ECONNRESET\nnpm ERR! code CERT_HAS_EXPIRED"
        self.assertEqual(self.causes(log), ["expired", "closed"])

    def test_one_vague_line_is_enough(self) -> None:
        """Where no line has a reason, the first of them is told, and the others are not."""
        log = "ssl.SSLError: certificate verify failed\nFailed to enable crypto\n"
        (one,) = explain(log)
        self.assertEqual((one.words, one.diagnosis.cause), ("certificate verify failed", "other"))

    def test_words_are_read_once(self) -> None:
        """A long line is not told a second time for the short one that it holds."""
        self.assertEqual(
            self.causes("self-signed certificate in certificate chain"), ["unknown-issuer"]
        )
        self.assertEqual(
            self.causes("[SSL: NO_SHARED_CIPHER] no shared cipher"), ["no-common-cipher"]
        )

    def test_a_code_without_words(self) -> None:
        """A program that did not load OpenSSL's words is understood by the number."""
        self.assertEqual(self.causes("error:0A00010B:lib(20)::reason(267)"), ["plaintext-peer"])
        self.assertEqual(self.causes("error:14094418"), ["peer-alert"])

    def test_nothing_known(self) -> None:
        """Other text, and none, is not explained."""
        for text in ("", " \n", "segmentation fault", "220 mx1 ESMTP", "tls", "HTTP request done"):
            self.assertEqual(explain(text), [], text)

    def test_many(self) -> None:
        """A log of everything there is comes to a few."""
        log = "\n".join(line for _, _, line in known_lines())
        self.assertEqual(len(explain(log)), 8)


class DetailTests(SynchronousTestCase):
    """What the text itself adds."""

    def test_the_whole(self) -> None:
        """An explanation has what the library's own errors have, and how the tool says it."""
        (one,) = explain(
            "x509: certificate is valid for a.example, b.example, not mail.example.com"
        )
        self.assertEqual(
            one,
            KnownLine(
                "Go",
                "certificate is valid for a.example, b.example, not mail.example.com",
                Diagnosis(
                    "wrong-name",
                    "The certificate is for another name or address than the one that was "
                    "asked for",
                    "Connect by a name that it is for, or say peer_name=NAME if another is meant",
                    evidence=(
                        "asked for: mail.example.com",
                        "the certificate is for: a.example, b.example",
                    ),
                ),
                "ServerName in tls.Config",
            ),
        )

    def test_names(self) -> None:
        """The name that was asked for is found in each tool's way of telling it."""
        asked: set[str] = set()
        for _, cause, line in known_lines():
            if cause == "wrong-name":
                asked.update(explain(line)[0].diagnosis.evidence)
        for name in (
            "localhost",
            "c.example",
            "other.example",
            "192.0.2.7",
            "127.0.0.2",
            "a.example",
        ):
            self.assertIn(f"asked for: {name}", asked)

    def test_the_url_to_use(self) -> None:
        """A port that begins in the clear is known, and the URL for it is written out."""
        for port, protocol in ((587, "smtp"), (25, "smtp"), (143, "imap"), (3389, "rdp")):
            (one,) = explain(f"tls://mail.example.com:{port}: wrong version number")
            url = f"tls://mail.example.com:{port}?starttls={protocol}"
            self.assertTrue(one.diagnosis.remedy.startswith(f"Use {url}: "), one.diagnosis.remedy)
            self.assertEqual(one.diagnosis.evidence, (f"at mail.example.com:{port}",))

    def test_no_url_where_it_would_be_a_guess(self) -> None:
        """Neither another port nor another fault gets a URL."""
        for text in ("tls://a.example:443: wrong version number",
                     "tls://a.example:587: certificate has expired"):  # fmt: skip
            self.assertNotIn("a.example", explain(text)[0].diagnosis.remedy)

    def test_can_it_help_to_try_again(self) -> None:
        """An end may pass, an expired certificate does not."""
        self.assertFalse(explain("read ECONNRESET")[0].diagnosis.permanent)
        self.assertTrue(explain("CERT_HAS_EXPIRED")[0].diagnosis.permanent)

    def test_each_cause_of_ours(self) -> None:
        """Every cause that the library gives has a line of some other tool."""
        self.assertEqual({*CAUSES} - {cause for _, cause, _ in known_lines()}, set())


class TraceTests(SynchronousTestCase):
    """What is told where no line is known."""

    def test_traces(self) -> None:
        """Codes, places and the looks of it are better than nothing."""
        self.assertEqual(
            clues("PHP Warning: error:05800001 at a.example:587"),
            (
                "the code 05800001 of OpenSSL: openssl errstr 05800001 has its words",
                "the place a.example:587",
                "the words look like those of PHP",
            ),
        )
        self.assertEqual(
            clues("error:0A000086"), ("the code 0A000086 of OpenSSL: certificate verify failed",)
        )

    def test_a_greeting(self) -> None:
        """A user who pastes what a server said hears which server says so."""
        (trace,) = clues("220 mx1.example.org ESMTP Postfix")
        self.assertIn("a plain-text SMTP server", trace)

    def test_none(self) -> None:
        """There may be none."""
        self.assertEqual(clues("it does not work"), ())


class AnyTextTests(SynchronousTestCase):
    """Texts of strangers."""

    def check(self, text: str) -> None:
        """Whatever it is, what is said about it is bounded and printable."""
        found = explain(text)
        self.assertLessEqual(len(found), 8)
        said = [
            words
            for one in found
            for words in (one.tool, one.words, one.in_tool, one.diagnosis.summary,
                          one.diagnosis.remedy, *one.diagnosis.evidence)
        ]  # fmt: skip
        said += clues(text)
        for words in said:
            self.assertTrue(words.isprintable(), words)
            self.assertLess(len(words), 2000)

    @given(st.text())
    def test_any_text(self, text: str) -> None:
        """Any text has an answer."""
        self.check(text)

    @given(st.lists(st.sampled_from([line for _, _, line in known_lines()]), max_size=3),
           st.text(max_size=20))  # fmt: skip
    def test_known_lines_in_any_text(self, lines: list[str], between: str) -> None:
        """So has any text with known lines in it."""
        self.check(between.join(lines))
        self.check(f"certificate is valid for {between}, not {between}\x1b[31m")

    def test_half_a_pair(self) -> None:
        """Characters that cannot be written down are escaped."""
        self.check("\ud800 certificate verify failed \udcff tls://h:587")
        self.assertEqual(short_text("\x1b[0m\ud800\n"), "\\x1b[0m\\ud800\\n")

    def test_much_text(self) -> None:
        """What stands behind the bound is not read."""
        self.assertEqual(explain("x" * MAX_TEXT + " certificate has expired"), [])
        self.assertEqual(len(short_text("x" * 1000)), 201)

    def test_hostile_text(self) -> None:
        """64 KiB that are made to be slow are answered in the time of 64 KiB of anything."""
        for seed in (
            "certificate is valid for ", "x509: ", "the certificate of ", "host: a", "1.1:",
            "in .php", "peer certificate cn=''", "could not read a", "error:0A00010B", "routines:",
            "no subject alternative ", "hostname a'", "malformed http response ", "tls://", "[::",
            "curl ", "_", "a", " ",
        ):  # fmt: skip
            text = seed * (MAX_TEXT // len(seed) + 1)
            before = time.process_time()
            explain(text)
            clues(text)
            self.assertLess(time.process_time() - before, 5, seed)
