"""What a proxy means by its code, whose fault that is, and what to do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.diagnosis.proxy_refusals import (
    PROXY_REFUSALS,
    explain_refusal,
    remedy_of_protocol,
)
from txtransport.errors import FAULTS, Diagnosis, ProxyRefused

TARGET = "mail.example.com:465"


def explained(kind: str, code: int, *schemes: str, has_login: bool = False) -> Diagnosis:
    """What a refusal means."""
    return explain_refusal(ProxyRefused(kind, code, b"", schemes), TARGET, has_login=has_login)


class RefusalTests(SynchronousTestCase):
    """The codes of HTTP and SOCKS."""

    def test_every_code_is_explained(self) -> None:
        """Each possible code has a summary, a fault and a remedy, in words that can be shown."""
        codes = [("HTTP status", code) for code in range(300, 600)]
        codes += [(kind, code) for kind in ("SOCKS reply", "SOCKS login") for code in range(1, 256)]
        for kind, code in (*codes, ("SOCKS method", 255)):
            found = explained(kind, code)
            self.assertIn(found.fault, FAULTS)
            self.assertTrue(found.cause.startswith("proxy-"), found.cause)
            for text in (found.summary, found.remedy):
                self.assertTrue(text.isprintable() and text and not text.endswith("."), text)
                self.assertNotIn("…", text)

    def test_each_reply_of_socks_is_told_apart(self) -> None:
        """Replies 1 to 8 of RFC 1928: forbidden and not understood stay so, others may pass."""
        found = {code: explained("SOCKS reply", code) for code in range(1, 9)}
        self.assertEqual(len({each.summary for each in found.values()}), 8)
        lasting = [code for code, each in found.items() if each.permanent]
        self.assertEqual(lasting, [2, 7, 8])
        faults = [each.fault for each in found.values()]
        self.assertEqual(
            faults, ["peer", "peer", "network", "network", "peer", "network", "peer", "ours"]
        )
        self.assertIn("nothing listens at mail.example.com:465", found[5].summary)

    def test_a_missing_login_is_told_from_a_wrong_one(self) -> None:
        """407 without a user asks for one; with one, something about it is wrong."""
        missing = explained("HTTP status", 407, "Basic")
        self.assertIn("wants a login", missing.summary)
        self.assertIn("proxy=http://USER:PASSWORD@HOST:PORT", missing.remedy)
        wrong = explained("HTTP status", 407, "Basic", has_login=True)
        self.assertIn("does not accept the user or the password", wrong.summary)
        self.assertEqual(explained("SOCKS login", 1, has_login=True), wrong)
        for found in (missing, wrong):
            self.assertEqual((found.fault, found.permanent), ("ours", True))

    def test_a_login_of_another_kind_is_named(self) -> None:
        """A proxy that takes NTLM only cannot be used, whatever the password."""
        found = explained("HTTP status", 407, "Negotiate", "NTLM", has_login=True)
        self.assertIn("Negotiate, NTLM", found.summary)
        self.assertIn("Only Basic", found.remedy)
        self.assertNotIn("Only Basic", explained("HTTP status", 407, "NTLM", "basic").remedy)

    def test_what_may_pass_is_told_from_what_stays(self) -> None:
        """A proxy's rules stay as they are; a target that it cannot reach may come back."""
        lasting, passing = (403, 405, 302, 418), (502, 503, 504, 599)
        for code, permanent in (
            *((code, True) for code in lasting),
            *((code, False) for code in passing),
        ):
            self.assertIs(explained("HTTP status", code).permanent, permanent, code)

    def test_no_code_is_in_the_table_twice(self) -> None:
        """Each code has one meaning."""
        self.assertEqual(len({rule.match for rule in PROXY_REFUSALS}), len(PROXY_REFUSALS))


class ProtocolTests(SynchronousTestCase):
    """A proxy that is of another kind than its URL says."""

    def test_the_right_scheme_is_suggested(self) -> None:
        """What the proxy said first shows its kind."""
        for scheme, said, better in (
            ("socks5", b"HTTP/1.1 400 Bad Request\r\n", "write http://"),
            ("socks5h", b"<html>", "write http://"),
            ("http", b"\x05\xff", "write socks5h://"),
            ("http", b"\x15\x03\x01\x00\x02\x02\x0a", "write https://"),
            ("socks5", b"\x16\x03\x01", "write https://"),
            ("socks5", b"\x00\x5b\x00", "SOCKS 4"),
        ):
            self.assertIn(better, remedy_of_protocol(scheme, said))

    def test_nothing_is_suggested_in_place_of_what_is_there(self) -> None:
        """A proxy of the right kind, or of none that is known, has no other scheme."""
        for scheme, said in (
            ("http", b"HTTP/1.1 500 \r\n"), ("https", b"HTTP/1.1 500 \r\n"),
            ("socks5", b"\x05\x00"), ("socks5h", b"\x05\x00"),
            ("http", b"220 mx\r\n"), ("http", b""), ("socks5", b"\x16"),
        ):  # fmt: skip
            self.assertEqual(remedy_of_protocol(scheme, said), "")
