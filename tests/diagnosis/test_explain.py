"""Explanations: which line counts, what is added to it, and that any text has an answer."""

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


class SeveralLinesTests(SynchronousTestCase):
    """Several known lines in one text."""

    def causes(self, text: str) -> list[str]:
        """The causes that are found in a text, in order."""
        return [known.diagnosis.cause for known in explain(text)]

    def test_a_line_with_a_reason_beats_one_without(self) -> None:
        """Lines that only say that something failed do not count beside one with the reason."""
        log = (
            "PHP Warning:  SSL operation failed with code 1. OpenSSL Error messages:\n"
            "error:0A000086:SSL routines::certificate verify failed\n"
            "PHP Warning:  Peer certificate CN=`a.example' did not match expected CN=`b.example'\n"
            "PHP Warning:  Failed to enable crypto\n"
        )
        self.assertEqual(self.causes(log), ["wrong-name"])

    def test_the_most_specific_line_comes_first(self) -> None:
        """The most specific line comes first, wherever it is in the text; others follow."""
        log = "read ECONNRESET\nnpm ERR! code CERT_HAS_EXPIRED"
        self.assertEqual(self.causes(log), ["expired", "closed"])

    def test_one_vague_line_counts_where_no_line_has_a_reason(self) -> None:
        """Where no line has a reason, one line is explained."""
        log = "ssl.SSLError: certificate verify failed\nFailed to enable crypto\n"
        (known,) = explain(log)
        self.assertEqual(
            (known.words, known.diagnosis.cause), ("certificate verify failed", "other")
        )

    def test_no_words_count_for_two_lines(self) -> None:
        """A short known line within a long one is not explained as well."""
        self.assertEqual(
            self.causes("self-signed certificate in certificate chain"), ["unknown-issuer"]
        )
        self.assertEqual(
            self.causes("[SSL: NO_SHARED_CIPHER] no shared cipher"), ["no-common-cipher"]
        )

    def test_old_devices_are_told_of(self) -> None:
        """What a device that speaks SSL 3.0 at most leads to names the schemes to try."""
        for line in (
            "error:0A000102:SSL routines::unsupported protocol",
            "ssl.SSLError: [SSL: WRONG_SSL_VERSION] wrong ssl version (_ssl.c:600)",
            "error:14094410:SSL routines:ssl3_read_bytes:sslv3 alert handshake failure",
            "curl: (35) OpenSSL/3.0.11: error:0A000410:SSL routines::sslv3 alert handshake failure",
        ):
            remedy = explain(line)[0].diagnosis.remedy
            for word in ("tlsv1.0://", "sslv3://", "docs/legacy.md"):
                self.assertIn(word, remedy, line)

    def test_a_code_without_words_is_explained(self) -> None:
        """The error of a program that has not loaded OpenSSL's words is known by its number."""
        self.assertEqual(self.causes("error:0A00010B:lib(20)::reason(267)"), ["plaintext-peer"])
        self.assertEqual(self.causes("error:14094418"), ["peer-alert"])

    def test_a_text_without_known_lines_has_no_explanation(self) -> None:
        """Other text and empty text are not explained."""
        for text in ("", " \n", "segmentation fault", "220 mx1 ESMTP", "tls", "HTTP request done"):
            self.assertEqual(explain(text), [], text)

    def test_at_most_8_lines_are_explained(self) -> None:
        """A log with every known line has 8 explanations."""
        log = "\n".join(line for _, _, line in known_lines())
        self.assertEqual(len(explain(log)), 8)


