"""Diagnoses any error that a connection can fail with, Twisted's as well as ours.

Our own errors carry their diagnosis. Errors of TCP and of the name server are Twisted's:
one class often stands for several errors of the system, whose number (errno) Twisted
keeps in the exception. So the table has rules for classes, and for classes with numbers.
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

__all__ = ["NETWORK_ERRORS", "ErrorKind", "diagnosis_of"]


@frozen
class ErrorKind:
    """The errors that one rule is about: some classes, perhaps with some numbers only.

    Attributes:
        kinds: Classes of exceptions; subclasses count as well.
        numbers: The system's numbers (errno(3)) that count; empty when all do.
    """

    kinds: tuple[type[BaseException], ...]
    numbers: frozenset[int] = frozenset()

    def includes(self, error: BaseException) -> bool:
        """Whether an error is of one of these classes and has one of these numbers."""
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


_RESET_REMEDY: Final = "Look at the peer's log; a firewall in between can do the same"
_UNREACHABLE: Final = Diagnosis(
    "unreachable",
    "there is no route to that address",
    "Is this machine on a network, and does it have addresses of that family (IPv6, IPv4)?",
    fault="network",
    permanent=False,
)

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROUTE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)

NETWORK_ERRORS: Final = (
    _rule(
        (OSError, ConnectError, CannotListenError),
        "too-many-files", "ours", False,
        "this process has no file descriptor left for a connection, or this machine no memory",
        "Close what is open, or raise the limit (ulimit -n)",
        _EXHAUSTED,
    ),
    # Twisted's resolver does not say whether the name does not exist or the name
    # server did not answer.
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
        "Stop the program that listens there, or take another port",
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
    Rule(ErrorKind((NoRouteError,)), _UNREACHABLE),
    Rule(ErrorKind((ConnectError,), _NO_ROUTE), _UNREACHABLE),
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
    # Before ConnectionLost, of which Twisted makes it a subclass.
    _rule((ConnectionAborted,), "aborted", "ours", False, "we ended the connection"),
    _rule(
        (ConnectionLost, ConnectError),
        "reset", "peer", False,
        "the peer cut the connection off",
        _RESET_REMEDY,
        frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}),
    ),
    _rule(
        (ConnectionLost,),
        "reset", "peer", False,
        "the connection was cut off instead of closed",
        _RESET_REMEDY,
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
        "Its buildProtocol() returned None: the program itself refused the connection",
    ),
    _rule(
        (InvalidAddressError, UnsupportedAddressFamily),
        "wrong-family", "ours", True,
        "the address is not of a kind that can be used here",
        "Look at the address",
    ),
)  # fmt: skip
"""Every error of Twisted's that a connection can fail with; the first match counts."""


def diagnosis_of(error: BaseException, where: str = "") -> Diagnosis:
    """Why a connection failed or ended, whose fault it is, and what to do.

    Args:
        error: What an endpoint's Deferred failed with, or a connection ended with.
        where: The endpoint, for people; begins the summary of errors that are not ours.

    Returns:
        The diagnosis; its evidence is the error's class and text. An error that the
        table does not have comes out as ``other``.
    """
    if isinstance(error, TransportError):
        return error.diagnosis
    original = f"{type(error).__name__}: {describe_error(error)}"
    rule = first_match(NETWORK_ERRORS, lambda kind: kind.includes(error))
    at = f"{where}: " if where else ""
    if rule is None:
        return Diagnosis("other", f"{at}it failed with {original}", fault="ours")
    known = rule.diagnosis
    return evolve(known, summary=f"{at}{known.summary}", evidence=(original,))


def _number(error: BaseException) -> int | None:
    """The system's number (errno) of an error.

    Twisted keeps it in ``osError`` (ConnectError), in the exception ``socketError``
    (CannotListenError), or in an exception among the arguments.
    """
    originals = getattr(error, "socketError", None), *error.args
    for number in (getattr(error, "osError", None), getattr(error, "errno", None)):
        if isinstance(number, int):
            return number
    found = (getattr(each, "errno", None) for each in originals)
    return next((number for number in found if isinstance(number, int)), None)
