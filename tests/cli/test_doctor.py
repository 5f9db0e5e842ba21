"""The checks of an installation: what they find when all is right, and when it is not."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Final, NoReturn, cast

import twisted.plugins
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import CachedDropin, getPlugins
from twisted.plugins import txtransport_plugin
from twisted.trial.unittest import SynchronousTestCase

from txtransport.cli import doctor
from txtransport.cli.doctor import CHECKS, CheckResult, Verdict, check_result, run_checks
from txtransport.config.policy import TLSPolicy
from txtransport.tls import creator, trust_store
from txtransport.tls.trust_store import TrustStore

ROOT: Final = Path(__file__).resolve().parents[2]
PARSER: Final = """
from twisted.internet.interfaces import IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from zope.interface import implementer

@implementer(IPlugin, IStreamServerEndpointStringParser)
class Parser:
    prefix = "transport"

    def parseStreamServer(self, reactor, *args, **kwargs):
        pass

parser = Parser()
"""


def server_prefixes() -> list[object]:
    """The prefixes of servers that Twisted finds; Twisted writes its cache."""
    plugins = getPlugins(IStreamServerEndpointStringParser)
    return [getattr(plugin, "prefix", None) for plugin in plugins]


class DoctorTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def result(self, name: str) -> CheckResult:
        """The result of the check of that name."""
        return run_checks({name: CHECKS[name]})[name]

    def finds(self, name: str, verdict: Verdict, *words: str) -> CheckResult:
        """The result of a check, which must have that verdict and those words."""
        result = self.result(name)
        self.assertIs(result.verdict, verdict, result)
        for word in words:
            self.assertIn(word, result.diagnosis.summary)
        self.assertEqual(result.diagnosis.remedy != "", verdict is not Verdict.OK, result)
        return result


class AllTests(DoctorTestCase):
    """All checks together."""

    def test_every_check_has_a_result(self) -> None:
        """On any machine each check has a result, and a remedy unless it is OK."""
        found = run_checks()
        self.assertEqual([*found], [*CHECKS])
        for name, result in found.items():
            self.assertNotEqual(result.diagnosis.summary, "", name)
            self.assertNotIn("the check failed", result.diagnosis.summary, name)
            self.assertEqual(result.diagnosis.remedy != "", result.verdict is not Verdict.OK, name)

    def test_a_check_that_raises_is_wrong(self) -> None:
        """An exception makes that check WRONG, and the other checks are run all the same."""

        def fails(problem: BaseException) -> Callable[[], CheckResult]:
            def check() -> NoReturn:
                raise problem

            return check

        fine = check_result(Verdict.OK, "fine")
        found = run_checks(
            {
                "broken": fails(ImportError("no such thing")),
                "leaving": fails(SystemExit(3)),
                "fine": lambda: fine,
            }
        )
        self.assertEqual(found["fine"], fine)
        self.assertIs(found["broken"].verdict, Verdict.WRONG)
        self.assertIn("ImportError: no such thing", found["broken"].diagnosis.summary)
        self.assertIs(found["leaving"].verdict, Verdict.WRONG)

    def test_ctrl_c_ends_the_checks(self) -> None:
        """Ctrl-C is not taken for a check that fails."""

        def check() -> NoReturn:
            raise KeyboardInterrupt

        self.assertRaises(KeyboardInterrupt, run_checks, {"slow": check})


class SoftwareTests(DoctorTestCase):
    """Python, packages, OpenSSL."""

    def test_the_interpreter_is_named(self) -> None:
        """The interpreter is named with its version."""
        self.finds("Python", Verdict.OK, ".".join(map(str, sys.version_info[:3])))

    def test_each_package_is_named_with_its_version(self) -> None:
        """Each package that txtransport needs is named with its version."""
        needed = ("txtransport", "twisted", "pyOpenSSL", "cryptography", "service_identity")
        self.finds("packages", Verdict.OK, *(f"{name} {metadata.version(name)}" for name in needed))

    def versions(self, **instead: str | None) -> None:
        """Pretend that some packages have another version, or are missing."""
        version = metadata.version

        def pretended(name: str) -> str:
            found = instead.get(name, version(name))
            if found is None:
                raise metadata.PackageNotFoundError(name)
            return found

        self.patch(metadata, "version", pretended)

    def test_a_missing_package_is_wrong(self) -> None:
        """A needed package that is missing is wrong."""
        self.versions(idna=None)
        result = self.finds("packages", Verdict.WRONG, "idna is not installed")
        self.assertIn("pip install", result.diagnosis.remedy)

    def test_an_old_package_is_wrong(self) -> None:
        """A package that is too old is wrong; versions are compared as numbers, not as text."""
        self.versions(twisted="9.10.0", cryptography="100.0.dev1+local.1")
        result = self.finds("packages", Verdict.WRONG, "twisted 9.10.0 is older than ")
        self.assertNotIn("cryptography", result.diagnosis.summary)

    def test_sources_that_are_not_installed_are_a_warning(self) -> None:
        """Sources that are not installed work, so they are only a warning."""

        def requires(name: str) -> NoReturn:
            raise metadata.PackageNotFoundError(name)

        self.patch(metadata, "requires", requires)
        self.finds("packages", Verdict.WARNING, "not installed")

    def test_the_linked_openssl_is_named(self) -> None:
        """The OpenSSL that is linked is named."""
        self.assertEqual(
            self.finds("OpenSSL", Verdict.OK).diagnosis.summary, creator.openssl_version()
        )


class TLSTests(DoctorTestCase):
    """Versions of TLS, and the trust store."""

    def supported(self, *versions: str) -> None:
        """Pretend that OpenSSL supports these versions and no others."""

        def refusal(policy: TLSPolicy) -> str | None:
            return None if policy.min_version in versions else "switched off"

        self.patch(trust_store, "refusal", refusal)

    def test_all_supported_versions_are_named(self) -> None:
        """Where all versions are supported, all are named."""
        self.supported("1.0", "1.1", "1.2", "1.3")
        self.assertEqual(
            self.finds("versions of TLS", Verdict.OK).diagnosis.summary, "1.0, 1.1, 1.2, 1.3"
        )

    def test_a_missing_old_version_is_a_warning(self) -> None:
        """Without TLS 1.0 or 1.1 there is a warning, with OpenSSL's reason."""
        self.supported("1.2", "1.3")
        self.finds("versions of TLS", Verdict.WARNING, "1.2, 1.3; not 1.0 (switched off), 1.1 (")

    def test_a_missing_new_version_is_wrong(self) -> None:
        """Without TLS 1.2 or 1.3 the installation is wrong."""
        for versions, said in (
            (("1.0", "1.1", "1.2"), "1.0, 1.1, 1.2; not 1.3 ("),
            (("1.3",), "1.3; not 1.0 ("),
            ((), "none; not 1.0 ("),
        ):
            self.supported(*versions)
            self.finds("versions of TLS", Verdict.WRONG, said)

    def test_the_trust_store_is_counted_and_located(self) -> None:
        """The result has the number of trusted authorities and the places they come from."""
        self.patch(trust_store, "trust_store", lambda: TrustStore(7, ("/a.pem", "/b")))
        result = self.finds("trust store", Verdict.OK)
        self.assertEqual(result.diagnosis.summary, "7 authorities in /a.pem and /b")

    def test_an_empty_trust_store_is_wrong(self) -> None:
        """Without any authority the remedy names the variable, or the package, to look at."""
        self.patch(trust_store, "trust_store", lambda: TrustStore(0, ()))
        self.patch(os, "environ", {"SSL_CERT_DIR": "/nonexistent"})
        self.assertIn("SSL_CERT_DIR", self.finds("trust store", Verdict.WRONG).diagnosis.remedy)
        self.patch(os, "environ", {})
        self.assertIn("ca-certificates", self.finds("trust store", Verdict.WRONG).diagnosis.remedy)


