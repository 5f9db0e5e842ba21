"""Records are cut where they end, however the network cuts them."""

from __future__ import annotations

import copy

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.tls.records import RecordCutter

FULL = 16384 + 17


def record(size: int, content: int = 23) -> bytes:
    """A record of TLS 1.2 or 1.3 with so many encrypted bytes."""
    return bytes([content]) + b"\x03\x03" + size.to_bytes(2, "big") + bytes(size)


def cut(cutter: RecordCutter, data: bytes) -> list[bytes]:
    """The pieces of the next bytes."""
    return [bytes(piece) for piece in cutter.cut(data)]


class RecordCutterTests(SynchronousTestCase):
    """One connection's bytes, cut."""

    def test_each_short_record_is_a_piece(self) -> None:
        """What follows a close_notify is never in the same piece."""
        records = [record(30), record(19), record(0), record(300)]
        self.assertEqual(cut(RecordCutter(), b"".join(records)), records)

    def test_full_records_stay_together(self) -> None:
        """A large transfer is cut seldom, into pieces of 64 KiB at the most."""
        pieces = cut(RecordCutter(), record(FULL) * 9 + record(19) + b"clear text")
        self.assertEqual([len(piece) for piece in pieces[:-2]], [(FULL + 5) * 3] * 3)
        self.assertEqual(pieces[-2], record(19))
        self.assertEqual(pieces[-1], b"clear text"[: len(pieces[-1])])

    def test_one_whole_record_is_recognised(self) -> None:
        """Not a part of one, not two, and not what stands in the middle of one."""
        cutter = RecordCutter()
        self.assertTrue(cutter.is_one_record(record(40)))
        for data in (b"", b"\x17", record(40)[:-1], record(40) + b"x", record(40) * 2):
            self.assertFalse(cutter.is_one_record(data), data)
        for part in (record(40)[:3], record(40)[:20]):
            inside = RecordCutter()
            inside.skip(part)
            self.assertFalse(inside.is_one_record(record(40)))

    def test_a_short_record_ends_a_run_of_full_ones(self) -> None:
        """The run and the short record are one piece, and what follows is another."""
        pieces = cut(RecordCutter(), record(FULL) + record(19) + record(40))
        self.assertEqual(pieces, [record(FULL) + record(19), record(40)])

    @given(st.lists(st.sampled_from((0, 1, 19, 400, FULL)), min_size=1, max_size=12), st.randoms())
    def test_the_network_cuts_anywhere(self, sizes: list[int], random: object) -> None:
        """No byte is lost or moved, and a short record's last byte ends a piece, in every cut."""
        data = b"".join(map(record, sizes))
        ends, place = set(), 0
        for size in sizes:
            place += 5 + size
            if size < FULL:
                ends.add(place)
        cutter, pieces, begin = RecordCutter(), list[bytes](), 0
        skipping = RecordCutter()
        while begin < len(data):
            step = random.choice((1, 3, 5, 30, 20000, len(data)))  # type: ignore[attr-defined]
            pieces += cut(cutter, data[begin : begin + step])
            skipping.skip(data[begin : begin + step])
            begin += step
            behind = data[begin:] + record(19)
            self.assertEqual(cut(copy.copy(skipping), behind), cut(copy.copy(cutter), behind))
        self.assertEqual(b"".join(pieces), data)
        places, place = set(), 0
        for piece in pieces:
            place += len(piece)
            places.add(place)
        self.assertTrue(ends <= places)
