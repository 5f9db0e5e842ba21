"""What people read: every fact, in a window of any width, and nothing that moves the cursor."""

from __future__ import annotations

from datetime import timedelta

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from tests.cli.probe.samples import BAD, CHAIN, CLEAR, GOOD, NOW, SESSION
from txtransport import TransportURL
from txtransport.cli.probe.report import (
    AddressOutcome,
    AddressResult,
    FirstByte,
    ProbeReport,
    VersionResult,
)
from txtransport.cli.probe.text import as_text
from txtransport.cli.terminal import TerminalStyle
from txtransport.errors import Diagnosis

PLAIN = TerminalStyle()
HOSTILE = "\x1b[2J\x1b[H\u202eowned\r\nroot# "


def shown(report: ProbeReport, style: TerminalStyle = PLAIN, *, is_brief: bool = False) -> str:
    """The report as text."""
    return as_text(report, style, NOW, is_brief=is_brief)


class TextTests(SynchronousTestCase):
    """The report as a whole."""

    def test_every_fact_is_shown(self) -> None:
        """Addresses, times, session, versions, chain and verdict are all shown."""
        text = shown(GOOD)
        for fact in (
            "2001:db8::1  failed after 0.2 ms: nothing listens there",
            "192.0.2.1    connected after 11.5 ms",
            "first byte   3.5 ms: b'* OK ready\\r\\n'",
            "version     TLSv1.3",
            "cipher      TLS_AES_256_GCM_SHA384, 256 bits",
            "group       X25519MLKEM768",
            "ALPN        imap",
            "SNI         mail.example.com",
            "resumption  yes, on a second connection",
            "TLSv1.2  accepted",
            "TLSv1.1  refused (refused): nothing listens there",
            "for    mail.example.com, imap.example.com",
            "2030-04-01, 90 days left",
            "key    EC secp256r1, signed with ecdsa-with-sha256",
        ):
            self.assertIn(fact, text)
        verdict = "tls://mail.example.com:143?starttls=imap: connected, verified\n"
        self.assertTrue(text.startswith(f"{verdict}  TLSv1.3; certificate valid to 2030-04-01, 90"))
        self.assertTrue(text.endswith(f"\n\n{verdict}"))

    def test_chain_is_a_tree_with_the_leaf_last(self) -> None:
        """An issuer stands above what it issued, even if it was not sent; the leaf is last."""
        lines = shown(GOOD).splitlines()
        begin = lines.index("chain")
        self.assertEqual(lines[begin + 1], "  CN=txtransport test CA (issuer, not sent)")
        self.assertEqual(lines[begin + 2], "  `- CN=below")
        self.assertIn("     `- CN=mail.example.com", lines)
        root = evolve(CHAIN[1], issuer=CHAIN[1].subject)
        self.assertNotIn("not sent", shown(evolve(GOOD, chain=(CHAIN[0], root))))

    def test_chain_out_of_order_is_a_list_as_it_was_sent(self) -> None:
        """A chain out of order is no tree: an issuer would stand above what it did not issue."""
        seen = evolve(GOOD, chain=CHAIN[::-1], chain_problems=("out of order",))
        lines = shown(seen).splitlines()
        begin = lines.index("chain (as sent, leaf first)")
        self.assertEqual(lines[begin + 1], "  CN=below")
        self.assertIn("  CN=mail.example.com", lines[begin:])
        self.assertNotIn("not sent", shown(seen))

    def test_long_chain_stays_within_the_window(self) -> None:
        """A peer that sends a hundred certificates does not push the tree out of the window."""
        lines = shown(evolve(GOOD, chain=CHAIN[:1] * 100), TerminalStyle(40)).splitlines()
        self.assertEqual(sum("`- CN=mail.example.com" in line for line in lines), 100)
        self.assertLessEqual(max(map(len, lines[lines.index("chain") :])), 41)

    def test_no_text_of_a_peer_is_wider_than_the_window(self) -> None:
        """A peer's bytes and names have no blanks, may look like URLs, and are broken anyway."""
        name = "tls://" + "x" * 150
        loud = evolve(CHAIN[0], subject=name, issuer=name, names=(name, "\x1b" * 60))
        bytes_ = FirstByte(2.0, b"tls://" + b"\x1b" * 99)
        diagnosis = Diagnosis("other", f"it sent {bytes_.data!r}", name[6:], evidence=(name,))
        reports = (
            evolve(CLEAR, hint="", first_byte=bytes_),
            evolve(BAD, diagnosis=diagnosis, first_byte=bytes_, chain=(loud,)),
            evolve(GOOD, chain=(loud, loud), chain_problems=(f"{name} is sent twice",)),
            evolve(GOOD, chain=(loud,), warn_days=999),
            evolve(GOOD, versions=(VersionResult("TLSv1.2", False, diagnosis),)),
        )
        for report in reports:
            for width in (24, 40, 80):
                for is_brief in (False, True):
                    text = shown(report, TerminalStyle(width), is_brief=is_brief)
                    for line in text.splitlines():
                        is_ours = line.rstrip(":").endswith(str(report.url))
                        self.assertTrue(is_ours or len(line) <= width, (width, line))

    def test_bars_follow_one_another(self) -> None:
        """Each stage's bar begins where the one before it ends, and is as long as it took."""
        lines = shown(GOOD).splitlines()
        bars = [line for line in lines if "#" in line]
        self.assertEqual([line.split()[0] for line in bars],
                         ["look-up", "connect", "negotiation", "handshake"])  # fmt: skip
        begins = [line.index("#") for line in bars]
        self.assertEqual(begins, sorted(begins))
        lengths = [line.count("#") for line in bars]
        self.assertEqual(sorted(lengths), [lengths[0], lengths[2], lengths[1], lengths[3]])

    def test_address_has_no_look_up_time(self) -> None:
        """Where nothing was looked up, no time is shown for it."""
        self.assertNotIn("look-up", shown(CLEAR))

    def test_failure_says_cause_fault_evidence_and_remedy(self) -> None:
        """A failure says what is wrong, whose fault it is, what was seen and what to do."""
        text = shown(BAD)
        self.assertEqual(
            text.splitlines()[:4],
            [
                "tls://mail.example.com:465: not connected (plaintext-peer)",
                "  The peer speaks SMTP.",
                "  What to do: Use tls://mail.example.com:465?starttls=smtp on this port.",
                "  It is for this side to mend; trying again cannot help.",
            ],
        )
        self.assertIn("- it sent b'220 '", text)
        self.assertIn("nothing vouches for it", text)
        for width in (24, 40, 80):
            self.assertIn(
                "tls://mail.example.com:465?starttls=smtp", shown(BAD, TerminalStyle(width))
            )

    def test_verdicts_are_told_apart(self) -> None:
        """Verified, unverified, and in the clear are three verdicts."""
        weak = evolve(GOOD, session=evolve(SESSION, verified=False))
        self.assertIn("connected, NOT verified", shown(weak))
        clear = shown(CLEAR)
        self.assertIn("tcp://192.0.2.1:25: connected, in the clear\n", clear)
        self.assertIn("Nothing is verified", shown(evolve(CLEAR, hint="", first_byte=None)))
        self.assertIn("\n  The peer is a plain-text SMTP server. Use TLS.\n", clear)

    def test_missing_first_byte_says_why(self) -> None:
        """Whether the peer sent nothing or hung up is shown."""
        for first, text in (
            (FirstByte(1000.4), "none within 1.00 s; many servers wait for the client"),
            (FirstByte(2.0, is_goodbye=True), "none: the peer hung up after 2.0 ms"),
        ):
            self.assertIn(text, " ".join(shown(evolve(CLEAR, first_byte=first)).split()))

    def test_expired_and_not_yet_valid_are_in_capitals(self) -> None:
        """A certificate that has expired, or is not valid yet, is marked in capitals."""
        over = evolve(CHAIN[0], not_after=NOW - timedelta(days=3))
        early = evolve(CHAIN[0], not_before=NOW + timedelta(days=3))
        self.assertIn("EXPIRED 3 days ago", shown(evolve(GOOD, chain=(over,))))
        self.assertIn("NOT YET valid", shown(evolve(GOOD, chain=(early,))))

    def test_quiet_is_the_verdict_alone(self) -> None:
        """``--quiet`` leaves the verdict."""
        self.assertEqual(shown(GOOD, is_brief=True), f"{GOOD.url}: connected, verified\n")
        self.assertEqual(
            shown(BAD, is_brief=True),
            "tls://mail.example.com:465: not connected (plaintext-peer)\n"
            "  The peer speaks SMTP.\n"
            "  What to do: Use tls://mail.example.com:465?starttls=smtp on this port.\n",
        )

    def test_quiet_is_three_lines_at_the_most(self) -> None:
        """However much there is to say, and however long the URL is, three lines say it."""
        long = "many words " * 40
        url = TransportURL.parse(f"tls://{'long.' * 12}example:465")
        diagnosis = Diagnosis("other", long, long, evidence=(long,) * 9)
        for report in (
            evolve(BAD, diagnosis=diagnosis),
            evolve(BAD, url=url, diagnosis=diagnosis),
            evolve(BAD, diagnosis=diagnosis, hint=long),
            evolve(CLEAR, hint=long),
            evolve(GOOD, url=url),
            evolve(GOOD, url=url, chain_problems=(long,) * 4),
        ):
            for style in (TerminalStyle(80), TerminalStyle(80, is_unicode=True)):
                lines = shown(report, style, is_brief=True).splitlines()
                self.assertLessEqual(len(lines), 3, lines)
                self.assertLessEqual(max(map(len, lines)), 80)
                if long in (report.hint, getattr(report.diagnosis, "remedy", "")):
                    self.assertTrue(lines[-1].endswith("…" if style.is_unicode else "..."), lines)

    def test_quiet_never_cuts_a_url(self) -> None:
        """What is cut is cut between words, so that a URL can be copied or is not there."""
        for width in range(24, 90):
            for word in shown(BAD, TerminalStyle(width), is_brief=True).split():
                if word.startswith("tls://"):
                    self.assertIn(
                        word,
                        ("tls://mail.example.com:465:", "tls://mail.example.com:465?starttls=smtp"),
                    )

    def test_a_long_url_leaves_the_verdict_in_two_lines(self) -> None:
        """Where the URL fills the first line, the second begins with the verdict."""
        url = TransportURL.parse(f"tls://{'long.' * 12}example:465")
        for report, verdict in ((GOOD, "  connected, verified: TLSv1.3; "),
                                (BAD, "  not connected (plaintext-peer): ")):  # fmt: skip
            lines = shown(evolve(report, url=url)).splitlines()
            self.assertEqual(lines[0], f"{url}:")
            self.assertTrue(lines[1].startswith(verdict), lines[1])

    def test_no_full_stop_is_glued_to_a_url(self) -> None:
        """A URL at the end of a line can be copied with a double click."""
        text = shown(evolve(CLEAR, hint="This port speaks TLS: probe tls://a.example:1"))
        self.assertIn("\n  This port speaks TLS: probe tls://a.example:1\n", text)

    def test_chain_out_of_order_is_a_note(self) -> None:
        """What is wrong with the order of a chain is a note, with --quiet as well."""
        problem = "'CN=below' is sent twice"
        for report, verdict in ((GOOD, "connected, verified"), (BAD, "not connected")):
            seen = evolve(report, chain_problems=(problem,))
            self.assertIn(f": {verdict}", shown(seen).splitlines()[0])
            self.assertIn(f"\n  Note: {problem}.\n", shown(seen))
            coloured = shown(seen, TerminalStyle(is_coloured=True))
            self.assertIn(f"\x1b[33m  Note: {problem}.\x1b[0m\n", coloured)
        brief = shown(evolve(GOOD, chain_problems=(problem,) * 4), is_brief=True).splitlines()
        self.assertEqual(brief[1:], [f"  Note: {problem}."] * 2)

    def test_certificate_with_too_few_days_is_the_verdict(self) -> None:
        """With --warn-days the verdict names the certificate that has fewer days left."""
        self.assertEqual(
            shown(evolve(GOOD, warn_days=91), is_brief=True).splitlines(),
            [
                "tls://mail.example.com:143?starttls=imap: connected, verified, and soon expired",
                "  The certificate CN=mail.example.com has 90 days left, fewer than ...",
                "  What to do: The peer must renew it, and load the new file; if it is ...",
            ],
        )
        self.assertIn(
            "has 90 days left, fewer than --warn-days 2000 (and 1 more).",
            " ".join(shown(evolve(GOOD, warn_days=2000)).split()),
        )
        for enough in (None, 90):
            text = shown(evolve(GOOD, warn_days=enough), is_brief=True)
            self.assertEqual(text, f"{GOOD.url}: connected, verified\n")

    def test_days_are_counted_like_days(self) -> None:
        """A last day is one day, less than a day is none, and an unused certificate may be over."""
        for hours, words in ((30, "has 1 day left"), (3, "has 0 days left"),
                             (-30, "expired 2 days ago")):  # fmt: skip
            ends = evolve(CHAIN[1], not_after=NOW + timedelta(hours=hours))
            text = " ".join(shown(evolve(GOOD, chain=(CHAIN[0], ends), warn_days=5)).split())
            self.assertIn(f"The certificate CN=below {words}, fewer than --warn-days 5.", text)

    def test_two_pieces_of_advice_are_told_apart(self) -> None:
        """The more promising advice stands first, and the other as an alternative."""
        text = shown(evolve(BAD, hint="Try tls://a.example:1 instead"))
        self.assertIn("\n  What to do: Try tls://a.example:1 instead.\n  Otherwise: Use tls", text)

    def test_no_line_is_wider_than_the_window(self) -> None:
        """No line is wider than the window, but for a URL, which is to be copied."""
        for report in (GOOD, BAD, CLEAR):
            for width in (24, 40, 80, 200):
                for line in shown(report, TerminalStyle(width)).splitlines():
                    is_url = len(line.split()) == 1 and "://" in line
                    self.assertTrue(len(line) <= width or is_url, (width, line))

    def test_long_evidence_is_broken(self) -> None:
        """What a peer sent, one word of 300 letters, is broken and not left to the terminal."""
        diagnosis = Diagnosis("other", "no", evidence=("x" * 300,))
        lines = shown(
            evolve(BAD, diagnosis=diagnosis), TerminalStyle(40), is_brief=True
        ).splitlines()
        self.assertLessEqual(max(map(len, lines)), 40)