class PluginTests(DoctorTestCase):
    """Twisted's plugins, their cache, and the reactor."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="txtransport-tests-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.cache = self.folder / "dropin.cache"
        self.patch(twisted.plugins, "__path__", [*twisted.plugins.__path__, str(self.folder)])

    def plugin(self, name: str, source: str) -> None:
        """Write another plugin into the folder, one minute old."""
        path = self.folder / f"{name}.py"
        path.write_text(source)
        before = time.time() - 60
        os.utime(path, (before, before))
        self.addCleanup(sys.modules.pop, f"twisted.plugins.{name}", None)
        self.addCleanup(vars(twisted.plugins).pop, name, None)

    def read_only(self) -> None:
        """Pretend that we cannot write into the folder."""
        access = os.access
        self.patch(
            os,
            "access",
            lambda path, mode: str(path) != str(self.folder) and access(path, mode),
        )

    def test_each_prefix_is_found_once(self) -> None:
        """Each prefix is found once for clients and for servers."""
        self.finds("plugin", Verdict.OK, "transport", "tlsv1.2", "sslv3", "udp")

    def test_a_second_plugin_with_our_prefix_is_wrong(self) -> None:
        """A second plugin with a prefix of ours is wrong, in Twisted's cache or not."""
        self.plugin("txtransport_tests_rival", PARSER)
        self.finds("plugin", Verdict.WRONG, "transport for servers is found 2 times")
        self.assertFalse(self.cache.exists())
        self.assertEqual(server_prefixes().count("transport"), 2)
        self.assertTrue(self.cache.exists())
        self.finds("plugin", Verdict.WRONG, "transport for servers is found 2 times")

    def test_a_current_cache_is_believed(self) -> None:
        """The check believes a current cache, as Twisted does."""
        self.plugin("txtransport_tests_rival", PARSER)
        empty = CachedDropin("twisted.plugins.txtransport_tests_rival", None)
        self.cache.write_bytes(pickle.dumps({"txtransport_tests_rival": empty}))
        self.finds("plugin", Verdict.OK)
        self.assertEqual(server_prefixes().count("transport"), 1)

    def test_a_broken_plugin_of_others_hides_nothing(self) -> None:
        """A plugin that cannot be imported does not keep the check from ours."""
        self.plugin("txtransport_tests_broken", "raise RuntimeError")
        self.finds("plugin", Verdict.OK)

    def test_a_missing_plugin_is_wrong(self) -> None:
        """Where Python does not find our plugin, that is wrong."""
        name = "twisted.plugins.txtransport_plugin"
        self.addCleanup(sys.modules.__setitem__, name, sys.modules[name])
        cast("dict[str, object]", sys.modules)[name] = None
        self.addCleanup(setattr, twisted.plugins, "txtransport_plugin", txtransport_plugin)
        del twisted.plugins.txtransport_plugin
        result = self.finds("plugin", Verdict.WRONG, "Twisted has no plugin of txtransport")
        self.assertIn("install", result.diagnosis.remedy)

    def test_a_writable_cache_is_fine_and_is_not_written(self) -> None:
        """A missing cache that Twisted can write is OK; the check does not write it."""
        self.plugin("txtransport_tests_rival", PARSER)
        self.finds("plugin cache", Verdict.OK, f"{self.folder} (to be written, writable)")
        self.assertEqual(os.listdir(self.folder), ["txtransport_tests_rival.py"])

    def test_a_current_cache_need_not_be_writable(self) -> None:
        """A current cache is OK, whether it can be written or not."""
        self.plugin("txtransport_tests_rival", PARSER)
        list(getPlugins(IStreamServerEndpointStringParser))
        self.finds("plugin cache", Verdict.OK, f"{self.folder} (current, writable)")
        self.read_only()
        self.finds("plugin cache", Verdict.OK, f"{self.folder} (current, not writable)")

    def test_an_outdated_read_only_cache_is_a_warning(self) -> None:
        """A cache that is missing, old or broken, and cannot be written, is a warning."""
        self.plugin("txtransport_tests_rival", PARSER)
        self.read_only()
        advice = self.finds("plugin cache", Verdict.WARNING, str(self.folder)).diagnosis.remedy
        self.assertIn("getPlugins", advice)
        self.cache.write_bytes(b"nonsense")
        self.finds("plugin cache", Verdict.WARNING, str(self.folder))
        self.cache.unlink()
        list(getPlugins(IStreamServerEndpointStringParser))
        (self.folder / "txtransport_tests_rival.py").touch()
        os.utime(self.cache, (1, 1))
        self.finds("plugin cache", Verdict.WARNING, str(self.folder))

    def test_the_reactor_is_named_and_not_installed(self) -> None:
        """The result names the installed reactor; without one, the default of this platform."""
        name = "twisted.internet.reactor"
        self.patch(sys, "modules", {**sys.modules, name: SynchronousTestCase()})
        self.finds("reactor", Verdict.OK, "SynchronousTestCase, installed")
        modules = {**sys.modules}
        del modules[name]
        self.patch(sys, "modules", modules)
        self.finds("reactor", Verdict.OK, "reactor unless another is installed")
        self.assertNotIn(name, modules)


