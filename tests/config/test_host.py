"""The host of a URL in its one form, and texts that only look like a host."""

# Some tests hold letters of other alphabets that look like ASCII.
# ruff: noqa: RUF001

from __future__ import annotations

import contextlib
import re
from ipaddress import IPv4Address
from typing import Final

import idna
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.host import canonical_host, canonical_literal, host_in_url

FULL_WIDTH: Final = {digit: chr(0xFF10 + digit) for digit in range(10)}
LOOKALIKES: Final = st.sampled_from("１２７０①②⑦⓪²³⁰₁𝟏𝟙𝟎。．｡\xad")
HOSTS: Final = st.text(
    st.one_of(LOOKALIKES, st.sampled_from("0127.abüx例"), st.characters()), max_size=20
)


def asciified(host: str) -> str | None:
    """What IDNA's mapping makes of a host, or None if it makes nothing."""
    with contextlib.suppress(idna.IDNAError):
        return idna.encode(host, uts46=True).decode("ascii")
    return None


class InternationalHostTests(SynchronousTestCase):
    """Names of other alphabets, which IDNA maps to ASCII."""

    def refusal(self, host: str) -> str:
        """Why a host is refused."""
        return str(self.assertRaises(ValueError, canonical_host, host))

    def test_the_form_to_write_is_said(self) -> None:
        """Digits and dots of other alphabets are refused, with what to write in their place."""
        for host, meant in {
            "１２７.0.0.1": "127.0.0.1",
            "127。0。0。1": "127.0.0.1",
            "127．0．0．1": "127.0.0.1",
            "127.0.0.①": "127.0.0.1",
            "127.0.0.\xad1": "127.0.0.1",
            "１": "1",
            "shop２４.example": "shop24.example",
            "m².example": "m2.example",
            "㏠.example": "xn--1-kn6b.example",
        }.items():
            self.assertIn(f"if '{meant}' is meant, write that", self.refusal(host), host)

    def test_dots_between_letters_are_dots(self) -> None:
        """An input method's dot separates the labels of a name, as UTS 46 has it."""
        self.assertEqual(canonical_host("bücher。example"), "xn--bcher-kva.example")
        self.assertEqual(canonical_host("例。jp"), "xn--fsq.jp")

    def test_ascii_digits_in_an_international_name_are_digits(self) -> None:
        """Only digits that are mapped are refused, not those of ASCII beside other letters."""
        self.assertEqual(canonical_host("bücher24.example"), "xn--bcher24-n2a.example")

    @given(HOSTS)
    @example("１２７。0。0。1")
    def test_no_digit_is_made_of_another_character(self, host: str) -> None:
        """An accepted host has the ASCII digits that were written, and is no address by mapping."""
        try:
            canonical = canonical_host(host)
        except ValueError:
            return
        if not host.isascii():
            self.assertIsNone(re.fullmatch(r"[0-9.]*", canonical))
            written = [character for character in host if character in "0123456789"]
            plain = [label for label in canonical.split(".") if not label.startswith("xn--")]
            shown = [character for character in "".join(plain) if character.isdigit()]
            self.assertLessEqual(len(shown), len(written))

    @given(st.ip_addresses(v=4), st.data())
    def test_no_disguise_of_an_address_is_read(
        self, address: IPv4Address, data: st.DataObject
    ) -> None:
        """An IPv4 address with any digit or dot of another alphabet is refused, and named."""
        text = str(address)
        place = data.draw(st.integers(0, len(text) - 1))
        sign = text[place]
        other = "。．｡" if sign == "." else FULL_WIDTH[int(sign)] + chr(0x1D7CE + int(sign))
        host = text[:place] + data.draw(st.sampled_from(other)) + text[place + 1 :]
        self.assertEqual(asciified(host), text)
        self.assertIn(f"if '{text}' is meant", self.refusal(host))


class LiteralTests(SynchronousTestCase):
    """IPv6 addresses, as they stand in brackets."""

    @given(st.ip_addresses(v=6), st.from_regex(r"[A-Za-z0-9._~-]{1,20}", fullmatch=True))
    def test_every_zone_is_written_as_it_is_read(self, address: object, zone: str) -> None:
        """An address with a zone, written for a URL, is read as the same address."""
        host = canonical_literal(f"{address}%25{zone}")
        self.assertEqual(host.partition("%")[2], zone)
        self.assertEqual(canonical_literal(host_in_url(host)[1:-1]), host)

    def test_a_zone_is_not_empty(self) -> None:
        """RFC 6874 has one character or more behind ``%25``."""
        for literal in ("::1%", "::1%25"):
            problem = self.assertRaises(ValueError, canonical_literal, literal)
            self.assertIn("the zone is empty (RFC 6874); write [::1]", str(problem))
        self.assertEqual(canonical_literal("::1%2525"), "::1%25")
