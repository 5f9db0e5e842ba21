"""What an installed txtransport registers with Twisted, and what its wheel contains.

`.ci/packaging` builds and installs the real wheel and sdist; these tests need
only the checkout.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin, getPlugins
from twisted.plugins import txtransport_plugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import Interface
from zope.interface.verify import verifyObject

import txtransport
from txtransport.cli.completion import SHELLS

ROOT: Final = Path(__file__).resolve().parents[1]
OUR_PREFIXES: Final = {
    "fd",
    "tls+fd",
    "tls+systemd",
    "transport",
    "tlsv1.0",
    "tlsv1.1",
    "tlsv1.2",
    "tlsv1.3",
    "sslv2",
    "sslv3",
    "udp",
}
TWISTEDS_PREFIXES: Final = {"tcp", "ssl", "unix", "tls", "haproxy", "systemd", "tcp6", "stdio"}
SIDES: Final[tuple[type[Interface], ...]] = (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)


class PluginTests(SynchronousTestCase):
    """The plugin registers prefixes of endpoint strings, and loads nothing before one is used."""

    parsers: Final[list[Any]] = [
        value for value in vars(txtransport_plugin).values() if IPlugin.providedBy(value)
    ]

    def test_no_prefix_of_twisted_is_registered(self) -> None:
        """Each prefix of ours is registered once, and none that Twisted itself uses."""
        prefixes = [parser.prefix for parser in self.parsers]
        self.assertEqual(sorted(prefixes), sorted(OUR_PREFIXES))
        self.assertEqual(set(prefixes) & TWISTEDS_PREFIXES, set())

    def test_each_prefix_works_for_clients_and_servers(self) -> None:
        """Every prefix can be used in client and in server endpoint strings."""
        for parser in self.parsers:
            for interface in (IPlugin, *SIDES):
                self.assertTrue(verifyObject(interface, parser))

    def test_twisted_finds_the_plugin(self) -> None:
        """An installed txtransport needs no further set-up: Twisted finds its prefixes."""
        for side in SIDES:
            found: list[Any] = list(getPlugins(side))
            self.assertEqual(OUR_PREFIXES - {plugin.prefix for plugin in found}, set())

    def test_looking_for_plugins_loads_nothing(self) -> None:
        """Programs that do not use txtransport load neither it nor OpenSSL."""
        script = (
            "import sys, twisted.plugins.txtransport_plugin\n"
            "unwanted = {'txtransport', 'OpenSSL', 'cryptography', 'twisted.internet.reactor'}\n"
            "print(*sorted(unwanted & set(sys.modules)))\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        self.assertEqual((run.stdout + run.stderr).strip(), "")


class DependencyTests(SynchronousTestCase):
    """Which versions of what txtransport needs are told to pip, and tried."""

    def test_the_oldest_that_are_tried_are_the_oldest_that_may_be_installed(self) -> None:
        """Every test runs with the very versions that setup.cfg promises to work with."""
        floors, oldest = requirements(), pins("oldest")
        self.assertEqual({name: oldest.get(name, [""])[0] for name in floors}, floors)

    def test_the_newest_that_are_tried_may_be_installed(self) -> None:
        """The newest versions are above the floors, and none is forgotten."""
        newest, oldest = pins("newest"), pins("oldest")
        self.assertEqual(requirements().keys() - newest.keys(), set())
        for name, versions in newest.items():
            for version in versions:
                floor = oldest.get(name, ["0"])[0]
                self.assertGreaterEqual(numbers(version), numbers(floor), name)

    def test_the_supported_pythons_are_those_that_nox_tries(self) -> None:
        """Each Python of the classifiers has a session, and the oldest is the required one."""
        setup = settings()["metadata"]["classifiers"]
        classified = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", setup, re.M)
        tried = re.search(r"^PYTHONS = (\[.*\])$", (ROOT / "noxfile.py").read_text(), re.M)
        assert tried is not None
        self.assertEqual(json.loads(tried[1]), classified)
        self.assertEqual(settings()["options"]["python_requires"], f">={classified[0]}")


def settings() -> ConfigParser:
    """What setup.cfg says."""
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    return setup


def requirements() -> dict[str, str]:
    """The oldest version of each direct dependency that setup.cfg allows, by its name.

    Those of the extra ``legacy`` are among them, which users install as well.
    """
    setup = settings()
    needed = setup["options"]["install_requires"] + setup["options.extras_require"]["legacy"]
    lines = needed.strip().splitlines()
    parts = (re.sub(r"\[\w+\]", "", line).split(">=") for line in lines)
    return {canonical(name): version for name, version in parts}


def pins(kind: str) -> dict[str, list[str]]:
    """The versions in a file of constraints, by name, without zeros at their ends."""
    text = (ROOT / "constraints" / f"{kind}.txt").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==([\d.]+?)(?:\.0)*(?:;.*)?$", text, re.M):
        found.setdefault(canonical(name), []).append(version)
    return found


def canonical(name: str) -> str:
    """A project's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def numbers(version: str) -> tuple[int, ...]:
    """A version, for comparing."""
    return tuple(map(int, version.split(".")))


class MetadataTests(SynchronousTestCase):
    """What the wheel will contain."""

    def test_no_init_file_hides_twisted(self) -> None:
        """An ``__init__.py`` of ours under ``twisted/`` would hide Twisted's own."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_every_folder_is_a_package(self) -> None:
        """Each folder with code has an ``__init__.py``, so that Python and tools see a package."""
        folders = {path.parent for path in (ROOT / "txtransport").rglob("*.py")}
        self.assertEqual([f for f in folders if not (f / "__init__.py").is_file()], [])

    def test_there_is_one_version(self) -> None:
        """The package says its version, setup.cfg takes it from there, and the changelog has it."""
        self.assertEqual(settings()["metadata"]["version"], "attr: txtransport.__version__")
        changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        newest = re.search(r"^## (\S+)", changes, re.M)
        assert newest is not None
        self.assertEqual(newest[1], txtransport.__version__)

    def test_type_checkers_use_our_annotations(self) -> None:
        """``py.typed`` exists, and is in the wheel (PEP 561)."""
        self.assertTrue((ROOT / "txtransport" / "py.typed").is_file())
        self.assertEqual(settings()["options.package_data"]["txtransport"], "py.typed")

    def test_the_completion_scripts_are_in_the_wheel(self) -> None:
        """What ``txtransport completion`` prints is installed, too."""
        patterns = settings()["options.package_data"]["txtransport.cli.completion"].split()
        folder = ROOT / "txtransport" / "cli" / "completion"
        for file in SHELLS.values():
            self.assertTrue(any((folder / file).match(pattern) for pattern in patterns), file)
