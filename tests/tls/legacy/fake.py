"""An engine for tests: all that engines of SSL 2.0 and SSL 3.0 promise, and nothing secret.

::

    client -> server    H certificates        the certificates in DER, each behind its length
    server -> client    H certificates
    client -> server    F                     now the server is complete, too
    both                D data | C | A reason   C is the close_notify, where there is one

A message is a letter, the length of what follows in four bytes, and that.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol

from txtransport.config import schemes
from txtransport.config.policy import Side, Verify
from txtransport.endpoints import api
from txtransport.tls import creator, key_use
from txtransport.tls.engine import Signal, TLSEvent
from txtransport.tls.legacy import creator as legacy_creator
from txtransport.tls.legacy.engine import LegacyEngine, legacy_error

__all__ = ["FakeSSL2", "FakeSSL3", "install_fakes"]

_HEADER: Final = 5


class FakeSSL3(LegacyEngine):
    """Says that it is SSL 3.0."""

    version: ClassVar[str] = "SSLv3"

    def __init__(self, *given: Any, **keywords: Any) -> None:
        super().__init__(*given, **keywords)
        self._out = b""
        self._in = b""

    def start(self) -> None:
        if self.config.side is Side.CLIENT:
            self._say_hello()

    def receive(self, data: bytes) -> list[TLSEvent]:
        events: list[TLSEvent] = []
        self._in += data
        while self.error is None and not self.is_closed_by_peer and len(self._in) >= _HEADER:
            size = int.from_bytes(self._in[1:_HEADER], "big")
            if self._in[:1] not in b"HFDCA" or size > 2**20:
                self._fail(events, "wrong version number")
                break
            if len(self._in) < _HEADER + size:
                break
            kind, body = self._in[:1], self._in[_HEADER : _HEADER + size]
            self._in = self._in[_HEADER + size :]
            self._take(kind, body, events)
        return events

    def send(self, data: bytes) -> None:
        assert 0 < len(data) <= self.piece
        assert self.is_complete
        assert not self.is_closed
        self._say(b"D", data)

    def data_to_send(self) -> bytes:
        data, self._out = self._out, b""
        return data

    def close(self) -> None:
        if self.is_closed or self.error is not None:
            return
        self.is_closed = True
        if self.has_close_notify:
            self._say(b"C")

    def _say(self, kind: bytes, body: bytes = b"") -> None:
        self._out += kind + len(body).to_bytes(4, "big") + body

    def _say_hello(self) -> None:
        own = self.config.identity
        chain = () if own is None else own.chain
        self._say(b"H", b"".join(len(der).to_bytes(4, "big") + der for der in chain))

    def _take(self, kind: bytes, body: bytes, events: list[TLSEvent]) -> None:
        if kind == b"H" and not self.peer_chain and not self.is_complete:
            self._hello(body, events)
        elif kind == b"F" and not self.is_complete:
            self._completed(events)
        elif kind == b"D" and self.is_complete:
            events.append(body)
        elif kind == b"C" and self.has_close_notify:
            self.is_closed_by_peer = True
            events.append(Signal.CLOSED)
        else:
            self._fail(events, body.decode("ascii", "replace") if kind == b"A" else "unexpected")

    def _hello(self, body: bytes, events: list[TLSEvent]) -> None:
        chain = []
        while body:
            size = int.from_bytes(body[:4], "big")
            chain.append(body[4 : 4 + size])
            body = body[4 + size :]
        config = self.config
        is_asked = config.side is Side.CLIENT or config.certificate is not Verify.NO
        self.peer_chain = tuple(chain) if is_asked else ()
        if is_asked and not config.verify(self.peer_chain):
            self._say(b"A", b"sslv3 alert bad certificate")
            self._fail(events, "certificate verify failed")
            return
        if config.side is Side.SERVER:
            self._say_hello()
        else:
            self._say(b"F")
            self._completed(events)

    def _completed(self, events: list[TLSEvent]) -> None:
        self.is_complete = True
        self.cipher, self.bits = self.config.ciphers[0], 128
        events.append(Signal.COMPLETE)

    def _fail(self, events: list[TLSEvent], reason: str) -> None:
        self.error = legacy_error(reason)
        events.append(Signal.FAILED)


class FakeSSL2(FakeSSL3):
    """Says that it is SSL 2.0, and has no close_notify."""

    version: ClassVar[str] = "SSLv2"


class _Patching(Protocol):
    def patch(self, on: Any, name: str, value: object) -> object: ...
    def addCleanup(self, function: Callable[[], object]) -> object: ...


def install_fakes(test: _Patching) -> None:
    """Have both versions spoken by fakes, for one test; the extra seems to be installed.

    Nothing of the process is shared with other tests: neither contexts nor the uses of keys.
    """
    test.patch(schemes, "is_legacy_installed", lambda: True)
    forget_process(test)
    known = ("STRONG", "WEAK", "EXP-WEAK")
    fakes = {"SSLv2": FakeSSL2, "SSLv3": FakeSSL3}
    speakers = {
        version: lambda kind=kind: legacy_creator.Speaker(kind, known, frozenset({"EXP-WEAK"}))
        for version, kind in fakes.items()
    }
    test.patch(legacy_creator, "_SPEAKERS", speakers)
    test.patch(legacy_creator, "is_legacy_installed", lambda: True)


def forget_process(test: _Patching) -> None:
    """Share neither contexts nor the uses of keys with other tests, nor clients' plans."""
    test.addCleanup(api._cached_plan.cache_clear)
    api._cached_plan.cache_clear()
    test.patch(creator, "_contexts", OrderedDict())
    test.patch(key_use, "_uses", key_use.KeyUses())
