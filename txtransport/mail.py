"""`sendmail`: one mail to a server that a URL names, sent once, and every failure explained.

    result = await sendmail(
        reactor, "tls://smtp.example.com:587?starttls=smtp",
        "me@example.com", ["you@example.org"], message, user="me", password=password,
    )

The URL is the only setting: port 465 (``tls://smtp.example.com:465``), 587 or 25
(``?starttls=smtp``), a relay on this machine (``tcp://localhost:25``), with all options of a
client. The dialogue of SMTP is Twisted's (`twisted.mail.smtp.ESMTPClient`); this module gives
it what it lacks over an endpoint:

- The end of the connection is told. Twisted's senders hear of it only by
  ``clientConnectionLost()``, which endpoints do not call: their Deferred would never fire.
- Nothing is sent twice. A connection that is lost behind the final dot leaves open whether
  the server has the mail, and the error says so (`MailNotSent.may_be_delivered`).
- Lines are made as RFC 5321 wants them (section 2.3.8, 4.5.2), whatever the message has, and
  wherever its pieces are cut: a dot at the beginning of a line is doubled, and neither a CR
  nor an LF stands alone. What does so passes for the end of a mail with some servers.
- No password is in a log or an error, and none is sent in the clear.
"""

from __future__ import annotations

import copy
import functools
import re
import socket
from collections.abc import Iterable
from email.message import Message
from email.policy import SMTP
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any, Final, cast

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from txtransport.config.resolve import with_port
from txtransport.config.schemes import SCHEMES
from txtransport.config.url import TransportURL
from txtransport.endpoints.api import client
from txtransport.endpoints.client import ClientEndpoint
from txtransport.errors import Diagnosis, InvalidOption, MailNotSent, TransportTimeout
from txtransport.text import decode_text, short_repr, short_text
from txtransport.tls.session import session_of

__all__ = ["Reply", "SentMail", "sendmail"]

REPLY_TIMEOUT: Final = 300.0
"""Seconds for each reply (RFC 5321, section 4.5.3.2, has 2 to 10 minutes)."""

_MOST_LINES: Final = 200
"""So many lines may a reply have; Twisted's client keeps them all."""

_MOST_RECIPIENTS: Final = 100
"""So many every server takes (RFC 5321, section 4.5.3.1.8)."""


if TYPE_CHECKING:
    from twisted.mail.smtp import ESMTPClient as _SMTPClient
else:
    # Twisted's module installs a reactor when it is imported; ours does nothing.
    _SMTPClient = object


@frozen
class Reply:
    """What a server has answered.

    Attributes:
        code: The reply's code, such as 550; -1 where there was none.
        text: Its text, escaped and cut.
    """

    code: int
    text: str

    def __str__(self) -> str:
        return f"{self.code} {self.text}".strip() if self.code > 0 else self.text


@frozen
class SentMail:
    """A mail that a server has taken for one recipient at least.

    Attributes:
        accepted: The recipients that it was taken for.
        refused: The others, each with the server's reply.
        reply: What the server said to the mail, often with an identifier.
    """

    accepted: tuple[str, ...]
    refused: tuple[tuple[str, Reply], ...]
    reply: Reply


