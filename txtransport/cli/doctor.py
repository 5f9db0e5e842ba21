"""Checks whether this installation can do what txtransport promises.

`CHECKS` is the table: a name, and a function that returns a `CheckResult`. No check
uses the network or changes anything. That includes Twisted's cache of plugins: its
``getPlugins`` would write one, so the checks look for plugins by code of their own.

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
from typing import TYPE_CHECKING, Final, Protocol, cast

from attrs import frozen

from txtransport.errors import Diagnosis

__all__ = ["CHECKS", "CheckResult", "Verdict", "check_result", "run_checks"]

if TYPE_CHECKING:
    from twisted.plugin import CachedDropin
    from twisted.python.filepath import FilePath
    from twisted.python.modules import PythonModule


class Verdict(Enum):
    """How serious a check's result is; only WRONG makes the exit status 1."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@frozen
class CheckResult:
    """The result of one check.

    Attributes:
        verdict: How serious it is.
        diagnosis: Its summary is what was found, a phrase; its remedy is what to
            do about it, empty when there is nothing to do.
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
    """Make a result.

    Args:
        verdict: How serious it is.
        found: What was found, a phrase.
        remedy: What to do about it, empty when there is nothing to do.
    """
    return CheckResult(verdict, Diagnosis("installation", found, remedy, fault="ours"))


# --- software -------------------------------------------------------------------


def _python() -> CheckResult:
    machine = f"{platform.system()} {platform.machine()}"
    return _ok(f"{platform.python_implementation()} {platform.python_version()} on {machine}")


# A requirement such as "twisted[tls]>=24.3".
_REQUIREMENT: Final = re.compile(r"([A-Za-z0-9._-]+)(?:\[.*\])?>=([0-9.]+)").fullmatch


def _packages() -> CheckResult:
    try:
        needed = list(filter(None, map(_REQUIREMENT, metadata.requires("txtransport") or ())))
        own_version = metadata.version("txtransport")
    except metadata.PackageNotFoundError:
        return _warning("txtransport runs from sources that are not installed", "pip install .")
    found, missing = [f"txtransport {own_version}"], []
    for name, minimum in (match.groups() for match in needed):
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            missing.append(f"{name} is not installed")
            continue
        found.append(f"{name} {version}")
        if _numbers(version) < _numbers(minimum):
            missing.append(f"{name} {version} is older than {minimum}")
    if missing:
        return _wrong("; ".join(missing), "pip install --upgrade txtransport")
    return _ok(", ".join(found))


def _numbers(version: str) -> list[int]:
    """The numbers of a version, for comparing; a local part (``+…``) does not count."""
    return [int(digits) for digits in re.findall("[0-9]+", version.partition("+")[0])]


def _openssl() -> CheckResult:
    from txtransport.tls.creator import openssl_version

    return _ok(openssl_version())


_REQUIRED_VERSIONS: Final = frozenset({"1.2", "1.3"})


def _versions_of_tls() -> CheckResult:
    from txtransport.config.schemes import SCHEMES
    from txtransport.config.settings import resolve_options
    from txtransport.tls.trust_store import refusal

    supported, refused = [], {}
    for scheme in SCHEMES.values():
        policy = resolve_options(scheme, (), {}, "client").tls
        if scheme.version is None or scheme.is_broken or policy is None:
            continue
        reason = refusal(policy)
        if reason is None:
            supported.append(scheme.version)
        else:
            refused[scheme.version] = reason
    if not refused:
        return _ok(", ".join(supported))
    found = f"{', '.join(supported) or 'none'}; not " + ", ".join(
        f"{version} ({reason})" for version, reason in refused.items()
    )
    if {*supported} >= _REQUIRED_VERSIONS:
        return _warning(found, "nothing, unless a peer is so old that it needs them")
    return _wrong(found, "see openssl.cnf (MinProtocol, MaxProtocol), or another OpenSSL")


def _trust_store() -> CheckResult:
    from txtransport.tls.trust_store import trust_store

    trusted = trust_store()
    if trusted.count:
        return _ok(f"{trusted.count} authorities in {' and '.join(trusted.locations)}")
    variables = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name in os.environ]
    advice = "install the system's authorities (ca-certificates), or use cafile= everywhere"
    if variables:
        advice = f"correct {' and '.join(variables)} in the environment, or use cafile= everywhere"
    return _wrong("no authority that OpenSSL accepts: no public server can be verified", advice)


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
    values = vars(txtransport_plugin).values()
    ours = [_prefix(value) for value in values if IPlugin.providedBy(value)]
    plugins = list(_plugins())
    troubles = []
    for side, interface in (
        ("client", IStreamClientEndpointStringParserWithReactor),
        ("server", IStreamServerEndpointStringParser),
    ):
        found = [_prefix(plugin) for plugin in plugins if interface.providedBy(plugin)]
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


class _EndpointParser(Protocol):
    prefix: str


def _prefix(plugin: object) -> str:
    """The prefix of the endpoint strings that a plugin parses."""
    return cast("_EndpointParser", plugin).prefix


def _plugins() -> Iterator[object]:
    """The plugins that ``getPlugins`` would find; writes no cache and no log."""
    for folder, modules in _plugin_folders().items():
        cached = _cached(folder, modules)
        for module in modules:
            try:
                yield from _plugins_in(module, cached)
            except Exception:
                # Twisted skips a module that cannot be imported, too.
                continue


def _plugins_in(module: PythonModule, cached: Mapping[str, CachedDropin] | None) -> list[object]:
    """The plugins of one module: those that the cache names or, without one, all of them."""
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
            f"out of date, and cannot be written: {', '.join(stuck)}; each time Twisted looks for "
            "a plugin there, it imports all of them",
            "as a user who may write there: python -c 'from twisted.plugin import *; "
            "list(getPlugins(IPlugin))'",
        )
    return _ok(", ".join(found))


def _plugin_folders() -> Mapping[FilePath[str], list[PythonModule]]:
    """The folders in which Twisted looks for plugins, each with its modules."""
    from twisted.python.modules import getModule

    folders: dict[FilePath[str], list[PythonModule]] = {}
    for module in getModule("twisted.plugins").iterModules():
        folders.setdefault(module.filePath.parent(), []).append(module)
    return folders


def _cached(
    folder: FilePath[str], modules: list[PythonModule]
) -> Mapping[str, CachedDropin] | None:
    """A folder's cache of plugins, or None when Twisted would write it anew."""
    import pickle

    cache = folder.child("dropin.cache")
    try:
        written = cache.getModificationTime()
        # Twisted unpickles it as well. A user who can write the cache can write plugins
        # beside it, so this gives nobody a new way to run code.
        cached: Mapping[str, CachedDropin] = pickle.loads(cache.getContent())
    except Exception:
        # Twisted ignores a cache that cannot be read, whatever the reason.
        return None
    is_current = {*cached} == {*map(_key, modules)} and all(
        module.filePath.getModificationTime() < written for module in modules
    )
    return cached if is_current else None


