"""``txtransport options``: what can stand behind ``?``."""

from __future__ import annotations

import json
import os
from typing import Any

from tests.cli.test_main import MainTestCase
from txtransport.config.options import OPTIONS
from txtransport.config.schemes import SCHEMES, Kind


class OptionsTestCase(MainTestCase):
    """What the tests of this file share."""

    def lines(self, *arguments: str, width: int = 80) -> list[str]:
        """What it says in a window of that width."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": str(width)})
        status, output, complaints = self.does("options", *arguments)
        self.assertEqual((status, complaints), (0, ""))
        return output.splitlines()

    def rows(self, *arguments: str) -> dict[str, Any]:
        """What it says to programs: options by name."""
        status, output, complaints = self.does("options", *arguments, "--json")
        self.assertEqual((status, complaints), (0, ""))
        return {row["name"]: row for row in json.loads(output)["options"]}


class TextTests(OptionsTestCase):
    """What people read."""

    def test_all_options(self) -> None:
        """Without a transport every option is listed, in the order of the reference."""
        names = [line.split()[0] for line in self.lines() if not line.startswith(" ")]
        self.assertEqual(names, [*OPTIONS])

    def test_an_option_is_explained(self) -> None:
        """Each says what it means, what it takes, what holds without it, and who has it."""
        text = " ".join(" ".join(self.lines()).split())
        self.assertIn(
            "verify_depth how many authorities may stand between leaf and root. Takes a whole "
            "number from 0 to 100; default: 9; for: client, server.",
            text,
        )

    def test_one_that_comes_later(self) -> None:
        """An option that cannot be used yet says so."""
        refused = [row for row in OPTIONS.values() if row.refusal is not None]
        text = " ".join(" ".join(self.lines()).split())
        for row in refused:
            self.assertIn(f"{row.name} {row.meaning}; {row.refusal}.", text)

    def test_it_fits_the_window(self) -> None:
        """In a window of any width nothing is cut and nothing is lost."""
        words = " ".join(self.lines(width=120)).split()
        for width in (80, 40):
            lines = self.lines(width=width)
            self.assertLessEqual(max(map(len, lines)), width)
            self.assertEqual(" ".join(lines).split(), words)

    def test_a_transport_that_cannot_be_had(self) -> None:
        """Its options are listed, and below them why it cannot be had."""
        for row in SCHEMES.values():
            text = " ".join(" ".join(self.lines(row.name)).split())
            self.assertEqual(f"{row.name}:// is not available" in text, row.refusal is not None)
        self.assertTrue(" ".join(self.lines("sslv2")[-3:]).endswith("TLS 1.2 or newer"))


class ChoiceTests(OptionsTestCase):
    """Which options are listed."""

    def test_those_of_a_transport(self) -> None:
        """A transport has the options that a URL of it may carry, and no others."""
        for name, scheme in SCHEMES.items():
            ends = {"datagram"} if scheme.kind is Kind.DATAGRAM else {"client", "server"}
            expected = [
                row.name for row in OPTIONS.values() if row.serves(scheme) and row.sides & ends
            ]
            self.assertEqual([*self.rows(name)], expected)
        self.assertIn("cafile", self.rows("tls"))
        self.assertNotIn("cafile", self.rows("tcp"))
        self.assertNotIn("so_broadcast", self.rows("tls"))

    def test_case_does_not_matter(self) -> None:
        """A transport is recognised as in a URL."""
        self.assertEqual(self.rows("TLSv1.2"), self.rows("tlsv1.2"))

    def test_those_of_a_side(self) -> None:
        """With --side only what that side has is listed, and only that side is named."""
        for side in ("client", "server", "datagram"):
            rows = self.rows("--side", side)
            self.assertEqual([*rows], [row.name for row in OPTIONS.values() if side in row.sides])
            self.assertEqual({*rows["so_rcvbuf"]["sides"]}, {side})
        self.assertIn("backlog", self.rows("tls", "--side", "server"))
        self.assertNotIn("backlog", self.rows("tls", "--side", "client"))

    def test_sides_are_those_of_the_transport(self) -> None:
        """What is a client's option elsewhere is a datagram endpoint's for datagrams."""
        self.assertEqual(self.rows("udp")["timeout"]["sides"], ["datagram"])
        self.assertEqual(self.rows("tcp")["timeout"]["sides"], ["client"])
        self.assertEqual(self.rows()["timeout"]["sides"], ["client", "datagram"])

    def test_an_unknown_transport(self) -> None:
        """A transport that does not exist is refused, with a list of those that do."""
        status, output, complaints = self.does("options", "gopher")
        self.assertEqual((status, output), (2, ""))
        self.assertIn("gopher", complaints)
        for name in SCHEMES:
            self.assertIn(name, complaints)

    def test_an_unknown_side(self) -> None:
        """A side that does not exist, or not for this transport, is refused and the others told."""
        for arguments in (["--side", "peer"], ["tls", "--side", "datagram"]):
            status, output, complaints = self.does("options", *arguments)
            self.assertEqual((status, output), (2, ""))
            self.assertRegex(complaints, "client.*server")
        self.assertIn(
            "udp:// has no server, but datagram", self.does("options", "udp", "--side", "server")[2]
        )


class DocumentTests(OptionsTestCase):
    """What programs read."""

    def test_an_option(self) -> None:
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
                "available": True,
                "reason": None,
            },
        )

    def test_reasons(self) -> None:
        """An option that cannot be used yet has its reason, the others null."""
        for name, row in self.rows().items():
            self.assertEqual(row["reason"], OPTIONS[name].refusal)
            self.assertIs(row["available"], row["reason"] is None)
