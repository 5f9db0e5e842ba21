"""What import-linter and ruff cannot hold of the layout: importing does nothing, and few
files start TLS or build a context.

The import rule itself (docs/design.md) stands in ``.importlinter`` and ``ruff.toml``
and is kept by ``make check``.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport.config.schemes import is_legacy_installed

ROOT: Final = Path(__file__).resolve().parents[1]
PACKAGE: Final = ROOT / "txtransport"

TOUCH_THE_REACTOR: Final = {"cli/reactor.py"}
START_TLS: Final = {"upgrade/switch.py"}
BUILD_CONTEXTS: Final = {"tls/context.py"}

_CONTEXTS: Final = {
    "CertificateOptions",
    "ClientContextFactory",
    "DefaultOpenSSLContextFactory",
    "optionsForClientTLS",
}


def sources() -> dict[str, str]:
    """The text of every module of the package, by its path in it."""
    return {
        path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def _calls(source: str) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))


def starts_tls(source: str) -> bool:
    """Whether it puts TLS onto a transport; ``self.startTLS()`` is our mixin's, and safe."""
    return any(
        isinstance(call.func, ast.Attribute)
        and call.func.attr == "startTLS"
        and ast.unparse(call.func.value) != "self"
        for call in _calls(source)
    )


def builds_a_context(source: str) -> bool:
    """Whether it calls OpenSSL's constructor, or one of Twisted's that does."""
    return any(
        name.endswith(("SSL.Context", "ssl.SSLContext"))
        or name.rpartition(".")[2] in {*_CONTEXTS, "Context", "SSLContext"}
        for name in (ast.unparse(call.func) for call in _calls(source))
    )


class FewPlacesTests(SynchronousTestCase):
    """What must be looked at closely stands in few files."""

    def test_tls_is_started_in_few_places(self) -> None:
        """Clear text cannot slip past the checks, since nothing else starts TLS."""
        starting = {path for path, source in sources().items() if starts_tls(source)}
        self.assertEqual(starting - START_TLS, set())

    def test_contexts_are_built_in_one_place(self) -> None:
        """No connection goes without the verification that the context sets up."""
        building = {path for path, source in sources().items() if builds_a_context(source)}
        self.assertEqual(building, BUILD_CONTEXTS)

    def test_starting_tls_is_seen(self) -> None:
        """TLS is noticed where it is put onto a transport, and not where it is asked of us."""
        self.assertTrue(starts_tls("self.transport.startTLS(creator)"))
        self.assertFalse(starts_tls("self.startTLS(policy)  # transport.startTLS(x)"))

    def test_a_context_is_seen(self) -> None:
        """Building a context is noticed; naming its type is not building one."""
        self.assertTrue(builds_a_context("SSL.Context(SSL.TLS_METHOD)"))
        self.assertTrue(builds_a_context("from OpenSSL.SSL import Context\nContext(1)"))
        self.assertTrue(builds_a_context("ssl.CertificateOptions()"))
        self.assertFalse(builds_a_context("def of(context: SSL.Context) -> None: ..."))


WALK: Final = """
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

import txtransport
from txtransport.endpoints import api

url, cafile, local_cert = sys.argv[1:]
package = Path(txtransport.__file__).parent
entered = set()


def note(frame, event, argument):
    path = Path(frame.f_code.co_filename)
    if event == "call" and package in path.parents and frame.f_code.co_name != "<module>":
        entered.add(path.relative_to(package).parts[0])


class Connected(Protocol):
    def connectionMade(self):
        sys.setprofile(None)
        print(*sorted(entered))
        reactor.stop()


def connect(port):
    sys.setprofile(note)
    options = {"cafile": cafile} if url.startswith("tls") else {}
    endpoint = txtransport.client(reactor, url, port.getHost().port, **options)
    endpoint.connect(Factory.forProtocol(Connected)).addErrback(failed)


def failed(reason):
    print(reason)
    reactor.stop()


options = {"local_cert": local_cert} if url.startswith("tls") else {}
server = txtransport.server(reactor, url, 0, **options)
server.listen(Factory.forProtocol(Protocol)).addCallback(connect)
reactor.callLater(20, reactor.stop)
reactor.run()
"""
"""Prints the first parts of our files that run from ``client(url)`` to ``connectionMade``."""


class WalkTests(SynchronousTestCase):
    """How much of the package a reader has to know who follows one connection."""

    def test_a_connection_enters_four_folders(self) -> None:
        """From a URL to a secured connection the way leads through four folders, and no more."""
        for url, folders in (
            ("tcp://127.0.0.1", {"config", "connection", "endpoints"}),
            ("tls://127.0.0.1", {"config", "connection", "endpoints", "tls"}),
        ):
            run = subprocess.run(
                [sys.executable, "-c", WALK, url, certificates.cafile(), certificates.site()],
                cwd=ROOT, capture_output=True, text=True, timeout=60,
            )  # fmt: skip
            entered = {*run.stdout.split()} - {"__init__.py", "errors.py", "text.py"}
            self.assertEqual(entered, folders, run.stderr)


class ImportTests(SynchronousTestCase):
    """Importing does nothing."""

    def test_the_package_imports_little(self) -> None:
        """``import txtransport`` brings in neither a reactor nor OpenSSL."""
        self.assertEqual(_loaded("import txtransport", "twisted.internet.reactor", "OpenSSL"), "")

    def test_no_module_installs_a_reactor(self) -> None:
        """A program may install its own reactor after importing any of the library."""
        self.assertEqual(_loaded(f"import {_library()}", "twisted.internet.reactor"), "")

    def test_no_module_builds_a_context(self) -> None:
        """What TLS costs is paid by the first connection, and by no import."""
        # Twisted builds one on its own import; from then on it is our doing.
        never = "import twisted.internet.ssl; from OpenSSL import SSL; SSL.Context.__init__ = None"
        self.assertEqual(_loaded(f"{never}; import {_library()}"), "")


def _library() -> str:
    """Every module but the programs, and those whose extra is not installed."""
    programs = TOUCH_THE_REACTOR | {"__main__.py"}
    missing = () if is_legacy_installed() else ("tls/legacy/ssl3",)
    paths = [path for path in sources() if path not in programs]
    return ", ".join(_module(path) for path in paths if not path.startswith(missing))


def _module(path: str) -> str:
    """The name by which a file is imported."""
    return f"txtransport.{path[:-3].replace('/', '.')}".removesuffix(".__init__")


def _loaded(statement: str, *modules: str) -> str:
    """Which of the modules a fresh interpreter has after a statement; what it complains of, too."""
    script = f"import sys; {statement}; print(*sorted({set(modules)} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    return (run.stdout + run.stderr).strip()