def sendmail(
    reactor: object,
    url: str | TransportURL,
    sender: str,
    recipients: str | Iterable[str],
    message: bytes | str | Message,
    *,
    user: str | None = None,
    password: str | None = None,
    helo: str | None = None,
    reply_timeout: float = REPLY_TIMEOUT,
    **options: object,
) -> Deferred[SentMail]:
    """Send one mail.

    Args:
        reactor: Connects and keeps time.
        url: The server: ``tls://smtp.example.com:465`` or
            ``tls://smtp.example.com:587?starttls=smtp``, for example.
        sender: The envelope's sender, ``me@example.com``; empty for none.
        recipients: The envelope's recipients, 100 at the most.
        message: With its headers, which are not changed; of an ``email.message.Message``
            its ``Bcc`` is left out. Lines may end in any way.
        user: The name to log in with, or None.
        password: The password; needs TLS, or a local socket.
        helo: What to call ourselves; by default the name of this machine.
        reply_timeout: Seconds that each reply may take.
        **options: Options of the URL (``docs/options.md``).

    Returns:
        Fires with a `SentMail` when the server has taken the mail for one recipient at
        least. Fails with `MailNotSent`, with `TransportTimeout` where the server did not
        answer, or with what `client` fails with. Nothing is sent again. Cancelling ends
        the connection.

    Raises:
        InvalidOption, InvalidTransport, TransportUnavailable: As `client`; or the envelope
            or the log-in cannot be used.
    """
    url = with_port(url, None)
    is_local = SCHEMES[url.scheme].is_local
    endpoint = client(reactor, url, None, **cast("dict[str, Any]", options))
    where = endpoint.config.where
    try:
        envelope = _Envelope(
            _address("sender", sender) if sender else b"",
            _recipients(recipients),
            _body(message),
            _login(user, password, endpoint, is_local=is_local),
            _helo(helo),
            is_local,
        )
        if not 0 < reply_timeout < float("inf"):
            raise InvalidOption("reply_timeout", "reply_timeout is a number of seconds")
    except InvalidOption as error:
        raise error.located(where) from None
    return _Sending(endpoint, where, envelope, reply_timeout).begin()


@frozen
class _Envelope:
    """What a sender sends.

    Attributes:
        sender: An address, or empty.
        recipients: The addresses.
        body: The message with its dots doubled.
        login: Name and password, or None.
        helo: What we call ourselves.
        is_local: Whether it goes to a local socket, over which a password may go in the clear.
            What over= leads to has no port either, and may be anywhere.
    """

    sender: bytes
    recipients: tuple[bytes, ...]
    body: bytes
    login: tuple[bytes, bytes] | None
    helo: bytes
    is_local: bool


class _Sending:
    """One mail on its way: connects, has it sent, and tells once how that ended.

    Args:
        endpoint: Connects to the server.
        where: The endpoint, for messages.
        envelope: What to send.
        reply_timeout: Seconds for each reply.
    """

    def __init__(
        self, endpoint: ClientEndpoint, where: str, envelope: _Envelope, reply_timeout: float
    ) -> None:
        self.where = where
        self.envelope = envelope
        self.reply_timeout = reply_timeout
        self._endpoint = endpoint
        self._connecting: Deferred[Any] | None = None
        self._sender: _Sender | None = None
        self._done: Deferred[SentMail] | None = Deferred(self._cancelled)

    def begin(self) -> Deferred[SentMail]:
        """Connect; returns what fires or fails as `sendmail` says."""
        done = cast("Deferred[SentMail]", self._done)
        factory: Factory[Any] = Factory.forProtocol(self._new_sender)
        factory.noisy = False
        connecting = cast(IStreamClientEndpoint, self._endpoint).connect(factory)
        self._connecting = connecting
        connecting.addCallbacks(lambda protocol: None, self.failed)
        return done

    def _new_sender(self) -> _Sender:
        self._sender = _sender_class()(self)
        return self._sender

    @property
    def is_over(self) -> bool:
        """Whether it was told how the sending ended."""
        return self._done is None

    def succeeded(self, sent: SentMail) -> None:
        """Fire, unless it is over already."""
        done, self._done = self._done, None
        if done is not None:
            done.callback(sent)

    def failed(self, reason: Failure) -> None:
        """Fail, unless it is over already."""
        done, self._done = self._done, None
        if done is not None:
            done.errback(reason)

    def refused(
        self, diagnosis: Diagnosis, reply: Reply, *, may_be_delivered: bool = False
    ) -> None:
        """Fail for what a diagnosis says."""
        error = MailNotSent(
            self.where, diagnosis, reply.code, str(reply), may_be_delivered=may_be_delivered
        )
        self.failed(Failure(error))

    def _cancelled(self, done: Deferred[SentMail]) -> None:
        self.failed(Failure(CancelledError()))
        if self._sender is not None and self._sender.transport is not None:
            cast(Any, self._sender.transport).abortConnection()
        elif self._connecting is not None:
            self._connecting.cancel()