class HarmlessTests(SynchronousTestCase):
    """Nothing that a peer sends does harm to a terminal."""

    def test_nothing_moves_the_cursor(self) -> None:
        """Escape sequences of a stranger are shown as text wherever they may stand."""
        diagnosis = Diagnosis("other", HOSTILE, HOSTILE, evidence=(HOSTILE,))
        report = evolve(
            BAD,
            addresses=(AddressResult(HOSTILE, AddressOutcome.FAILED, 1.0, diagnosis),),
            chain=(evolve(CHAIN[0], subject=HOSTILE, names=(HOSTILE,)),),
            first_byte=FirstByte(1.0, HOSTILE.encode()),
            diagnosis=diagnosis,
            session=evolve(SESSION, alpn_protocol=HOSTILE),
        )
        for style in (TerminalStyle(), TerminalStyle(40, is_unicode=True)):
            text = shown(report, style) + shown(evolve(report, diagnosis=None, hint=HOSTILE), style)
            self.assertTrue(text.replace("\n", "").isprintable(), ascii(text))
            self.assertIn("\\x1b", text)

    def test_colours_change_no_words(self) -> None:
        """With colours the words are the same, and each colour ends in its line."""
        plain, coloured = shown(BAD), shown(BAD, TerminalStyle(is_coloured=True))
        self.assertIn("\x1b[31mtls://mail.example.com:465: not connected", coloured)
        for line in coloured.splitlines():
            self.assertEqual(line.count("\x1b["), 2 * line.count("\x1b[0m"), ascii(line))
        bare = coloured
        for code in ("\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m"):
            bare = bare.replace(code, "")
        self.assertEqual(bare, plain)
