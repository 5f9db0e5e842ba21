"""PROXY headers of both versions: which are read, and which are refused."""

from __future__ import annotations

from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.proxy.proxy_protocol.samples import (
    CHECK_OF_HAPROXY,
    CLIENT_OF_HAPROXY,
    HEADER,
    LINE,
    version_2,
    with_tlvs,
)
from txtransport.errors import InvalidProxyHeader
from txtransport.proxy.proxy_protocol.header import AddressKind, ProxiedTLS, ProxyHeader
from txtransport.proxy.proxy_protocol.reader import ACCEPTED, read_header, write_header
from txtransport.proxy.proxy_protocol.tlv import TLV
from txtransport.proxy.proxy_protocol.version2 import MOST, SIGNATURE

PORTS: Final = st.integers(0, 65535)
SIX: Final = st.sampled_from(
    ("::", "::1", "2001:db8::1", "fe80::1", "::ffff:1.2.3.4", "1::2:0:0:3")
)
PAIRS: Final = st.one_of(
    st.tuples(*[st.tuples(st.ip_addresses(v=4).map(str), PORTS)] * 2),
    st.tuples(*[st.tuples(SIX, PORTS)] * 2),
)
PATHS: Final = st.binary(max_size=107).map(lambda path: path.replace(b"\0", b"/"))
TLVS: Final = st.dictionaries(
    st.integers(6, 0x1F) | st.integers(0x31, 0xFF), st.binary(max_size=40)
)


def says(received: bytes, accepted: str = "any") -> ProxyHeader:
    """What a header says that is complete, and behind which nothing comes."""
    found = read_header(received, accepted)
    assert found is not None, "it waits for more"
    header, size = found
    assert size == len(received)
    return header


class ReaderTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def refused(self, received: bytes, reason: str, accepted: str = "any") -> InvalidProxyHeader:
        """Check that a connection which begins like this is refused."""
        error: InvalidProxyHeader
        error = self.assertRaises(InvalidProxyHeader, read_header, received, accepted)
        self.assertIn(reason, str(error))
        self.assertTrue(str(error).isprintable())
        self.assertLess(len(str(error)), 300)
        return error


