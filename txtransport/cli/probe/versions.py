"""Probes with each version of TLS alone, one after the other, to see which a peer accepts.

Where the extra ``txtransport[legacy]`` is installed, SSL 2.0 and SSL 3.0 are among them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import evolve

from txtransport import TransportURL
from txtransport.cli.probe.probing import probe
from txtransport.cli.probe.recorder import ProgressCallback
from txtransport.cli.probe.report import VersionResult
from txtransport.config.options import OPTIONS
from txtransport.config.schemes import SCHEMES
from txtransport.errors import InvalidTransport

__all__ = ["require_tls_over_tcp", "versions"]

# Options that are left out, as a scheme such as tlsv1.2:// sets them itself, and
# one that is for versions before TLS 1.3 alone, in names that SSL 2.0 and 3.0 do not have.
_SET_BY_SCHEME: Final = frozenset({"min_version", "max_version", "security_level"})
_BEFORE_1_3: Final = frozenset({"ciphers"})


def require_tls_over_tcp(url: TransportURL) -> None:
    """Refuse a URL with which no version of TLS can be offered.

    Raises:
        InvalidTransport: The transport is not TLS over TCP.
    """
    scheme = SCHEMES[url.scheme]
    if not scheme.is_secure or scheme.is_local:
        raise InvalidTransport(f"{url.location}: --versions is for TLS over TCP, tls://")


async def versions(
    reactor: object,
    url: TransportURL,
    options: Mapping[str, object],
    on_progress: ProgressCallback,
) -> tuple[VersionResult, ...]:
    """Probe with each version of TLS.

    Args:
        reactor: Connects and keeps time.
        url: What to connect to; the version of its scheme is ignored.
        options: As for `txtransport.client`; those about versions are ignored.
        on_progress: Is told what is going on.

    Returns:
        A result for each version, the oldest first.

    Raises:
        InvalidTransport: The transport is not TLS over TCP.
    """
    require_tls_over_tcp(url)
    results = []
    offered = [row for row in SCHEMES.values() if row.version is not None and row.is_available]
    # Python's order of what is False and what is True.
    for scheme in sorted(offered, key=lambda row: not row.is_broken):
        version = str(scheme.version)
        dropped = _SET_BY_SCHEME | (_BEFORE_1_3 if version > "1.2" else frozenset())
        dropped |= {name for name, row in OPTIONS.items() if not row.serves(scheme)}
        if SCHEMES[url.scheme].is_broken:
            dropped |= _BEFORE_1_3
        in_url = tuple(option for option in url.options if option[0] not in dropped)
        given = {name: value for name, value in options.items() if name not in dropped}
        if scheme.is_broken:
            # Whoever has installed the extra and asks for all versions has asked for these.
            given["allow_broken_ssl"] = True
        name = version if scheme.is_broken else f"TLSv{version}"
        on_progress(f"offering {scheme.meaning.removesuffix(' only')}")
        only = evolve(url, scheme=scheme.name, options=in_url)
        report = await probe(reactor, only, given, wait=0.0, is_again=False)
        # A server's first message, ServerHello, chooses the version, and its
        # certificate comes later: a server that has shown one has accepted the version.
        is_accepted = report.session is not None or bool(report.chain)
        results.append(VersionResult(name, is_accepted, report.diagnosis))
    return tuple(results)
