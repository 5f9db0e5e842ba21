"""Checks whether this installation can do what txtransport promises.

`CHECKS` is the table: a name, and a function that returns a `CheckResult`. No check
contacts anything or changes anything: not even Twisted's cache of plugins, which
``getPlugins`` would write.

Each check imports what it needs, so that a missing package makes that check fail and
not the import of this module.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from enum import Enum
from importlib import metadata, util
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from txtransport.errors import Diagnosis

if TYPE_CHECKING:
    from twisted.plugin import CachedDropin
    from twisted.python.filepath import FilePath
    from twisted.python.modules import PythonModule


class Verdict(Enum):
    """How good or bad a check's result is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@frozen
class CheckResult:
    """What a check has found.

    Attributes:
        verdict: How good or bad it is.
        diagnosis: Its summary is what was seen, a phrase; its remedy is what to
            do about it, or empty when there is nothing to do.
    """

    verdict: Verdict
    diagnosis: Diagnosis


def _ok(found: str) -> CheckResult:
    return check_result(Verdict.OK, found)


def _warning(found: str, remedy: str) -> CheckResult:
    return check_result(Verdict.WARNING, found, remedy)


def _wrong(found: str, remedy: str) -> CheckResult:
    return check_result(Verdict.WRONG, found, remedy)


def check_result(verdict: Verdict, found: str, remedy: str = "") -> CheckResult:
    """A result in words.

    Args:
        verdict: How good or bad it is.
        found: What was seen, a phrase.
        remedy: What to do about it, if there is anything to do.
    """
    return CheckResult(verdict, Diagnosis("installation", found, remedy, fault="ours"))


# --- software -------------------------------------------------------------------


def _python() -> CheckResult:
    machine = f"{platform.system()} {platform.machine()}"
    return _ok(f"{platform.python_implementation()} {platform.python_version()} on {machine}")


_NEEDED: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[.*\])?>=([0-9.]+)").fullmatch


def _packages() -> CheckResult:
    try:
        needed = list(filter(None, map(_NEEDED, metadata.requires("txtransport") or ())))
        ours = metadata.version("txtransport")
    except metadata.PackageNotFoundError:
        return _warning("txtransport runs from sources that are not installed", "pip install .")
    found, missing = [f"txtransport {ours}"], []
    for name, least in (match.groups() for match in needed):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(f"{name} is not installed")
            continue
        found.append(f"{name} {version}")
        if _parts(version) < _parts(least):
            missing.append(f"{name} {version} is older than {least}")
    if missing:
        return _wrong("; ".join(missing), "pip install --upgrade txtransport")
    return _ok(", ".join(found))


def _parts(version: str) -> list[int]:
    return [int(digits) for digits in re.findall("[0-9]+", version.partition("+")[0])]


def _openssl() -> CheckResult:
    from txtransport.tls.creator import openssl_version

    return _ok(openssl_version())


_NECESSARY: Final = frozenset({"1.2", "1.3"})


def _versions_of_tls() -> CheckResult:
    from txtransport.config.schemes import SCHEMES
    from txtransport.config.settings import resolve_options
    from txtransport.tls.trust_store import refusal

    spoken, refused = [], {}
    for scheme in SCHEMES.values():
        policy = resolve_options(scheme, (), {}, "client").tls
        if scheme.version is None or policy is None:
            continue
        reason = refusal(policy)
        if reason is None:
            spoken.append(scheme.version)
        else:
            refused[scheme.version] = reason
    if not refused:
        return _ok(", ".join(spoken))
    found = f"{', '.join(spoken) or 'none'}; not " + ", ".join(
        f"{version} ({reason})" for version, reason in refused.items()
    )
    if {*spoken} >= _NECESSARY:
        return _warning(found, "nothing, unless a peer is so old that it needs them")
    return _wrong(found, "see openssl.cnf (MinProtocol, MaxProtocol), or another OpenSSL")


