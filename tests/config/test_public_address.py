"""Which addresses are of the public Internet, in every form in which one can be written."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.public_address import embedded, judged_addresses, why_not_public

NO_DEADLINE: Final = settings(deadline=None)

PUBLIC: Final = (
    "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255",
    "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255", "192.169.0.0", "198.17.255.255",
    "198.20.0.0", "203.0.112.255", "203.0.114.0", "223.255.255.255", "168.63.129.17",
    "192.31.195.255", "192.31.197.0", "192.52.192.255", "192.52.194.0", "192.175.47.255",
    "192.175.49.0", "2606:4700::1111", "2001:200::", "2001:db7:ffff::", "2001:db9::",
    "3ffd:ffff::1", "3fff:1000::", "2a00::1", "2620:4f:7fff::1", "2620:4f:8001::1",
)  # fmt: skip

SPECIAL: Final = {
    "loopback": ("127.0.0.1", "127.255.255.255", "127.1.2.3", "::1"),
    "link-local": ("169.254.0.0", "169.254.255.255", "fe80::1", "febf::1", "fe80::1%eth0"),
    "private": (
        "10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0",
        "192.168.255.255", "fc00::1", "fdff::1", "fec0::1",
    ),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    "credentials": (
        "169.254.169.254", "fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "192.0.0.192",
        "168.63.129.16", "169.254.170.2",
    ),
    "unspecified": ("0.0.0.0", "::"),
    "this network": ("0.0.0.1", "0.255.255.255"),
    "documentation": (
        "192.0.2.0", "198.51.100.255", "203.0.113.7", "2001:db8::", "2001:db8:ffff::", "3fff::1",
        "3fff:fff::1",
    ),
    "carrier's NAT": ("100.64.0.0", "100.127.255.255"),
    "benchmarks": ("198.18.0.0", "198.19.255.255"),
    "for protocols": ("192.0.0.0", "192.0.0.255", "2001:2::1", "2001:1ff::1"),
    "relays": ("192.88.99.1",),
    "AS112": ("192.31.196.1", "192.175.48.255", "2620:4f:8000::1"),
    "AMT": ("192.52.193.1",),
    "6bone": ("3ffe::1", "3ffe:ffff::1"),
    "reserved": ("240.0.0.0", "255.255.255.254"),
    "broadcast": ("255.255.255.255",),
    "NAT64 of this network": ("64:ff9b:1::1", "64:ff9b:1:808:808::"),
    "not assigned": (
        "::127.0.0.1", "::8.8.8.8", "::2", "::ffff:0:8.8.8.8", "100::1", "5f00::1", "4000::1",
        "1fff::1", "64:ff9b::1:0:0",
    ),
}  # fmt: skip
"""Addresses by a word of the reason for which they are not public."""

NO_ADDRESS: Final = (
    "", "localhost", "127.1", "0x7f000001", "2130706433", "0177.0.0.1", "127.0.0.01", "[::1]",
    "8.8.8.8:80", " 8.8.8.8", "8.8.8.8/32",
)  # fmt: skip


def forms(address: IPv4Address) -> dict[str, str]:
    """The IPv6 forms of an IPv4 address, by their names."""
    bits, inverted = int(address), int(address) ^ 0xFFFFFFFF
    public = int(IPv4Address("8.8.8.8"))
    teredo = 0x20010000 << 96
    return {
        "mapped": str(IPv6Address(0xFFFF << 32 | bits)),
        "NAT64": str(IPv6Address(0x64FF9B << 96 | bits)),
        "6to4": str(IPv6Address(0x2002 << 112 | bits << 80 | 1)),
        "Teredo's server": str(IPv6Address(teredo | bits << 64 | public ^ 0xFFFFFFFF)),
        "Teredo's client": str(IPv6Address(teredo | public << 64 | inverted)),
    }


class SpecialAddressTests(SynchronousTestCase):
    """Addresses that lead to this machine, its network, or nowhere."""

    def test_every_special_address_is_refused_with_its_reason(self) -> None:
        """Loopback, private, link-local, metadata and all others: each is told what it is."""
        for word, addresses in SPECIAL.items():
            for address in addresses:
                self.assertIn(word, str(why_not_public(address)), address)

    def test_public_addresses_are_public(self) -> None:
        """The neighbours of every special network are not refused with it."""
        for address in PUBLIC:
            self.assertIsNone(why_not_public(address), address)

    def test_what_is_no_address_is_refused(self) -> None:
        """Only an address can be judged: a name, or what the C library reads as one, is none."""
        for text in NO_ADDRESS:
            self.assertEqual(why_not_public(text), "is no address", text)

    @NO_DEADLINE
    @given(st.ip_addresses())
    @example(IPv4Address("192.31.196.1"))
    @example(IPv6Address("2620:4f:8000::1"))
    def test_whatever_python_knows_as_special_is_refused(
        self, address: IPv4Address | IPv6Address
    ) -> None:
        """No address is public here that Python's own tables call private or reserved."""
        if why_not_public(str(address)) is None and not embedded(address):
            self.assertFalse(address.is_loopback or address.is_link_local or address.is_multicast)
            self.assertFalse(address.is_unspecified or address.is_reserved or address.is_private)


