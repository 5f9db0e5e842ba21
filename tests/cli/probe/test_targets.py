"""What an administrator reads first of every kind of server, in a terminal of 80 columns."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Final

from attrs import evolve

from tests.cli.probe.peers import ProbingTestCase
from tests.cli.probe.targets import GROUPS, Target
from txtransport import TransportURL
from txtransport.cli.probe.probing import probe
from txtransport.cli.probe.report import ProbeReport
from txtransport.cli.probe.text import as_text
from txtransport.cli.terminal import TerminalStyle

_STYLE: Final = TerminalStyle(80, is_unicode=True)


class TargetTests(ProbingTestCase):
    """The first two lines are a right verdict, for each row of the table."""

    timeout = 60

    async def assert_group(self, group: str) -> None:
        """Probe each target of a group, and compare what is said with its row."""
        wrong = []
        for target in GROUPS[group]():
            found = await self.first_lines(target)
            expected = (*target.lines, target.status)
            if found != expected:
                wrong.append(f"{target.name}:\n  {expected}\n  {found}")
        self.assertEqual(wrong, [], "\n".join(wrong))

    async def first_lines(self, target: Target) -> tuple[str, str, int]:
        """The first two lines of the report on a target, and the exit status."""
        url = TransportURL.parse(await target.start(self))
        report = await probe(self.reactor, url, target.options, wait=0.3)
        report = evolve(report, warn_days=target.warn_days)
        now = datetime.now(timezone.utc)
        self.assert_harmless(report, now)
        first, second, *_ = as_text(report, _STYLE, now).splitlines()
        self.assertTrue(second.startswith("  "), second)
        status = 0 if report.is_good(now) else 1
        return _told(first, url), _told(second.strip(), url), status

    def assert_harmless(self, report: ProbeReport, now: datetime) -> None:
        """No line of the report is too wide, and --quiet writes three lines at the most."""
        brief = as_text(report, _STYLE, now, is_brief=True)
        self.assertLessEqual(len(brief.splitlines()), 3, brief)
        for line in (as_text(report, _STYLE, now) + brief).splitlines():
            self.assertTrue(len(line) <= 80 or "://" in line, line)
            self.assertTrue(line.isprintable(), ascii(line))

    async def test_certificates(self) -> None:
        """Good certificates, bad ones, and chains that are not as they should be."""
        await self.assert_group("certificates")

    async def test_agreements(self) -> None:
        """Servers that want a client certificate, or another version, cipher or name."""
        await self.assert_group("agreements")

    async def test_plain_text(self) -> None:
        """Servers that do not speak TLS, or not at once."""
        await self.assert_group("plain text")

    async def test_ends(self) -> None:
        """Servers that are not there, hang up, or say nothing."""
        await self.assert_group("ends")

    async def test_in_the_clear(self) -> None:
        """HOST:PORT, where TLS or anything else answers."""
        await self.assert_group("in the clear")

    def test_all_that_an_administrator_meets_is_there(self) -> None:
        """There are many targets, no two of the same name, and all groups are tested."""
        names = [target.name for group in GROUPS.values() for target in group()]
        self.assertEqual(len(names), len({*names}))
        self.assertGreaterEqual(len(names), 29)
        tested = {name.removeprefix("test_").replace("_", " ") for name in vars(type(self))}
        self.assertEqual({*GROUPS} - tested, set())


def _told(line: str, url: TransportURL) -> str:
    """A line, with what differs from run to run in a form that does not."""
    line = line.replace(f":{url.port}", ":12345")
    line = re.sub(r"\b\d{4}-\d\d-\d\d\b", "YYYY-MM-DD", line)
    return re.sub(r"\b\d\d:\d\d\b", "hh:mm", line)
