"""The table of the protocols with STARTTLS: name, dialogue, ports and options.

A row says everything that the rest of the package needs to know of a protocol.
The dialogues are in files of their own.
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

__all__ = ["STARTTLS_PROTOCOLS", "USUAL_STARTTLS", "StartTLSProtocol", "starttls_protocol"]


def _end_of_line(data: bytes) -> int:
    """The length of the first line of `data`; 0 if it is not complete."""
    return data.find(b"\n") + 1


def _end_of_reply(data: bytes) -> int:
    """The length of the reply with a code at the start of `data`; 0 if it is not complete.

    Its last line is the first one with the code of the first line and no hyphen
    behind this code.
    """
    begin = 0
    while end := data.find(b"\n", begin) + 1:
        if data[begin : begin + 3] == data[:3] and data[begin + 3 : begin + 4] != b"-":
            return end
        begin = end
    return 0


@frozen
class StartTLSProtocol:
    """One protocol with STARTTLS: a row of the table, or a protocol of a user's own.

    Attributes:
        name: The value of ``starttls=``.
        connect: The client's side of the dialogue.
        serve: The server's side, or None where there is none here.
        port: The usual port for STARTTLS, or None.
        tls_port: The usual port with TLS from the start, or None.
        greeting: Returns the length of the greeting at the start of what the
            application's protocol of a server sends; 0 if the greeting is not
            complete. This greeting is not sent, because the client has received
            one before TLS. None where servers do not greet.
        is_transparent: Whether the application's protocol of a client receives
            the outcome of the dialogue as if the peer had sent it. If not, it
            asks for the outcome (`txtransport.starttls_outcome`).
        may_continue: Whether a client can continue in plaintext after the server
            did not offer or refused TLS (``starttls_policy=may``).
        verifies: The name that the certificate has to be for: ``host`` or
            ``domain``.
        is_between_servers: Whether the client represents a domain of its own.
        offer_timeout: Seconds without an answer after which TLS counts as not
            offered; None where only the deadline of the negotiation counts.
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
        "smtp", smtp.connect, smtp.serve, 587, 465, greeting=_end_of_reply, may_continue=True
    ),
    StartTLSProtocol(
        "lmtp", smtp.connect_lmtp, smtp.serve_lmtp, 24, greeting=_end_of_reply, may_continue=True
    ),
    StartTLSProtocol(
        "pop3", pop3.connect, pop3.serve, 110, 995, greeting=_end_of_line, may_continue=True
    ),
    StartTLSProtocol(
        "imap", imap.connect, imap.serve, 143, 993, greeting=_end_of_line, may_continue=True
    ),
    StartTLSProtocol(
        "nntp", nntp.connect, nntp.serve, 119, 563, greeting=_end_of_line, may_continue=True
    ),
    # No greeting: under TLS the server sends its capabilities again, and the client expects them.
    StartTLSProtocol("sieve", sieve.connect, sieve.serve, 4190),
    StartTLSProtocol(
        "ftp", ftp.connect, ftp.serve, 21, 990, greeting=_end_of_reply, may_continue=True
    ),
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
    StartTLSProtocol(
        "nats", nats.connect, nats.serve, 4222, greeting=_end_of_line, may_continue=True
    ),
    StartTLSProtocol("amqp", amqp.connect, amqp.serve, 5672, 5671),
    StartTLSProtocol("nut", nut.connect, nut.serve, 3493, may_continue=True),
    StartTLSProtocol("nbd", nbd.connect, nbd.serve, 10809, is_transparent=False),
    StartTLSProtocol("rdp", rdp.connect, None, 3389),
    StartTLSProtocol("rdp-nla", rdp.connect_nla, None, 3389),
    StartTLSProtocol("mysql", mysql.connect, mysql.serve, 3306, is_transparent=False),
    StartTLSProtocol("vnc", vnc.connect, vnc.serve, 5900, is_transparent=False),
)

STARTTLS_PROTOCOLS: Final = {row.name: row for row in _ROWS}
"""Every row of the table, by its name."""

# Of two protocols with one port the table has the more usual first, so it is
# entered last.
USUAL_STARTTLS: Final = {
    25: "smtp",
    **{row.port: row.name for row in reversed(_ROWS) if row.port is not None},
}
"""Ports at which servers usually begin in the clear, and the name of their protocol."""


def starttls_protocol(given: str | StartTLSProtocol) -> StartTLSProtocol:
    """Look up a protocol by the value of ``starttls=``.

    Args:
        given: A name, in upper or lower case, or a protocol of the user's own.

    Returns:
        The row with this name, or the user's own protocol as it is.

    Raises:
        InvalidOption: No protocol has this name.
    """
    if isinstance(given, StartTLSProtocol):
        return given
    row = STARTTLS_PROTOCOLS.get(given.lower()) if isinstance(given, str) else None
    if row is None:
        raise InvalidOption(
            "starttls", f"starttls={short_repr(given)}: known are {', '.join(STARTTLS_PROTOCOLS)}"
        )
    return row
