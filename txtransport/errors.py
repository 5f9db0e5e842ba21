"""Every way in which a transport fails.

    TransportError
    ├── InvalidTransport (ValueError)      the URL: correct the text
    ├── InvalidOption (ValueError)         an option: correct its name or value
    │   └── BadCertificateFile             a file that an option names
    ├── TransportUnavailable               a known scheme that cannot be used here
    ├── TransportTimeout                   a stage took longer than allowed
    ├── HandshakeFailed                    the TLS handshake or the verification failed
    ├── NegotiationError                   the dialogue before TLS failed
    │   ├── TLSNotOffered                  the peer does not offer TLS
    │   ├── TLSRefused                     the peer offers TLS, and refused it
    │   ├── PreAuthenticated               the peer claims that we are logged in already
    │   ├── ProxyRefused                   a proxy will not, or cannot, connect us
    │   ├── PeerLeft                       the peer ended the connection before TLS
    │   ├── InvalidProxyHeader             a PROXY header is missing, wrong or not wanted
    │   └── PeerMisbehaved                 the peer broke its protocol's rules
    │       └── PlaintextInjected          plain text where TLS was to begin
    ├── MailNotSent                        a mail was refused, or it is not known whether
    ├── NoChannelBinding                   the channel binding is not defined here
    └── UpgradeError                       startTLS() was called wrongly
        ├── AlreadySecure                  TLS is on, or its handshake is going on
        ├── ConversationOver               the connection is closing, closed or was never made
        └── ProducerInTheWay               a pull producer would write in the clear

Failures of TCP and of the name server (refused, unreachable, no such name) are of our
class `TransportError` and of Twisted's (``twisted.internet.error.ConnectError`` and its
subclasses, ``DNSLookupError``, ``CannotListenError``), so that ``except`` of either finds
them. `txtransport.endpoints.network_errors` has these classes, since this module knows no
Twisted; its `diagnosis_of` explains how a connection ended as well.

Text that came over the wire is bounded and escaped (`txtransport.text`) before it
becomes part of a message.

Errors can be copied and pickled, for a process of a pool for example. What cannot be
pickled is left out: the certificates of `HandshakeFailed.chain`, and of an exception
underneath all but its ``repr``.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from attrs import field, frozen

from txtransport.text import escape_bytes, first_words, short_repr

if TYPE_CHECKING:
    from cryptography import x509

__all__ = [
    "CAUSES",
    "FAULTS",
    "AlreadySecure",
    "BadCertificateFile",
    "ConversationOver",
    "Diagnosis",
    "HandshakeFailed",
    "InvalidOption",
    "InvalidProxyHeader",
    "InvalidTransport",
    "MailNotSent",
    "NegotiationError",
    "NoChannelBinding",
    "PeerLeft",
    "PeerMisbehaved",
    "PlaintextInjected",
    "PreAuthenticated",
    "ProducerInTheWay",
    "ProxyRefused",
    "TLSNotOffered",
    "TLSRefused",
    "TransportError",
    "TransportTimeout",
    "TransportUnavailable",
    "UpgradeError",
]

CAUSES: Final = (
    "plaintext-peer",
    "wrong-name",
    "unknown-issuer",
    "self-signed",
    "expired",
    "not-yet-valid",
    "wrong-purpose",
    "malformed",
    "revoked",
    "fingerprint",
    "no-common-version",
    "no-common-cipher",
    "no-common-protocol",
    "client-certificate-required",
    "peer-alert",
    "closed",
    "other",
)
"""What `HandshakeFailed.cause` may be."""

FAULTS: Final = ("peer", "ours", "network", "someone-between")
"""Whose fault a failure may be."""


@frozen
class Diagnosis:
    """Why something failed, whose fault it is, and what to do.

    Attributes:
        cause: A word for programs; of a handshake one of `CAUSES`.
        fault: One of `FAULTS`, as far as it can be told from here.
        permanent: Whether trying again cannot help until someone changes
            something.
        summary: What happened, a sentence for people or the rest of one.
        evidence: What was seen, a line each.
        remedy: What to do, a sentence without its full stop; or nothing.
    """

    cause: str
    fault: str = field(default="peer", kw_only=True)
    permanent: bool = field(default=True, kw_only=True)
    summary: str
    evidence: tuple[str, ...] = field(default=(), kw_only=True)
    remedy: str = ""


class TransportError(Exception):
    """The base of every exception of this package.

    Attributes:
        cause: A word for programs.
        fault: Whose fault it is, one of `FAULTS`.
        permanent: Whether trying again cannot help until someone changes
            something.
        evidence: What was seen, a line each.
        remedy: What to do, a sentence; or nothing.
    """

    cause: str = "other"
    fault: str = "ours"
    permanent: bool = True
    evidence: tuple[str, ...] = ()
    remedy: str = ""

    @property
    def summary(self) -> str:
        """What happened, a sentence for people."""
        return str(self)

    @property
    def diagnosis(self) -> Diagnosis:
        """Cause, fault, permanence, summary, evidence and remedy as one value."""
        return Diagnosis(
            self.cause,
            self.summary,
            self.remedy,
            fault=self.fault,
            permanent=self.permanent,
            evidence=self.evidence,
        )

    # Python would call the class with the text as its only argument, where the
    # classes take others. What an error holds is immutable, or belongs to the
    # application or to Twisted, so a deep copy copies no more than a copy.

    def __copy__(self) -> TransportError:
        return _rebuilt(type(self), self.args, vars(self))

    def __deepcopy__(self, memo: object) -> TransportError:
        return self.__copy__()

    def __reduce__(self) -> tuple[object, ...]:
        args = tuple(each if _is_picklable(each) else short_repr(each) for each in self.args)
        state: dict[str, object] = {}
        for name, value in vars(self).items():
            if _is_picklable(value):
                state[name] = value
            elif isinstance(value, BaseException):
                state[name] = Exception(short_repr(value, 200))
        return _rebuilt, (type(self), args, state)


def _rebuilt(
    kind: type[TransportError], args: tuple[object, ...], state: Mapping[str, object]
) -> TransportError:
    """An error as it was, made without its constructor."""
    made = kind.__new__(kind)
    made.args = args
    vars(made).update(state)
    return made


def _is_picklable(value: object) -> bool:
    # The import takes a millisecond, and few programs pickle an error.
    import pickle

    try:
        # Many an exception can be pickled, and fails when it is unpickled.
        pickle.loads(pickle.dumps(value))
    except Exception:
        return False
    return True


class InvalidTransport(TransportError, ValueError):
    """The text is not the URL of a transport."""

    cause = "invalid-url"


class InvalidOption(TransportError, ValueError):
    """An option is unknown, misplaced, contradictory or of the wrong type.

    Attributes:
        option: The option's name, as it was written.
    """

    cause = "invalid-option"

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option

    def located(self, where: str) -> InvalidOption:
        """A copy of this error whose text begins with the endpoint.

        Args:
            where: The endpoint, for people.
        """
        # Several endpoints may share a bad option, and with it this very object.
        made = copy.copy(self)
        text = str(self)
        made.args = (text if text.startswith(f"{where}: ") else f"{where}: {text}",)
        return made


class BadCertificateFile(InvalidOption):
    """A file that an option names is missing or is not what it should be.

    Args:
        option: The option that names the file.
        path: The file.
        problem: What is wrong with it, a sentence about "it".
        remedy: What to do, the rest of a sentence.
        expected: What the option needs, the rest of a sentence: the remedy where there
            is no other.
        command: Mends it, if a command for the shell can.

    Attributes:
        option: The option that names the file.
        path: The file.
        problem: What is wrong with the file, without its name.
        command: A line for the shell that makes the right file of it; or nothing.
    """

    cause = "bad-file"

    def __init__(
        self,
        option: str,
        path: str,
        problem: str,
        remedy: str = "",
        *,
        expected: str = "",
        command: str = "",
    ) -> None:
        # The command stands last, where it can be copied to the end of the line.
        mending = f"to mend it: {command}" if command else ""
        parts = (f"{option}={path}: {problem}", remedy, expected, mending)
        super().__init__(option, "; ".join(filter(None, parts)))
        self.path = path
        self.problem = problem
        needed = remedy or expected
        self.remedy: str = needed[:1].upper() + needed[1:]
        self.command = command


class TransportUnavailable(TransportError):
    """A scheme that is known and cannot be used here.

    Args:
        scheme: The scheme's name.
        reason: Why it cannot be used.
        remedy: What to use instead.
        note: What else there is to know, for the end of the text.
        where: The endpoint, for people; begins the text.

    Attributes:
        scheme: The scheme's name.
    """

    cause = "unavailable"

    def __init__(
        self, scheme: str, reason: str, remedy: str = "", note: str = "", where: str = ""
    ) -> None:
        place = f"{where}: " if where else ""
        self._summary = f"{place}{scheme}:// is not available: {reason}"
        parts = (self._summary, f"; {remedy}" if remedy else "", f" ({note})" if note else "")
        super().__init__("".join(parts))
        self.scheme = scheme
        self.remedy = remedy
        self.evidence: tuple[str, ...] = (note,) if note else ()

    @property
    def summary(self) -> str:
        """Why the scheme cannot be used, without what to use instead."""
        return self._summary


class TransportTimeout(TransportError):
    """A wait ended at its deadline.

    Args:
        where: The endpoint, for people.
        stage: As the attribute.
        seconds: As the attribute.
        received: What the peer had sent; empty when that was nothing, and None when
            it is not told.
        hint: What to do, in place of what is usual for the stage.

    Attributes:
        stage: What was going on: ``look-up``, ``connect``, ``proxy``,
            ``proxy-header``, ``negotiation``, ``handshake``, ``close of TLS`` or
            (`txtransport.mail`) ``reply``.
        seconds: How long the whole was allowed to take.
        received: The first bytes that had come by then, 64 at the most.
    """

    cause = "timeout"
    permanent = False

    def __init__(
        self,
        where: str,
        stage: str,
        seconds: float,
        received: bytes | None = None,
        hint: str = "",
    ) -> None:
        received_text = f" the peer had sent only {escape_bytes(received)};" if received else ""
        silence = ", and the peer sent nothing" if received == b"" else ""
        what = _STAGES.get(stage) or f"the {stage}"
        self._summary = f"{where}: {what} took longer than {seconds:g} s{silence}"
        self.remedy: str = hint or _TIMEOUT_REMEDIES.get(
            stage, "raise the deadline if the peer is only slow"
        )
        super().__init__(f"{self._summary};{received_text} {self.remedy}")
        self.fault = "network" if stage in ("look-up", "connect") else "peer"
        self.stage = stage
        self.seconds = seconds
        self.received: bytes = (received or b"")[:64]
        self.evidence: tuple[str, ...] = (
            (f"the peer sent {escape_bytes(received)}",) if received else ()
        )

    @property
    def summary(self) -> str:
        """What took too long, without what to do."""
        return self._summary


class MailNotSent(TransportError):
    """A mail was not sent, or it is not known whether it was.

    Args:
        where: The endpoint, for people.
        diagnosis: Why.
        code: As the attribute.
        reply: As the attribute.
        may_be_delivered: As the attribute.

    Attributes:
        code: The server's reply code, such as 550; -1 where there was none.
        reply: The server's reply, escaped and cut; or nothing.
        may_be_delivered: Whether the server may have the mail all the same, since the
            connection ended when it had the whole of it.
    """

    def __init__(
        self,
        where: str,
        diagnosis: Diagnosis,
        code: int = -1,
        reply: str = "",
        *,
        may_be_delivered: bool = False,
    ) -> None:
        said = f" ({reply})" if reply else ""
        self._summary = f"{where}: {diagnosis.summary}{said}"
        remedy = diagnosis.remedy
        super().__init__(f"{self._summary}; {remedy}" if remedy else self._summary)
        self.cause: str = diagnosis.cause
        self.fault: str = diagnosis.fault
        self.permanent: bool = diagnosis.permanent
        self.remedy: str = remedy
        self.evidence: tuple[str, ...] = (f"the server said: {reply}",) if reply else ()
        self.code: int = code
        self.reply: str = reply
        self.may_be_delivered: bool = may_be_delivered

    @property
    def summary(self) -> str:
        """What happened, without what to do."""
        return self._summary


_STAGES: Final = {"connect": "connecting", "proxy-header": "the PROXY header"}

_TIMEOUT_REMEDIES: Final = {
    "look-up": "is the name server reachable?",
    "connect": "is a firewall dropping the packets, or the address wrong?",
    "proxy-header": "does the balancer's line for this server have send-proxy or send-proxy-v2?",
    "negotiation": "a server that says nothing may wait for TLS at once: try without starttls",
    "proxy": "does it speak the protocol that its URL says, and can it reach the target?",
    "handshake": "does this port speak TLS at once, or does it wait for plain text first?",
    "reply": "the server takes long; it may be busy, or scan what it gets",
    "close of TLS": "the peer sent no close_notify: did it agree to go on in the clear?",
}


class HandshakeFailed(TransportError):
    """The TLS handshake failed, or the peer could not be verified.

    Args:
        message: What happened, with the endpoint in front: the `summary`.
        details: The facts of a refused certificate, which follow `message` in the
            error's text and are not part of the summary.

    Attributes:
        cause: One of `CAUSES`.
        permanent: True when trying again cannot help until someone changes
            something.
        remedy: What to change, one sentence.
        original: The exception underneath, or None.
        received: The first bytes of the peer, 64 at the most.
        chain: The certificates that the peer sent, leaf first; they are not
            verified. Empty in an error that was pickled.
    """

    # For an error that was pickled.
    chain: tuple[x509.Certificate, ...] = ()

    def __init__(
        self,
        message: str,
        *,
        cause: str,
        permanent: bool,
        remedy: str,
        fault: str = "peer",
        evidence: tuple[str, ...] = (),
        original: BaseException | None = None,
        received: bytes = b"",
        chain: tuple[x509.Certificate, ...] = (),
        details: str = "",
    ) -> None:
        text = f"{message}{details}"
        super().__init__(f"{text}. {remedy}" if remedy else text)
        self._summary = message
        self.cause = cause
        self.fault = fault
        self.permanent = permanent
        self.evidence = evidence
        self.remedy = remedy
        self.original = original
        self.received: bytes = received[:64]
        self.chain = chain

    @property
    def summary(self) -> str:
        """What happened, without the certificate's details and without what to do."""
        return self._summary


