"""Which kind of address a text or a host is: six questions, each with its own answer."""

# Some tests hold letters of other alphabets that look like ASCII.
# ruff: noqa: RUF001

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.address import (
    canonical_address,
    canonical_ipv4,
    canonical_ipv6,
    client_network,
    ends_in_number,
    find_address,
    find_peer_address,
    is_address,
    is_ipv6,
    is_ipv6_in_url,
    is_zone,
    without_zone,
)
from txtransport.config.url import TransportURL
from txtransport.errors import TransportError

NO_DEADLINE: Final = settings(deadline=None)

IPV4: Final = ("0.0.0.0", "127.0.0.1", "192.0.2.7", "255.255.255.255")
IPV6: Final = (
    "::", "::1", "fe80::1", "FE80::1", "2001:DB8:0:0::1", "2001:db8:0:0:0:0:0:1", "0:0::1",
    "::ffff:127.0.0.1", "fe80::1:80",
)  # fmt: skip
ZONES: Final = ("eth0", "lo", "1", "25eth0", "25", "a.b_c~d-e", "z" * 64)
NO_URL_ZONES: Final = ("a%62", "a%", "é", "\u202e", "a$b", "z" * 65, " ", "a/b", "eth0\n", "\0")
NAMES: Final = ("h", "good.example", "h.example.", "localhost", "*", "1.h", "1a.2b", "0xg", "x1")
ALMOST_IPV4: Final = (
    "0", "127.1", "0x7f.1", "2130706433", "0X7F000001", "127.0.0.256", "127.0.0.01", "1.2.3.4.5",
    "127.0.0.1.", "a.1", "h.0x", "1234",
)  # fmt: skip
NO_ADDRESS: Final = (
    "", "[::1]", "[127.0.0.1]", "127.0.0.1:80", "[::1]:0", "::g", "1:2:3", "a:b:1", ":80", ":::",
    "1:2:3:4:5:6:7:8:9", "::1::", "fe80::1%", "127.0.0.1%eth0", "%eth0", "::１", "１２７.0.0.1",
    " ::1", "::1 ", "127.0.0.1\n", "::1/64", "::1%a%b",
)  # fmt: skip

TEXTS: Final = st.text(st.one_of(st.sampled_from("0123456789abcdefx.:%[]*/ ٣１é"), st.characters()))
ADDRESSES: Final = st.ip_addresses().flatmap(
    lambda ip: st.sampled_from((str(ip), ip.exploded, str(ip).upper()))
)
ZONED: Final = st.builds(
    "{}%{}".format,
    st.ip_addresses(v=6),
    st.text(st.characters(exclude_characters="%/"), min_size=1),
)
ANYTHING: Final = st.one_of(TEXTS, ADDRESSES, ZONED)


class AddressTests(SynchronousTestCase):
    """Any text: is it an address?"""

    def test_addresses_are_told_from_all_else(self) -> None:
        """Four decimal numbers are an address, and so is IPv6 with a zone or without."""
        for text in (*IPV4, *IPV6, *(f"fe80::1%{zone}" for zone in ZONES)):
            self.assertTrue(is_address(text), text)
        for text in (*NAMES, *ALMOST_IPV4, *NO_ADDRESS):
            self.assertFalse(is_address(text), text)

    def test_a_zone_may_hold_anything_but_two_signs(self) -> None:
        """A zone has no % and no /; what else a URL may not carry is asked elsewhere."""
        for zone in NO_URL_ZONES:
            expected = "%" not in zone and "/" not in zone
            self.assertEqual(is_address(f"fe80::1%{zone}"), expected, ascii(zone))

    def test_the_value_of_an_address(self) -> None:
        """An address is found as a value, which certificates hold; all else is None."""
        self.assertEqual(find_address("127.0.0.1"), ipaddress.IPv4Address("127.0.0.1"))
        self.assertEqual(find_address("0:0::1"), ipaddress.IPv6Address("::1"))
        self.assertEqual(find_address("fe80::1%eth0"), ipaddress.IPv6Address("fe80::1%eth0"))
        self.assertIsNone(find_address("good.example"))

    @NO_DEADLINE
    @given(ADDRESSES)
    def test_every_address_is_one(self, text: str) -> None:
        """The system agrees about each address, however it is spelt."""
        family = socket.AF_INET6 if is_ipv6(text) else socket.AF_INET
        self.assertEqual(len(socket.inet_pton(family, text)), 16 if is_ipv6(text) else 4)
        self.assertTrue(is_address(text))

    @NO_DEADLINE
    @given(ANYTHING)
    @example("127.0.0.1")
    @example("fe80::1%\0")
    @example("::ffff:7f00:1")
    def test_no_answer_contradicts_another(self, text: str) -> None:
        """What is an address has a value and a form, and what is none has neither."""
        found = find_address(text)
        self.assertEqual(is_address(text), found is not None)
        if found is None:
            self.assertRaises(ValueError, canonical_address, text)
            self.assertFalse(is_ipv6_in_url(text))
        else:
            self.assertEqual(find_address(canonical_address(text)), found)
            self.assertEqual(is_ipv6(text), found.version == 6)
            self.assertTrue(ends_in_number(text) or found.version == 6)


