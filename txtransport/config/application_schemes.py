"""URLs of applications (``https://``, ``smtps://``, ``postgres://``), typed in place of ours.

Such a URL names a protocol, which is spoken over a transport. It is refused, and the
message names the transport's URL: the same host and port, or the port that is usual for
the scheme. A row of `APPLICATION_SCHEMES` says which transport a scheme stands for.

A URL of an application often carries secrets, in its user name and password, its path
(a web hook's), its query (a token's) or its fragment. So the message is made from the
row, the host and the port alone, and from nothing else of the text. Two programs may
take another part of a broken text for the host; if there is any doubt which part that
is (a ``\\``, or an ``@`` behind the first ``/``), none is shown, and the URL has HOST in
its place.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from attrs import field, frozen

from txtransport.config.host import canonical_host, canonical_literal, host_in_url

__all__ = [
    "APPLICATION_SCHEMES",
    "ApplicationScheme",
    "TLSUse",
    "application_scheme",
    "refuse_application_url",
]


class TLSUse(Enum):
    """Where TLS is in the protocol that a scheme names."""

    FROM_THE_START = "from the start"
    STARTTLS = "after a dialogue in the clear"
    NONE = "none"
    OWN = "none, since the protocol encrypts by itself"


@frozen
class ApplicationScheme:
    """One row of the table.

    Attributes:
        name: What stands before ``://`` in the application's URL, in lower case.
        protocol: What the scheme stands for, in the words that people use.
        port: The port that is meant where the URL has none.
        tls: Where TLS is in the protocol.
        starttls: The value of ``starttls=``, where TLS is begun by a dialogue.
        tls_scheme: The scheme of the same protocol over TLS, where this one is in the
            clear and the other has a port of its own.
        note: What else there is to know, for the end of the message.
        has_server: Whether the URL's host is a server; if not, it is a name under which
            the servers are looked up.
        has_drivers: Whether programs write the name of a driver behind a ``+``
            (``postgresql+psycopg2``).
    """

    name: str
    protocol: str
    port: int
    tls: TLSUse = TLSUse.FROM_THE_START
    starttls: str = field(default="", kw_only=True)
    tls_scheme: str = field(default="", kw_only=True)
    note: str = field(default="", kw_only=True)
    has_server: bool = field(default=True, kw_only=True)
    has_drivers: bool = field(default=False, kw_only=True)


def _upgraded(
    name: str, protocol: str, port: int, starttls: str, note: str = "", has_drivers: bool = False
) -> ApplicationScheme:
    return ApplicationScheme(
        name, protocol, port, TLSUse.STARTTLS,
        starttls=starttls, note=note, has_drivers=has_drivers,
    )  # fmt: skip


def _clear(name: str, protocol: str, port: int, tls_scheme: str = "") -> ApplicationScheme:
    return ApplicationScheme(name, protocol, port, TLSUse.NONE, tls_scheme=tls_scheme)


_SUBMISSION: Final = "mail programs submit at port 587 or, with TLS from the start, at 465"

_ROWS: Final = (
    # The web.
    ApplicationScheme("https", "HTTP over TLS", 443),
    _clear("http", "HTTP without TLS", 80, "https"),
    ApplicationScheme("wss", "WebSocket over TLS", 443),
    _clear("ws", "WebSocket without TLS", 80, "wss"),
    ApplicationScheme("gemini", "Gemini, which is always over TLS", 1965),
    # Mail.
    ApplicationScheme("smtps", "SMTP over TLS", 465),
    ApplicationScheme("submissions", "submission of mail over TLS", 465),
    _upgraded("smtp", "SMTP", 25, "smtp", _SUBMISSION),
    _upgraded("submission", "submission of mail", 587, "smtp"),
    _upgraded("lmtp", "LMTP", 24, "lmtp"),
    ApplicationScheme("imaps", "IMAP over TLS", 993),
    _upgraded("imap", "IMAP", 143, "imap"),
    ApplicationScheme("pop3s", "POP3 over TLS", 995),
    ApplicationScheme("pops", "POP3 over TLS", 995),
    _upgraded("pop3", "POP3", 110, "pop3"),
    _upgraded("pop", "POP3", 110, "pop3"),
    _upgraded("sieve", "ManageSieve", 4190, "sieve"),
    # News, chat, files.
    ApplicationScheme("nntps", "NNTP over TLS", 563),
    _upgraded("nntp", "NNTP", 119, "nntp"),
    _upgraded("xmpp", "XMPP", 5222, "xmpp"),
    ApplicationScheme("ircs", "IRC over TLS", 6697),
    _upgraded("irc", "IRC", 6667, "irc", "most networks have TLS from the start at port 6697"),
    ApplicationScheme("ftps", "FTP over TLS", 990),
    _upgraded("ftp", "FTP", 21, "ftp"),
    # Directories.
    ApplicationScheme("ldaps", "LDAP over TLS", 636),
    _upgraded("ldap", "LDAP", 389, "ldap"),
    # Databases and caches.
    _upgraded("postgresql", "PostgreSQL", 5432, "postgres", has_drivers=True),
    _upgraded("postgres", "PostgreSQL", 5432, "postgres", has_drivers=True),
    _upgraded("mysql", "MySQL", 3306, "mysql", has_drivers=True),
    _upgraded("mariadb", "MariaDB", 3306, "mysql", has_drivers=True),
    ApplicationScheme("rediss", "Redis over TLS", 6379),
    _clear("redis", "Redis without TLS", 6379),
    _clear("valkey", "Valkey without TLS", 6379),
    ApplicationScheme("valkeys", "Valkey over TLS", 6379),
    _clear("mongodb", "MongoDB", 27017),
    ApplicationScheme(
        "mongodb+srv", "MongoDB over TLS", 27017, has_server=False,
        note="its host is no server, but the name whose SRV records list them",
    ),
    # Queues.
    ApplicationScheme("amqps", "AMQP over TLS", 5671),
    _clear("amqp", "AMQP without TLS", 5672, "amqps"),
    ApplicationScheme("mqtts", "MQTT over TLS", 8883),
    _clear("mqtt", "MQTT without TLS", 1883, "mqtts"),
    _upgraded("nats", "NATS", 4222, "nats"),
    # Terminals, screens and disks.
    ApplicationScheme("telnets", "Telnet over TLS", 992),
    _clear("telnet", "Telnet without TLS", 23, "telnets"),
    _upgraded("rdp", "Remote Desktop", 3389, "rdp"),
    _upgraded("vnc", "VNC", 5900, "vnc"),
    _upgraded("nbd", "Network Block Device", 10809, "nbd"),
    _upgraded("nbds", "Network Block Device with TLS", 10809, "nbd"),
    ApplicationScheme("ssh", "SSH", 22, TLSUse.OWN),
    ApplicationScheme("sftp", "SFTP, which is spoken over SSH", 22, TLSUse.OWN),
)  # fmt: skip

APPLICATION_SCHEMES: Final = {row.name: row for row in _ROWS}
"""Every scheme of an application that is recognised, by its name."""

_NAME_AT_END: Final = re.compile(r"[A-Za-z][A-Za-z0-9+._-]*$").search
# Longer than any name in the table with a driver's behind it.
_LONGEST_NAME: Final = 40
# User, host and port, and whether there is more. No user name has a raw @, /, ? or # in
# it (RFC 3986, section 3.2.1), but passwords are pasted as they are; of several @, all
# programs take the last before the first / for the end of the password.
_AUTHORITY: Final = re.compile(r"(?:([^/?#\\]*)@)?([^/?#\\@]*)([/?#][^@\\]*)?").fullmatch
_HOST_AND_PORT: Final = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::([0-9]{0,5}))?").fullmatch


def application_scheme(name: str) -> ApplicationScheme | None:
    """The row of a scheme, or None if it is not one of the table.

    Args:
        name: In upper or lower case, perhaps with a driver behind a ``+``.
    """
    name = name.lower()
    row = APPLICATION_SCHEMES.get(name)
    if row is None:
        row = APPLICATION_SCHEMES.get(name.partition("+")[0])
        return row if row is not None and row.has_drivers else None
    return row


def refuse_application_url(text: str, port: int | None = None) -> str | None:
    """Why a text that is an application's URL is refused, and what to write in its place.

    Args:
        text: Any text; what stands before the scheme by mistake (``<``, a blank, ``url=``)
            and a missing slash do not matter.
        port: The port that was given beside the text, used if the text has none.

    Returns:
        The message, which shows nothing of the text but scheme, host and port; or None if
        the text is not such a URL.
    """
    before, slash, rest = text.partition(":/")
    found = _NAME_AT_END(before[-_LONGEST_NAME:])
    if not slash or "?" in before or found is None:
        return None
    row = application_scheme(found[0])
    if row is None:
        return None
    rest = rest.removeprefix("/")
    written = _AUTHORITY(rest.strip())
    place = _host_and_port(written[2]) if written is not None and row.has_server else None
    host, number = place or ("HOST", None)
    if number is None and type(port) is int and 0 < port <= 65535:
        number = port
    shown = f"{row.name}://{_authority(host, number) if place else '…'}"
    has_more = written is None or written[1] is not None or written[3] not in (None, "/")
    more = "; the rest of the URL is for the program that speaks the protocol" if has_more else ""
    note = f"; {row.note}" if row.note and (number is None or not row.has_server) else ""
    return (
        f"{shown}: this is a URL of {row.protocol}, not of a transport; "
        f"write {_instead(row, host, number)}{note}{more}"
    )


def _instead(row: ApplicationScheme, host: str, number: int | None) -> str:
    """The transport's URL for an application's, and what to know where there are two."""
    usual = _authority(host, number or row.port)
    if row.tls is TLSUse.FROM_THE_START:
        return f"tls://{usual}"
    if row.tls is TLSUse.STARTTLS:
        return f"tls://{usual}?starttls={row.starttls}"
    if row.tls is TLSUse.OWN:
        return f"tcp://{usual} (it encrypts by itself)"
    tls_port = APPLICATION_SCHEMES[row.tls_scheme or row.name].port
    over_tls = f"tls://{_authority(host, number or tls_port)}"
    return (
        f"{over_tls} if that port speaks TLS, or tcp://{usual} for plain text, which others "
        "can read and change"
    )


def _authority(host: str, number: int | None) -> str:
    return host_in_url(host) if number is None else f"{host_in_url(host)}:{number}"


def _host_and_port(authority: str) -> tuple[str, int | None] | None:
    """The canonical host, and the port, if both can be used; None otherwise."""
    found = _HOST_AND_PORT(authority)
    if found is None:
        return None
    literal, name, digits = found.groups()
    number = int(digits) if digits else None
    if number is not None and not 0 < number <= 65535:
        return None
    try:
        host = canonical_host(name) if literal is None else canonical_literal(literal)
    except ValueError:
        return None
    return host, number