def _trust_store() -> CheckResult:
    from txtransport.tls.trust_store import trust_store

    trusted = trust_store()
    if trusted.count:
        return _ok(f"{trusted.count} authorities in {' and '.join(trusted.locations)}")
    named = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ]
    advice = "install the system's authorities (ca-certificates), or use cafile= everywhere"
    if named:
        advice = f"mend {' and '.join(named)} in the environment, or use cafile= everywhere"
    return _wrong("no authority that OpenSSL takes: no public server can be verified", advice)


# --- Twisted --------------------------------------------------------------------


def _plugin() -> CheckResult:
    from twisted.internet.interfaces import (
        IStreamClientEndpointStringParserWithReactor,
        IStreamServerEndpointStringParser,
    )
    from twisted.plugin import IPlugin

    try:
        from twisted.plugins import txtransport_plugin
    except ImportError as problem:
        return _wrong(
            f"Twisted has no plugin of txtransport ({problem})",
            "install txtransport into the environment in which Twisted is",
        )
    rows: list[Any] = list(filter(IPlugin.providedBy, vars(txtransport_plugin).values()))
    ours = [row.prefix for row in rows]
    plugins = list(_plugins())
    troubles = []
    for side, interface in (
        ("client", IStreamClientEndpointStringParserWithReactor),
        ("server", IStreamServerEndpointStringParser),
    ):
        found = [row.prefix for row in plugins if interface.providedBy(row)]
        for prefix in ours:
            if found.count(prefix) != 1:
                troubles.append(f"{prefix} for {side}s is found {found.count(prefix)} times")
    if troubles:
        return _wrong(
            "; ".join(troubles),
            "see what else is in twisted/plugins of each folder on Python's path, and remove "
            "dropin.cache there",
        )
    return _ok(f"Twisted finds the prefixes {', '.join(ours)}")


def _plugins() -> Iterator[Any]:
    """What Twisted's ``getPlugins`` finds, without its writing a cache and a log."""
    for folder, modules in _plugin_folders().items():
        cached = _cached(folder, modules)
        for module in modules:
            try:
                yield from _provided(module, cached)
            except Exception:
                # For Twisted too the others are no worse for it.
                continue


def _provided(module: PythonModule, cached: Mapping[str, CachedDropin] | None) -> list[Any]:
    from twisted.plugin import IPlugin

    if cached is not None:
        return [plugin.load() for plugin in cached[_key(module)].plugins]
    return [value for value in vars(module.load()).values() if IPlugin.providedBy(value)]


def _plugin_cache() -> CheckResult:
    found, stuck = [], []
    for folder, modules in _plugin_folders().items():
        is_writable = os.access(folder.path, os.W_OK | os.X_OK)
        is_current = _cached(folder, modules) is not None
        state = "current" if is_current else "to be written"
        found.append(f"{folder.path} ({state}, {'' if is_writable else 'not '}writable)")
        if not is_current and not is_writable:
            stuck.append(folder.path)
    if stuck:
        return _warning(
            f"out of date, and cannot be written: {', '.join(stuck)}; every look for a plugin "
            "there imports all of them",
            "as someone who may write there: python -c 'from twisted.plugin import *; "
            "list(getPlugins(IPlugin))'",
        )
    return _ok(", ".join(found))


def _plugin_folders() -> Mapping[FilePath[str], list[PythonModule]]:
    """The folders in which Twisted looks for plugins, each with the modules in it."""
    from twisted.python.modules import getModule

    folders: dict[FilePath[str], list[PythonModule]] = {}
    for module in getModule("twisted.plugins").iterModules():
        folders.setdefault(module.filePath.parent(), []).append(module)
    return folders


def _cached(
    folder: FilePath[str], modules: list[PythonModule]
) -> Mapping[str, CachedDropin] | None:
    """What is in the cache of that folder, or None where Twisted would write it anew."""
    import pickle

    cache = folder.child("dropin.cache")
    try:
        written = cache.getModificationTime()
        # Read as Twisted reads it; anyone who can write there can write plugins as well.
        cached: Mapping[str, CachedDropin] = pickle.loads(cache.getContent())
    except Exception:
        # Twisted ignores a cache that cannot be read, whatever the reason.
        return None
    is_current = {*cached} == {*map(_key, modules)} and all(
        module.filePath.getModificationTime() < written for module in modules
    )
    return cached if is_current else None


