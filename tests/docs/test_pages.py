"""The pages, followed literally: every block of code runs, and prints what the page shows."""

from __future__ import annotations

import os
import re
import subprocess
from typing import Final
from unittest import skipIf

from twisted.trial.unittest import SynchronousTestCase

from tests.docs.pages import (
    PAGES,
    ROOT,
    Block,
    Command,
    Plan,
    blocks,
    commands,
    indented_blocks,
    is_url,
    matches,
    reader,
)
from tests.live.peers import REQUIRE, demand
from txtransport.__main__ import COMMANDS
from txtransport.config.schemes import is_legacy_installed
from txtransport.errors import InvalidTransport

KINDS: Final = {"python", "console", "urls", "text"}

NOT_RUN: Final = {
    "make run": "sets up .venv; tests/cli/demo runs the demo",
    "make test": "sets up .venv, and runs these tests",
    "TXTRANSPORT_REQUIRE_PEERS=1 make test": "the same",
    ". .venv/bin/activate": "the tests are run in such an environment",
    ". env/bin/activate": "the same",
    "mkdir ../try && cd ../try": "the tests work in a new folder",
    "python3 -m venv env": "needs pip; .ci/packaging does it",
    ".venv/bin/python -m pip install --editable '.[bench]'": "needs the Internet; .ci/run does it",
    ".venv/bin/python -m benchmarks.run --into docs": "takes ten minutes",
    ".venv/bin/python -m benchmarks.run --quick --brief": "takes a minute or more; .ci/run does it",
    ".venv/bin/python -m benchmarks.connect": "takes a minute; tests/benchmarks has its help",
    ".venv/bin/python -m benchmarks.bulk --only txtransport --only 'stock Twisted' --rounds 21": (
        "the same"
    ),
    "ssh -N -D 127.0.0.1:1080 user@shell.example.com": "tests/live/test_proxies.py does it",
    "pip install path/to/txtransport": "needs the Internet; .ci/packaging does it",
}
"""Commands that are not run here, and why; with them any that begin with ``sudo``."""

LASTING: Final = {
    "README.md": {
        "python server.py": 8443,
        "twistd -n web --path public --listen "
        "'transport:tls://localhost:8444?local_cert=certs/localhost.pem'": 8444,
    },
    "quickstart.md": {
        "twistd -n web --path public --listen "
        "'transport:tls://localhost:8443?local_cert=certs/localhost.pem'": 8443,
        "python guarded.py": 2526,
    },
    "probe.md": {"python server.py": 8443},
    "mail.md": {"python take.py": 2525},
    "balancers.md": {"python server.py": 8443, "python balancer.py": 8444},
    "proxies.md": {"python servers.py": 8443},
    "legacy.md": {"python device.py": 8443},
    "services.md": {"python clock.py": 8443},
    "http.md": {"python greeter.py": 8443},
    "sockets.md": {
        "twistd -n web --path public --listen "
        "'transport:tls://localhost:8443?local_cert=certs/localhost.pem'": 8443,
        "systemd-socket-activate --fdname=web -l 127.0.0.1:8444 twistd -n --pidfile= web "
        "--path public --listen 'tls+systemd://web?local_cert=certs/localhost.pem'": 8444,
        "python parent.py": 4321,
        "systemd-socket-activate --accept --inetd -l 127.0.0.1:9999 python greet.py": 9999,
    },
}
"""Servers, which run until their page is over, and a port on which each listens."""

FAILING: Final = frozenset(
    {
        "txtransport probe --quiet --warn-days 99 tls://localhost:8443 -o cafile=certs/ca.pem",
        "txtransport probe --quiet localhost:8443",
        "txtransport probe --quiet tls://localhost:8443",
        "txtransport probe --quiet sslv3://localhost:8443",
        "txtransport probe tls://localhost:5587",
        "txtransport inspect site.p12",
        "txtransport inspect --name www.example.com certs/localhost.pem",
    }
)
"""Commands that exit with 1, as their page says."""

SHOWN: Final = {
    ("sockets.md", "# /etc/systemd/system/web.socket"): "tests/live/test_sockets.py runs it",
    ("sockets.md", "# /etc/systemd/system/web.service"): "the same",
    ("sockets.md", "# /etc/inetd.conf"): "the same",
    ("keys.md", "$ tcpdump -i any -w capture.pcap port 8443"): "tests/live/test_tshark.py does it",
    ("probe.md", "mail.example.com"): "asks some forty ports of a mail server on the Internet",
    ("balancers.md", "backend app"): "HAProxy's; tests/live runs such a configuration",
    ("balancers.md", "frontend site"): "the same",
}
"""Blocks that are shown and not run, by their page and first line, and why."""

DRAWINGS: Final = {"design.md"}
"""Pages whose blocks are drawings, and no code."""


class PagesTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def follow(self, name: str) -> None:
        """Every block of a page does what the page says."""
        found = blocks(PAGES[name].read_text(encoding="utf-8"))
        sudo = [
            command.line
            for block in found
            for command in commands(block)
            if command.line.startswith("sudo ")
        ]
        plan = Plan(frozenset({*NOT_RUN, *sudo}), LASTING.get(name, {}), FAILING)
        with reader(plan) as following:
            for block in found:
                following.follow(block)
        if following.problems:
            self.fail(f"{name} does not hold:\n\n" + "\n\n".join(following.problems))
        for program in sorted(following.missing):
            demand(f"there is no {program} here, which {name} uses", os.environ)


class PageTests(PagesTestCase):
    """Each page that has code."""

    def test_readme(self) -> None:
        """The first page: a certificate, a server, a client, and no Internet."""
        self.follow("README.md")

    def test_quickstart(self) -> None:
        """From nothing to a verified connection, to an upgrade and to datagrams."""
        self.follow("quickstart.md")

    def test_starttls(self) -> None:
        """A dialogue of the reader's own, tested and used."""
        self.follow("starttls.md")

    def test_keys(self) -> None:
        """A channel binding, the same at both ends."""
        self.follow("keys.md")

    def test_srv(self) -> None:
        """A client of a service that the DNS knows, whose first target does not answer."""
        self.follow("srv.md")

    def test_mail(self) -> None:
        """A mail is sent to a server that the page has the reader start."""
        self.follow("mail.md")

    def test_untrusted(self) -> None:
        """What becomes of a stranger's URLs."""
        self.follow("untrusted.md")

    def test_balancers(self) -> None:
        """A server behind a balancer, both ours, and a client of theirs."""
        self.follow("balancers.md")

    def test_proxies(self) -> None:
        """A server that is reached through each kind of proxy, and not without."""
        self.follow("proxies.md")

    def test_services(self) -> None:
        """A service at a server that the page has the reader start, and what it waits for."""
        self.follow("services.md")

    def test_http(self) -> None:
        """Requests of treq and of Twisted's agent, at a server that the reader starts."""
        self.follow("http.md")

    def test_probe(self) -> None:
        """What the probe shows of a server that the page has the reader start."""
        self.follow("probe.md")

    def test_commands(self) -> None:
        """What each command prints."""
        self.follow("commands.md")

    def test_explain(self) -> None:
        """What is told of error lines."""
        self.follow("explain.md")

    def test_inspect(self) -> None:
        """What is said of files that the page has the reader make."""
        self.follow("inspect.md")

    def test_sockets(self) -> None:
        """Over other endpoints, and with sockets that systemd and other parents pass."""
        self.follow("sockets.md")

    @skipIf(not is_legacy_installed(), "the extra txtransport[legacy] is not installed")
    def test_demo(self) -> None:
        """What the demo shows."""
        self.follow("demo.md")

    @skipIf(not is_legacy_installed(), "the extra txtransport[legacy] is not installed")
    def test_legacy(self) -> None:
        """A device that speaks SSL 3.0, and what it takes to talk to it."""
        self.follow("legacy.md")

    def test_every_command_is_in_the_readme(self) -> None:
        """The first page has one line for each command, in the order of the help."""
        page = PAGES["README.md"].read_text(encoding="utf-8")
        self.assertEqual((*re.findall(r"^\| `txtransport (\w+)", page, re.M),), COMMANDS)

    def test_performance(self) -> None:
        """How to measure; nothing of it is run here."""
        self.follow("performance.md")

    def test_no_page_is_forgotten(self) -> None:
        """A page that gets code gets a test."""
        with_code = {name for name in PAGES if self.found(name)} - DRAWINGS
        tested = {
            "README.md",
            *(f"{name[5:]}.md" for name in dir(self) if name.startswith("test_")),
        }
        self.assertEqual(with_code - tested, set())

    def test_no_block_is_forgotten(self) -> None:
        """Every block is of a kind that is run, or is listed here with the reason why not."""
        for name in PAGES.keys() - DRAWINGS:
            for block in self.found(name):
                self.assertIn(block.kind, KINDS, (name, block.first_line))
                if block.kind == "text":
                    self.assertIn((name, block.first_line), SHOWN)
            page = PAGES[name].read_text(encoding="utf-8")
            self.assertEqual(indented_blocks(page), [], f"{name}: not fenced, hence not run")

    def test_no_reason_is_left_over(self) -> None:
        """What the tables of this file name is on the pages."""
        lines = {
            command.line for name in PAGES for block in self.found(name)
            for command in commands(block)
        }  # fmt: skip
        named = {*NOT_RUN, *FAILING, *(line for lasting in LASTING.values() for line in lasting)}
        self.assertEqual(named - lines, set())
        shown = {(name, block.first_line) for name in PAGES for block in self.found(name)}
        self.assertEqual(SHOWN.keys() - shown, set())

    def found(self, name: str) -> list[Block]:
        """A page's blocks."""
        return blocks(PAGES[name].read_text(encoding="utf-8"))