class MachineTests(DoctorTestCase):
    """Clock, addresses, limits."""

    def test_a_plausible_clock_is_fine(self) -> None:
        """A clock is OK when it is later than what has happened for certain."""
        self.finds("clock", Verdict.OK, "UTC, later than ")

    def test_a_clock_before_our_own_files_is_wrong(self) -> None:
        """A clock that is before OpenSSL's release, or our own files, is wrong."""
        self.patch(time, "time", lambda: 0.0)
        self.finds("clock", Verdict.WRONG, "1970-01-01 00:00 UTC, which is before ")

    def test_the_newest_past_event_counts(self) -> None:
        """The clock is compared with the newest event, a release or an installation."""
        self.patch(time, "time", lambda: 7258118400.0)
        self.patch(creator, "openssl_version", lambda: "OpenSSL 9.9.9 31 Dec 2199")
        self.finds(
            "clock", Verdict.OK, "2200-01-01 00:00 UTC, later than the release of OpenSSL 9.9.9 ("
        )
        self.patch(time, "time", lambda: 7257859200.0)
        self.finds("clock", Verdict.WRONG, "the release of OpenSSL 9.9.9 of 2199-12-31")

    def test_a_clock_some_hours_behind_is_fine(self) -> None:
        """A clock that is less than a day behind is OK."""
        self.patch(time, "time", lambda: 7258118400.0 - 90000)
        self.patch(creator, "openssl_version", lambda: "OpenSSL 9.9.9 31 Dec 2199")
        self.finds("clock", Verdict.OK)

    def test_an_openssl_without_a_date_is_left_out(self) -> None:
        """With an OpenSSL that gives no date, the clock is compared with the files."""
        for said in ("BoringSSL", "LibreSSL 4.1.0", ""):
            self.patch(creator, "openssl_version", lambda said=said: said)
            self.finds("clock", Verdict.OK, "later than the files of ")

    def test_ipv6_that_cannot_be_used_is_a_warning(self) -> None:
        """That nothing can listen on ::1 is a warning; where it can, IPv6 is OK."""

        class Denied:
            def __init__(self, family: int) -> None:
                raise OSError(97, "Address family not supported by protocol")

        self.patch(socket, "socket", Denied)
        self.finds("IPv6", Verdict.WARNING, "Address family not supported by protocol")

        class Given(Denied):
            def __init__(self, family: int) -> None:
                self.bound: list[object] = []

            def __enter__(self) -> Given:
                return self

            def __exit__(self, *problem: object) -> None:
                pass

            def bind(self, address: object) -> None:
                self.bound.append(address)

        self.patch(socket, "socket", Given)
        self.finds("IPv6", Verdict.OK, "::1")

    def test_a_low_limit_of_open_files_is_a_warning(self) -> None:
        """The usual limit of open files, or none, is OK; a lower one is a warning."""
        none = resource.RLIM_INFINITY
        for limits, verdict, said in (
            ((1024, 4096), Verdict.OK, "1024 at once, at most 4096"),
            ((none, none), Verdict.OK, "unlimited at once, at most unlimited"),
            ((1023, none), Verdict.WARNING, "1023 at once, at most unlimited"),
            ((0, 0), Verdict.WARNING, "0 at once"),
        ):
            self.patch(resource, "getrlimit", lambda which, limits=limits: limits)
            self.finds("open files", verdict, said)