def _key(module: PythonModule) -> str:
    return module.name.rpartition(".")[2]


def _reactor() -> CheckResult:
    # To import twisted.internet.reactor would install one.
    installed = sys.modules.get("twisted.internet.reactor")
    if installed is not None:
        return _ok(f"{type(installed).__name__}, installed")
    from twisted.internet import default

    return _ok(f"{default.install.__module__.rpartition('.')[2]} unless another is installed")


# --- the machine ----------------------------------------------------------------

_PATIENCE: Final = 86400.0


def _clock() -> CheckResult:
    # A clock may be ahead or behind when files are installed, but not by much.
    now = time.time()
    newest, what = max(_dates())
    if now + _PATIENCE < newest:
        return _wrong(
            f"{_day(now)}, which is before {what} of {_day(newest)}",
            "set the clock (NTP), without which good certificates seem not yet valid",
        )
    return _ok(f"{_day(now)}, later than {what} ({_day(newest)})")


_MODULES: Final = ("txtransport", "twisted", "OpenSSL", "cryptography")


def _dates() -> Iterator[tuple[float, str]]:
    """What has happened for sure: seconds since 1970, and what it was."""
    for name in _MODULES:
        found = util.find_spec(name)
        if found is not None and found.origin is not None:
            yield os.stat(found.origin).st_mtime, f"the files of {name}"
    from txtransport.tls.creator import openssl_version

    version, _, date = openssl_version().partition(" ")[2].partition(" ")
    try:
        released = datetime.strptime(date, "%d %b %Y").replace(tzinfo=timezone.utc)
    except ValueError:
        # Forks of OpenSSL write it otherwise, or not at all.
        return
    yield released.timestamp(), f"the release of OpenSSL {version}"


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _ipv6() -> CheckResult:
    try:
        with socket.socket(socket.AF_INET6) as bound:
            bound.bind(("::1", 0))
    except OSError as problem:
        return _warning(
            f"::1 cannot be had ({problem.strerror})",
            "nothing, if this machine is to have IPv4 alone; servers on * listen there",
        )
    return _ok("::1 can be listened on")


_FEW_FILES: Final = 1024


def _open_files() -> CheckResult:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{_files(soft)} at once, at most {_files(hard)}"
    if soft == resource.RLIM_INFINITY or soft >= _FEW_FILES:
        return _ok(found)
    return _warning(
        found, "for servers: ulimit -n, or LimitNOFILE= of the service; each connection takes one"
    )


def _files(limit: int) -> str:
    import resource

    return "unlimited" if limit == resource.RLIM_INFINITY else str(limit)


# --- all of them ----------------------------------------------------------------

CHECKS: Final[Mapping[str, Callable[[], CheckResult]]] = {
    "Python": _python,
    "packages": _packages,
    "OpenSSL": _openssl,
    "versions of TLS": _versions_of_tls,
    "trust store": _trust_store,
    "plugin": _plugin,
    "plugin cache": _plugin_cache,
    "reactor": _reactor,
    "clock": _clock,
    "IPv6": _ipv6,
    "open files": _open_files,
}
"""Every check by its name."""


def run_checks(checks: Mapping[str, Callable[[], CheckResult]] = CHECKS) -> dict[str, CheckResult]:
    """What each check has found.

    Args:
        checks: The functions to ask. One that fails has found that out.

    Returns:
        A finding for each, by the same names.
    """
    return {name: _run_check(check) for name, check in checks.items()}


def _run_check(check: Callable[[], CheckResult]) -> CheckResult:
    try:
        return check()
    except (Exception, SystemExit) as problem:
        # Modules of others are imported, which may do anything.
        what = f"{type(problem).__name__}: {problem}"[:300]
        return _wrong(f"the check failed ({what})", "install txtransport and all it needs anew")
