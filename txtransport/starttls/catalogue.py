"""The protocols that switch to TLS in mid-conversation, one row each.

Knows their names, ports and what stands around the dialogue; the dialogues are
in files of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from txtransport.errors import InvalidOption, seen
from txtransport.starttls import postgres, smtp
from txtransport.starttls.wire import Speaker


def _line(said: bytes) -> int:
    return said.find(b"\n") + 1


def _reply(said: bytes) -> int:
    """A reply of several lines ends with the one that has a space behind its code."""
    end = 0
    while (line := _line(said[end:])) and said[end + 3 : end + 4] == b"-":
        end += line
    return end + line if line else 0


@frozen
class Upgradable:
    """One protocol.

    Attributes:
        name: What ``starttls=`` takes.
        connect: The client's side.
        serve: The server's side, or None where there is none here.
        port: The usual port in the clear.
        tls_port: The usual port with TLS from the start, or None.
        greeting: Where the greeting ends in what a server's guest says first,
            0 if it has not ended. The client has heard one already, so it is
            kept back; None where servers do not begin.
        is_transparent: Whether a client's guest hears the outcome of the
            dialogue as if the peer had said it; if not, it has to ask for it.
        may_continue: Whether a conversation whose upgrade was refused can go
            on in the clear (``starttls_policy=may``).
        verifies: Whom the certificate is for: ``host`` or ``domain``.
    """

    name: str
    connect: Speaker
    serve: Speaker | None
    port: int
    tls_port: int | None = None
    greeting: Callable[[bytes], int] | None = field(default=None, kw_only=True)
    is_transparent: bool = field(default=True, kw_only=True)
    may_continue: bool = field(default=False, kw_only=True)
    verifies: str = field(default="host", kw_only=True)


_ROWS: Final = (
    Upgradable("smtp", smtp.connect, smtp.serve, 587, 465, greeting=_reply, may_continue=True),
    Upgradable("lmtp", smtp.connect_lmtp, smtp.serve_lmtp, 24, greeting=_reply, may_continue=True),
    Upgradable("postgres", postgres.connect, postgres.serve, 5432, 5432, may_continue=True),
)

UPGRADABLE: Final = {row.name: row for row in _ROWS}
"""Every protocol by its name."""


def upgradable(name: str) -> Upgradable:
    """The protocol of that name.

    Raises:
        InvalidOption: There is none.
    """
    row = UPGRADABLE.get(name.lower())
    if row is None:
        raise InvalidOption(
            "starttls", f"starttls={seen(name)[1:-1]}: known are {', '.join(UPGRADABLE)}"
        )
    return row
