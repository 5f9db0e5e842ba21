"""Does what is sent arrive unchanged? Much random traffic over real sockets, and its remains.

    python -m tests.integrity --mebibytes 1024 --connections 10000
    python -m tests.integrity --mebibytes 64 --reactor epoll --seed 7

Conversations with TLS 1.2 and 1.3, implicit and after ``starttls=``, run on each of the
reactors, a few at a time. In each, both sides send at once: by writes of random sizes, by
a push producer or by a pull producer, while they pause their reading now and then. It ends
in one of three ways:

- *close*: one side closes when all has arrived, and SHA-256 must be equal both ways;
- *abort*: one side aborts somewhere, and what has arrived must be the beginning;
- *half-close*: a foreign client (OpenSSL alone) sends close_notify when the server has
  written all, and goes on reading; all must still arrive.

Then connections are opened and ended in several ways, one after the other, and nothing may
be left of them: no descriptor, no timer, and no object of ours.

What a conversation does follows from its number and the seed alone, so that a failure can
be repeated; what the network does is not repeated.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import hashlib
import importlib
import itertools
import os
import random
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

from attrs import define, evolve, field, frozen
from OpenSSL import SSL
from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater, react
from twisted.logger import ILogObserver, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import implementer

import txtransport
from tests import certificates
from tests.loopback import Only
from txtransport.connection.attempt import ConnectionAttempt
from txtransport.connection.delivery import Delivery
from txtransport.connection.driver import TLSDriver
from txtransport.connection.negotiation import NegotiationProtocol
from txtransport.tls.connection import TLSConnection
from txtransport.tls.engine import TLSEngine

REACTORS: Final = {
    "epoll": "epollreactor",
    "poll": "pollreactor",
    "select": "selectreactor",
    "asyncio": "asyncioreactor",
}
"""The reactors, each with its module in ``twisted.internet``."""

WAYS: Final = ("write", "push", "pull")
"""How a side sends."""

ENDINGS: Final = ("close", "close", "close", "abort", "half-close")
"""How a conversation ends."""

KINDS: Final = (("tls", ""), ("tlsv1.2", ""), ("tls", "postgres"), ("tlsv1.2", "postgres"))
"""Scheme and ``starttls=`` of the URLs."""

AT_ONCE: Final = 4
"""Conversations."""

MOST: Final = 2 * 2**20
"""Bytes that a side sends in one conversation."""

PATIENCE: Final = 60
"""Seconds until a conversation counts as stuck."""

_PERIOD: Final = 1_000_003
_BLOCK: Final = random.Random(0).randbytes(_PERIOD) * 2


class Damaged(Exception):
    """Something arrived that was not sent, or did not arrive."""


@define
class Stream:
    """The bytes of one direction, which both sides know: a random block again and again.

    Attributes:
        offset: Where in the block it begins.
        size: How many bytes there are.
        position: How many were taken.
        digest: Of those that were taken.
    """

    offset: int
    size: int
    position: int = 0
    digest: Any = field(factory=hashlib.sha256)

    def take(self, size: int) -> bytes:
        """The next bytes, and fewer at the end."""
        begin = (self.offset + self.position) % _PERIOD
        data = _BLOCK[begin : begin + min(size, self.size - self.position, _PERIOD)]
        self.position += len(data)
        self.digest.update(data)
        return data

    def copy(self) -> Stream:
        """The same bytes from the beginning, for the other side."""
        return Stream(self.offset, self.size)

    @property
    def is_over(self) -> bool:
        """Whether all were taken."""
        return self.position == self.size


@frozen
class Part:
    """What one side does in a conversation.

    Attributes:
        dice: Decides about sizes and pauses.
        sends: What it sends.
        expects: What it is sent.
        way: How it sends, one of `WAYS`.
        abort_at: After how many bytes that it received it aborts, or None.
        closes: Whether it closes when all has arrived.
        has_small_buffers: Whether the system keeps little for it.
    """

    dice: random.Random
    sends: Stream
    expects: Stream
    way: str
    abort_at: int | None = None
    closes: bool = False
    has_small_buffers: bool = False

    def next_size(self) -> int:
        """The size of a write: from one byte to 200,000, small ones as often as large ones."""
        return int(200_000 ** self.dice.random())


@implementer(IPushProducer, IPullProducer)
class Talker(Protocol):
    """One side of a conversation.

    Args:
        reactor: Runs its pauses.
        part: What it does.

    Attributes:
        over: Fires when the connection is over, with its end.
        problem: What is wrong with what has arrived, or None.
        reason: Why the connection is over.
    """

    transport: Any

    def __init__(self, reactor: Any, part: Part) -> None:
        self.part = part
        self.over: Deferred[list[Failure]] = Deferred()
        self.problem: Damaged | None = None
        self.reason: object = None
        self._reactor = reactor
        self._is_paused = False
        self._is_gone = False

    def connectionMade(self) -> None:
        way = self.part.way
        if self.part.has_small_buffers:
            # Else the system takes all there is, and nothing ever waits.
            handle = self.transport.transport.getHandle()
            for name in (socket.SO_SNDBUF, socket.SO_RCVBUF):
                handle.setsockopt(socket.SOL_SOCKET, name, 65536)
        if way == "write":
            self._write()
        else:
            self.transport.registerProducer(self, way == "push")
            if way == "push":
                self.resumeProducing()

    def dataReceived(self, data: bytes) -> None:
        part = self.part
        if data != b"".join(_taken(part.expects, len(data))):
            self.problem = Damaged(f"other bytes than were sent, by {part.expects.position}")
            self.transport.abortConnection()
        elif part.abort_at is not None and part.expects.position >= part.abort_at:
            self.transport.abortConnection()
        elif part.dice.random() < 0.05:
            self.transport.pauseProducing()
            self._later(part.dice.random() / 300, self._read_on)
        self._close_if_done()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_gone = self._is_paused = True
        self.reason = reason.value
        self.over.callback([reason])

    def _later(self, seconds: float, call: Callable[[], object]) -> None:
        self._reactor.callLater(seconds, lambda: self._is_gone or call())

    def _read_on(self) -> None:
        self.transport.resumeProducing()

    def _close_if_done(self) -> None:
        part = self.part
        if part.closes and part.sends.is_over and part.expects.is_over:
            self.transport.loseConnection()

    def _write(self) -> None:
        part = self.part
        for _ in range(part.dice.randrange(1, 9)):
            self.transport.write(part.sends.take(part.next_size()))
        if part.sends.is_over:
            self._close_if_done()
        else:
            self._later(part.dice.choice((0, 0, 0.002)), self._write)

    # --- a producer of either kind ---

    def resumeProducing(self) -> None:
        part = self.part
        self._is_paused = False
        while not self._is_paused and not part.sends.is_over:
            self.transport.write(part.sends.take(part.next_size()))
            if part.way == "pull":
                break
        if part.sends.is_over:
            self.transport.unregisterProducer()
            self._close_if_done()

    def pauseProducing(self) -> None:
        self._is_paused = True

    def stopProducing(self) -> None:
        self._is_paused = True


def _taken(stream: Stream, size: int) -> Iterator[bytes]:
    """So many bytes of a stream; fewer if there are no more."""
    while size > 0 and not stream.is_over:
        data = stream.take(size)
        size -= len(data)
        yield data


class HalfClosingClient(Protocol):
    """A foreign client: OpenSSL on a plain connection. It closes its half, and reads on.

    Attributes:
        over: Fires when the connection is over.
        problem: What is wrong with what has arrived, or None.
        is_complete: Whether the handshake is complete.
        is_closed_by_peer: Whether the server has sent close_notify.
        expects: What it is sent.
    """

    transport: Any

    def __init__(self, expects: Stream) -> None:
        self.over: Deferred[list[Failure]] = Deferred()
        self.problem: Damaged | None = None
        self.is_complete = self.is_closed_by_peer = False
        self.expects = expects
        self._tls = SSL.Connection(SSL.Context(SSL.TLS_CLIENT_METHOD), None)
        self._tls.set_connect_state()

    def connectionMade(self) -> None:
        self._continue()

    def dataReceived(self, data: bytes) -> None:
        while data:
            data = data[self._tls.bio_write(data) :]
            self._continue()

    def close_half(self) -> None:
        """Send close_notify."""
        self._tls.shutdown()
        self._continue()

    def _continue(self) -> None:
        try:
            self._tls.do_handshake()
            self.is_complete = True
            while True:
                data = self._tls.recv(65536)
                if data != b"".join(_taken(self.expects, len(data))):
                    self.problem = Damaged("other bytes than were sent")
                    self.transport.abortConnection()
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self.is_closed_by_peer = True
        try:
            while True:
                self.transport.write(self._tls.bio_read(65536))
        except SSL.WantReadError:
            pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback([reason])


@define
class Conversations:
    """Has conversations on one kind of connection.

    Attributes:
        reactor: The reactor.
        kind: One of `KINDS`.
        seed: Of the whole run.
        moved: How many bytes have arrived.
        endings: How often each one was.
    """

    reactor: Any
    kind: tuple[str, str]
    seed: int
    moved: int = 0
    endings: Counter[str] = field(factory=Counter)

    @inlineCallbacks
    def run(self, size: int) -> Any:
        """Have conversations until so many bytes have arrived.

        Raises:
            Damaged: They did not arrive unchanged.
        """
        numbers = itertools.count()
        talks = [self._series(numbers, size) for _ in range(AT_ONCE)]
        yield gatherResults(talks, consumeErrors=True).addErrback(_first)

    @inlineCallbacks
    def _series(self, numbers: Iterator[int], size: int) -> Any:
        while self.moved < size:
            number = next(numbers)
            try:
                yield self._talk(number).addTimeout(PATIENCE, self.reactor)
            except Exception as error:
                raise Damaged(
                    f"{self.kind}, number {number}, seed {self.seed}: {error!r}"
                ) from error

    @inlineCallbacks
    def _talk(self, number: int) -> Any:
        dice = random.Random(f"{self.seed} {self.kind} {number}")
        ending = dice.choice(ENDINGS)
        if self.kind[1] and ending == "half-close":
            ending = "close"
        up, down = (
            Stream(dice.randrange(_PERIOD), int(MOST ** (1 - dice.random() / 3))) for _ in "12"
        )
        parts = [
            Part(
                random.Random(dice.random()),
                sends,
                expects.copy(),
                dice.choice(WAYS),
                has_small_buffers=dice.random() < 0.5,
            )
            for sends, expects in ((up, down), (down, up))
        ]
        actor = dice.randrange(2)
        if ending == "abort":
            parts[actor] = evolve(parts[actor], abort_at=dice.randrange(parts[actor].expects.size))
        elif ending == "close":
            parts[actor] = evolve(parts[actor], closes=True)
        server = Talker(self.reactor, parts[1])
        scheme, starttls = self.kind
        more = f"&starttls={starttls}" if starttls else ""
        url = f"{scheme}://127.0.0.1:0?local_cert={certificates.site()}{more}"
        port = yield txtransport.server(self.reactor, url).listen(Only(server))
        try:
            place = f"127.0.0.1:{port.getHost().port}"
            if ending == "half-close":
                yield self._half_close(port.getHost().port, server)
            else:
                url = f"{scheme}://{place}?cafile={certificates.cafile()}{more}"
                client = Talker(self.reactor, parts[0])
                yield txtransport.client(self.reactor, url).connect(Only(client))
                yield gatherResults([client.over, server.over])
                self._judge(ending, client, server)
        finally:
            yield port.stopListening()
        self.endings[ending] += 1

    @inlineCallbacks
    def _half_close(self, port: int, server: Talker) -> Any:
        part = evolve(server.part, way="write")
        # What waits for its turn when the peer has closed is not sent any more.
        server.part = evolve(part, expects=Stream(0, 0))
        client = HalfClosingClient(part.sends.copy())
        yield TCP4ClientEndpoint(self.reactor, "127.0.0.1", port).connect(Only(client))
        while not (part.sends.is_over and client.is_complete):
            yield deferLater(self.reactor, 0.001, lambda: None)
        client.close_half()
        yield gatherResults([client.over, server.over])
        if client.problem or server.problem:
            raise client.problem or server.problem or Damaged()
        if not client.is_closed_by_peer or not client.expects.is_over:
            raise Damaged(f"half-close: {client.expects.position} of {client.expects.size} bytes")
        self.moved += client.expects.position

    def _judge(self, ending: str, client: Talker, server: Talker) -> None:
        for one, other in ((client, server), (server, client)):
            if one.problem is not None:
                raise one.problem
            sent, heard = other.part.sends, one.part.expects
            self.moved += heard.position
            if ending == "close" and (
                not heard.is_over or sent.digest.digest() != heard.digest.digest()
            ):
                ends = f"{client.reason!r}, {server.reason!r}"
                raise Damaged(f"{heard.position} of {sent.size} bytes arrived: {ends}")


def _first(reason: Failure) -> Failure:
    """The failure itself, of those that `gatherResults` has wrapped."""
    found: Any = reason.value
    return getattr(found, "subFailure", reason)


# --- what is left of a connection ----------------------------------------------------

OURS: Final = (
    ConnectionAttempt, Delivery, NegotiationProtocol, TLSConnection, TLSDriver, TLSEngine,
)  # fmt: skip
"""The classes of which each connection has objects."""


class Leaving(Protocol):
    """Ends its connection in one of several ways when it is connected, or waits for the end.

    Args:
        way: ``close``, ``abort``, ``raise``, or ``wait``.
    """

    transport: Any

    def __init__(self, way: str) -> None:
        self.over: Deferred[None] = Deferred()
        self._way = way

    def connectionMade(self) -> None:
        self.transport.write(b"x" * 1000)
        if self._way == "close":
            self.transport.loseConnection()
        elif self._way == "abort":
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.over.callback(None)


@inlineCallbacks
def find_remains(reactor: Any, count: int) -> Any:
    """Open and end connections in several ways, and look what is left of them.

    Args:
        reactor: The reactor.
        count: How many connections.

    Raises:
        Damaged: Something is left.
    """
    ports, urls = [], []
    for scheme, starttls in KINDS:
        more = f"&starttls={starttls}" if starttls else ""
        url = f"{scheme}://127.0.0.1:0?local_cert={certificates.site()}{more}"
        port = yield txtransport.server(reactor, url).listen(_Waiting())
        ports.append(port)
        urls.append(f"{scheme}://127.0.0.1:{port.getHost().port}?timeout=20{more}")
    before: tuple[Any, ...] = ()
    for number in range(count):
        if number == len(_FATES) * len(urls):
            # Whatever is made once, such as contexts and caches, is there by now.
            before = yield _what_is_there(reactor)
        url = urls[number % len(urls)]
        yield _FATES[number // len(urls) % len(_FATES)](reactor, url)
    after = yield _what_is_there(reactor)
    for port in ports:
        yield port.stopListening()
    if before and before != after:
        raise Damaged(f"of {count} connections something is left: {before} before, {after} after")


class _Waiting(Protocol):
    """A server's protocol, which waits for the client's end; and its own factory."""

    noisy = False

    def buildProtocol(self, addr: object) -> Protocol:
        return Protocol()

    def doStart(self) -> None:
        pass

    doStop = doStart


@inlineCallbacks
def _met(reactor: Any, url: str, way: str) -> Any:
    client = Leaving(way)
    trusting = f"{url}&cafile={certificates.cafile()}"
    yield txtransport.client(reactor, trusting).connect(Only(client))
    yield client.over


@inlineCallbacks
def _refused(reactor: Any, url: str) -> Any:
    """The client refuses the server's certificate, whose authority it does not know."""
    try:
        yield txtransport.client(reactor, url).connect(Only(Leaving("close")))
    except txtransport.HandshakeFailed:
        return
    raise Damaged("a certificate of an unknown authority was accepted")