class ProcessTests(SynchronousTestCase):
    """The checks in a process of their own."""

    def test_the_checks_change_nothing(self) -> None:
        """No reactor is installed, no cache is written, and nothing is printed."""
        with tempfile.TemporaryDirectory() as folder:
            plugins = Path(folder, "twisted", "plugins")
            plugins.mkdir(parents=True)
            (plugins / "txtransport_tests_broken.py").write_text("import nonexistent")
            (plugins / "txtransport_tests_other.py").write_text("parser = 1")
            script = (
                "import sys\n"
                "from txtransport.cli.doctor import CHECKS, run_checks\n"
                "found = run_checks()\n"
                "print(*found, sep=',')\n"
                "print('twisted.internet.reactor' in sys.modules)\n"
            )
            run = subprocess.run(
                [sys.executable, "-W", "error", "-c", script],
                cwd=ROOT,
                env={
                    **{name: text for name, text in os.environ.items() if name != "HOME"},
                    "PYTHONPATH": folder,
                    "PYTHONDONTWRITEBYTECODE": "1",
                },
                capture_output=True,
                text=True,
                timeout=60,
            )
            self.assertEqual(run.stderr, "")
            self.assertEqual(run.stdout, f"{','.join(CHECKS)}\nFalse\n")
            self.assertEqual(
                sorted(os.listdir(plugins)),
                ["txtransport_tests_broken.py", "txtransport_tests_other.py"],
            )

    def test_importing_imports_neither_twisted_nor_openssl(self) -> None:
        """A broken package is found by its check, so none is imported before."""
        script = (
            "import sys, txtransport.cli.doctor; print({'twisted', 'OpenSSL'} & {*sys.modules})"
        )
        run = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        self.assertEqual((run.stdout, run.stderr), ("set()\n", ""))
        self.assertIn("run_checks", vars(doctor))