class NegotiationError(TransportError):
    """The dialogue before TLS failed; nothing was sent in the clear after it."""

    fault = "peer"

    @property
    def summary(self) -> str:
        """What happened, without what to do."""
        return str(self).removesuffix(f". {self._advice}") if self._advice else str(self)

    _advice: str = ""

    def located(self, where: str, advice: str = "") -> NegotiationError:
        """This error, with the endpoint in front of its text.

        Args:
            where: The endpoint, for people.
            advice: What to do about it, or nothing.
        """
        text = str(self)
        told = text if text.startswith(where) else f"{where}: {text}"
        self.args: tuple[str] = (f"{told}. {advice}" if advice else told,)
        self._advice = advice
        self.remedy: str = advice or self.remedy
        return self


class TLSNotOffered(NegotiationError):
    """The peer speaks the protocol, but will not start TLS.

    Attributes:
        reply: What the peer said instead, unauthenticated, 200 bytes at the most.
    """

    cause = "tls-not-offered"
    remedy = (
        "Have TLS switched on at the peer, or use its port with TLS from the start; someone in "
        "between can also take the offer away"
    )

    def __init__(self, reply: bytes) -> None:
        super().__init__(f"the peer does not offer TLS; it said {escape_bytes(reply, 200)}")
        self.reply: bytes = reply[:200]
        self.evidence: tuple[str, ...] = (f"it said {escape_bytes(reply, 200)}",)


