"""``txtransport transports``: what can stand before ``://`` in a URL."""

from __future__ import annotations

import json
import os

from tests.cli.test_main import MainTestCase
from txtransport.config import schemes
from txtransport.config.schemes import SCHEMES


class TransportsTests(MainTestCase):
    """``txtransport transports``."""

    def lines(self, width: int) -> list[str]:
        """The output in a window of that width."""
        self.patch(os, "environ", {**os.environ, "COLUMNS": str(width)})
        status, output, complaints = self.does("transports")
        self.assertEqual((status, complaints), (0, ""))
        return output.splitlines()

    def test_every_transport_is_listed(self) -> None:
        """Each transport has a line with its name, what it is, and whether it is available."""
        lines = self.lines(80)
        self.assertEqual(
            [line.split()[0] for line in lines if not line.startswith(" ")], [*SCHEMES]
        )
        self.assertIn("tls          TLS over TCP, 1.2 or newer      yes", lines)

    def test_unavailable_transport_says_why(self) -> None:
        """An unavailable transport says why, and what to use."""
        self.patch(schemes, "is_legacy_installed", lambda: False)
        text = " ".join(" ".join(self.lines(80)).split())
        for row in SCHEMES.values():
            if row.refusal is not None:
                self.assertIn(f"{row.name} {row.meaning} no: ", text)
                self.assertIn("use tls:// with a peer that speaks TLS 1.2 or newer", text)

    def test_text_fits_any_window_whole(self) -> None:
        """In a window of any width nothing is cut and nothing is lost."""
        words = " ".join(self.lines(120)).split()
        for width in (80, 40):
            lines = self.lines(width)
            self.assertLessEqual(max(map(len, lines)), width)
            self.assertEqual(" ".join(lines).split(), words)

    def test_json_has_an_object_for_each_transport(self) -> None:
        """For programs, each transport is an object with its reason or null."""
        status, output, complaints = self.does("transports", "--json")
        self.assertEqual((status, complaints), (0, ""))
        rows = {row["name"]: row for row in json.loads(output)["transports"]}
        self.assertEqual([*rows], [*SCHEMES])
        for name, row in rows.items():
            self.assertEqual(row["reason"], SCHEMES[name].reason)
            self.assertIs(row["available"], row["reason"] is None)
        self.assertEqual(
            rows["tlsv1.0"],
            {
                "name": "tlsv1.0",
                "meaning": "TLS 1.0 only",
                "available": True,
                "reason": None,
                "kind": "stream",
                "secure": True,
                "local": False,
                "version": "1.0",
            },
        )
