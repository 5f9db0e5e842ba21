"""Somebody in the middle who changes what passes gets nothing in the clear, and delivers nothing.

Hypothesis chooses what is done to which byte: of a handshake, of the first data, or of the
close. Both applications write at once, and would be glad of anything that arrives.
"""

from __future__ import annotations

from typing import Any, Final, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.connection.test_driver import AppProtocol, Party, fit
from txtransport.config.policy import Side

SECRET: Final = b"the application's own words "


class Talkative(AppProtocol):
    """Writes in connectionMade and at each datum, a few times."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self._say()

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if len(self.heard) < 6:
            self._say()
        elif len(self.heard) == 6:
            assert self.transport is not None
            self.transport.loseConnection()

    def _say(self) -> None:
        assert self.transport is not None
        self.transport.write(SECRET * 3)


def flipped(data: bytes, at: int) -> bytes:
    """One bit is another."""
    return data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def left_out(data: bytes, at: int) -> bytes:
    """One byte is missing."""
    return data[:at] + data[at + 1 :]


def doubled(data: bytes, at: int) -> bytes:
    """What came before comes again."""
    return data[:at] + data


def in_the_clear(data: bytes, at: int) -> bytes:
    """A line of the attacker's own."""
    return data[:at] + b"220 attacker\r\n" + data[at:]


def as_record(data: bytes, at: int) -> bytes:
    """A record of application data that nobody has encrypted."""
    return data[:at] + b"\x17\x03\x03\x00\x08attacker" + data[at:]


def as_alert(data: bytes, at: int) -> bytes:
    """A close_notify in the clear."""
    return data[:at] + b"\x15\x03\x03\x00\x02\x01\x00" + data[at:]


def cut_off(data: bytes, at: int) -> bytes:
    """The rest is missing."""
    return data[:at]


CHANGES: Final = (flipped, left_out, doubled, in_the_clear, as_record, as_alert, cut_off)


class ManInTheMiddleTests(SynchronousTestCase):
    """A connection in memory, on which one change is made."""

    @settings(max_examples=150, deadline=None)
    @given(
        version=st.sampled_from(("1.2", "1.3")),
        change=st.sampled_from(CHANGES),
        segment=st.integers(0, 9),
        place=st.integers(0, 10**6),
        size=st.sampled_from((1, 7, 100, 10**6)),
    )
    def test_one_change_gains_nothing(
        self, version: str, change: Any, segment: int, place: int, size: int
    ) -> None:
        """Nothing passes in the clear, only whole words are delivered, and each end is told."""
        clock = Clock()
        client, server = (
            Party(clock, side, build=Talkative, made=fit(side, max_version=version))
            for side in (Side.CLIENT, Side.SERVER)
        )
        server.end.start(server.driver)
        client.end.start(client.driver)
        number = 0
        for _ in range(20):
            for source, target in ((client, server), (server, client)):
                clock.advance(0)
                data = source.end.taken()
                self.assertNotIn(SECRET[:8], data)
                if not data or target.end.is_over:
                    continue
                if number == segment:
                    data = change(data, place % len(data))
                number += 1
                for at in range(0, len(data), size):
                    if not target.end.disconnecting and not target.end.disconnected:
                        target.end.hear(data[at : at + size])
            for one in (client, server):
                if one.end.disconnecting:
                    one.end.lose(ConnectionDone())
        clock.advance(60)
        for one in (client, server):
            one.end.lose()
        for one in (client, server):
            self.assertLessEqual(len(one.opened) + len(one.failures), 1)
            self.assertEqual(one.end.is_over, True)
            for protocol in one.opened:
                heard = cast(Talkative, protocol).heard
                self.assertEqual((heard[0], heard[-1], heard.count("lost")), ("made", "lost", 1))
                said = "".join(heard[1:-1]).encode()
                self.assertEqual(said, SECRET * (len(said) // len(SECRET)))
        clock.advance(60)
        self.assertEqual(clock.getDelayedCalls(), [])
        self.assertEqual(self.flushLoggedErrors(), [])
