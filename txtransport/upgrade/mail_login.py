"""Log-ins of Twisted's mail protocols, which the guard keeps from happening before TLS.

Someone on the network can read a password that is sent in the clear, and can put a
log-in of their own into a conversation in the clear. So servers refuse it (RFC 4954, section 4;
RFC 9051, section 6.2.3; RFC 2595, section 2.3), and clients do not try (RFC 8314,
section 4.1). Twisted's servers and clients do so at best when they are told to.

This module knows, by public attributes alone, which of their commands log in, how
each protocol says no, and what makes the protocols themselves insist on TLS.
The protocols' modules are not imported when this one is, as in
`txtransport.upgrade.twisted_protocols`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, cast

from attrs import define, field, frozen

from txtransport.errors import NegotiationError
from txtransport.upgrade.framing import is_instance_of

if TYPE_CHECKING:
    from twisted.mail.imap4 import IMAP4Server
    from twisted.mail.pop3 import POP3
    from twisted.mail.smtp import SMTP

__all__ = [
    "LoginRefusal",
    "MailProtocol",
    "SentLines",
    "insist_on_tls",
    "mail_protocol",
    "unsent_login",
    "use_policy",
    "withhold_offers",
]


@frozen
class LoginRefusal:
    """A server's answer to a log-in before TLS.

    Attributes:
        command: The command, in capitals, for messages.
        reply: The answer, in the protocol's words.
        ends_connection: Whether the connection must end behind the answer.
    """

    command: str
    reply: bytes
    ends_connection: bool = False


@frozen
class _Language:
    """One mail protocol, as both its sides speak it.

    Attributes:
        starttls: Its name as the value of the option ``starttls``.
        logins: The commands that log in, in capitals.
        place: Which word of a line is the command, from 0.
    """

    starttls: str
    logins: tuple[bytes, ...]
    place: int = 0

    def login(self, line: bytes) -> bytes:
        """The command, in capitals, if a line of commands logs in; else nothing.

        White space is as Twisted's servers read it, or more generous.

        Args:
            line: The line, or its beginning.
        """
        words = line.split(None, self.place + 1)
        command = words[self.place].upper() if len(words) > self.place else b""
        return command if command in self.logins else b""

    def refusal(self, line: bytes) -> bytes:
        """How a server answers such a line.

        Args:
            line: The line; it has a command.
        """
        if self.starttls == "imap":
            tag = line.split(None, 1)[0]
            return tag + b" NO [PRIVACYREQUIRED] log in under TLS: STARTTLS comes first\r\n"
        if self.starttls == "pop3":
            return b"-ERR log in under TLS: STLS comes first\r\n"
        return b"530 5.7.0 Must issue a STARTTLS command first\r\n"


_SMTP: Final = _Language("smtp", (b"AUTH",))
_IMAP: Final = _Language("imap", (b"LOGIN", b"AUTHENTICATE"), place=1)
_POP3: Final = _Language("pop3", (b"USER", b"PASS", b"APOP", b"AUTH"))

# The rest of such a log-in follows without waiting for an answer (RFC 7888), and
# Twisted's server would take the name and the password for commands.
_LITERAL_FOLLOWS: Final = re.compile(rb"\{[0-9]+\+\}\s*\Z").search


@frozen
class MailProtocol:
    """What the guard knows about one of Twisted's classes for mail.

    Attributes:
        path: The module and the name of the class.
        language: What it speaks.
        tls: The name of an attribute that instances have if they can start TLS.
        context: The name of the attribute for the context factory; ``""`` if
            there is none.
        strict: The attributes, and their values, that make it insist on TLS.
        offers: Servers only. The name of an instance's attribute for the log-ins
            that it offers, by their names; ``""`` if there is none.
        reads_commands: Servers only. Says whether the next line is a command,
            and not part of a mail or of an earlier command.
    """

    path: tuple[str, str]
    language: _Language
    tls: str
    context: str = ""
    strict: Mapping[str, object] = field(factory=dict)
    offers: str = ""
    reads_commands: Callable[[object], bool] | None = None

    @property
    def is_client(self) -> bool:
        """Whether it is a client."""
        return self.reads_commands is None

    @property
    def starttls(self) -> str:
        """The protocol, as the value of the option ``starttls``."""
        return self.language.starttls

    def can_start_tls(self, protocol: object) -> bool:
        """Whether a protocol of this class can start TLS.

        Args:
            protocol: The protocol; a subclass may have learnt it.
        """
        return hasattr(protocol, self.tls)

    def has_context(self, protocol: object) -> bool:
        """Whether a protocol has what it starts TLS with, or can be given that later.

        Args:
            protocol: The protocol, after `use_policy` if there is a policy.
        """
        return (
            self.is_client or not self.context or getattr(protocol, self.context, None) is not None
        )

    def refused_login(self, protocol: object, unit: bytes) -> LoginRefusal | None:
        """The answer to a log-in, if a server is about to receive one.

        Args:
            protocol: The server.
            unit: Its next unit.
        """
        if self.reads_commands is None or not self.reads_commands(protocol):
            return None
        command = self.language.login(unit)
        if not command:
            return None
        reply = self.language.refusal(unit)
        is_last = self.language is _IMAP and _LITERAL_FOLLOWS(unit) is not None
        if is_last:
            reply = b"* BYE a password must not follow in the clear\r\n" + reply
        return LoginRefusal(command.decode(), reply, is_last)


def _reads_smtp_commands(server: object) -> bool:
    return bool(cast("SMTP", server).mode == "COMMAND")


def _reads_imap_commands(server: object) -> bool:
    imap = cast("IMAP4Server", server)
    return bool(imap.line_mode and imap.parseState == "command")


def _reads_pop3_commands(server: object) -> bool:
    return bool(cast("POP3", server).state == "COMMAND")


_ROWS: Final = (
    MailProtocol(
        ("twisted.mail.smtp", "ESMTP"),
        _SMTP,
        tls="ext_STARTTLS",
        context="ctx",
        offers="challengers",
        reads_commands=_reads_smtp_commands,
    ),
    MailProtocol(
        ("twisted.mail.smtp", "SMTP"),
        _SMTP,
        tls="do_STARTTLS",
        reads_commands=_reads_smtp_commands,
    ),
    MailProtocol(
        ("twisted.mail.smtp", "ESMTPClient"),
        _SMTP,
        tls="esmtpState_starttls",
        context="context",
        strict={"requireTransportSecurity": True},
    ),
    # Sends mail in the clear, of which any line may begin like a command, but
    # it cannot log in.
    MailProtocol(("twisted.mail.smtp", "SMTPClient"), _Language("smtp", ()), tls="startTLS"),
    MailProtocol(
        ("twisted.mail.imap4", "IMAP4Server"),
        _IMAP,
        tls="unauth_STARTTLS",
        context="ctx",
        offers="challengers",
        reads_commands=_reads_imap_commands,
    ),
    MailProtocol(("twisted.mail.imap4", "IMAP4Client"), _IMAP, tls="startTLS", context="context"),
    # Twisted's own has no STLS; a subclass may.
    MailProtocol(
        ("twisted.mail.pop3", "POP3"),
        _POP3,
        tls="do_STLS",
        reads_commands=_reads_pop3_commands,
    ),
    MailProtocol(
        ("twisted.mail.pop3", "AdvancedPOP3Client"),
        _POP3,
        tls="startTLS",
        strict={"allowInsecureLogin": False},
    ),
    MailProtocol(("twisted.mail.pop3", "POP3Client"), _POP3, tls="startTLS"),
)
"""Subclasses stand before their base classes."""


def mail_protocol(protocol: object) -> MailProtocol | None:
    """What is known about a protocol, if its class is one of Twisted's for mail.

    Args:
        protocol: The application's protocol, of whatever class.
    """
    return next((row for row in _ROWS if is_instance_of(protocol, *row.path)), None)


class _PolicyOfGuard:
    """Stands where a protocol wants a context factory, to say that TLS can be had.

    The guard uses its own policy in place of any context factory. This one has
    no method of a context factory, so nothing else can use it by mistake.
    """


_POLICY_OF_GUARD: Final = _PolicyOfGuard()


def use_policy(row: MailProtocol, protocol: object) -> None:
    """Have a protocol offer TLS, or ask for it, that has no context of its own.

    Args:
        row: What is known about the protocol.
        protocol: The protocol, before it is connected.
    """
    if row.context and getattr(protocol, row.context, None) is None:
        setattr(protocol, row.context, _POLICY_OF_GUARD)


def insist_on_tls(row: MailProtocol, protocol: object) -> None:
    """Have a protocol insist on TLS by itself, as far as it can.

    Args:
        row: What is known about the protocol.
        protocol: The protocol, before it is connected.
    """
    for name, value in row.strict.items():
        setattr(protocol, name, value)


def withhold_offers(row: MailProtocol, protocol: object) -> Callable[[], None]:
    """Have a server offer no log-in before TLS.

    A client that sees an offer sends its password, and the refusal comes too late
    (RFC 2595, section 6; RFC 4954, section 4).

    Args:
        row: What is known about the protocol.
        protocol: The protocol, before it is connected.

    Returns:
        To be called when TLS has started: gives the offers back, unless the
        application has made others meanwhile.
    """
    nothing: dict[bytes, object] = {}
    offers = getattr(protocol, row.offers, None) if row.offers else None

    def give_back() -> None:
        if offers is not None and getattr(protocol, row.offers) is nothing:
            setattr(protocol, row.offers, offers)

    if offers is not None:
        setattr(protocol, row.offers, nothing)
    return give_back


_BEGINNING: Final = 1024
"""How many bytes of a line are looked at; they hold the tag and the command."""

_END: Final = 32
"""How many of a line's last bytes are kept; they hold the size of a literal."""

