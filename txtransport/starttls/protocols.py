"""The protocols that switch to TLS in mid-conversation, one row each.

Knows their names, ports and what stands around the dialogue; the dialogues are
in files of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import field, frozen

from txtransport.errors import InvalidOption
from txtransport.starttls import (
    amqp,
    ftp,
    imap,
    irc,
    ldap,
    mysql,
    nats,
    nbd,
    nntp,
    nut,
    pop3,
    postgres,
    rdp,
    sieve,
    smtp,
    telnet,
    vnc,
    xmpp,
)
from txtransport.starttls.wire import Speaker
from txtransport.text import short_repr


def _line(said: bytes) -> int:
    return said.find(b"\n") + 1


def _reply(said: bytes) -> int:
    """A reply of several lines ends with the one that has its code, and no hyphen behind it."""
    begin = 0
    while end := said.find(b"\n", begin) + 1:
        if said[begin : begin + 3] == said[:3] and said[begin + 3 : begin + 4] != b"-":
            return end
        begin = end
    return 0


@frozen
class StartTLSProtocol:
    """One protocol.

    Attributes:
        name: What ``starttls=`` takes.
        connect: The client's side.
        serve: The server's side, or None where there is none here.
        port: The usual port in the clear, or None.
        tls_port: The usual port with TLS from the start, or None.
        greeting: Where the greeting ends in what a server's guest says first,
            0 if it has not ended. The client has heard one already, so it is
            kept back; None where servers do not begin.
        is_transparent: Whether a client's guest hears the outcome of the
            dialogue as if the peer had said it; if not, it has to ask for it.
        may_continue: Whether a conversation whose upgrade was refused can go
            on in the clear (``starttls_policy=may``).
        verifies: Whom the certificate is for: ``host`` or ``domain``.
        is_between_servers: Whether the client speaks for a domain of its own.
        patience: Seconds of silence after which TLS counts as not offered;
            None where the deadline alone counts.
    """

    name: str
    connect: Speaker
    serve: Speaker | None
    port: int | None
    tls_port: int | None = None
    greeting: Callable[[bytes], int] | None = field(default=None, kw_only=True)
    is_transparent: bool = field(default=True, kw_only=True)
    may_continue: bool = field(default=False, kw_only=True)
    verifies: str = field(default="host", kw_only=True)
    is_between_servers: bool = field(default=False, kw_only=True)
    offer_timeout: float | None = field(default=None, kw_only=True)


_ROWS: Final = (
    StartTLSProtocol(
        "smtp", smtp.connect, smtp.serve, 587, 465, greeting=_reply, may_continue=True
    ),
    StartTLSProtocol(
        "lmtp", smtp.connect_lmtp, smtp.serve_lmtp, 24, greeting=_reply, may_continue=True
    ),
    StartTLSProtocol("pop3", pop3.connect, pop3.serve, 110, 995, greeting=_line, may_continue=True),
    StartTLSProtocol("imap", imap.connect, imap.serve, 143, 993, greeting=_line, may_continue=True),
    StartTLSProtocol("nntp", nntp.connect, nntp.serve, 119, 563, greeting=_line, may_continue=True),
    # Its capabilities are what a server says first, before TLS and behind it.
    StartTLSProtocol("sieve", sieve.connect, sieve.serve, 4190),
    StartTLSProtocol("ftp", ftp.connect, ftp.serve, 21, 990, greeting=_reply, may_continue=True),
    StartTLSProtocol("xmpp", xmpp.connect, xmpp.serve, 5222, 5223, verifies="domain"),
    StartTLSProtocol(
        "xmpp-server",
        xmpp.connect_server,
        xmpp.serve_server,
        5269,
        5270,
        verifies="domain",
        is_between_servers=True,
    ),
    StartTLSProtocol("ldap", ldap.connect, ldap.serve, 389, 636, may_continue=True),
    StartTLSProtocol(
        "irc", irc.connect, irc.serve, 6667, 6697, may_continue=True, offer_timeout=8.0
    ),
    StartTLSProtocol("postgres", postgres.connect, postgres.serve, 5432, 5432, may_continue=True),
    StartTLSProtocol("telnet", telnet.connect, telnet.serve, 23, 992),
    StartTLSProtocol("nats", nats.connect, nats.serve, 4222, greeting=_line, may_continue=True),
    StartTLSProtocol("amqp", amqp.connect, amqp.serve, 5672, 5671),
    StartTLSProtocol("nut", nut.connect, nut.serve, 3493, may_continue=True),
    StartTLSProtocol("nbd", nbd.connect, nbd.serve, 10809, is_transparent=False),
    StartTLSProtocol("rdp", rdp.connect, None, 3389),
    StartTLSProtocol("rdp-nla", rdp.connect_nla, None, 3389),
    StartTLSProtocol("mysql", mysql.connect, mysql.serve, 3306, is_transparent=False),
    StartTLSProtocol("vnc", vnc.connect, vnc.serve, 5900, is_transparent=False),
)

STARTTLS_PROTOCOLS: Final = {row.name: row for row in _ROWS}
"""Every protocol by its name."""


def starttls_protocol(given: str | StartTLSProtocol) -> StartTLSProtocol:
    """The protocol of that name, in any case, or one of your own as it is.

    Raises:
        InvalidOption: There is none.
    """
    if isinstance(given, StartTLSProtocol):
        return given
    row = STARTTLS_PROTOCOLS.get(given.lower()) if isinstance(given, str) else None
    if row is None:
        raise InvalidOption(
            "starttls", f"starttls={short_repr(given)}: known are {', '.join(STARTTLS_PROTOCOLS)}"
        )
    return row