class IPv6Tests(SynchronousTestCase):
    """IPv6, of a host that was checked and of any text."""

    def test_a_checked_host_is_told_by_its_colon(self) -> None:
        """Addresses of IPv6 have a colon, and no other host has one."""
        for host in (*IPV6, "fe80::1%eth0"):
            self.assertTrue(is_ipv6(host), host)
        for host in (*IPV4, *NAMES, *ALMOST_IPV4, ""):
            self.assertFalse(is_ipv6(host), host)

    def test_an_unchecked_text_is_told_by_the_whole(self) -> None:
        """A colon alone makes no address in a URL."""
        for text in (*IPV6, *(f"fe80::1%{zone}" for zone in ZONES)):
            self.assertTrue(is_ipv6_in_url(text), text)
        for text in (*IPV4, *NAMES, *ALMOST_IPV4, *NO_ADDRESS):
            self.assertFalse(is_ipv6_in_url(text), text)

    def test_a_url_carries_no_strange_zone(self) -> None:
        """A zone of other characters, or a long one, is no part of a URL."""
        for zone in ("", *NO_URL_ZONES):
            self.assertFalse(is_zone(zone), ascii(zone))
            self.assertFalse(is_ipv6_in_url(f"fe80::1%{zone}"), ascii(zone))
        for zone in ZONES:
            self.assertTrue(is_zone(zone), zone)

    @NO_DEADLINE
    @given(ANYTHING)
    @example("fe80::1%a%b")
    @example("::%")
    def test_a_url_carries_what_is_an_address_with_such_a_zone(self, text: str) -> None:
        """A URL's IPv6 address is one for everything else, and its zone is a zone."""
        _, percent, zone = text.partition("%")
        self.assertEqual(
            is_ipv6_in_url(text),
            is_address(text) and is_ipv6(text) and (not percent or is_zone(zone)),
        )

    @NO_DEADLINE
    @given(ANYTHING)
    def test_a_parsed_host_is_checked(self, text: str) -> None:
        """Of every host that a URL can have, the colon tells the truth."""
        for written in (text, f"[{text}]"):
            try:
                host = TransportURL.parse(f"tcp://{written}").host
            except TransportError:
                continue
            self.assertEqual(is_ipv6(host), is_ipv6_in_url(host))
            self.assertEqual(is_ipv6(host) or ends_in_number(host), is_address(host))


class NumberTests(SynchronousTestCase):
    """Hosts that the C library reads as IPv4 addresses."""

    def test_a_number_at_the_end_is_no_name(self) -> None:
        """0, 127.1, 0x7f.1 and 2130706433 reach 127.0.0.1 or nothing, and never a name."""
        for host in (*IPV4, *ALMOST_IPV4):
            self.assertTrue(ends_in_number(host), host)
        for host in (*NAMES, ""):
            self.assertFalse(ends_in_number(host), host)

    @NO_DEADLINE
    @given(st.text("0123456789abcdefxX.", min_size=1))
    @example("0x7f000001")
    @example("017700000001")
    @example("127.1")
    def test_what_the_c_library_takes_is_recognised(self, host: str) -> None:
        """Whatever inet_aton makes an address of ends in a number."""
        try:
            socket.inet_aton(host)
        except OSError:
            return
        self.assertTrue(ends_in_number(host))


