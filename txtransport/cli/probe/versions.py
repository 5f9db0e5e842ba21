"""What a peer would accept: each version of TLS offered alone, one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import evolve

from txtransport import TransportURL
from txtransport.cli.probe.probing import Progress, probe
from txtransport.cli.probe.report import VersionResult
from txtransport.config.schemes import SCHEMES
from txtransport.errors import InvalidTransport

# What a scheme of one version settles itself, and what belongs to others.
_SETTLED: Final = frozenset({"min_version", "max_version", "security_level"})
_BEFORE_1_3: Final = frozenset({"ciphers"})


def check(url: TransportURL) -> None:
    """See that versions can be offered there.

    Raises:
        InvalidTransport: It is no transport with TLS over TCP.
    """
    scheme = SCHEMES[url.scheme]
    if not scheme.is_secure or scheme.is_local:
        raise InvalidTransport(f"{url.location}: --versions is for TLS over TCP, tls://")


async def versions(
    reactor: Any, url: TransportURL, options: Mapping[str, Any], told: Progress
) -> tuple[VersionResult, ...]:
    """Offer each version.

    Args:
        reactor: Connects and keeps time.
        transport: Where to; its own version does not count.
        options: As for `txtransport.client`; those about versions do not count.
        told: Is told what is going on.

    Returns:
        The oldest first.

    Raises:
        InvalidTransport: It is no transport with TLS over TCP.
    """
    check(url)
    tried = []
    for only in SCHEMES.values():
        if only.version is None:
            continue
        dropped = _SETTLED | (_BEFORE_1_3 if only.version > "1.2" else frozenset())
        kept = tuple(option for option in url.options if option[0] not in dropped)
        there = evolve(url, scheme=only.name, options=kept)
        given = {name: value for name, value in options.items() if name not in dropped}
        told(f"offering TLS {only.version}")
        report = await probe(reactor, there, given, wait=0.0, is_again=False)
        # A peer that has shown its certificate has chosen the version by then.
        is_accepted = report.session is not None or bool(report.chain)
        tried.append(VersionResult(f"TLSv{only.version}", is_accepted, report.diagnosis))
    return tuple(tried)