class PackagesTests(SynchronousTestCase):
    """What the live tests want."""

    def test_the_packages_are_those_of_ci(self) -> None:
        """The first page names every package that CI installs for the live tests."""
        wanted = re.search(r"^packages=\(.*?\)$", (ROOT / ".ci/run").read_text(), re.M | re.S)
        assert wanted is not None
        script = f'{wanted[0]}; echo "${{packages[@]}}"'
        named = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=30)
        (line,) = (
            command.line
            for block in blocks(PAGES["README.md"].read_text(encoding="utf-8"))
            for command in commands(block)
            if command.line.startswith("sudo ")
        )
        self.assertEqual(line.partition(" --no-install-recommends ")[2], named.stdout.strip())

    def test_the_variable_is_named(self) -> None:
        """The first page says what makes a missing program a failure."""
        self.assertIn(f"`{REQUIRE}=1`", PAGES["README.md"].read_text(encoding="utf-8"))


class LinkTests(SynchronousTestCase):
    """Where the pages send their readers."""

    def test_the_first_page_can_be_read_in_an_index_of_packages(self) -> None:
        """An index shows the first page alone: its links lead to the web or to its sections."""
        page = PAGES["README.md"].read_text(encoding="utf-8")
        for target in links(page):
            self.assertTrue(target.startswith("https://") or target[1:] in anchors(page), target)

    def test_the_files_that_the_first_page_names_are_there(self) -> None:
        """It names each of the other pages, and no file that is not beside it."""
        page = PAGES["README.md"].read_text(encoding="utf-8")
        named = {*re.findall(r"`((?:[A-Z]+|docs/\w+)\.md|\w+/)`", page)}
        self.assertEqual([name for name in named if not (ROOT / name).exists()], [])
        pages = {f"docs/{name}" for name in PAGES.keys() - {"README.md"}}
        self.assertEqual(pages - named, set())

    def test_links_between_the_other_pages_lead_somewhere(self) -> None:
        """A link to a page finds the page, and the section if it names one."""
        for page in [*(ROOT / "docs").glob("*.md"), ROOT / "CHANGELOG.md", ROOT / "SECURITY.md"]:
            for target in links(page.read_text(encoding="utf-8")):
                if target.startswith("https://"):
                    continue
                name, _, section = target.partition("#")
                other = page.parent / name if name else page
                self.assertTrue(other.is_file(), (page.name, target))
                if section:
                    self.assertIn(section, anchors(other.read_text(encoding="utf-8")), page.name)


def links(page: str) -> list[str]:
    """The targets of a page's links."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S))


def anchors(page: str) -> set[str]:
    """The names by which a page's sections are linked to."""
    titles = re.findall(r"^#+ (.+)$", page, re.M)
    return {re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


class ReadingTests(SynchronousTestCase):
    """How a page is read."""

    def test_blocks_and_commands(self) -> None:
        """Fences, prompts, continued lines and outputs are told apart."""
        page = "a\n\n```python\n# x.py\n1\n```\n\n```console\n$ a 'b\n> c'\nd\n\ne\n$ f\n```\n"
        program, session = blocks(page)
        self.assertEqual((program.kind, program.file), ("python", "x.py"))
        self.assertEqual(commands(session), [Command("a 'b\nc'", "d\n\ne\n"), Command("f", "")])
        self.assertEqual(indented_blocks(f"{page}\n    $ g\n"), ["$ g"])

    def test_an_output_that_differs_is_seen(self) -> None:
        """Dates, times, rules and white space may differ, and what … stands for; words not."""
        promised = "made 2026-01-02 in 0.3 ms\n… done\n"
        self.assertTrue(matches(promised, "made 2031-11-12  in 12.5 ms\nall\nof it\ndone\n"))
        for other in (
            "made 2031-11-12 in 12.5 s done",
            "",
            "made 2031-11-12 in 12.5 ms done twice",
        ):
            self.assertFalse(matches(promised, other), other)
        self.assertTrue(matches("ms\n------------\n0.3\n", "ms\n--------------\n123.4\n"))

    def test_a_wrong_page_is_seen(self) -> None:
        """A program that fails, an output that differs and a URL that is none are all told."""
        plan = Plan(frozenset(), {}, frozenset({"python two.py"}))
        with reader(plan) as following:
            for kind, text in (
                ("python", "undefined\n"),
                ("python", "# two.py\nprint('two'); raise SystemExit(2)\n"),
                ("console", "$ python two.py\none\n"),
                ("urls", "tls://host:0443\n"),
            ):
                following.follow(Block(kind, text))
        for part in ("NameError", "ended with 2, not 1", "printed\ntwo", "tls://host:0443"):
            self.assertIn(part, "\n".join(following.problems))

    def test_a_server_that_does_not_start_is_seen(self) -> None:
        """A server that ends at once is told, and so is what it printed."""
        plan = Plan(frozenset(), {"python server.py": 8443}, frozenset())
        with reader(plan) as following:
            following.follow(Block("python", "# server.py\nprint('no port')\n"))
            following.follow(Block("console", "$ python server.py\nlistening\n"))
        for part in ("does not listen", "printed\nno port\n\nand not\nlistening"):
            self.assertIn(part, "\n".join(following.problems))

    def test_urls(self) -> None:
        """A URL is parsed; what is none raises."""
        self.assertTrue(is_url("tls://host:443?verify_depth=3"))
        self.assertRaises(InvalidTransport, is_url, "tls://host:port")
