"""Diagnoses any error that a connection can fail with, Twisted's as well as ours.

Our own errors carry their diagnosis. Errors of TCP and of the name server are Twisted's:
one class often stands for several errors of the system, whose number (errno) Twisted
keeps in the exception. So the table has rules for classes, and for classes with numbers;
where the same number means something else for a local socket, or for a link-local address,
also for endpoints of that form.

What our endpoints fail with is of both: `located` makes, of an error of Twisted's, one
that is of the same class and a `NetworkError`. These classes are here and not in
`txtransport.errors`, which folders import that know no Twisted.
"""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Mapping
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
from twisted.python.failure import Failure

from txtransport.diagnosis.rule import Rule, first_match
from txtransport.endpoints.srv_records import (
    BadTarget,
    NoServiceRecord,
    NoSuchService,
    ServiceLookUpError,
)
from txtransport.errors import Diagnosis, TransportError
from txtransport.text import describe_error

__all__ = [
    "NETWORK_ERRORS",
    "BindFailed",
    "CannotListen",
    "ConnectFailed",
    "ConnectTimedOut",
    "ConnectionRefused",
    "ErrorKind",
    "FamilyUnsupported",
    "LookUpFailed",
    "NetworkError",
    "NoRoute",
    "OutOfResources",
    "ProtocolRefused",
    "TCPTimedOut",
    "UnknownHost",
    "diagnosis_of",
    "located",
    "located_failure",
    "undiagnosed",
]


@frozen
class ErrorKind:
    """The errors that one rule is about: some classes, perhaps with some numbers only.

    Attributes:
        kinds: Classes of exceptions; subclasses count as well.
        numbers: The system's numbers (errno(3)) that count, None for an error without
            one; empty when all do.
        place: What an endpoint's text begins with that counts, or None for any.
    """

    kinds: tuple[type[BaseException], ...]
    numbers: frozenset[int | None] = frozenset()
    place: re.Pattern[str] | None = None

    def includes(self, error: BaseException, where: str = "") -> bool:
        """Whether an error of an endpoint is of these classes, numbers and places.

        Args:
            error: The error.
            where: The endpoint, as its URL begins; empty if it is not known.
        """
        return (
            isinstance(error, self.kinds)
            and (not self.numbers or _number(error) in self.numbers)
            and (self.place is None or self.place.match(where) is not None)
        )


def _rule(
    kinds: tuple[type[BaseException], ...],
    cause: str,
    fault: str,
    permanent: bool,
    summary: str,
    remedy: str = "",
    numbers: frozenset[int | None] = frozenset(),
    place: re.Pattern[str] | None = None,
) -> Rule[ErrorKind]:
    diagnosis = Diagnosis(cause, summary, remedy, fault=fault, permanent=permanent)
    return Rule(ErrorKind(kinds, numbers, place), diagnosis)


# Local sockets with a file and without one, UDP, and addresses of IPv6: with a zone, and
# link-local ones (unicast and multicast) without one.
_LOCAL: Final = re.compile(r"(tls\+)?unix:")
_LOCAL_FILE: Final = re.compile(r"(tls\+)?unix:///")
_INHERITED: Final = re.compile(r"(tls\+)?(fd|systemd):")
_TCP: Final = re.compile(r"tcp:")
_UDP: Final = re.compile(r"udp:")
_ZONE: Final = re.compile(r"[\w.+]+://\[[^\]]*%")
_LINK_LOCAL: Final = re.compile(r"[\w.+]+://\[(fe[89ab]|ff[0-9a-f]2)[^%\]]*\]")


_RESET_REMEDY: Final = "Look at the peer's log; a firewall in between can do the same"
_UNREACHABLE: Final = Diagnosis(
    "unreachable",
    "there is no route to that address",
    "Is this machine on a network, and does it have addresses of that family (IPv6, IPv4)?",
    fault="network",
    permanent=False,
)

