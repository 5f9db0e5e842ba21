"""The page about the commands explains what they write."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Final

from tests.cli.test_main import MainTestCase
from txtransport.cli.doctor import CHECKS

PAGE: Final = Path(__file__).resolve().parents[3] / "docs" / "commands.md"


class PageTests(MainTestCase):
    """docs/commands.md."""

    def section(self, command: str) -> str:
        """The section about a command."""
        return (
            PAGE.read_text(encoding="utf-8").partition(f"\n## {command}\n")[2].partition("\n## ")[0]
        )

    def test_every_key_is_explained(self) -> None:
        """The page explains every key of the JSON, and no other."""
        for command, rows in (
            ("transports", "transports"), ("options", "options"), ("doctor", "checks"),
        ):  # fmt: skip
            document: dict[str, Any] = json.loads(self.does(command, "--json")[1])
            section = self.section(command)
            self.assertEqual(
                re.findall("^[|] `([a-z_]+)` [|]", section, re.MULTILINE),
                [*document[rows][0]],
                command,
            )
            for key in document:
                self.assertIn(f"`{key}`", section)

    def test_every_check_is_explained(self) -> None:
        """The page explains every check of the doctor."""
        rows = re.findall("^[|] ([A-Za-z0-9 ]+) [|]", self.section("doctor"), re.MULTILINE)
        self.assertEqual([row for row in rows if row not in ("check", "key")], [*CHECKS])
