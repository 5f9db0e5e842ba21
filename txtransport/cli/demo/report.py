"""What the demo saw, as values. How they come about or are shown is not known here."""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import frozen

from txtransport import Session, TransportURL

PLAIN: Final = "plain"
"""What comes of a form that connects without TLS."""


class RowOutcome(Enum):
    """How a form ended."""

    CONNECTED = "connected"
    REFUSED = "refused"
    """By txtransport, which names the reason."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """This machine has no such addresses."""


@frozen
class Form:
    """What is asked for, and what should come of it.

    Attributes:
        asked: A transport as it is written.
        expected: `PLAIN`, ``refused``, or the version of TLS.
        is_resumed: Whether an earlier session should be taken up again.
    """

    asked: str
    expected: str
    is_resumed: bool = False


@frozen
class Row:
    """What came of a form.

    Attributes:
        form: What was asked for.
        outcome: How it ended.
        parsed: How it was read, or None when it could not be.
        dialled: Where on this machine it was taken to, or None.
        session: The TLS session, or None where there was none.
        milliseconds: From ``connect()`` until a line had gone there and come
            back; None without a connection.
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
        """In a word: `PLAIN`, the version of TLS, or how it ended."""
        if self.outcome is not RowOutcome.CONNECTED:
            return str(self.outcome.value)
        return self.session.version if self.session else PLAIN

    @property
    def is_right(self) -> bool:
        """Whether it ended as it should."""
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
    """One way to speak with a mail server, and how it went.

    Attributes:
        title: What is shown.
        asked: The transport that a user would write.
        expected: The version of TLS, or the cause of the failure.
        dialled: Where on this machine it was taken to, or None.
        lines: What was said.
        session: The TLS session, or None where there was none.
        cause: The failure in a word, one of `txtransport.errors.CAUSES` or the
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
        """In a word: the cause of the failure, or the version of TLS."""
        return self.cause or (self.session.version if self.session else PLAIN)

    @property
    def is_right(self) -> bool:
        """Whether it went as it should."""
        return self.result == self.expected and (self.session is None or self.session.verified)


@frozen
class DemoReport:
    """All that the demo saw.

    Attributes:
        rows: The table.
        scenes: The mail story.
        seconds: How long all of it took.
    """

    rows: tuple[Row, ...]
    scenes: tuple[MailExample, ...]
    seconds: float

    @property
    def wrong(self) -> tuple[str, ...]:
        """What did not go as it should, as it was asked for."""
        rows = [row.form.asked for row in self.rows if not row.is_right]
        return (*rows, *(scene.asked for scene in self.scenes if not scene.is_right))

    @property
    def is_right(self) -> bool:
        """Whether all went as it should."""
        return not self.wrong
