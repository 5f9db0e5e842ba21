"""The diagnosis of any error that a connection can fail with, Twisted's as well as ours.

Our errors carry their own. Errors of TCP and of the name server are Twisted's, which
keeps the system's number; the table has a rule for each class and number.
"""

from __future__ import annotations

import errno
from typing import Final

from attrs import evolve, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.error import (
    CannotListenError,
    ConnectBindError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
    InvalidAddressError,
    NoProtocol,
    NoRouteError,
    TCPTimedOutError,
    TimeoutError,
    UnknownHostError,
    UnsupportedAddressFamily,
)

from txtransport.diagnosis.rule import Rule, first_match
from txtransport.errors import Diagnosis, TransportError
from txtransport.text import describe_error


@frozen
class ErrorKind:
    """Which errors a rule is about.

    Attributes:
        kinds: The error's class is one of these, or below one.
        numbers: The system's numbers (errno(3)); empty for any.
    """

    kinds: tuple[type[BaseException], ...]
    numbers: frozenset[int] = frozenset()

    def includes(self, error: BaseException) -> bool:
        """Whether an error is one of these."""
        return isinstance(error, self.kinds) and (
            not self.numbers or _number(error) in self.numbers
        )


def _rule(
    kinds: tuple[type[BaseException], ...],
    cause: str,
    fault: str,
    permanent: bool,
    summary: str,
    remedy: str = "",
    numbers: frozenset[int] = frozenset(),
) -> Rule[ErrorKind]:
    diagnosis = Diagnosis(cause, summary, remedy, fault=fault, permanent=permanent)
    return Rule(ErrorKind(kinds, numbers), diagnosis)


_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROUTE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)

NETWORK_ERRORS: Final = (
    _rule(
        (OSError, ConnectError, CannotListenError),
        "too-many-files", "ours", False,
        "this process has no file, or this machine no memory, left for a connection",
        "Close what is open, or raise the limit (ulimit -n)",
        _FULL,
    ),
    # Of a name without an address it cannot be told whether it is misspelt or
    # the name server did not answer: Twisted's resolver does not say.
    _rule(
        (DNSLookupError, UnknownHostError),
        "no-such-name", "ours", False,
        "the name has no address",
        "Check how it is spelt, and whether the name server can be reached",
    ),
    _rule(
        (ConnectBindError,),
        "bind-failed", "ours", True,
        "the local address cannot be used",
        "Look at bindto: is it an address of this machine, and is its port free?",
    ),
    _rule(
        (CannotListenError,),
        "port-taken", "ours", True,
        "someone listens at that address already",
        "Stop the other, or take another port",
        frozenset({errno.EADDRINUSE}),
    ),
    _rule(
        (CannotListenError, ConnectError),
        "not-permitted", "ours", True,
        "this machine does not permit it",
        "Look at the rights of the socket's file or of a port below 1024, and at the firewall here",
        frozenset({errno.EACCES, errno.EPERM}),
    ),
    _rule(
        (CannotListenError,),
        "cannot-listen", "ours", True,
        "it is not possible to listen there",
        "Is it an address of this machine?",
    ),
    _rule(
        (ConnectionRefusedError,),
        "refused", "peer", False,
        "the connection was refused: nothing listens there",
        "Is the server running, and is it the right port? A firewall can refuse as well",
    ),
    _rule(
        (NoRouteError,),
        "unreachable", "network", False,
        "there is no way to that address",
        "Is this machine on a network, and has it the address's family (IPv6, IPv4)?",
    ),
    _rule(
        (ConnectError,),
        "unreachable", "network", False,
        "there is no way to that address",
        "Is this machine on a network, and has it the address's family (IPv6, IPv4)?",
        _NO_ROUTE,
    ),
    _rule(
        (ConnectError,),
        "no-such-socket", "ours", True,
        "there is no such local socket",
        "Is the server running, and is the path right?",
        frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENOTSOCK}),
    ),
    _rule(
        (TimeoutError, TCPTimedOutError),
        "timeout", "network", False,
        "the address did not answer",
        "Is a firewall dropping the packets, or the address wrong?",
    ),
    # To Twisted, a loss of another kind.
    _rule((ConnectionAborted,), "aborted", "ours", False, "we ended the connection"),
    _rule(
        (ConnectionLost, ConnectError),
        "reset", "peer", False,
        "the peer cut the connection off",
        "Look at the peer's log; a firewall between can do it as well",
        frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}),
    ),
    _rule(
        (ConnectionLost,),
        "reset", "peer", False,
        "the connection was cut off without a goodbye",
        "Look at the peer's log; a firewall between can do it as well",
    ),
    _rule((ConnectionDone,), "closed", "peer", False, "the peer closed the connection"),
    _rule(
        (ConnectingCancelledError, CancelledError),
        "cancelled", "ours", False, "the attempt was given up",
    ),
    _rule(
        (NoProtocol,),
        "no-protocol", "ours", True,
        "the factory built no protocol",
        "Its buildProtocol() answered None: that is the program's own doing",
    ),
    _rule(
        (InvalidAddressError, UnsupportedAddressFamily),
        "wrong-family", "ours", True,
        "the address is not of a kind that can be used here",
        "Look at the address",
    ),
)  # fmt: skip
"""Every error of Twisted's that a connection can fail with; the first rule that fits counts."""


def diagnosis_of(error: BaseException, where: str = "") -> Diagnosis:
    """Why something failed, whose fault it is, and what to do.

    Args:
        error: What an endpoint's Deferred failed with, or a connection ended with.
        where: The endpoint, for people; our own errors know it already.
    """
    if isinstance(error, TransportError):
        return error.diagnosis
    said = f"{type(error).__name__}: {describe_error(error)}"
    rule = first_match(NETWORK_ERRORS, lambda kind: kind.includes(error))
    at = f"{where}: " if where else ""
    if rule is None:
        return Diagnosis("other", f"{at}it failed with {said}", fault="ours")
    known = rule.diagnosis
    return evolve(known, summary=f"{at}{known.summary}", evidence=(said,))


def _number(error: BaseException) -> int | None:
    """The system's number (errno) of an error, which Twisted keeps in several places."""
    beneath = getattr(error, "socketError", None), *error.args
    for number in (getattr(error, "osError", None), getattr(error, "errno", None)):
        if isinstance(number, int):
            return number
    found = (getattr(each, "errno", None) for each in beneath)
    return next((number for number in found if isinstance(number, int)), None)
