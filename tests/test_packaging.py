"""What the package gives to Twisted when it is installed.

`.ci/packaging` builds and installs the real wheel and sdist; these tests need
nothing but the checkout.
"""

from __future__ import annotations

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

ROOT: Final = Path(__file__).resolve().parents[1]
OURS: Final = {
    "transport",
    "tlsv1.0",
    "tlsv1.1",
    "tlsv1.2",
    "tlsv1.3",
    "sslv2",
    "sslv3",
    "udp",
}
TWISTEDS: Final = {"tcp", "ssl", "unix", "tls", "haproxy", "systemd", "tcp6", "stdio"}
SIDES: Final[tuple[type[Interface], ...]] = (
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)


class PluginTests(SynchronousTestCase):
    """The plugin: names for Twisted, and nothing behind them until one is used."""

    parsers: Final[list[Any]] = [
        value for value in vars(txtransport_plugin).values() if IPlugin.providedBy(value)
    ]

    def test_the_prefixes_are_ours(self) -> None:
        """Each prefix is registered once, and none that Twisted has for itself."""
        prefixes = [parser.prefix for parser in self.parsers]
        self.assertEqual(sorted(prefixes), sorted(OURS))
        self.assertEqual(set(prefixes) & TWISTEDS, set())

    def test_each_is_what_twisted_expects(self) -> None:
        """Every prefix works for clients and for servers."""
        for parser in self.parsers:
            for interface in (IPlugin, *SIDES):
                self.assertTrue(verifyObject(interface, parser))

    def test_twisted_finds_them(self) -> None:
        """An installed txtransport needs no further setting."""
        for side in SIDES:
            found: list[Any] = list(getPlugins(side))
            self.assertEqual(OURS - {plugin.prefix for plugin in found}, set())

    def test_looking_for_plugins_costs_nothing(self) -> None:
        """Programs that do not use txtransport do not load it, nor OpenSSL."""
        script = (
            "import sys, twisted.plugins.txtransport_plugin\n"
            "unwanted = {'txtransport', 'OpenSSL', 'cryptography', 'twisted.internet.reactor'}\n"
            "print(*sorted(unwanted & set(sys.modules)))\n"
        )
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        self.assertEqual((run.stdout + run.stderr).strip(), "")


class MetadataTests(SynchronousTestCase):
    """What the wheel will hold."""

    def test_twisted_stays_whole(self) -> None:
        """An ``__init__.py`` of ours under ``twisted/`` would hide Twisted's own."""
        self.assertEqual(list((ROOT / "twisted").rglob("__init__.py")), [])

    def test_every_folder_is_packed(self) -> None:
        """A folder with code has an ``__init__.py``, so that imports and tools agree on it."""
        folders = {path.parent for path in (ROOT / "txtransport").rglob("*.py")}
        self.assertEqual([f for f in folders if not (f / "__init__.py").is_file()], [])

    def test_type_checkers_may_trust_it(self) -> None:
        """``py.typed`` is there, and packed."""
        self.assertTrue((ROOT / "txtransport" / "py.typed").is_file())
        setup = ConfigParser()
        setup.read(ROOT / "setup.cfg", encoding="utf-8")
        self.assertEqual(setup["options.package_data"]["txtransport"], "py.typed")