_EXHAUSTED: Final[frozenset[int | None]] = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
)
_NOT_PERMITTED: Final[frozenset[int | None]] = frozenset({errno.EACCES, errno.EPERM})
_NO_ROUTE: Final[frozenset[int | None]] = frozenset(
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
    _rule(
        (UnknownHostError, ConnectError, CannotListenError),
        "no-such-interface", "ours", True,
        "the address has no such network interface",
        "Look at what follows the % of the address: is it an interface of this machine (ip link)?",
        frozenset({socket.EAI_NONAME, errno.ENODEV, errno.ENXIO}),
        _ZONE,
    ),
    _rule(
        (ConnectError, CannotListenError),
        "zone-missing", "ours", True,
        "a link-local address is one of some network, and the URL does not say of which",
        "Add the interface to the address, as in [fe80::1%25eth0]",
        frozenset({errno.EINVAL}),
        _LINK_LOCAL,
    ),
    _rule(
        (NoServiceRecord,),
        "no-srv-record", "ours", False,
        "the domain has no SRV record of that service, and the URL no port of the domain itself",
        "Check how service and domain are spelt, or add the port to the URL",
    ),
    _rule(
        (NoSuchService,),
        "no-such-service", "peer", True,
        "the domain says that it does not have that service: its SRV record has no target (.)",
        "Check how service and domain are spelt; the domain itself must not be tried (RFC 2782)",
    ),
    _rule(
        (ServiceLookUpError,),
        "srv-look-up", "network", False,
        "no name server could say which SRV records the service has",
        "Can the name servers of this machine (/etc/resolv.conf) be reached, and do those of the "
        "domain answer?",
    ),
    _rule(
        (BadTarget,),
        "bad-srv-target", "peer", True,
        "the SRV record has no host's name for its target, or port 0",
        "Tell those who keep the domain's records: a target is a name, never an address",
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
        "that path is taken: by a server, by a socket that one has left, or by another file",
        "If a server runs there, stop it: the lock beside the socket (readlink PATH.lock) names "
        "its process. If none does, remove the file. Or take another path",
        frozenset({errno.EADDRINUSE}),
        _LOCAL_FILE,
    ),
    _rule(
        (CannotListenError,),
        "cannot-listen", "ours", True,
        "the folder of the local socket is not there",
        "Does the folder exist, and is the path right?",
        frozenset({errno.ENOENT, errno.ENOTDIR}),
        _LOCAL_FILE,
    ),
    _rule(
        (CannotListenError,),
        "cannot-listen", "ours", True,
        "the lock beside the local socket is damaged: it names no process",
        "Look at PATH.lock: it should be a link to the number of a process. If no server runs "
        "there, remove it",
        frozenset({errno.EINVAL}),
        _LOCAL_FILE,
    ),
    _rule(
        (CannotListenError,),
        "cannot-listen", "ours", True,
        "the local socket's file was replaced by another while its rights were set",
        "Who may write to the folder of the socket? Take one that only its server may write to",
        frozenset({errno.ENOTSOCK}),
        _LOCAL_FILE,
    ),
    _rule(
        (CannotListenError,),
        "cannot-listen", "ours", True,
        "the socket that was passed to this process is not there any more",
        "It can be listened at once, by one endpoint: keep the port that listen() gave, and "
        "close no descriptor that is not yours",
        frozenset({errno.EBADF}),
        _INHERITED,
    ),
    _rule(
        (CannotListenError,),
        "port-taken", "ours", True,
        "someone listens at that address already",
        "Stop the program that listens there, or take another port",
        frozenset({errno.EADDRINUSE}),
    ),
    _rule(
        (CannotListenError,),
        "not-permitted", "ours", True,
        "this machine does not permit it",
        "Look at the rights of the folder of a local socket or of a port below 1024; only root "
        "may give a socket's file to another user=",
        _NOT_PERMITTED,
    ),
    _rule(
        (ConnectError,),
        "not-permitted", "ours", True,
        "this machine does not permit it",
        "To send to a broadcast address, give so_broadcast=yes; otherwise look at the firewall "
        "here",
        frozenset({errno.EACCES}),
        _UDP,
    ),
    _rule(
        (ConnectError,),
        "not-permitted", "ours", True,
        "this machine does not permit it",
        "Look at the rights of a local socket's file, which its server sets by mode=, user= and "
        "group=, and otherwise at the firewall here",
        _NOT_PERMITTED,
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
        "the connection was refused: no server listens at that local socket",
        "Is the server running, and is the path right? The file of a server that has gone stays",
        place=_LOCAL,
    ),
    _rule(
        (ConnectionRefusedError,),
        "refused", "peer", False,
        "the connection was refused: nothing listens there",
        "Is the server running, and is it the right port? A firewall can refuse as well",
    ),
    Rule(ErrorKind((NoRouteError,)), _UNREACHABLE),
    Rule(ErrorKind((ConnectError,), _NO_ROUTE), _UNREACHABLE),
    # Many servers remove the file when they stop, so that it is back with the server.
    _rule(
        (ConnectError,),
        "no-such-socket", "peer", False,
        "there is no such local socket",
        "Is the server running, and is the path right?",
        frozenset({errno.ENOENT}),
    ),
    _rule(
        (ConnectError,),
        "no-such-socket", "ours", True,
        "there is no such local socket: the path leads to something else",
        "Is the path right?",
        frozenset({errno.ENOTDIR, errno.ENOTSOCK}),
    ),
    _rule(
        (ConnectError,),
        "no-such-socket", "ours", True,
        "that local socket is of another kind: for datagrams, perhaps",
        "Is the path right? unix:// connects to sockets for streams",
        frozenset({errno.EPROTOTYPE}),
        _LOCAL,
    ),
    _rule(
        (TimeoutError, TCPTimedOutError),
        "timeout", "network", False,
        "the address did not answer",
        "Is a firewall dropping the packets, or the address wrong?",
    ),
    # EAGAIN (connect(2)). Twisted takes that for a connection under way; epoll(7) then tells
    # it that the socket is closed, and no number.
    _rule(
        (ConnectError,),
        "queue-full", "peer", False,
        "the local socket's server has as many connections waiting as it lets wait",
        "Try again later; the server does not accept connections, or its backlog is too small",
        frozenset({errno.EAGAIN, None}),
        _LOCAL,
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
    # With TLS it may have been closed as well, but without the close_notify of TLS.
    _rule(
        (ConnectionLost,),
        "reset", "peer", False,
        "the connection was reset (RST) instead of closed",
        _RESET_REMEDY,
        place=_TCP,
    ),
    _rule(
        (ConnectionLost,),
        "reset", "peer", False,
        "the connection was cut off: reset (RST), or closed without TLS's close_notify",
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
    rule = first_match(NETWORK_ERRORS, lambda kind: kind.includes(error, where))
    if rule is None:
        return undiagnosed(error, where)
    known = rule.diagnosis
    return evolve(known, summary=f"{_at(where)}{known.summary}", evidence=(_named(error),))


def undiagnosed(error: BaseException, where: str = "") -> Diagnosis:
    """The diagnosis ``other``, for an error that is not one of the network's.

    Args:
        error: The application's, for example.
        where: The endpoint, for people; begins the summary.
    """
    return Diagnosis("other", f"{_at(where)}it failed with {_named(error)}", fault="ours")


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {describe_error(error)}"


# --- errors that are Twisted's and ours ------------------------------------------


class NetworkError(TransportError):
    """TCP or the name server failed; each subclass is a class of Twisted's as well.

    It has the attributes of Twisted's error (``osError``, ``socketError``), whose text
    is in the evidence.

    Args:
        where: The endpoint, for people; begins the text.
        original: What Twisted made of the failure.
    """

    def __init__(self, where: str, original: BaseException) -> None:
        found = diagnosis_of(original, where)
        code = errno.errorcode.get(_number(original) or 0)
        self._summary = found.summary
        text = f"{found.summary} ({code})" if code else found.summary
        # Not by super(): the constructors of Twisted's classes have arguments of their own,
        # and would make their own text of ours.
        Exception.__init__(self, f"{text}. {found.remedy}" if found.remedy else text)
        vars(self).update(vars(original))
        self.cause: str = found.cause
        self.fault: str = found.fault
        self.permanent: bool = found.permanent
        self.evidence: tuple[str, ...] = found.evidence
        self.remedy: str = found.remedy

    def __str__(self) -> str:
        # Twisted's __str__ would put a sentence of its own in front.
        return str(self.args[0])

    @property
    def summary(self) -> str:
        """What happened, without what to do."""
        return self._summary


class ConnectFailed(NetworkError, ConnectError):
    """Connecting failed in a way for which Twisted has no class of its own."""


class BindFailed(NetworkError, ConnectBindError):
    """The local address to connect from cannot be used."""


class ConnectionRefused(NetworkError, ConnectionRefusedError):
    """Nothing listens there."""


class NoRoute(NetworkError, NoRouteError):
    """The network of that address cannot be reached."""


class ConnectTimedOut(NetworkError, TimeoutError):
    """Twisted gave the attempt up."""


class TCPTimedOut(NetworkError, TCPTimedOutError):
    """The system gave the attempt up."""


class UnknownHost(NetworkError, UnknownHostError):
    """The host cannot be looked up, or its zone is not one of this machine's."""


class LookUpFailed(NetworkError, DNSLookupError):
    """The host's name has no address."""


class CannotListen(NetworkError, CannotListenError):
    """The address to listen at cannot be used."""


class ProtocolRefused(NetworkError, NoProtocol):
    """The application's factory built no protocol."""


class FamilyUnsupported(NetworkError, UnsupportedAddressFamily):
    """The reactor cannot use addresses of that kind."""


class OutOfResources(NetworkError, OSError):
    """The system has no descriptor or no memory left; Twisted leaves it an OSError."""

    def __init__(self, where: str, original: OSError) -> None:
        super().__init__(where, original)
        # OSError keeps these where vars() does not find them.
        self.errno: int | None = original.errno
        self.strerror: str | None = original.strerror


_BOTH: Final[Mapping[type, type[NetworkError]]] = {
    ConnectError: ConnectFailed,
    ConnectBindError: BindFailed,
    ConnectionRefusedError: ConnectionRefused,
    NoRouteError: NoRoute,
    TimeoutError: ConnectTimedOut,
    TCPTimedOutError: TCPTimedOut,
    UnknownHostError: UnknownHost,
    DNSLookupError: LookUpFailed,
    CannotListenError: CannotListen,
    NoProtocol: ProtocolRefused,
    UnsupportedAddressFamily: FamilyUnsupported,
    OSError: OutOfResources,
}


def located(error: BaseException, where: str) -> BaseException:
    """An error of Twisted's as one that is ours as well, with endpoint, cause and remedy.

    Args:
        error: What connecting or listening failed with.
        where: The endpoint, for people.

    Returns:
        A `NetworkError` of the same class of Twisted's, whose ``__cause__`` is `error`.
        Other errors as they are: our own, those of the application, and a cancelled
        attempt, which did not fail.
    """
    ours = next((_BOTH[kind] for kind in type(error).__mro__ if kind in _BOTH), None)
    if ours is None or isinstance(error, TransportError):
        return error
    if ours is OutOfResources and _number(error) not in _EXHAUSTED:
        # Any other OSError may be the application's.
        return error
    made = ours(where, error)
    made.__cause__ = error
    return made


def located_failure(reason: Failure, where: str) -> Failure:
    """What a Deferred failed with, its error `located`: an errback for endpoints.

    Args:
        reason: The failure.
        where: The endpoint, for people.
    """
    assert reason.value is not None
    error = located(reason.value, where)
    return reason if error is reason.value else Failure(error)


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
