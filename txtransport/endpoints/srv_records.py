"""SRV records (RFC 2782): what the DNS answers about a service, read and put in order.

A domain says in its SRV records on which hosts and ports a service is::

    _xmpps-client._tcp.example.com.  SRV  5 70 5223  xmpp1.hosting.example.
                                          |  |   |    `- target
                                          |  |   `- port
                                          |  `- weight: among equal priorities, the share
                                          `- priority: the lowest is tried first

Everything in an answer is the text of strangers: of the domain's owner at the best. Of it
are used the records of the name that was asked for (or of a name to which that is an
alias), and nothing else: no additional records, so that the addresses of a target come from
the look-up of the target. A target is a host's name, and never an address.

This module knows records by their attributes alone, so that programs without ``srv=`` do
not import ``twisted.names``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby
from random import Random
from typing import Final, Protocol

from attrs import frozen
from twisted.internet.error import DNSLookupError

from txtransport.config.address import ends_in_number
from txtransport.config.host import canonical_host
from txtransport.text import escape_bytes

__all__ = [
    "BadTarget",
    "NoServiceRecord",
    "NoSuchService",
    "SRVRecord",
    "ServiceLookUpError",
    "in_order",
    "read_answers",
    "service_name",
]

MAX_RECORDS: Final = 64
"""How many SRV records of an answer are looked at; an answer over TCP may have thousands."""
_MAX_ALIASES: Final = 8
"""How many aliases (CNAME) are followed, as many as glibc's resolver is sure to follow."""

# RFC 1035, sections 3.2.2 and 3.2.4, and RFC 2782.
_CNAME: Final = 5
_SRV: Final = 33
_IN: Final = 1


class NoServiceRecord(DNSLookupError):
    """The domain has no SRV record for the service, and the URL no port to use instead."""


class NoSuchService(DNSLookupError):
    """The domain says that it does not have the service: the target of its record is the root."""


class ServiceLookUpError(DNSLookupError):
    """The name server did not say which SRV records there are."""


class BadTarget(DNSLookupError):
    """The target of an SRV record cannot be connected to, whatever its addresses are."""


class _Name(Protocol):
    @property
    def name(self) -> bytes: ...


class ResourceRecord(Protocol):
    """A record of an answer: what is used of ``twisted.names.dns.RRHeader``."""

    @property
    def name(self) -> _Name: ...
    @property
    def type(self) -> int: ...
    @property
    def cls(self) -> int: ...
    @property
    def payload(self) -> object: ...


@frozen
class SRVRecord:
    """One SRV record.

    Attributes:
        priority: The lowest is tried first.
        weight: The share of connections among records of one priority; 0 is a very small one.
        port: The service's port there; of a record that can be used, 1 to 65535.
        target: The host's name, canonical; empty for the root, which stands for no host.
        problem: Why the record cannot be used, or empty.
    """

    priority: int
    weight: int
    port: int
    target: str
    problem: str = ""

    @property
    def place(self) -> str:
        """Target and port, for messages: bounded and printable."""
        return f"{self.target}:{self.port}"


def service_name(service: str, domain: str) -> str:
    """The name under which the DNS has the SRV records of a service over TCP.

    Args:
        service: As ``srv=`` has it, without the underscore.
        domain: A canonical host's name.

    Raises:
        ValueError: It is longer than the DNS allows.
    """
    name = f"_{service}._tcp.{domain.removesuffix('.')}"
    if len(name) > 253:
        raise ValueError(f"the name {name[:60]}… is longer than 253 characters")
    return name


def read_answers(name: str, answers: Iterable[ResourceRecord]) -> list[SRVRecord]:
    """The SRV records of a service, in the order of the answer.

    Args:
        name: The name that was asked for.
        answers: The records of the answer's first section.

    Returns:
        At the most 64, those with the lowest priorities, none of them twice. Empty if the
        domain has none.

    Raises:
        NoSuchService: The domain says that it does not have the service.
        ServiceLookUpError: The answer is about another name.
    """
    given = [record for record in answers if record.cls == _IN]
    owner = _follow_aliases(name.lower().encode("ascii"), given)
    of_service = [record for record in given if record.type == _SRV]
    found = dict.fromkeys(
        _read(record.payload) for record in of_service if record.name.name.lower() == owner
    )
    if of_service and not found:
        raise ServiceLookUpError("the answer has SRV records of another name only")
    usable = [record for record in found if record.target]
    if found and not usable:
        raise NoSuchService(f"the target of {name} is the root")
    return sorted(usable, key=_priority)[:MAX_RECORDS]


def in_order(records: Iterable[SRVRecord], random: Random) -> list[SRVRecord]:
    """Put records in the order in which to try them.

    Args:
        records: Of one service.
        random: Chooses among records of one priority, by their weights.

    Returns:
        The lowest priority first. In a group of one priority, each record is the next with
        the probability of its weight over the sum of the weights that are left.

    Source: RFC 2782, "Usage rules" (page 4: weight).
    """
    ordered = []
    for _, group in groupby(sorted(records, key=_priority), _priority):
        left = list(group)
        # "In any order, except that all those with weight 0 are placed at the beginning".
        random.shuffle(left)
        left.sort(key=lambda record: record.weight > 0)
        while left:
            running = list(accumulate(record.weight for record in left))
            # "The first whose running sum is greater than or equal to the random number".
            ordered.append(left.pop(bisect_left(running, random.randint(0, running[-1]))))
    return ordered


def _priority(record: SRVRecord) -> int:
    return record.priority


def _follow_aliases(name: bytes, answers: Sequence[ResourceRecord]) -> bytes:
    """The name to which a name is an alias within one answer, or the name itself."""
    aliases = {
        record.name.name.lower(): record.payload for record in answers if record.type == _CNAME
    }
    for _ in range(_MAX_ALIASES):
        if name not in aliases:
            break
        name = aliases[name].name.name.lower()  # type: ignore[attr-defined]
    return name


def _read(payload: object) -> SRVRecord:
    priority, weight, port, target = (
        getattr(payload, name) for name in ("priority", "weight", "port", "target")
    )
    if target.name in (b"", b"."):
        return SRVRecord(priority, weight, port, "")
    try:
        host, problem = _host(target.name), ""
    except ValueError:
        host, problem = escape_bytes(target.name, 100), "is not the name of a host"
    if not port:
        problem = problem or "has port 0"
    return SRVRecord(priority, weight, port, host, problem)


def _host(target: bytes) -> str:
    """The canonical name of a target.

    Raises:
        ValueError: It is an address, or no name at all; or it is not ASCII, which
            `canonical_host` would turn into another name.
    """
    host = canonical_host(target.decode("ascii"))
    if ends_in_number(host):
        raise ValueError("an address")
    return host