class _Sender(_SMTPClient):
    """What `_sender_class` adds to Twisted's client: one mail, over an endpoint of ours.

    Args:
        sending: What it works for.
    """

    # With it, what is sent and heard would be in the errors: the password as well.
    debug = False
    # The URL says whether there is TLS.
    requireTransportSecurity = False

    def __init__(self, sending: _Sending) -> None:
        login = sending.envelope.login
        super().__init__(  # type: ignore[no-untyped-call]
            login[1] if login else None, None, sending.envelope.helo
        )
        self.requireAuthentication = login is not None
        self.timeout = sending.reply_timeout  # type: ignore[assignment]
        self._sending = sending
        self._is_begun = False
        self._is_complete = False
        self._lines = 0
        for mechanism in _mechanisms(login[0]) if login is not None else ():
            self.registerAuthenticator(mechanism)  # type: ignore[no-untyped-call]

    def connectionMade(self) -> None:
        """Begin, unless a password would go over a connection that has no TLS."""
        sending, transport = self._sending, cast(Any, self.transport)
        is_in_the_clear = session_of(transport) is None and not sending.envelope.is_local
        if self.requireAuthentication and is_in_the_clear:
            # The server has no TLS, and starttls_policy=may has let that pass.
            sending.refused(_NO_TLS, Reply(-1, ""))
            transport.loseConnection()
            return
        super().connectionMade()  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Tell that the connection is over, if the mail was not taken before."""
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
        if self._sending.is_over:
            return
        if self._is_complete:
            self._sending.refused(_LOST_BEHIND, Reply(-1, ""), may_be_delivered=True)
        else:
            self._sending.refused(_LOST, Reply(-1, ""))

    def lineReceived(self, line: bytes) -> None:
        """Take a line of a reply, of which there may be so many."""
        self._lines += 1
        if self._lines > _MOST_LINES:
            self._sending.refused(_ENDLESS, Reply(-1, ""))
            cast(Any, self.transport).abortConnection()
            return
        if line[3:4] != b"-":
            self._lines = 0
        super().lineReceived(line)  # type: ignore[no-untyped-call]

    # --- what Twisted's client asks for ---

    def getMailFrom(self) -> bytes | None:
        """The sender; None when the mail is done, so that the client says QUIT."""
        if self._is_begun:
            return None
        self._is_begun = True
        return self._sending.envelope.sender

    def getMailTo(self) -> list[bytes]:
        """The recipients."""
        return list(self._sending.envelope.recipients)

    def getMailData(self) -> IO[bytes]:
        """The mail, as it is to be sent."""
        return BytesIO(self._sending.envelope.body)

    def transformChunk(self, chunk: bytes) -> bytes:
        """Nothing is left to do: the whole was made right before it was cut."""
        self.resetTimeout()  # type: ignore[no-untyped-call]
        return chunk

    def finishedFileTransfer(self, lastsent: bytes) -> None:
        """Send the final dot: from now on the server may have the mail."""
        self._is_complete = True
        self.sendLine(b".")  # type: ignore[no-untyped-call]

    # --- what it tells ---

    def sentMail(
        self, code: int, resp: object, numOk: int, addresses: list[Any], log: object
    ) -> None:
        """The server has answered to the mail, or has taken no recipient."""
        self._is_complete = False
        replies = [(address.decode(), _reply(code, text)) for address, code, text in addresses]
        accepted = tuple(name for name, reply in replies if 200 <= reply.code < 300)
        refused = tuple((name, reply) for name, reply in replies if not 200 <= reply.code < 300)
        reply = _reply(code, resp)
        if 200 <= code < 300 and accepted:
            self._sending.succeeded(SentMail(accepted, refused, reply))
            return
        if not accepted and refused:
            reply = refused[0][1]
        self._sending.refused(_of_reply(reply, has_recipients=bool(accepted)), reply)

    def sendError(self, exc: Exception) -> None:
        """Something went wrong before the server took the mail."""
        if not self._sending.is_over:
            self._tell(exc)
        if not getattr(exc, "isFatal", True):
            super().sendError(exc)  # type: ignore[no-untyped-call]
        else:
            cast(Any, self.transport).abortConnection()

    def _tell(self, error: Exception) -> None:
        sending = self._sending
        names = {kind.__name__ for kind in type(error).__mro__}
        if "SMTPTimeoutError" in names:
            if self._is_complete:
                sending.refused(_LATE_BEHIND, Reply(-1, ""), may_be_delivered=True)
            else:
                sending.failed(
                    Failure(TransportTimeout(sending.where, "reply", sending.reply_timeout))
                )
            return
        code = getattr(error, "code", -1)
        reply = _reply(code, getattr(error, "resp", b"") or str(error))
        for name, diagnosis in _OF_ERROR.items():
            if name in names:
                sending.refused(diagnosis, reply)
                return
        sending.refused(_of_reply(reply, has_recipients=True), reply)


@functools.cache
def _sender_class() -> type[_Sender]:
    """The class of senders; Twisted's part of it is imported when the first mail is sent."""
    from twisted.mail.smtp import ESMTPClient

    return cast("type[_Sender]", type("SMTPSender", (_Sender, ESMTPClient), {}))