class TLSRefused(NegotiationError):
    """The peer offers TLS, and refused to start it.

    Attributes:
        code: The protocol's own code for the refusal, 40 characters at the most.
        text: What the peer said, unauthenticated, 200 bytes at the most.
    """

    cause = "tls-refused"
    remedy = "Look at the peer's log: its certificate may be missing, or it does not allow us TLS"

    def __init__(self, code: str, text: bytes) -> None:
        self.code: str = "".join(filter(str.isprintable, code))[:40]
        super().__init__(f"the peer refused to start TLS ({self.code}): {escape_bytes(text, 200)}")
        self.text: bytes = text[:200]
        self.permanent: bool = not self.code.startswith("4")
        self.evidence: tuple[str, ...] = (f"it said {self.code}: {escape_bytes(text, 200)}",)


class PreAuthenticated(NegotiationError):
    """The peer claims to know us already, which forbids the upgrade (RFC 9051, 7.1.4)."""

    cause = "pre-authenticated"
    fault = "someone-between"
    remedy = (
        "No server takes an unknown client for one that has logged in: find out who answers at "
        "that port"
    )


class ProxyRefused(NegotiationError):
    """A proxy will not, or cannot, connect us to where we want to go.

    `txtransport.diagnosis.proxy_refusals` says what each code means, whose fault it is,
    and what to do.

    Attributes:
        kind: What kind of code it is: ``HTTP status``, ``SOCKS reply``, ``SOCKS login``
            or ``SOCKS method``.
        code: The proxy's code: 407, or 5 for a reply of SOCKS, for example.
        text: What the proxy said, unauthenticated, 200 bytes at the most; SOCKS has no
            words.
        schemes: The ways to log in that an HTTP proxy offers: ``Basic``, ``NTLM`` …
    """

    remedy = "Look at the proxy's log"

    def __init__(
        self, kind: str, code: int, text: bytes = b"", schemes: tuple[str, ...] = ()
    ) -> None:
        said = f": {escape_bytes(text, 200)}" if text else ""
        super().__init__(f"the proxy refused to connect us ({kind} {code}){said}")
        self.cause: str = "proxy-refused"
        self.kind = kind
        self.code = code
        self.text: bytes = text[:200]
        self.schemes = schemes
        self.evidence: tuple[str, ...] = (f"{kind} {code}{said}",)

    @property
    def is_of_address(self) -> bool:
        """Whether the proxy may well connect to another address of the same name."""
        return (self.kind, self.code) in _OF_ADDRESS

    def explained(self, diagnosis: Diagnosis) -> ProxyRefused:
        """This error, with what its code means.

        Args:
            diagnosis: Of the code; its evidence is not used.
        """
        said = f": {escape_bytes(self.text, 200)}" if self.text else ""
        self.args: tuple[str] = (f"{diagnosis.summary} ({self.kind} {self.code}{said})",)
        self.cause = diagnosis.cause
        self.fault: str = diagnosis.fault
        self.permanent: bool = diagnosis.permanent
        return self