class EmbeddedAddressTests(SynchronousTestCase):
    """IPv6 addresses that stand for an IPv4 address."""

    def test_each_form_is_judged_by_the_address_inside(self) -> None:
        """127.0.0.1 is 127.0.0.1 in every form, and the reason names it."""
        for form, text in forms(IPv4Address("127.0.0.1")).items():
            self.assertEqual(
                why_not_public(text), "stands for 127.0.0.1, which is of loopback (RFC 1122)", form
            )
        for form, text in forms(IPv4Address("8.8.8.8")).items():
            self.assertIsNone(why_not_public(text), form)

    def test_the_forms_as_people_write_them(self) -> None:
        """The forms that lists of attacks have are recognised."""
        for text in (
            "::ffff:127.0.0.1", "::ffff:7f00:1", "0:0:0:0:0:FFFF:127.0.0.1", "64:ff9b::127.0.0.1",
            "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:a00:1::1",
            "2001:0:7f00:1::", "::ffff:169.254.169.254", "2001:470:1:1:0:5efe:127.0.0.1",
            "2001:470:1:1:200:5efe:7f00:1",
        ):  # fmt: skip
            self.assertIn("stands for", str(why_not_public(text)), text)

    @NO_DEADLINE
    @given(st.ip_addresses(v=4))
    def test_no_form_changes_the_answer(self, address: IPv4Address) -> None:
        """An IPv4 address is public or not, however it is wrapped."""
        expected = why_not_public(str(address)) is None
        for form, text in forms(address).items():
            self.assertEqual(why_not_public(text) is None, expected, form)
            self.assertIn(address, embedded(ipaddress.ip_address(text)), form)

    @NO_DEADLINE
    @given(st.ip_addresses(v=4), st.sampled_from((0x0000_5EFE, 0x0200_5EFE)))
    def test_an_isatap_address_is_judged_by_the_address_inside_as_well(
        self, address: IPv4Address, identifier: int
    ) -> None:
        """A tunnel that ends at an address that is not public does not lead to the Internet."""
        text = str(IPv6Address(0x2001_0470 << 96 | identifier << 32 | int(address)))
        inside = why_not_public(str(address))
        expected = None if inside is None else f"stands for {address}, which {inside}"
        self.assertEqual(why_not_public(text), expected)

    def test_a_public_address_inside_makes_no_network_public(self) -> None:
        """An ISATAP address of a private network is refused, whatever is inside."""
        for text in ("fe80::5efe:8.8.8.8", "fd00::200:5efe:8.8.8.8", "::5efe:8.8.8.8"):
            self.assertIsNotNone(why_not_public(text), text)
            self.assertNotIn("stands for", str(why_not_public(text)), text)

    def test_an_address_in_two_forms_is_judged_by_all_inside(self) -> None:
        """A 6to4 network may use ISATAP: what is inside both must be public."""
        for text in ("2002:808:808::5efe:7f00:1", "2002:7f00:1::5efe:808:808"):
            self.assertIn("stands for 127.0.0.1", str(why_not_public(text)), text)
        self.assertIsNone(why_not_public("2002:808:808::200:5efe:808:808"))

    def test_other_addresses_are_judged_by_themselves(self) -> None:
        """Addresses beside the forms' networks stand for nothing else."""
        for text in ("8.8.8.8", "::fffe:ffff:ffff", "64:ff9b::1:0:0", "2003::", "2001:1::"):
            address = ipaddress.ip_address(text)
            self.assertEqual(embedded(address), (), text)
            self.assertEqual(judged_addresses(address), (address,), text)
        for text in ("2001:470::100:5efe:7f00:1", "2001:470::1:0:5efe:7f00", "2001:470::5eff:0:1"):
            self.assertIsNone(why_not_public(text), text)