def _mechanisms(user: bytes) -> tuple[object, ...]:
    """The ways to log in, the preferred first."""
    from twisted.mail.smtp import (
        CramMD5ClientAuthenticator,
        LOGINAuthenticator,
        PLAINAuthenticator,
    )

    kinds = CramMD5ClientAuthenticator, LOGINAuthenticator, PLAINAuthenticator
    return tuple(kind(user) for kind in kinds)


# --- what is wrong, and what to do ----------------------------------------------------


_LOST: Final = Diagnosis(
    "closed",
    "the connection ended before the mail was sent",
    "nothing was delivered: try again later",
    permanent=False,
)
_LOST_BEHIND: Final = Diagnosis(
    "closed",
    "the connection ended when the whole mail was sent and the server had not answered: it may "
    "have been delivered",
    "look whether it has arrived before you send it again",
    permanent=False,
)
_LATE_BEHIND: Final = Diagnosis(
    "timeout",
    "the server did not answer when it had the whole mail: it may have been delivered",
    "look whether it has arrived before you send it again; servers that scan mails may need a "
    "longer reply_timeout",
    permanent=False,
)
_NO_TLS: Final = Diagnosis(
    "no-tls",
    "the connection has no TLS, and a password is not sent in the clear",
    "use tls://HOST:465, or starttls=smtp without starttls_policy=may",
    fault="ours",
)
_LOGIN_REFUSED: Final = Diagnosis(
    "login-refused",
    "the server refused the log-in",
    "check user and password; some providers want a password made for this program",
    fault="ours",
)
_NO_LOGIN: Final = Diagnosis(
    "no-login",
    "the server offers no log-in that is known here (CRAM-MD5, LOGIN, PLAIN)",
    "is this the port for submission (465, 587)? Port 25 often has no log-in",
)
_ENDLESS: Final = Diagnosis(
    "protocol",
    f"the server's reply has more than {_MOST_LINES} lines",
    "is it a mail server?",
)
_NO_EHLO: Final = Diagnosis(
    "refused", "the server does not know EHLO", "a server without extensions has no log-in"
)
_OF_ERROR: Final = {
    "AUTHRequiredError": _NO_LOGIN,
    "AUTHDeclinedError": _LOGIN_REFUSED,
    "AuthenticationError": _LOGIN_REFUSED,
    "EHLORequiredError": _NO_EHLO,
}
"""What the errors of `twisted.mail.smtp` mean, by their classes, a subclass before its base."""