def _key(module: PythonModule) -> str:
    """A module's name in the cache: the last part of its full name."""
    return module.name.rpartition(".")[2]


def _reactor() -> CheckResult:
    # Importing twisted.internet.reactor would install the default one.
    installed = sys.modules.get("twisted.internet.reactor")
    if installed is not None:
        return _ok(f"{type(installed).__name__}, installed")
    from twisted.internet import default

    return _ok(f"{default.install.__module__.rpartition('.')[2]} unless another is installed")


# --- the machine ----------------------------------------------------------------

_TOLERANCE: Final = 86400.0
"""Seconds by which the clock may be behind: time zones and other machines' clocks differ."""


def _clock() -> CheckResult:
    """A clock is wrong if it is before something that has happened already."""
    now = time.time()
    newest, what = max(_past_events())
    if now + _TOLERANCE < newest:
        return _wrong(
            f"{_day(now)}, which is before {what} of {_day(newest)}",
            "set the clock (NTP), without which good certificates seem not yet valid",
        )
    return _ok(f"{_day(now)}, later than {what} ({_day(newest)})")


_MODULES: Final = ("txtransport", "twisted", "OpenSSL", "cryptography")


def _past_events() -> Iterator[tuple[float, str]]:
    """What has happened for certain: when, in seconds since 1970, and a phrase for it."""
    for name in _MODULES:
        found = util.find_spec(name)
        if found is not None and found.origin is not None:
            yield os.stat(found.origin).st_mtime, f"the files of {name}"
    from txtransport.tls.creator import openssl_version

    version, _, date = openssl_version().partition(" ")[2].partition(" ")
    try:
        released = datetime.strptime(date, "%d %b %Y").replace(tzinfo=timezone.utc)
    except ValueError:
        # Forks of OpenSSL write the date differently, or not at all.
        return
    yield released.timestamp(), f"the release of OpenSSL {version}"


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")


def _ipv6() -> CheckResult:
    try:
        with socket.socket(socket.AF_INET6) as listener:
            listener.bind(("::1", 0))
    except OSError as problem:
        return _warning(
            f"::1 cannot be listened on ({problem.strerror})",
            "nothing, if this machine is meant to have IPv4 only; servers on * then listen on IPv4",
        )
    return _ok("::1 can be listened on")


_USUAL_LIMIT: Final = 1024


def _open_files() -> CheckResult:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    found = f"{_files(soft)} at once, at most {_files(hard)}"
    if soft == resource.RLIM_INFINITY or soft >= _USUAL_LIMIT:
        return _ok(found)
    return _warning(
        found,
        "for servers, raise it (ulimit -n, or LimitNOFILE= of the service): each connection "
        "takes one",
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
    """Run checks, one after the other.

    Args:
        checks: The functions by their names.

    Returns:
        The results by the same names. A check that raises is WRONG.
    """
    return {name: _run_check(check) for name, check in checks.items()}


def _run_check(check: Callable[[], CheckResult]) -> CheckResult:
    try:
        return check()
    except (Exception, SystemExit) as problem:
        # The checks import other people's modules, which may raise anything.
        what = f"{type(problem).__name__}: {problem}"[:300]
        return _wrong(f"the check failed ({what})", "reinstall txtransport and all that it needs")