# General failure, no route, no answer, refused, out of time, no such kind of address
# (RFC 1928, section 6).
_OF_ADDRESS: Final = frozenset(("SOCKS reply", code) for code in (1, 3, 4, 5, 6, 8))


class PeerLeft(NegotiationError):
    """The peer ended the connection, or said that it will, before TLS began.

    Attributes:
        received: What the peer had said last, 64 bytes at the most.
        is_reset: Whether TCP was reset (RST) instead of closed (FIN); None when the
            peer has only said that it leaves.

    Args:
        received: What the peer had said last.
        is_reset: As the attribute.
        before: What was to come, the rest of a sentence.
    """

    cause = "peer-left"
    permanent = False
    remedy = "Look at the peer's log: it may have no time now, or not want this client"

    def __init__(
        self,
        received: bytes = b"",
        *,
        is_reset: bool | None = None,
        before: str = "TLS began",
    ) -> None:
        last = f"; it had said {escape_bytes(received, 200)}" if received else ""
        super().__init__(f"{_WAYS_TO_LEAVE[is_reset]} before {before}{last}")
        self.received: bytes = received[:64]
        self.is_reset: bool | None = is_reset


_WAYS_TO_LEAVE: Final[Mapping[bool | None, str]] = {
    None: "the peer left",
    False: "the peer closed the connection",
    True: "the connection was reset (RST)",
}


