"""``txtransport options``: what can stand behind ``?`` in a URL."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.cli.test_main import MainTestCase
from txtransport.cli.commands.options import SIDES
from txtransport.config import schemes
from txtransport.config.options import OPTIONS
from txtransport.config.schemes import SCHEMES


class OptionsTestCase(MainTestCase):
    """What the tests of this file share."""

    def lines(self, *arguments: str, width: int = 80) -> list[str]:
        """The output in a window of that width."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": str(width)})
        status, output, complaints = self.does("options", *arguments)
        self.assertEqual((status, complaints), (0, ""))
        return output.splitlines()

    def rows(self, *arguments: str) -> dict[str, Any]:
        """The options of the JSON output, by name."""
        status, output, complaints = self.does("options", *arguments, "--json")
        self.assertEqual((status, complaints), (0, ""))
        return {row["name"]: row for row in json.loads(output)["options"]}


class TextTests(OptionsTestCase):
    """What people read."""

    def test_every_option_is_listed_without_a_transport(self) -> None:
        """Without a transport every option is listed, in the order of the reference."""
        names = [line.split()[0] for line in self.lines() if not line.startswith(" ")]
        self.assertEqual(names, [*OPTIONS])

    def test_option_says_meaning_values_default_and_sides(self) -> None:
        """Each option says what it means, what it takes, its default, and which sides have it."""
        text = " ".join(" ".join(self.lines()).split())
        self.assertIn(
            "verify_depth how many authorities may stand between leaf and root. Takes a whole "
            "number from 0 to 100; default: 9; for: client, server.",
            text,
        )

    def test_text_fits_any_window_whole(self) -> None:
        """In a window of any width nothing is cut and nothing is lost."""
        words = " ".join(self.lines(width=120)).split()
        for width in (80, 40):
            lines = self.lines(width=width)
            self.assertLessEqual(max(map(len, lines)), width)
            self.assertEqual(" ".join(lines).split(), words)

    def test_unavailable_transport_is_listed_with_its_reason(self) -> None:
        """An unavailable transport has its options listed, and below them its reason."""
        self.patch(schemes, "is_legacy_installed", lambda: False)
        for row in SCHEMES.values():
            text = " ".join(" ".join(self.lines(row.name)).split())
            self.assertEqual(f"{row.name}:// is not available" in text, row.refusal is not None)
        self.assertTrue(" ".join(self.lines("sslv2")[-3:]).endswith("'txtransport[legacy]'"))


class ChoiceTests(OptionsTestCase):
    """Which options are listed."""

    def test_transport_lists_the_options_of_its_urls(self) -> None:
        """A transport has the options that a URL of it may carry, and no others."""
        for name, scheme in SCHEMES.items():
            ends = SIDES[scheme.kind] - ({"client"} if scheme.is_inherited else set())
            expected = [
                row.name for row in OPTIONS.values() if row.serves(scheme) and row.sides & ends
            ]
            self.assertEqual([*self.rows(name)], expected)
        self.assertIn("cafile", self.rows("tls"))
        self.assertNotIn("cafile", self.rows("tcp"))
        self.assertNotIn("so_broadcast", self.rows("tls"))

    def test_scheme_is_read_in_any_case(self) -> None:
        """A scheme is read in any case, as in a URL."""
        self.assertEqual(self.rows("TLSv1.2"), self.rows("tlsv1.2"))

    def test_side_lists_its_options_alone(self) -> None:
        """With --side the options of that side are listed, and only that side is named."""
        for side in ("client", "server", "datagram"):
            rows = self.rows("--side", side)
            self.assertEqual([*rows], [row.name for row in OPTIONS.values() if side in row.sides])
            self.assertEqual({*rows["so_rcvbuf"]["sides"]}, {side})
        self.assertIn("backlog", self.rows("tls", "--side", "server"))
        self.assertNotIn("backlog", self.rows("tls", "--side", "client"))

    def test_sides_are_those_of_the_transport(self) -> None:
        """An option of several sides is listed, for a transport, with the sides that it has."""
        self.assertEqual(self.rows("udp")["timeout"]["sides"], ["datagram"])
        self.assertEqual(self.rows("tcp")["timeout"]["sides"], ["client"])
        self.assertEqual(self.rows()["timeout"]["sides"], ["client", "datagram"])

    def test_unknown_transport_is_refused_with_the_known(self) -> None:
        """A transport that does not exist is refused, with a list of those that do."""
        status, output, complaints = self.does("options", "gopher")
        self.assertEqual((status, output), (2, ""))
        self.assertIn("gopher", complaints)
        for name in SCHEMES:
            self.assertIn(name, complaints)

    def test_unknown_side_is_refused_with_the_known(self) -> None:
        """A side that does not exist, or not for this transport, is refused with the known ones."""
        for arguments in (["--side", "peer"], ["tls", "--side", "datagram"]):
            status, output, complaints = self.does("options", *arguments)
            self.assertEqual((status, output), (2, ""))
            self.assertRegex(complaints, "client.*server")
        self.assertIn(
            "udp:// has no server, but datagram", self.does("options", "udp", "--side", "server")[2]
        )


class DocumentTests(OptionsTestCase):
    """What programs read."""

    def test_option_has_a_key_for_every_column(self) -> None:
        """Every column of the table has its key."""
        self.assertEqual(
            self.rows()["verify_depth"],
            {
                "name": "verify_depth",
                "meaning": "how many authorities may stand between leaf and root",
                "takes": "a whole number from 0 to 100",
                "default": "9",
                "sides": ["client", "server"],
                "schemes": [row.name for row in SCHEMES.values() if row.is_secure],
                "for_strangers": False,
            },
        )