@inlineCallbacks
def _cancelled(reactor: Any, url: str) -> Any:
    """The client gives up at once."""
    connecting = txtransport.client(reactor, url).connect(Only(Leaving("close")))
    connecting.addErrback(lambda reason: None)
    connecting.cancel()
    yield connecting


_FATES: Final[tuple[Callable[..., Any], ...]] = (
    lambda reactor, url: _met(reactor, url, "close"),
    lambda reactor, url: _met(reactor, url, "abort"),
    _refused,
    _cancelled,
)
"""What a connection may come to."""


@inlineCallbacks
def _what_is_there(reactor: Any) -> Any:
    """How many descriptors, timers and objects of ours there are, once all is quiet."""
    found: tuple[Any, ...] = ()
    for _ in range(200):
        # The servers' side may still have to notice the end.
        yield deferLater(reactor, 0.01, lambda: None)
        gc.collect()
        objects = Counter(
            type(each).__name__ for each in gc.get_objects() if isinstance(each, OURS)
        )
        found = (
            len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
            len(reactor.getDelayedCalls()),
            dict(objects),
        )
        if not objects:
            break
    return found


def _forget(event: object) -> None:
    """Observe the log without keeping anything."""


# --- the script ------------------------------------------------------------------------


@inlineCallbacks
def measure(reactor: Any, mebibytes: float, connections: int, seed: int) -> Any:
    """Have conversations of all kinds, then look for remains; say what was done."""
    name = type(reactor).__name__
    for kind in KINDS:
        begin, talks = time.monotonic(), Conversations(reactor, kind, seed)
        yield talks.run(int(mebibytes * 2**20 / len(KINDS)))
        counts = ", ".join(f"{count} x {ending}" for ending, count in sorted(talks.endings.items()))
        print(
            f"{name} {kind[0]:7} {kind[1] or 'implicit':8}: {talks.moved / 2**20:8.1f} MiB equal, "
            f"{counts}, {time.monotonic() - begin:.1f} s",
            flush=True,
        )
    # Until logging begins, Twisted keeps the events, and with them what they name.
    globalLogBeginner.beginLoggingTo([cast(ILogObserver, _forget)], redirectStandardIO=False)
    begin = time.monotonic()
    yield find_remains(reactor, connections)
    print(
        f"{name}: {connections} connections left nothing, {time.monotonic() - begin:.1f} s",
        flush=True,
    )


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.integrity", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--mebibytes", type=float, default=64, help="in all, on all reactors")
    parser.add_argument("--connections", type=int, default=1000, help="in all, on all reactors")
    parser.add_argument("--reactor", choices=[*REACTORS, "all"], default="all")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.reactor == "all":
        sys.exit(sum(_run_alone(name, given) != 0 for name in REACTORS))
    if given.reactor == "asyncio":
        asyncio.set_event_loop(asyncio.new_event_loop())
    importlib.import_module(f"twisted.internet.{REACTORS[given.reactor]}").install()
    react(measure, (given.mebibytes, given.connections, given.seed))


def _run_alone(name: str, given: argparse.Namespace) -> int:
    """Run one reactor's share in a process of its own, which is the only way to choose one."""
    share = len(REACTORS)
    return subprocess.run(
        [
            sys.executable, "-m", "tests.integrity", f"--reactor={name}", f"--seed={given.seed}",
            f"--mebibytes={given.mebibytes / share}",
            f"--connections={-(-given.connections // share)}",
        ],
        check=False,
    ).returncode  # fmt: skip


if __name__ == "__main__":
    main()