def _of_reply(reply: Reply, *, has_recipients: bool) -> Diagnosis:
    """What a negative reply means (RFC 5321, section 4.2.1)."""
    what = "the mail" if has_recipients else "all recipients"
    if 400 <= reply.code < 500:
        return Diagnosis(
            "refused-for-now", f"the server refused {what} for now", "try again later",
            permanent=False,
        )  # fmt: skip
    if reply.code < 0:
        return Diagnosis("protocol", "the server breaks the rules of SMTP", "is it a mail server?")
    return Diagnosis(
        "refused",
        f"the server refused {what}",
        "the server's reply says why; does it want a log-in?",
    )


def _reply(code: int, text: object) -> Reply:
    raw = text if isinstance(text, bytes) else str(text).encode()
    return Reply(code, short_text(decode_text(b" ".join(raw.split()))))


# --- what the user has given ----------------------------------------------------------


_ADDRESS: Final = re.compile(r"[!-;=?-~]+(@[!-;=?-~]+)?").fullmatch


def _address(option: str, text: object) -> bytes:
    """An address of the envelope.

    Raises:
        InvalidOption: It is none, or has something in it that would end it.
    """
    if not isinstance(text, str) or len(text) > 320 or _ADDRESS(text) is None:
        raise InvalidOption(
            option,
            f"{option} has plain addresses such as me@example.com, in ASCII, without a name or "
            f"angle brackets; not {short_repr(text)}",
        )
    return text.encode("ascii")


def _recipients(given: object) -> tuple[bytes, ...]:
    texts = [given] if isinstance(given, str) else list(cast("Iterable[object]", given))
    if not 0 < len(texts) <= _MOST_RECIPIENTS:
        raise InvalidOption(
            "recipients", f"recipients are 1 to {_MOST_RECIPIENTS} addresses; more need more mails"
        )
    return tuple(_address("recipients", text) for text in texts)


def _login(
    user: object, password: object, endpoint: ClientEndpoint, *, is_local: bool
) -> tuple[bytes, bytes] | None:
    if user is None and password is None:
        return None
    if not isinstance(user, str) or not isinstance(password, str):
        raise InvalidOption("user", "user and password belong together, and are texts")
    if endpoint.config.creator is None and not is_local:
        raise InvalidOption(
            "password",
            "a password is sent under TLS only: use tls://HOST:465, or "
            "tls://HOST:587?starttls=smtp",
        )
    if "\0" in user + password:
        raise InvalidOption("user", "user and password cannot have a NUL in them")
    return user.encode(), password.encode()


def _helo(given: object) -> bytes:
    name = given if given is not None else socket.gethostname()
    if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9.\-:\[\]]{1,253}", name):
        return name.encode("ascii")
    if given is None:
        return b"localhost"
    raise InvalidOption("helo", f"helo is the name of a host, not {short_repr(given)}")


def _body(message: object) -> bytes:
    """A message as it is sent: its lines end with CRLF, and a dot at their beginning is doubled.

    Source: RFC 5321, sections 2.3.8 and 4.5.2.
    """
    if isinstance(message, Message):
        message = copy.copy(message)
        del message["Bcc"]
        message = message.as_bytes(policy=SMTP.clone(cte_type="7bit", max_line_length=998))
    if isinstance(message, str):
        try:
            message = message.encode("ascii")
        except UnicodeEncodeError:
            raise InvalidOption(
                "message",
                "a message that is a text has ASCII alone; give an email.message.EmailMessage, "
                "which encodes others",
            ) from None
    if not isinstance(message, bytes):
        raise InvalidOption(
            "message", f"message is bytes, a text or an email.message.Message, not "
            f"{type(message).__name__}",
        )  # fmt: skip
    lines = re.split(rb"\r\n|\r|\n", message)
    if not lines[-1]:
        lines.pop()
    return b"".join((b"." if line.startswith(b".") else b"") + line + b"\r\n" for line in lines)