class CanonicalTests(SynchronousTestCase):
    """One form of each address."""

    def test_the_shortest_form(self) -> None:
        """IPv6 is written in lower case and as short as it can be; IPv4 has one form."""
        rows = {
            "2001:DB8:0:0::1": "2001:db8::1",
            "2001:db8:0:0:0:0:0:1": "2001:db8::1",
            "0:0::1": "::1",
            "::ffff:7f00:1": "::ffff:127.0.0.1",
            "::FFFF:127.0.0.1%1": "::ffff:127.0.0.1%1",
            "FE80::1%Eth0": "fe80::1%Eth0",
            "fe80::1%\0": "fe80::1%\0",
        }
        for text, written in rows.items():
            self.assertEqual(canonical_ipv6(text), written)
            self.assertEqual(canonical_address(text), written)
        for text in IPV4:
            self.assertEqual(canonical_ipv4(text), text)
            self.assertEqual(canonical_address(text), text)

    def test_each_family_refuses_the_other(self) -> None:
        """An IPv4 address is no IPv6 address, nor the other way round."""
        for text in IPV4:
            self.assertRaises(ValueError, canonical_ipv6, text)
        for text in IPV6:
            self.assertRaises(ValueError, canonical_ipv4, text)
        for text in (*NAMES, *ALMOST_IPV4, *NO_ADDRESS):
            for canonical in (canonical_address, canonical_ipv4, canonical_ipv6):
                self.assertRaises(ValueError, canonical, text)

    @NO_DEADLINE
    @given(st.one_of(ADDRESSES, ZONED))
    def test_a_canonical_address_stays_as_it_is(self, text: str) -> None:
        """The form is the same address, and its form is itself."""
        written = canonical_address(text)
        self.assertEqual(find_address(written), find_address(text))
        self.assertEqual(canonical_address(written), written)
        family = canonical_ipv6 if is_ipv6(text) else canonical_ipv4
        self.assertEqual(family(text), written)

    @NO_DEADLINE
    @given(ZONED)
    def test_a_zone_can_be_left_away(self, text: str) -> None:
        """Without its zone an address is still one, and means the same to a peer."""
        self.assertEqual(
            canonical_address(without_zone(text)), without_zone(canonical_address(text))
        )
        self.assertNotIn("%", without_zone(text))

    def test_hosts_without_a_zone_stay_as_they_are(self) -> None:
        """Names and other addresses have no zone to lose."""
        self.assertEqual(without_zone("fe80::1%eth0"), "fe80::1")
        for host in (*IPV4, *IPV6, *NAMES, ""):
            self.assertEqual(without_zone(host), host)


class PeerAddressTests(SynchronousTestCase):
    """A peer's address, to be compared."""

    def test_ways_to_write_one_address_are_one(self) -> None:
        """An IPv4-mapped address is IPv4, and a zone is ours alone."""
        for host, address in {
            "192.0.2.7": "192.0.2.7",
            "::ffff:192.0.2.7": "192.0.2.7",
            "2001:DB8:0::1": "2001:db8::1",
            "fe80::1%eth0": "fe80::1",
        }.items():
            self.assertEqual(find_peer_address(host), ipaddress.ip_address(address))
        for host in (*NAMES, *ALMOST_IPV4, ""):
            self.assertIsNone(find_peer_address(host))


class ClientNetworkTests(SynchronousTestCase):
    """What of a client's address counts."""

    def test_ipv4_counts_whole_and_ipv6_by_its_first_64_bits(self) -> None:
        """An IPv4-mapped address is an IPv4 address, however it is written."""
        for host, network in {
            "192.0.2.7": "192.0.2.7",
            "::ffff:192.0.2.7": "192.0.2.7",
            "::FFFF:C000:207": "192.0.2.7",
            "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
            "fe80::1%eth0": "fe80::/64",
            "::1": "::/64",
            "": "",
        }.items():
            self.assertEqual(client_network(host), network)

    @given(st.ip_addresses(v=6), st.integers(0, 2**64 - 1))
    def test_no_address_of_a_network_is_another_client(
        self, address: ipaddress.IPv6Address, other: int
    ) -> None:
        """Whatever the last 64 bits are, it is the same client; IPv4-mapped ones excepted."""
        sibling = ipaddress.IPv6Address(int(address) >> 64 << 64 | other)
        if address.ipv4_mapped is None and sibling.ipv4_mapped is None:
            self.assertEqual(client_network(str(address)), client_network(str(sibling)))
