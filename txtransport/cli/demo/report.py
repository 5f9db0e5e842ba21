"""What the demo saw, as values, which know neither how they came about nor how to be shown."""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import frozen

from txtransport import Session, TransportURL

__all__ = ["PLAIN", "REFUSED", "DemoReport", "Form", "Line", "MailExample", "Row", "RowOutcome"]

PLAIN: Final = "plain"
"""The result of a form that connects without TLS."""

REFUSED: Final = "refused"
"""The result of a form that this installation does not have."""


class RowOutcome(Enum):
    """What happened when a form was tried."""

    CONNECTED = "connected"
    REFUSED = REFUSED
    """txtransport does not have the transport, and says why."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """This machine has no addresses of that kind, such as IPv6."""


@frozen
class Form:
    """What is asked for, and the result that it should have.

    Attributes:
        asked: A transport, as a user writes it.
        expected: `PLAIN`, `REFUSED`, or the version of TLS.
        is_resumed: Whether the session of an earlier connection should be resumed.
        is_broken: Whether it is one of SSL 2.0 or SSL 3.0, which the extra
            ``txtransport[legacy]`` has, and which is then dialled with ``allow_broken_ssl``.
    """

    asked: str
    expected: str
    is_resumed: bool = False
    is_broken: bool = False


@frozen
class Row:
    """A form, and what happened when it was tried.

    Attributes:
        form: What was asked for.
        outcome: How it ended.
        parsed: How it was read; None when it is no transport.
        dialled: Where on this machine it was taken to, or None.
        session: The TLS session, or None where there was none.
        milliseconds: From ``connect()`` until a line had come back from the
            server; None without a connection.
        reason: Why it was refused, failed or was skipped; empty when it was not.
    """

    form: Form
    outcome: RowOutcome = RowOutcome.FAILED
    parsed: TransportURL | None = None
    dialled: TransportURL | None = None
    session: Session | None = None
    milliseconds: float | None = None
    reason: str = ""

    @property
    def result(self) -> str:
        """One word: `PLAIN`, the version of TLS, or the outcome."""
        if self.outcome is not RowOutcome.CONNECTED:
            return str(self.outcome.value)
        return self.session.version if self.session else PLAIN

    @property
    def is_right(self) -> bool:
        """Whether the result is the expected one, and the peer was verified."""
        if self.outcome is RowOutcome.SKIPPED:
            return True
        session = self.session
        return self.result == self.form.expected and (
            session is None or (session.verified and session.resumed is self.form.is_resumed)
        )


@frozen
class Line:
    """One line of a conversation.

    Attributes:
        is_client: Whether the client said it.
        is_secure: Whether it was said under TLS.
        text: What was said, without its line ending.
    """

    is_client: bool
    is_secure: bool
    text: str


@frozen
class MailExample:
    """One way to connect to a mail server, and how it went.

    Attributes:
        title: What the example shows.
        asked: The transport that a user would write.
        expected: The version of TLS, or the cause of the failure.
        dialled: Where on this machine it was taken to, or None.
        lines: What was said.
        session: The TLS session, or None where there was none.
        cause: The failure in one word, one of `txtransport.errors.CAUSES` or the
            name of an exception; empty when nothing failed.
        explanation: The failure in the words of its error.
    """

    title: str
    asked: str
    expected: str
    dialled: TransportURL | None = None
    lines: tuple[Line, ...] = ()
    session: Session | None = None
    cause: str = ""
    explanation: str = ""

    @property
    def result(self) -> str:
        """One word: the cause of the failure, the version of TLS, or `PLAIN`."""
        return self.cause or (self.session.version if self.session else PLAIN)

    @property
    def is_right(self) -> bool:
        """Whether the result is the expected one, and the peer was verified."""
        return self.result == self.expected and (self.session is None or self.session.verified)


@frozen
class DemoReport:
    """Everything that the demo saw.

    Attributes:
        rows: The table.
        mail_examples: Mail by implicit TLS, by STARTTLS, and by mistake.
        seconds: How long all of it took.
    """

    rows: tuple[Row, ...]
    mail_examples: tuple[MailExample, ...]
    seconds: float

    @property
    def wrong(self) -> tuple[str, ...]:
        """The transports, as asked for, whose result is not the expected one."""
        rows = [row.form.asked for row in self.rows if not row.is_right]
        examples = [example.asked for example in self.mail_examples if not example.is_right]
        return (*rows, *examples)

    @property
    def is_right(self) -> bool:
        """Whether every result is the expected one."""
        return not self.wrong
