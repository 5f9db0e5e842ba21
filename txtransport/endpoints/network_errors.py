"""Whatever a connection fails with, as a diagnosis: Twisted's errors beside our own.

Ours explain themselves. Those of TCP and of the name server come from Twisted,
which keeps the system's number; by class and number the table has their rows.
"""

from __future__ import annotations

import errno
from typing import Final

from attrs import frozen
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

from txtransport.errors import Diagnosis, TransportError
from txtransport.text import short_repr


@frozen
class Fault:
    """One row: what an error comes to.

    Attributes:
        kinds: The error's class is one of these, or below one.
        cause: A word for programs.
        fault: Whose it is, one of `txtransport.errors.FAULTS`.
        permanent: Whether trying again cannot help.
        text: What happened, the rest of a sentence.
        remedy: What to do, a sentence without its full stop; or nothing.
        numbers: The system's numbers; empty for any.
    """

    kinds: tuple[type[BaseException], ...]
    cause: str
    fault: str
    permanent: bool
    text: str
    remedy: str = ""
    numbers: frozenset[int] = frozenset()

    def fits(self, error: BaseException) -> bool:
        """Whether it is this row that the error belongs to."""
        return isinstance(error, self.kinds) and (
            not self.numbers or _number(error) in self.numbers
        )


_FULL: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_NO_ROUTE: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL}
)

NETWORK_ERRORS: Final = (
    Fault(
        (OSError, ConnectError, CannotListenError),
        "too-many-files", "ours", False,
        "this process has no file, or this machine no memory, left for a connection",
        "Close what is open, or raise the limit (ulimit -n)",
        _FULL,
    ),
    # Of a name without an address it cannot be told whether it is misspelt or
    # the name server did not answer: Twisted's resolver does not say.
    Fault(
        (DNSLookupError, UnknownHostError),
        "no-such-name", "ours", False,
        "the name has no address",
        "Check how it is spelt, and whether the name server can be reached",
    ),
    Fault(
        (ConnectBindError,),
        "bind-failed", "ours", True,
        "the local address cannot be used",
        "Look at bindto: is it an address of this machine, and is its port free?",
    ),
    Fault(
        (CannotListenError,),
        "port-taken", "ours", True,
        "someone listens at that address already",
        "Stop the other, or take another port",
        frozenset({errno.EADDRINUSE}),
    ),
    Fault(
        (CannotListenError, ConnectError),
        "not-permitted", "ours", True,
        "this machine does not permit it",
        "Look at the rights of the socket's file or of a port below 1024, and at the firewall here",
        frozenset({errno.EACCES, errno.EPERM}),
    ),
    Fault(
        (CannotListenError,),
        "cannot-listen", "ours", True,
        "it is not possible to listen there",
        "Is it an address of this machine?",
    ),
    Fault(
        (ConnectionRefusedError,),
        "refused", "peer", False,
        "the connection was refused: nothing listens there",
        "Is the server running, and is it the right port? A firewall can refuse as well",
    ),
    Fault(
        (NoRouteError,),
        "unreachable", "network", False,
        "there is no way to that address",
        "Is this machine on a network, and has it the address's family (IPv6, IPv4)?",
    ),
    Fault(
        (ConnectError,),
        "unreachable", "network", False,
        "there is no way to that address",
        "Is this machine on a network, and has it the address's family (IPv6, IPv4)?",
        _NO_ROUTE,
    ),
    Fault(
        (ConnectError,),
        "no-such-socket", "ours", True,
        "there is no such local socket",
        "Is the server running, and is the path right?",
        frozenset({errno.ENOENT, errno.ENOTDIR, errno.ENOTSOCK}),
    ),
    Fault(
        (TimeoutError, TCPTimedOutError),
        "timeout", "network", False,
        "the address did not answer",
        "Is a firewall dropping the packets, or the address wrong?",
    ),
    # To Twisted, a loss of another kind.
    Fault((ConnectionAborted,), "aborted", "ours", False, "we ended the connection"),
    Fault(
        (ConnectionLost, ConnectError),
        "reset", "peer", False,
        "the peer cut the connection off",
        "Look at the peer's log; a firewall between can do it as well",
        frozenset({errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED}),
    ),
    Fault(
        (ConnectionLost,),
        "reset", "peer", False,
        "the connection was cut off without a goodbye",
        "Look at the peer's log; a firewall between can do it as well",
    ),
    Fault((ConnectionDone,), "closed", "peer", False, "the peer closed the connection"),
    Fault(
        (ConnectingCancelledError, CancelledError),
        "cancelled", "ours", False, "the attempt was given up",
    ),
    Fault(
        (NoProtocol,),
        "no-protocol", "ours", True,
        "the factory built no protocol",
        "Its buildProtocol() answered None: that is the program's own doing",
    ),
    Fault(
        (InvalidAddressError, UnsupportedAddressFamily),
        "wrong-family", "ours", True,
        "the address is not of a kind that can be used here",
        "Look at the address",
    ),
)  # fmt: skip
"""Every error of Twisted's that a connection can fail with; the first row that fits counts."""


def diagnosis_of(error: BaseException, where: str = "") -> Diagnosis:
    """Why something failed, whose fault it is, and what to do.

    Args:
        error: What an endpoint's Deferred failed with, or a connection ended with.
        where: The endpoint, for people; our own errors know it already.
    """
    if isinstance(error, TransportError):
        return error.diagnosis
    said = f"{type(error).__name__}: {_printable(error)}"
    row = next((row for row in NETWORK_ERRORS if row.fits(error)), None)
    at = f"{where}: " if where else ""
    if row is None:
        return Diagnosis("other", "ours", True, f"{at}it failed with {said}")
    return Diagnosis(row.cause, row.fault, row.permanent, f"{at}{row.text}", (said,), row.remedy)


def _number(error: BaseException) -> int | None:
    """The system's number of an error, which Twisted keeps in several places."""
    beneath = getattr(error, "socketError", None), *error.args
    for number in (getattr(error, "osError", None), getattr(error, "errno", None)):
        if isinstance(number, int):
            return number
    found = (getattr(each, "errno", None) for each in beneath)
    return next((number for number in found if isinstance(number, int)), None)


def _printable(error: BaseException, limit: int = 200) -> str:
    try:
        text = str(error)
    except Exception:
        return short_repr(error, limit)
    shown = text if text.isprintable() else ascii(text)
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