class HAProxyTests(ReaderTestCase):
    """What HAProxy has really sent."""

    def test_a_client_over_tls(self) -> None:
        """Addresses, names, the certificate's result and the facts of TLS are told."""
        header = says(CLIENT_OF_HAPROXY)
        self.assertEqual(header.source, ("10.77.2.2", 58482))
        self.assertEqual(header.destination, ("10.77.2.1", 7200))
        self.assertEqual(
            (header.version, header.is_local, header.kind), (2, False, AddressKind.IPV4)
        )
        self.assertEqual((header.alpn_protocol, header.authority), ("h2", "localhost"))
        self.assertEqual((header.unique_id, header.netns), (b"", None))
        tls = header.tls
        assert tls is not None
        self.assertEqual((tls.version, tls.cipher), ("TLSv1.3", "TLS_AES_256_GCM_SHA384"))
        self.assertEqual(
            (tls.key_algorithm, tls.signature_algorithm), ("EC256", "ecdsa-with-SHA256")
        )
        self.assertEqual(
            (tls.has_certificate, tls.is_verified, tls.common_name), (True, True, None)
        )

    def test_a_health_check(self) -> None:
        """A check is the balancer's own connection; the rest of its header is ignored."""
        self.assertEqual(says(CHECK_OF_HAPROXY), ProxyHeader(2, is_local=True))
        self.assertEqual(says(b"PROXY UNKNOWN\r\n"), ProxyHeader(1, is_local=True))

    def test_any_changed_bit_is_refused(self) -> None:
        """The checksum is verified: no bit of a header can be another one."""
        for place in range(len(CLIENT_OF_HAPROXY) * 8):
            changed = bytearray(CLIENT_OF_HAPROXY)
            changed[place // 8] ^= 1 << place % 8
            try:
                found = read_header(bytes(changed))
            except InvalidProxyHeader:
                continue
            if found is None:
                # It says that it is longer; with what it waits for, it is refused.
                self.assertIn(place // 8, (14, 15))
            else:
                # LOCAL in place of PROXY; or a checksum that is another TLV.
                self.assertIn(place // 8, (12, 28), place)

    def test_bytes_behind_the_header_are_left_alone(self) -> None:
        """The client's first bytes often come in the same segment."""
        for header in (LINE, CLIENT_OF_HAPROXY, CHECK_OF_HAPROXY):
            found = read_header(header + b"\x16\x03\x01PROXY ")
            assert found is not None
            self.assertEqual(found[1], len(header))

    def test_a_header_may_come_byte_by_byte(self) -> None:
        """Each beginning of a header waits for the rest."""
        for header in (LINE, b"PROXY UNKNOWN\r\n", CLIENT_OF_HAPROXY, CHECK_OF_HAPROXY):
            for size in range(len(header)):
                self.assertIsNone(read_header(header[:size]), header[:size])


class TextTests(ReaderTestCase):
    """Version 1, a line."""

    def test_addresses(self) -> None:
        """IPv4 and IPv6, the latter in its usual form."""
        self.assertEqual(says(LINE).source, ("192.0.2.7", 56324))
        self.assertEqual(says(LINE).destination, ("198.51.100.1", 443))
        header = says(b"PROXY TCP6 2001:DB8:0::1 ::ffff:1.2.3.4 0 65535\r\n")
        self.assertEqual(header.source, ("2001:db8::1", 0))
        self.assertEqual(header.destination, ("::ffff:1.2.3.4", 65535))

    def test_what_follows_unknown_is_ignored(self) -> None:
        """The specification allows anything there, up to the end of the line."""
        for line in (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", b"PROXY UNKNOWN \xff \r\n"):
            self.assertEqual(says(line), ProxyHeader(1, is_local=True))

    def test_what_is_no_line_of_the_protocol_is_refused(self) -> None:
        """Anything that two programs might read differently is refused."""
        for line in (
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 \r\n",
            b"PROXY  TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY\tTCP4 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 01 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 65536\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 -1 2\r\n",
            b"PROXY TCP4 192.0.2.07 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP6 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
            b"PROXY TCP6 ::1::2 ::1 1 2\r\n",
            b"PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY tcp4 192.0.2.7 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 localhost 198.51.100.1 1 2\r\n",
            b"PROXY TCP4 192.0.2.7 198.51.100.1 1 2\0\r\n",
            b"PROXY UNKNOWNX\r\n",
            b"PROXY \r\n",
        ):
            self.refused(line, "PROXY header")

    def test_a_line_must_end(self) -> None:
        """107 bytes are the most, and CR LF is the only end."""
        longest = b"PROXY UNKNOWN ".ljust(105) + b"\r\n"
        self.assertEqual(says(longest).version, 1)
        for begun in (b" " + longest[14:], b"x" * 200):
            self.refused(b"PROXY UNKNOWN " + begun, "107 bytes")
        self.refused(LINE.replace(b"\r\n", b"\n"), "CR LF")
        self.refused(b"PROXY TCP4\n", "CR LF")

    def test_a_line_is_made(self) -> None:
        """What a line cannot tell becomes UNKNOWN."""
        one, six = ("192.0.2.7", 1), ("2001:db8::1", 2)
        for source, destination, line in (
            (one, ("198.51.100.1", 443), b"PROXY TCP4 192.0.2.7 198.51.100.1 1 443\r\n"),
            (six, six, b"PROXY TCP6 2001:db8::1 2001:db8::1 2 2\r\n"),
            (one, six, b"PROXY UNKNOWN\r\n"),
            (b"/a", b"/b", b"PROXY UNKNOWN\r\n"),
            (None, None, b"PROXY UNKNOWN\r\n"),
        ):
            self.assertEqual(write_header(ProxyHeader(1, source, destination)), line)
        self.assertEqual(
            write_header(ProxyHeader(1, one, one, is_local=True)), b"PROXY UNKNOWN\r\n"
        )

    @given(PAIRS)
    def test_a_line_says_what_it_was_made_of(self, pair: tuple[tuple[str, int], ...]) -> None:
        """Any two addresses of one kind come back."""
        header = ProxyHeader(1, *pair)
        self.assertEqual(says(write_header(header), "v1"), header)


class BinaryTests(ReaderTestCase):
    """Version 2."""

    def test_every_kind_of_address(self) -> None:
        """TCP, UDP and local sockets; abstract names of Linux begin with NUL."""
        four, six = (
            bytes(4) + b"\1\2\3\4" + b"\0\1\0\2",
            bytes(15) + b"\1" + bytes(16) + b"\0\1\0\2",
        )
        local = b"/run/a".ljust(108, b"\0") + b"\0name".ljust(108, b"\0")
        for family, rest, source, destination in (
            (0x11, four, ("0.0.0.0", 1), ("1.2.3.4", 2)),
            (0x21, six, ("::1", 1), ("::", 2)),
            (0x31, local, b"/run/a", b"\0name"),
            (0x00, b"", None, None),
        ):
            header = says(version_2(rest, family=family))
            self.assertEqual((header.source, header.destination), (source, destination))
            self.assertFalse(header.is_datagram or header.is_local)
        self.assertTrue(says(version_2(four, family=0x12)).is_datagram)

    def test_a_local_connection_has_no_more(self) -> None:
        """What a LOCAL header has else is skipped unread, as the specification demands."""
        for rest in (b"", b"\xff" * 300, bytes(12)):
            for family in (0x00, 0x11, 0xFF):
                self.assertEqual(says(version_2(rest, 0x20, family)), ProxyHeader(2, is_local=True))

    def test_unknown_commands_versions_and_kinds_are_refused(self) -> None:
        """What is not assigned must be refused."""
        for command in (0x22, 0x2F, 0x11, 0x31, 0x00, 0xFF):
            self.refused(version_2(bytes(12), command), f"0x{command:02x}")
        for family in (0x10, 0x01, 0x13, 0x41, 0x20, 0xFF):
            self.refused(version_2(bytes(216), family=family), f"0x{family:02x}")

    def test_addresses_that_are_cut_off_are_refused(self) -> None:
        """Nothing is read from behind the header, where the client's bytes are."""
        for family, size in ((0x11, 12), (0x21, 36), (0x31, 216)):
            for shorter in (0, size - 1):
                cut = version_2(bytes(shorter), family=family) + bytes(300)
                self.refused(cut, "cut off")

    def test_a_header_has_an_upper_bound(self) -> None:
        """A length of more than 16 KiB is refused before a byte of it has come."""
        self.refused(SIGNATURE + b"\x21\x11" + (MOST + 1).to_bytes(2, "big"), "16384")
        self.refused(SIGNATURE + b"\x20\x00\xff\xff", "65535")
        filler = ((0xE0, bytes(MOST - 12 - 3)),)
        self.assertEqual(says(with_tlvs(*filler)).tlvs, filler)

    def test_tlvs_that_lie_about_their_length_are_refused(self) -> None:
        """Neither a TLV nor one within the SSL part may reach beyond its end."""
        addresses = bytes(12)
        for rest in (b"\1", b"\1\0", b"\1\0\1", b"\1\xff\xffxx", b"\1\0\0\2\0\1"):
            self.refused(version_2(addresses + rest) + b"xxx", "longer than the header")
        for value in (b"", bytes(4)):
            self.refused(with_tlvs((TLV.SSL, value)), "5 at least")
        for value in (b"\1\0\0\0\0\x21", b"\1\0\0\0\0\x21\0\2x", b"\0\0\0\0\0\x21\0\1"):
            self.refused(with_tlvs((TLV.SSL, value), (0xE0, b"xx")), "longer")

    def test_a_fact_that_is_told_twice_is_refused(self) -> None:
        """Two programs could take different ones for true."""
        for kind in (TLV.ALPN, TLV.AUTHORITY, TLV.UNIQUE_ID, TLV.NETNS, TLV.SSL):
            self.refused(with_tlvs((kind, b"\0" * 5), (kind, b"\0" * 5)), "twice")
        inner = TLV.encode(TLV.SSL_CN, b"a") * 2
        self.refused(with_tlvs((TLV.SSL, b"\7\0\0\0\0" + inner)), "twice")

    def test_a_wrong_checksum_is_refused(self) -> None:
        """So is one that is no checksum at all."""
        for checksum in (b"", b"\0", bytes(4), bytes(5)):
            self.refused(with_tlvs((0xE0, b"x"), (TLV.CRC32C, checksum)), "checksum")

    def test_a_long_unique_id_is_refused(self) -> None:
        """128 bytes are the most."""
        self.assertEqual(says(with_tlvs((TLV.UNIQUE_ID, b"i" * 128))).unique_id, b"i" * 128)
        self.refused(with_tlvs((TLV.UNIQUE_ID, b"i" * 129)), "128")

    def test_padding_is_no_fact(self) -> None:
        """Padding may be there any number of times, and is left out."""
        header = says(with_tlvs((TLV.NOOP, b""), (0xEA, b"\1vpce"), (TLV.NOOP, b"xx")))
        self.assertEqual(header.tlvs, ((0xEA, b"\1vpce"),))

    def test_a_client_without_tls_has_none(self) -> None:
        """HAProxy tells of a client without TLS that no error was found: it proves nothing."""
        self.assertIsNone(says(with_tlvs((TLV.SSL, b"\0\0\0\0\0"))).tls)
        for client, verify, has_certificate, is_verified in (
            (1, 0, False, False), (3, 0, True, True), (5, 0, True, True), (7, 10, True, False),
        ):  # fmt: skip
            tls = says(with_tlvs((TLV.SSL, bytes((client, 0, 0, 0, verify))))).tls
            assert tls is not None
            self.assertEqual((tls.has_certificate, tls.is_verified), (has_certificate, is_verified))

    def test_hostile_names_are_printable(self) -> None:
        """A name that a client chose is fit for a log."""
        header = says(with_tlvs((TLV.AUTHORITY, b"\x1b[2Ja\xff\n"), (TLV.ALPN, b"\0")))
        self.assertEqual((header.authority, header.alpn_protocol), (r"\x1b[2Ja\xff\n", r"\x00"))

    @given(PAIRS | st.tuples(PATHS, PATHS) | st.just((None, None)), TLVS, st.booleans())
    def test_a_header_says_what_it_was_made_of(
        self, pair: tuple[object, ...], tlvs: dict[int, bytes], is_datagram: bool
    ) -> None:
        """Any addresses of one kind and any TLVs come back."""
        source, destination = pair
        header = ProxyHeader(
            2,
            source,  # type: ignore[arg-type]
            destination,  # type: ignore[arg-type]
            is_datagram=is_datagram and source is not None,
            tlvs=tuple(tlvs.items()),
        )
        self.assertEqual(says(write_header(header), "v2"), header)

    def test_what_is_made_has_a_checksum(self) -> None:
        """A bit that was changed on the way is noticed by those who look."""
        made = write_header(HEADER)
        changed = bytes((*made[:16], made[16] ^ 1, *made[17:]))
        self.refused(changed, "checksum")
        self.assertEqual(write_header(ProxyHeader(2, is_local=True)), SIGNATURE + b"\x20\0\0\0")

    def test_a_header_that_nobody_would_accept_is_not_made(self) -> None:
        """The bound holds for what is sent as well."""
        tlvs = ((0xE0, bytes(MOST)),)
        self.assertRaises(ValueError, write_header, ProxyHeader(2, tlvs=tlvs))

    def test_the_tls_part_comes_back(self) -> None:
        """What is told of TLS is read as it was written."""
        for has_certificate in (False, True):
            tls = ProxiedTLS(has_certificate, 18, ((TLV.SSL_VERSION, b"TLSv1.2"), (0x28, b"der")))
            self.assertEqual(ProxiedTLS.from_bytes(tls.to_bytes()), tls)


class AnythingElseTests(ReaderTestCase):
    """Connections that begin with no header, or with one that is not wanted."""

    def test_the_other_version_is_refused_with_what_to_write(self) -> None:
        """The remedy is a word for the balancer's configuration."""
        self.assertIn("send-proxy-v2 ", self.refused(LINE, "version 1", "v2").remedy)
        self.assertIn("send-proxy ", self.refused(CHECK_OF_HAPROXY, "version 2", "v1").remedy)

    def test_anything_else_is_refused_at_its_first_byte(self) -> None:
        """There is no guessing: a connection without a header has no client's address."""
        for accepted in ACCEPTED:
            for begun in (
                b"\x16\x03\x01\x02\x00",
                b"GET / HTTP/1.1",
                b"\0",
                b"proxy TCP4 ",
                b"POST",
            ):
                error = self.refused(begun, "there is none", accepted)
                self.assertIn("send-proxy-v2", error.remedy)

    def test_no_password_is_quoted(self) -> None:
        """A client that sent its login in the clear is not betrayed to the log."""
        error = self.refused(b"a1 LOGIN joe secret\r\n", "a1 LOGIN")
        self.assertNotIn("joe", str(error))

    @given(st.sampled_from((b"", SIGNATURE, b"PROXY ", version_2(bytes(12))[:16])), st.binary())
    def test_any_bytes_are_read_or_refused(self, begun: bytes, rest: bytes) -> None:
        """Whatever comes, the reader reads it, waits, or refuses it with one error."""
        try:
            found = read_header(begun + rest)
        except InvalidProxyHeader as error:
            self.assertTrue(str(error).isprintable())
        else:
            self.assertTrue(found is None or found[1] <= len(begun + rest))
