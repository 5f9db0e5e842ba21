"""SRV records: what an answer says, and in which order its targets are tried."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from tests.name_server import header, srv
from txtransport.endpoints.srv_records import (
    MAX_RECORDS,
    NoSuchService,
    ServiceLookUpError,
    SRVRecord,
    in_order,
    read_answers,
    service_name,
)

NAME = "_imaps._tcp.example.com"

RECORDS = st.lists(
    st.builds(
        SRVRecord,
        st.integers(0, 3),
        st.sampled_from((0, 0, 1, 10, 65535)),
        st.integers(1, 65535),
        st.sampled_from(("a.example", "b.example", "c.example")),
    ),
    unique=True,
)


def read(*records: Any, name: str = NAME) -> list[SRVRecord]:
    """What the answer for `NAME` comes to; records without a header are of `name`."""
    given = [each if isinstance(each, dns.RRHeader) else header(name, each) for each in records]
    return read_answers(NAME, given)


class NameTests(SynchronousTestCase):
    """The name that the DNS is asked for."""

    def test_service_and_transport_stand_in_front_of_the_domain(self) -> None:
        """A trailing dot of the URL's host is not doubled."""
        for domain in ("example.com", "example.com."):
            self.assertEqual(service_name("imaps", domain), NAME)

    def test_a_name_has_253_characters_at_the_most(self) -> None:
        """A domain that has no room for the service is an error, and not a broken question."""
        domain = ".".join(["x" * 60] * 4)
        self.assertRaises(ValueError, service_name, "imaps", domain)
        self.assertEqual(len(service_name("x" * 4, domain[:242])), 253)


class AnswerTests(SynchronousTestCase):
    """What of an answer is used."""

    def test_records_are_read(self) -> None:
        """Priority, weight, port and target of each, the lowest priorities first."""
        found = read(srv("B.Example.", 1, 20, 5), srv("a.example", 2, 10))
        self.assertEqual(
            found, [SRVRecord(10, 0, 2, "a.example"), SRVRecord(20, 5, 1, "b.example.")]
        )

    def test_an_answer_without_records_is_none(self) -> None:
        """A name that has records of other types only has no such service to tell of."""
        self.assertEqual(read(), [])
        self.assertEqual(read(dns.Record_A("192.0.2.1")), [])
        self.assertEqual(read(dns.Record_CNAME(b"other.example.com")), [])

    def test_the_root_as_target_says_that_there_is_no_such_service(self) -> None:
        """Then nothing may be connected to."""
        for root in ("", "."):
            self.assertRaises(NoSuchService, read, srv(root, 0))
        self.assertEqual(len(read(srv("", 0), srv("a.example", 1))), 1)

    def test_a_record_of_another_name_is_not_used(self) -> None:
        """An answer for one name cannot say where another one is."""
        strange = header("_imaps._tcp.evil.example", srv("evil.example", 1))
        self.assertRaises(ServiceLookUpError, read, strange)
        self.assertEqual(len(read(strange, srv("a.example", 1))), 1)
        chaos = dns.RRHeader(NAME.encode(), dns.SRV, dns.CH, 60, srv("evil.example", 1))
        self.assertEqual(read(chaos), [])

    def test_an_alias_of_the_service_is_followed(self) -> None:
        """A domain may have its records under another name, also by several steps and cases."""
        steps = [NAME.upper(), "1.example", "2.example"]
        aliases = [header(one, dns.Record_CNAME(other.encode())) for one, other in pairwise(steps)]
        self.assertEqual(len(read(*aliases, srv("a.example", 1), name="2.Example")), 1)

    def test_aliases_in_a_circle_end(self) -> None:
        """A circle, or a chain without an end, is no answer."""
        circle = [
            header(NAME, dns.Record_CNAME(b"x.example")),
            header("x.example", dns.Record_CNAME(NAME.encode())),
        ]
        self.assertEqual(read(*circle), [])
        chain = [
            header(one, dns.Record_CNAME(other.encode()))
            for one, other in [(NAME, "0.x"), *((f"{n}.x", f"{n + 1}.x") for n in range(20))]
        ]
        self.assertRaises(ServiceLookUpError, read, *chain, header("20.x", srv("evil.example", 1)))

    def test_a_target_is_the_name_of_a_host(self) -> None:
        """Addresses, controls, spaces and very long names are never connected to."""
        for target in (
            "127.0.0.1", "127.1", "0x7f.0x1", "::1", "a b.example", "a\x1b[2J.example",
            "a/b", "-a.example", "x" * 64, ".".join(["x" * 60] * 5), "user@a", "a:80", "*", "ä",
        ):  # fmt: skip
            (record,) = read(srv(target, 80))
            self.assertTrue(record.problem, target)
            self.assertTrue(record.place.isprintable())
            self.assertLess(len(record.place), 120)
        (record,) = read(srv("a.example", 0))
        self.assertIn("port 0", record.problem)

    def test_a_target_that_is_no_text_is_shown_escaped(self) -> None:
        """Bytes that are not ASCII are not taken for an international name."""
        payload = srv("x", 80)
        payload.target.name = "\uff11\uff12\uff17.example".encode()
        (record,) = read(payload)
        self.assertTrue(record.problem)
        self.assertTrue(record.place.isascii())

    def test_an_answer_of_any_size_leaves_64_records(self) -> None:
        """Those of the lowest priorities, and none twice."""
        many = [srv("a.example", 1 + number, number) for number in range(3000)]
        found = read(*reversed(many), *many)
        self.assertEqual([record.priority for record in found], [*range(MAX_RECORDS)])


class OrderTests(SynchronousTestCase):
    """The order of RFC 2782."""

    @given(RECORDS, st.integers())
    def test_each_record_is_tried_once_and_lower_priorities_first(
        self, records: list[SRVRecord], seed: int
    ) -> None:
        """No record is lost, none comes twice, and a backup never comes before its master."""
        found = in_order(records, Random(seed))
        self.assertEqual(Counter(found), Counter(records))
        priorities = [record.priority for record in found]
        self.assertEqual(priorities, sorted(priorities))

    @given(RECORDS, st.integers())
    def test_the_same_random_numbers_give_the_same_order(
        self, records: list[SRVRecord], seed: int
    ) -> None:
        """A test can say in which order targets are tried."""
        self.assertEqual(in_order(records, Random(seed)), in_order(records, Random(seed)))

    def share(self, *weights: int) -> list[float]:
        """How often the record of each weight is the first, of 1."""
        records = [SRVRecord(0, weight, 1, str(n)) for n, weight in enumerate(weights)]
        random = Random(2782)
        first = Counter(in_order(records, random)[0].target for _ in range(4000))
        return [first[record.target] / 4000 for record in records]

    def test_weights_are_shares(self) -> None:
        """A record of weight 30 is the first three times as often as one of 10."""
        for share, expected in zip(self.share(10, 30, 60), (0.1, 0.3, 0.6), strict=True):
            self.assertApproximates(share, expected, 0.03)

    def test_equal_weights_share_alike(self) -> None:
        """Also if all are 0, as in most zones."""
        for weight in (0, 5):
            for share in self.share(weight, weight):
                self.assertApproximates(share, 0.5, 0.03)

    def test_weight_0_is_seldom_the_first(self) -> None:
        """Beside others, it has a very small chance, and not none (RFC 2782)."""
        share = self.share(0, 50)[0]
        self.assertGreater(share, 0)
        self.assertLess(share, 0.05)