# RFC 9051, section 4.3: the size, in bytes, of what follows the line. With "+"
# the client does not wait for the server's go-ahead.
_LITERAL: Final = re.compile(rb"\{([0-9]{1,20})(\+?)\}\r?\Z").search


@define(eq=False)
class SentLines:
    """The lines that a client sends before TLS.

    In IMAP a line may announce a literal: so many bytes of any text, such as a
    mail, behind which the same command goes on. The bytes of a literal are not
    looked at, so a literal must not hide a command:

    - It begins with the server's go-ahead. Without one, the server may refuse the
      literal, and the client sends its next command instead.
    - With ``{n+}`` the client does not wait, so the literal begins at once.
    - It ends at the latest with the server's answer to the command.

    Two things leave unclear what the client sends: an answer that comes within a
    literal, and bytes that the client sends before the go-ahead. After either of
    them, each line counts as a command, whatever it announces.

    Attributes:
        row: What is known about the client.
    """

    row: MailProtocol
    _line: bytes = b""
    _end: bytes = b""
    _literal: int = 0
    _announced: int | None = None
    _is_continued: bool = False
    _believes_literals: bool = True

    def login(self, data: bytes) -> str:
        """Which log-in a client is about to send, if any.

        A log-in that is written in pieces is noticed before its arguments are
        sent.

        Args:
            data: What the client writes.
        """
        if data and self._announced is not None:
            self._announced, self._believes_literals = None, False
        start = 0
        while start < len(data):
            if self._literal:
                skipped = min(self._literal, len(data) - start)
                self._literal -= skipped
                start += skipped
                continue
            end = data.find(b"\n", start)
            piece = data[start:end] if end >= 0 else data[start:]
            self._line = (self._line + piece[:_BEGINNING])[:_BEGINNING]
            self._end = (self._end + piece[-_END:])[-_END:]
            command = b"" if self._is_continued else self.row.language.login(self._line)
            if command:
                return command.decode()
            if end < 0:
                break
            self._end_line()
            start = end + 1
        return ""

    def received(self, line: bytes) -> None:
        """Note a line of the server's.

        Args:
            line: The line. In IMAP, the server's go-ahead begins with a plus
                sign, and any line with a tag answers the command.
        """
        if line.startswith(b"+"):
            if self._announced is not None:
                self._begin_literal(self._announced)
        elif not line.startswith(b"*"):
            self._believes_literals = self._believes_literals and not self._literal
            if self._is_continued:
                self._line = b""
            self._literal, self._announced, self._is_continued = 0, None, False

    def _end_line(self) -> None:
        found = _LITERAL(self._end) if self._has_literals else None
        self._line = self._end = b""
        self._is_continued = False
        if found is None:
            return
        if found[2]:
            self._begin_literal(int(found[1]))
        else:
            self._announced = int(found[1])

    def _begin_literal(self, size: int) -> None:
        self._literal, self._announced, self._is_continued = size, None, True

    @property
    def _has_literals(self) -> bool:
        return self.row.language is _IMAP and self._believes_literals


def unsent_login(row: MailProtocol, command: str) -> tuple[NegotiationError, str]:
    """Why a client's conversation ends at its log-in, and what to do.

    Args:
        row: What is known about the client.
        command: The log-in.
    """
    error = NegotiationError(
        f"the client's {command} was not sent, since TLS has not started: anyone on the way "
        "could have read it"
    )
    error.cause, error.fault = "plaintext-login", "ours"
    advice = (
        "Start TLS before the log-in (the client's startTLS(), if it has one), or connect with "
        f"tls://, with starttls={row.starttls} where the port begins in the clear; a server "
        "that offers no TLS has to learn it, unless guard(require_tls=False) is meant"
    )
    return error, advice