class InvalidProxyHeader(NegotiationError):
    """A connection does not begin with a PROXY header that is right, and may come from there.

    Args:
        problem: What is wrong with the header: a sentence about "it".
        remedy: What to do, in place of the usual.
    """

    cause = "proxy-header"
    remedy: str = "Is it a balancer's PROXY header that arrives at this port?"

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"the PROXY header: {problem}")
        self.remedy = remedy or self.remedy


class PeerMisbehaved(NegotiationError):
    """The peer broke a rule of its own protocol before TLS began."""

    cause = "peer-misbehaved"
    remedy = "Is it the right protocol for this port?"


class PlaintextInjected(PeerMisbehaved):
    """The peer's plain text stood where TLS was to begin (CVE-2011-0411).

    Attributes:
        received: The first of those bytes, 64 at the most.
    """

    cause = "plaintext-injected"
    fault = "someone-between"
    remedy = "Find out who is in between, and whether the peer pipelines behind its upgrade command"

    def __init__(self, where: str, received: bytes) -> None:
        super().__init__(
            f"{where}: plain text {first_words(received)} stood where TLS was to begin; "
            "none of it was delivered and the connection was ended. "
            "Someone in the middle may have put it there, or the peer pipelines "
            "behind its upgrade command, which the protocol forbids"
        )
        self.received: bytes = received[:64]


class NoChannelBinding(TransportError):
    """A channel binding does not exist for a connection; the connection goes on as it was.

    Args:
        kind: As the attribute.
        problem: Why there is none, a sentence about the type.

    Attributes:
        kind: The type that was asked for, such as ``tls-exporter``.
    """

    cause = "no-channel-binding"

    def __init__(self, kind: str, problem: str) -> None:
        super().__init__(f"no channel binding {short_repr(kind, 40)}: {problem}")
        self.kind = kind


class UpgradeError(TransportError):
    """``startTLS()`` was called when TLS cannot start; the connection goes on as it was."""

    cause = "upgrade"

    def located(self, where: str) -> UpgradeError:
        """This error, with the peer in front of its text.

        Args:
            where: The peer, for people.
        """
        self.args: tuple[str] = (f"{where}: {self}",)
        return self


class AlreadySecure(UpgradeError):
    """TLS is on already, or its handshake is going on."""


class ConversationOver(UpgradeError):
    """The connection is closing, closed, or was never made."""


class ProducerInTheWay(UpgradeError):
    """A pull producer is registered, and would write its data in the clear."""