class DetailTests(SynchronousTestCase):
    """What an explanation has besides the diagnosis of the table."""

    def test_an_explanation_has_diagnosis_names_and_the_tool_s_option(self) -> None:
        """An explanation has a diagnosis like the library's own errors, and the tool's option."""
        (known,) = explain(
            "x509: certificate is valid for a.example, b.example, not mail.example.com"
        )
        self.assertEqual(
            known,
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

    def test_the_expected_name_is_found_in_each_tool_s_words(self) -> None:
        """The name that was asked for is found in the words of each tool."""
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

    def test_a_port_that_begins_in_the_clear_gets_its_starttls_url(self) -> None:
        """For a port that begins in the clear, the remedy has the whole URL to use."""
        for port, protocol in ((587, "smtp"), (25, "smtp"), (143, "imap"), (3389, "rdp")):
            (known,) = explain(f"tls://mail.example.com:{port}: wrong version number")
            url = f"tls://mail.example.com:{port}?starttls={protocol}"
            self.assertTrue(
                known.diagnosis.remedy.startswith(f"Use {url}: "), known.diagnosis.remedy
            )
            self.assertEqual(known.diagnosis.evidence, (f"at mail.example.com:{port}",))

    def test_no_url_where_it_would_be_a_guess(self) -> None:
        """No URL is given for another port, nor for another failure."""
        for text in ("tls://a.example:443: wrong version number",
                     "tls://a.example:587: certificate has expired"):  # fmt: skip
            self.assertNotIn("a.example", explain(text)[0].diagnosis.remedy)

    def test_it_says_whether_trying_again_can_help(self) -> None:
        """A reset may not happen again; an expired certificate stays expired."""
        self.assertFalse(explain("read ECONNRESET")[0].diagnosis.permanent)
        self.assertTrue(explain("CERT_HAS_EXPIRED")[0].diagnosis.permanent)

    def test_each_cause_of_the_library_has_a_known_line(self) -> None:
        """For every cause of the library there is a line of some other tool."""
        self.assertEqual({*CAUSES} - {cause for _, cause, _ in known_lines()}, set())


class CluesTests(SynchronousTestCase):
    """What is said about a text without a known line."""

    def test_codes_hosts_and_the_tool_are_told(self) -> None:
        """OpenSSL's codes, hosts with a port and the likely tool are told."""
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

    def test_a_pasted_greeting_names_the_server(self) -> None:
        """A user who pastes a server's greeting reads which kind of server sends it."""
        (clue,) = clues("220 mx1.example.org ESMTP Postfix")
        self.assertIn("a plain-text SMTP server", clue)

    def test_a_text_without_clues_has_none(self) -> None:
        """A text with nothing known in it has no clues."""
        self.assertEqual(clues("it does not work"), ())


class AnyTextTests(SynchronousTestCase):
    """Untrusted text."""

    def check(self, text: str) -> None:
        """What is said about the text is bounded and printable."""
        found = explain(text)
        self.assertLessEqual(len(found), 8)
        said = [
            words
            for known in found
            for words in (known.tool, known.words, known.in_tool, known.diagnosis.summary,
                          known.diagnosis.remedy, *known.diagnosis.evidence)
        ]  # fmt: skip
        said += clues(text)
        for words in said:
            self.assertTrue(words.isprintable(), words)
            self.assertLess(len(words), 2000)

    @given(st.text())
    def test_any_text_has_a_printable_answer(self, text: str) -> None:
        """No text raises an exception or has an answer that is not fit for a terminal."""
        self.check(text)

    @given(st.lists(st.sampled_from([line for _, _, line in known_lines()]), max_size=3),
           st.text(max_size=20))  # fmt: skip
    def test_known_lines_in_any_text_have_a_printable_answer(
        self, lines: list[str], between: str
    ) -> None:
        """The same holds for known lines with any text between them."""
        self.check(between.join(lines))
        self.check(f"certificate is valid for {between}, not {between}\x1b[31m")

    def test_lone_surrogates_are_escaped(self) -> None:
        """Half a surrogate pair, which cannot be encoded, is escaped."""
        self.check("\ud800 certificate verify failed \udcff tls://h:587")
        self.assertEqual(short_text("\x1b[0m\ud800\n"), "\\x1b[0m\\ud800\\n")

    def test_text_beyond_the_bound_is_ignored(self) -> None:
        """A known line behind MAX_TEXT characters is not found."""
        self.assertEqual(explain("x" * MAX_TEXT + " certificate has expired"), [])
        self.assertEqual(len(short_text("x" * 1000)), 201)

    def test_text_made_to_be_slow_is_searched_in_time(self) -> None:
        """64 Ki characters that are chosen to make patterns slow are searched in 5 seconds."""
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
