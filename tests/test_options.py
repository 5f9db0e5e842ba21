"""The vocabulary of options: each reads the same everywhere, and none is silent."""

# Letters that look like others are what some of these tests are about.
# ruff: noqa: RUF001

from __future__ import annotations

import base64
import runpy
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Any, Final

from attrs import fields, frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.errors import InvalidOption
from txtransport.options import (
    OPTIONS,
    Deadlines,
    ServingPolicy,
    Settings,
    SocketOptions,
    WayIn,
    known,
    policy,
    split,
    value,
)
from txtransport.schemes import SCHEMES, Kind
from txtransport.starttls.catalogue import UPGRADABLE
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.tls.policy import Side, TLSPolicy, Verify
from txtransport.url import Transport

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"

HEX: Final = "0123456789abcdef" * 4
COLONS: Final = ":".join(HEX[place : place + 2].upper() for place in range(0, 64, 2))
PIN: Final = base64.b64encode(bytes(range(32))).decode()
SLASHED: Final = base64.b64encode(b"\xff" * 32).decode()


class Word(str, Enum):
    """Words of a program's own."""

    CLOSE = "close"
    PATH = "/etc/site.pem"


# --- every option's values ---------------------------------------------------------


@frozen
class Examples:
    """Values of an option: good ones as text and in Python, and bad ones."""

    good: tuple[tuple[str, Any, Any], ...]
    bad: tuple[Any, ...]


def numbers(low: int, high: int) -> Examples:
    """Examples of whole numbers, the ends of their range among them."""
    return Examples(
        ((str(low), low, low), (f"0{high}", high, high)),
        (str(high + 1), high + 1, low - 1, "-1", "+1", " 1", "1 ", "1_0", "0x1", "1.0", "1e1", "",
         "²", "٣", "１", 1.0, True, None, b"1", 10**5000, -(10**5000), "9" * 5000, [1]),
    )  # fmt: skip


FLAGS: Final = Examples(
    (("yes", True, True), ("TRUE", True, True), ("on", True, True), ("1", True, True),
     ("no", False, False), ("False", False, False), ("OFF", False, False), ("0", False, False)),
    ("", "y", "maybe", " yes", "2", 1, 0, None, b"yes", [], {}, 10**5000),
)  # fmt: skip
TEXTS: Final = Examples(
    (("x y", "x y", "x y"), ("é:\\", "é:\\", "é:\\")),
    ("", "\0", "a\nb", "a\u202eb", "\ud800", b"x", 1, None, ["x"], True),
)
PATHS: Final = Examples(
    (("/etc/a b.pem", Path("/etc/a b.pem"), "/etc/a b.pem"),
     ("a.pem", PurePosixPath("a.pem"), "a.pem"),
     ("/etc/site.pem", Word.PATH, "/etc/site.pem")),
    (*TEXTS.bad, "a" * 4097, Path("a\nb")),
)  # fmt: skip
SECONDS: Final = Examples(
    (("2.5", 2.5, 2.5), ("86400", 86400, 86400.0), ("0.001", 0.001, 0.001), ("05", 5, 5.0)),
    ("0", "0.0", "-1", "86400.1", "1e3", "inf", "nan", "1.", ".5", "1,5", " 1", "", "1s", "²", 0,
     -1, float("nan"), float("inf"), 10**400, 10**5000, True, None, b"1", Decimal(1)),
)  # fmt: skip
VERSIONS: Final = Examples(
    (("1.0", "1.0", "1.0"), ("1.3", "1.3", "1.3")),
    ("", "1", "1.4", "TLSv1.2", "1.20", "٢", 1.2, 12, None, b"1.2", ["1.2"]),
)

EXAMPLES: Final[dict[str, Examples]] = {
    "bindto": Examples(
        (("192.0.2.7", "192.0.2.7", ("192.0.2.7", 0)),
         ("192.0.2.7:80", ("192.0.2.7", 80), ("192.0.2.7", 80)),
         ("[::1]:0", ("::1", 0), ("::1", 0)),
         ("::1", ("0:0::1", "0"), ("::1", 0)),
         ("[fe80::1%eth0]:65535", ("fe80::1%eth0", 65535), ("fe80::1%eth0", 65535)),
         ("2001:db8::a:b", "[2001:DB8::A:B]", ("2001:db8::a:b", 0))),
        ("", "invalid", "localhost:1", "*", "0:8080", ":80", "[::1]:", "[::1", "::1]",
         "[127.0.0.1]:80", "127.0.0.1:65536", "127.0.0.1:x", "127.0.0.1:-1", "127.1:80",
         "2001:db8::1:80", "[::1]:٣", "[]:1", "[::1%]:1", "127.0.0.1:1:2", 80, None, b"127.0.0.1",
         ("127.0.0.1",), (2130706433, 0), (b"\x7f\0\0\1", 0), ("127.0.0.1", -1),
         ("127.0.0.1", None), ("fe80::1%\0", 0), ["::1", 0]),
    ),
    "backlog": numbers(1, 65535),
    "ipv6_v6only": FLAGS,
    "so_reuseport": FLAGS,
    "so_broadcast": FLAGS,
    "tcp_nodelay": FLAGS,
    "so_keepalive": FLAGS,
    "tcp_keepidle": numbers(1, 32767),
    "tcp_keepintvl": numbers(1, 32767),
    "tcp_keepcnt": numbers(1, 127),
    "so_linger": numbers(0, 32767),
    "so_rcvbuf": numbers(1, 2**31 - 1),
    "so_sndbuf": numbers(1, 2**31 - 1),
    "verify_peer": Examples(
        (("yes", True, Verify.YES), ("0", False, Verify.NO), ("no", Verify.NO, Verify.NO),
         ("optional", "optional", Verify.OPTIONAL), ("Optional", Verify.OPTIONAL, Verify.OPTIONAL)),
        FLAGS.bad,
    ),
    "verify_peer_name": FLAGS,
    "peer_name": TEXTS,
    "allow_self_signed": FLAGS,
    "cafile": PATHS,
    "capath": PATHS,
    "verify_depth": numbers(0, 100),
    "peer_fingerprint": Examples(
        ((HEX, COLONS, (HEX,)), (COLONS, [HEX], (HEX,)),
         (f"{COLONS},{HEX * 2}", (COLONS, HEX * 2), (HEX, HEX * 2)),
         ("0" * 96, {"0" * 96}, ("0" * 96,))),
        ("", ",", "x", HEX[:32], HEX[:40], f"{HEX}0", f"sha256:{HEX}", f"{HEX},", "g" * 64,
         "１" * 64, f"{HEX[:-1]}\n", "ſ" * 64, bytes.fromhex(HEX), [bytes.fromhex(HEX)], [], None,
         1, [HEX, 1]),
    ),
    "pin": Examples(
        ((PIN, PIN, (PIN,)), (f"sha256/{PIN}", [f"sha256//{PIN}"], (PIN,)),
         (f"sha256//{PIN},{SLASHED}", (PIN, f"sha256/{SLASHED}"), (PIN, SLASHED)),
         (f"sha256//{SLASHED}", SLASHED, (SLASHED,)),
         # The last character carries two bits that do not count.
         (f"{PIN[:-2]}9=", PIN, (PIN,))),
        ("", ",", "x", PIN[:-1], f"{PIN}=", f"{PIN},", f"sha1/{PIN}", f"sha256///{PIN}",
         PIN.replace("A", "*"), base64.b64encode(b"x" * 20).decode(), HEX, f"{PIN};{PIN}",
         bytes(32), [], None, 1),
    ),
    "crl": PATHS,
    "local_cert": PATHS,
    "local_pk": PATHS,
    "passphrase": TEXTS,
    "passphrase_file": PATHS,
    "SNI_enabled": FLAGS,
    "SNI_server_certs": Examples(
        (("a.example=/a.pem", {"a.example": Path("/a.pem")}, (("a.example", "/a.pem"),)),
         ("A=x,*.b.c=C:\\y=z", {"a": "x", "*.B.c": "C:\\y=z"}, (("a", "x"), ("*.b.c", "C:\\y=z")))),
        ("", ",", "a", "a=", "=x", "a=x,", "a=x,A=y", "*=x", "*.=x", "a.*=x", "*.*.a=x", "a..b=x",
         "a b=x", "é=x", {}, {"a": ""}, {"a": None}, {"a": b"x"}, {1: "x"}, {"A": "x", "a": "y"},
         {"a": {"local_cert": "x"}}, [("a", "x")], None, 1),
    ),
    "min_version": VERSIONS,
    "max_version": VERSIONS,
    "ciphers": TEXTS,
    "security_level": numbers(0, 5),
    "alpn_protocols": Examples(
        (("h2,http/1.1", ["h2", "http/1.1"], ("h2", "http/1.1")), ("h2", ("h2",), ("h2",)),
         ("a" * 255, "a" * 255, ("a" * 255,))),
        ("", ",", "h2,", "h2,,h3", "a" * 256, "é" * 128, ["a" * 255] * 256, b"h2", [b"h2"],
         [], [""], None, 1),
    ),
    "honor_cipher_order": FLAGS,
    "no_ticket": FLAGS,
    "capture_peer_cert": FLAGS,
    "timeout": SECONDS,
    "handshake_timeout": SECONDS,
    "close_timeout": SECONDS,
    "starttls": Examples(
        (("smtp", UPGRADABLE["smtp"], UPGRADABLE["smtp"]),
         ("IMAP", UPGRADABLE["imap"], UPGRADABLE["imap"])),
        ("", "x y", "stls", None, 1, b"smtp", ["smtp"], True),
    ),
    "starttls_name": TEXTS,
    "starttls_from": TEXTS,
    "starttls_policy": Examples(
        (("must", "must", "must"), ("may", "may", "may")),
        ("", "May", "maybe", None, 1, b"may", True),
    ),
    "proxy_protocol": FLAGS,
    "proxy_from": TEXTS,
    "send_proxy": TEXTS,
    "max_connections": numbers(1, 10**6),
    "max_per_ip": numbers(1, 10**6),
    "overflow": Examples(
        (("pause", "pause", "pause"), ("close", Word.CLOSE, "close")),
        ("", "Pause", "drop", None, 1, b"close", True),
    ),
}  # fmt: skip


class ValueTests(SynchronousTestCase):
    """What may be written for an option, and what it means."""

    def test_every_option_is_tried(self) -> None:
        """Whoever adds an option adds examples of its values."""
        self.assertEqual(list(EXAMPLES), list(OPTIONS))

    def test_url_and_python_say_the_same(self) -> None:
        """A value means the same as the text of a URL and as what a programmer writes."""
        for name, examples in EXAMPLES.items():
            for text, written, meant in examples.good:
                self.assertEqual(value(OPTIONS[name], text), meant, name)
                self.assertEqual(value(OPTIONS[name], written), meant, name)

    def test_a_bad_value_names_what_is_expected(self) -> None:
        """Whatever is wrong with a value, the message names the option and what it takes."""
        for name, examples in EXAMPLES.items():
            for bad in examples.bad:
                error = self.assertRaises(InvalidOption, value, OPTIONS[name], bad)
                self.assertEqual(error.option, name)
                self.assertIn(f"{name} takes {OPTIONS[name].type.expects}", str(error))
                self.assertTrue(str(error).isprintable() and len(str(error)) < 400, error)

    def test_a_bad_value_is_shown_unless_it_is_secret(self) -> None:
        """The message repeats what was written, but never a passphrase."""
        for name, option in OPTIONS.items():
            for bad in ("\0hunter2", ("hunter2", object())):
                error = self.assertRaises(InvalidOption, value, option, bad)
                self.assertEqual("hunter2" in str(error), not option.is_secret, name)

    def test_a_number_is_not_taken_for_a_version(self) -> None:
        """min_version=1.2 in Python is told that the version is text."""
        error = self.assertRaises(InvalidOption, value, OPTIONS["min_version"], 1.2)
        self.assertIn("takes '1.0' or '1.1' or '1.2' or '1.3', not 1.2", str(error))

    @settings(deadline=None)
    @given(
        st.sampled_from(sorted(OPTIONS)),
        st.recursive(
            st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary()),
            lambda inner: st.one_of(
                st.lists(inner), st.tuples(inner, inner), st.dictionaries(st.text(), inner)
            ),
        ),
    )
    def test_anything(self, name: str, given_: object) -> None:
        """Any value at all is read or refused, and what was read reads the same again."""
        option = OPTIONS[name]
        try:
            meant = value(option, given_)
        except InvalidOption as error:
            self.assertTrue(str(error).isprintable() and len(str(error)) < 400, error)
        else:
            again = dict(meant) if name == "SNI_server_certs" else meant
            self.assertEqual(value(option, again), meant)


class TableTests(SynchronousTestCase):
    """What the table promises of its rows."""

    def test_php_s_names_are_kept(self) -> None:
        """Whoever comes from PHP finds its options by their names."""
        php = (
            "bindto backlog ipv6_v6only so_reuseport so_broadcast tcp_nodelay so_keepalive "
            "tcp_keepidle tcp_keepintvl tcp_keepcnt so_linger so_rcvbuf so_sndbuf verify_peer "
            "verify_peer_name peer_name allow_self_signed cafile capath local_cert local_pk "
            "passphrase verify_depth ciphers security_level capture_peer_cert SNI_enabled "
            "SNI_server_certs peer_fingerprint alpn_protocols no_ticket honor_cipher_order"
        )
        self.assertEqual(set(php.split()) - OPTIONS.keys(), set())

    def test_a_stranger_names_no_file(self) -> None:
        """No option that takes a path, and no secret, may come in a stranger's URL."""
        for row in OPTIONS.values():
            if "path" in row.type.expects or row.is_secret:
                self.assertFalse(row.is_for_strangers, row.name)

    def test_a_stranger_weakens_nothing(self) -> None:
        """What decides whom to trust and how to speak is for us alone."""
        for name in ("verify_peer", "verify_peer_name", "peer_name", "allow_self_signed", "ciphers",
                     "security_level", "min_version", "max_version", "SNI_enabled"):  # fmt: skip
            self.assertFalse(OPTIONS[name].is_for_strangers, name)

    def test_an_option_becomes_a_field_or_says_why_not(self) -> None:
        """No option is read and then forgotten."""
        parts = (SocketOptions, TLSPolicy, Deadlines, ServingPolicy, WayIn)
        held = {attribute.name for part in parts for attribute in fields(part)}
        silent = {row.name for row in OPTIONS.values() if row.refusal is None} - held
        self.assertEqual(silent, {"capture_peer_cert"})
        self.assertEqual(held - OPTIONS.keys(), set())

    def test_what_is_said_to_be_the_default_is(self) -> None:
        """The reference's column of defaults is what the code does."""
        holders = (SocketOptions(), TLSPolicy(), Deadlines(), ServingPolicy(), WayIn())
        for holder in holders:
            for attribute in fields(type(holder)):
                said, held = OPTIONS[attribute.name], getattr(holder, attribute.name)
                if held is not None and held != () and held is not False:
                    self.assertEqual(value(said, said.default), held, attribute.name)


# --- whose an option is ------------------------------------------------------------


def settle(text: str, side: str = "client", **keywords: Any) -> Settings:
    """What a URL and keywords come to."""
    transport = Transport.parse(text)
    return split(SCHEMES[transport.scheme], transport.options, keywords, side)


class OptionsTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def refused(
        self, option: str, reason: str, text: str, side: str = "client", **keywords: Any
    ) -> None:
        """The options are refused, for that one and for that reason."""
        error = self.assertRaises(InvalidOption, settle, text, side, **keywords)
        self.assertEqual(error.option, option, error)
        self.assertIn(reason, str(error))


class KnownTests(OptionsTestCase):
    """Names of options."""

    def test_a_slip_of_the_pen(self) -> None:
        """An unknown option names the nearest one that the scheme has."""
        for written, meant in {
            "verify_pier": "verify_peer", "SNI_Enabled": "SNI_enabled", "verifypeer": "verify_peer",
            "VERIFY_DEPTH": "verify_depth", "local_certificate": "local_cert",
            "sni_server_cert": "SNI_server_certs", "min_ver": "min_version", "timeouts": "timeout",
        }.items():  # fmt: skip
            error = self.assertRaises(InvalidOption, known, written, SCHEMES["tls"])
            self.assertEqual(error.option, written)
            self.assertEqual(str(error), f"there is no option {written!r}; did you mean {meant}?")

    def test_nothing_near(self) -> None:
        """Where nothing is near, the message names the scheme."""
        error = self.assertRaises(InvalidOption, known, "colour", SCHEMES["tcp"])
        self.assertEqual(str(error), "there is no option 'colour' for tcp://")

    def test_the_nearest_is_one_that_the_scheme_has(self) -> None:
        """tcp:// is not advised to verify its peer."""
        error = self.assertRaises(InvalidOption, known, "verify_pier", SCHEMES["tcp"])
        self.assertNotIn("did you mean verify_peer?", str(error))

    def test_long_and_strange_names(self) -> None:
        """A name of any length, alphabet or type is refused in few words."""
        for name in ("x" * 10**6, "\u202e\0", "", b"verify_peer", 1, None, ("verify_peer",)):
            error = self.assertRaises(InvalidOption, known, name, SCHEMES["tls"])
            self.assertIsInstance(error.option, str)
            self.assertTrue(str(error).isprintable() and len(str(error)) < 200, error)

    def test_an_option_of_other_schemes(self) -> None:
        """An option that the scheme does not have says which schemes have it."""
        self.refused("verify_depth", "it belongs to tls, ssl, tlsv1.0", "tcp://h", verify_depth=3)
        self.refused("bindto", "unix:// has no option bindto", "unix:///x", bindto="::1")
        self.refused(
            "tcp_nodelay", "it belongs to tcp, tls", "udp://h", "datagram", tcp_nodelay=True
        )

    def test_each_scheme_has_its_options(self) -> None:
        """TLS options are for what speaks TLS, socket options for what has such a socket."""
        for scheme in SCHEMES.values():
            there = {row.name for row in OPTIONS.values() if row.serves(scheme)}
            is_stream, is_local = scheme.kind is Kind.STREAM, scheme.is_local
            self.assertEqual("verify_peer" in there, scheme.is_secure, scheme)
            self.assertEqual("handshake_timeout" in there, scheme.is_secure, scheme)
            self.assertEqual("bindto" in there, not is_local, scheme)
            self.assertEqual("tcp_nodelay" in there, is_stream and not is_local, scheme)
            self.assertEqual("so_broadcast" in there, not is_stream and not is_local, scheme)
            self.assertEqual("backlog" in there, is_stream, scheme)
            self.assertIn("timeout", there)

    def test_an_option_of_the_other_side(self) -> None:
        """An option that does nothing on this side is refused, with the side that has it."""
        self.refused("backlog", "an option of a server, not of a client", "tls://h?backlog=5")
        self.refused(
            "SNI_enabled", "of a client, not of a server", "tls://h", "server", SNI_enabled=True
        )
        self.refused("honor_cipher_order", "not of a client", "tls://h?honor_cipher_order=no")
        self.refused("so_broadcast", "not of a client", "udp://h?so_broadcast=1")

    def test_every_side_is_kept_to(self) -> None:
        """Each option is taken by its sides and refused by the others."""
        for name, row in OPTIONS.items():
            scheme = next(scheme for scheme in SCHEMES.values() if row.serves(scheme))
            given_ = {name: EXAMPLES[name].good[0][0]}
            for side in {"client", "server", "datagram"} - row.sides:
                error = self.assertRaises(InvalidOption, split, scheme, (), given_, side)
                self.assertIn(f"not of a {side}", str(error))

    def test_what_is_to_come(self) -> None:
        """An option of a later release is refused in so many words, and never ignored."""
        self.refused(
            "proxy_protocol", "not part of this release", "tcp://h?proxy_protocol=1", "server"
        )
        self.refused("send_proxy", "not part of this release", "tcp://h", send_proxy="v2")


# --- what they come to ---------------------------------------------------------------


class SplitTests(OptionsTestCase):
    """Options become policies."""

    def test_nothing_is_the_default(self) -> None:
        """Without options everything has its default; TLS is there only where the scheme has it."""
        self.assertEqual(
            settle("tls://h"),
            Settings(SocketOptions(), TLSPolicy(), Deadlines(), ServingPolicy(), WayIn()),
        )
        self.assertIsNone(settle("tcp://h").tls)
        self.assertEqual(settle("tls+unix:///x").tls, TLSPolicy())
        self.assertEqual(settle("ssl://h"), settle("tls://h"))

    def test_each_goes_where_it_belongs(self) -> None:
        """Options of the socket, of TLS, of time and of serving are told apart."""
        settled = settle(
            "tls://h?so_linger=0&verify_depth=3", "server", close_timeout=1, max_connections=9,
            overflow="close",
        )  # fmt: skip
        self.assertEqual(settled.sockets, SocketOptions(so_linger=0))
        self.assertEqual(settled.tls, TLSPolicy(verify_depth=3))
        self.assertEqual(settled.deadlines, Deadlines(close_timeout=1.0))
        self.assertEqual(settled.serving, ServingPolicy(max_connections=9, overflow="close"))

    def test_every_option_arrives(self) -> None:
        """What is written for an option is what its policy holds."""
        company: dict[str, dict[str, Any]] = {
            "local_pk": {"local_cert": "a"}, "passphrase": {"local_cert": "a"},
            "passphrase_file": {"local_cert": "a"}, "overflow": {"max_connections": 1},
            "tcp_keepidle": {"so_keepalive": True}, "tcp_keepintvl": {"so_keepalive": True},
            "tcp_keepcnt": {"so_keepalive": True}, "min_version": {"security_level": 0},
            "max_version": {"security_level": 0, "min_version": "1.0"},
            "starttls_name": {"starttls": "xmpp"}, "starttls_policy": {"starttls": "smtp"},
            "starttls_from": {"starttls": "xmpp-server"},
        }  # fmt: skip
        for name, row in OPTIONS.items():
            if row.refusal is not None or name == "capture_peer_cert":
                continue
            scheme = next(scheme for scheme in SCHEMES.values() if row.serves(scheme))
            side = "client" if "client" in row.sides else min(row.sides)
            _, written, meant = EXAMPLES[name].good[0]
            settled = split(scheme, (), {name: written, **company.get(name, {})}, side)
            parts = (settled.sockets, settled.tls, settled.deadlines, settled.serving,
                     settled.way_in)  # fmt: skip
            held = [getattr(part, name) for part in parts if hasattr(part, name)]
            self.assertEqual(held, [meant], name)

    def test_url_and_keyword_agree(self) -> None:
        """An option may stand in both when it means the same, however it is written."""
        for text, keywords in (
            ("tls://h?verify_peer=on", {"verify_peer": True}),
            ("tls://h?timeout=05", {"timeout": 5}),
            ("tls://h?cafile=/a%20b", {"cafile": Path("/a b")}),
            (f"tls://h?peer_fingerprint={COLONS}", {"peer_fingerprint": [HEX]}),
            ("tls://h?bindto=[::1]:0", {"bindto": ("0::1", 0)}),
        ):
            self.assertEqual(settle(text, **keywords), settle(text))

    def test_url_and_keyword_differ(self) -> None:
        """Neither wins when they differ, and a secret is not shown."""
        differ = "in the URL and in the keywords, with different values"
        self.refused("verify_depth", differ, "tls://h?verify_depth=3", verify_depth=4)
        self.refused("verify_peer", differ, "tls://h?verify_peer=yes", verify_peer=False)
        error = self.assertRaises(
            InvalidOption, settle, "tls://h?passphrase=hunter2", passphrase="hunter3"
        )
        self.assertNotIn("hunter", str(error))

    def test_php_s_option_that_is_always_on(self) -> None:
        """capture_peer_cert is taken from those who come from PHP, and changes nothing."""
        self.assertEqual(settle("tls://h?capture_peer_cert=yes"), settle("tls://h"))

    def test_settings_can_be_shared(self) -> None:
        """Equal options come to equal settings, which can be keys; they show no secret."""
        one = settle("tls://h?passphrase=hunter2&local_cert=a")
        self.assertEqual(len({one, settle("tls://h", local_cert="a", passphrase="hunter2")}), 1)
        self.assertNotIn("hunter2", repr(one))


class WayInTests(OptionsTestCase):
    """What comes before TLS."""

    def test_a_protocol_by_name(self) -> None:
        """The name stands for both sides' dialogues, in any case."""
        way_in = settle("tls://h:587?starttls=SMTP").way_in
        self.assertEqual(way_in, WayIn(UPGRADABLE["smtp"]))

    def test_a_dialogue_of_one_s_own(self) -> None:
        """In Python a function of a wire is a protocol."""

        def knock(wire: Wire) -> Dialogue[bytes]:
            wire.ask(b"knock")
            return (yield from wire.exactly(4))

        protocol = settle("tls://h:1", starttls=knock).way_in.starttls
        assert protocol is not None
        self.assertEqual((protocol.name, protocol.connect), ("knock", knock))

    def test_an_unknown_protocol(self) -> None:
        """The error lists the known ones."""
        self.refused("starttls", "smtp, lmtp, pop3", "tls://h:587", starttls="smpt")
        self.refused("starttls", "did you mean smtp?", "tls://h:587", starttls="smpt")

    def test_a_server_s_side_that_is_not_here(self) -> None:
        """Not every protocol has both sides."""
        self.refused("starttls", "for clients only", "tls://h:3389?starttls=rdp", "server")

    def test_a_domain_where_none_is_asked_for(self) -> None:
        """Only some protocols ask for a domain; for the others peer_name says it."""
        self.refused(
            "starttls_name", "peer_name", "tls://h:587?starttls=smtp&starttls_name=example.com"
        )
        way_in = settle("tls://h:5222?starttls=xmpp&starttls_name=example.com").way_in
        self.assertEqual(way_in.starttls_name, "example.com")

    def test_servers_among_themselves(self) -> None:
        """Between servers both domains are named, and elsewhere neither speaks for one."""
        self.refused("starttls_from", "the domain that we speak for",
                     "tls://h:5269?starttls=xmpp-server&starttls_name=example.com")  # fmt: skip
        self.refused(
            "starttls_from", "speaks for no domain", "tls://h:587?starttls=smtp&starttls_from=x"
        )
        way_in = settle("tls://h:5269?starttls=xmpp-server&starttls_from=example.org").way_in
        self.assertEqual(way_in.starttls_from, "example.org")
        settle("tls://h:5269?starttls=xmpp-server&local_cert=a", "server")

    def test_going_on_in_the_clear(self) -> None:
        """Where nothing is left to go on with, may is refused."""
        way_in = settle("tls://h:587?starttls=smtp&starttls_policy=may").way_in
        self.assertEqual(way_in.starttls_policy, "may")
        self.refused(
            "starttls_policy", "no conversation", "tls://h:5672?starttls=amqp&starttls_policy=may"
        )

    def test_alone_they_do_nothing(self) -> None:
        """How to switch says nothing where there is no switch."""
        for name, text in (
            ("starttls_name", "x"),
            ("starttls_from", "x"),
            ("starttls_policy", "may"),
        ):
            self.refused(name, "needs starttls", f"tls://h:1?{name}={text}")

    def test_a_stranger_cannot_choose_clear_text(self) -> None:
        """A URL from elsewhere may name a protocol, and not weaken it."""
        Transport.parse("tls://h:587?starttls=smtp", trusted=False)
        for option in ("starttls_policy=may", "starttls_name=x"):
            text = f"tls://h:587?starttls=smtp&{option}"
            self.assertRaises(InvalidOption, Transport.parse, text, trusted=False)


class VersionTests(OptionsTestCase):
    """Which versions of TLS are spoken."""

    def spoken(self, text: str) -> tuple[str, str, int | None]:
        """Oldest and newest version, and security level."""
        tls = settle(text).tls
        assert tls is not None
        return tls.min_version, tls.max_version, tls.security_level

    def test_a_scheme_of_one_version(self) -> None:
        """tlsv1.x:// speaks that version alone; the old two get the level that they need."""
        self.assertEqual(self.spoken("tls://h"), ("1.2", "1.3", None))
        self.assertEqual(self.spoken("tlsv1.2://h"), ("1.2", "1.2", None))
        self.assertEqual(self.spoken("tlsv1.3://h"), ("1.3", "1.3", None))
        self.assertEqual(self.spoken("tlsv1.0://h"), ("1.0", "1.0", 0))
        self.assertEqual(self.spoken("tlsv1.1://h?min_version=1.1"), ("1.1", "1.1", 0))

    def test_a_scheme_of_one_version_is_not_widened(self) -> None:
        """PHP's ranges have holes that are filled; here a version is that version."""
        self.refused("min_version", "is TLS 1.3 and nothing else", "tlsv1.3://h?min_version=1.2")
        self.refused("max_version", "is TLS 1.0 and nothing else", "tlsv1.0://h", max_version="1.3")

    def test_a_range(self) -> None:
        """Old versions are spoken when they are asked for together with their level."""
        self.assertEqual(self.spoken("tls://h?max_version=1.2"), ("1.2", "1.2", None))
        self.assertEqual(self.spoken("tls://h?min_version=1.0&security_level=0"), ("1.0", "1.3", 0))

    def test_a_range_with_nothing_in_it(self) -> None:
        """A range without a version names what bounds it."""
        self.refused("max_version", "no version is left", "tls://h?max_version=1.1")
        self.refused("max_version", "no version is left", "tls://h?min_version=1.3&max_version=1.2")

    def test_an_old_version_needs_its_level(self) -> None:
        """TLS 1.0 that OpenSSL would refuse at each handshake is refused at once."""
        self.refused("min_version", "needs security_level=0", "tls://h?min_version=1.1")
        self.refused("security_level", "needs security_level=0", "tlsv1.0://h?security_level=1")

    def test_ciphers_of_older_versions(self) -> None:
        """A cipher list that TLS 1.3 would ignore is refused."""
        self.refused("ciphers", "for TLS 1.2 and older", "tlsv1.3://h?ciphers=HIGH")
        self.refused("ciphers", "for TLS 1.2 and older", "tls://h?min_version=1.3", ciphers="HIGH")
        self.assertEqual(settle("tls://h?ciphers=HIGH").tls, TLSPolicy(ciphers="HIGH"))


class ContradictionTests(OptionsTestCase):
    """Options that cannot all be meant."""

    def test_an_optional_server(self) -> None:
        """A client cannot make the server's certificate optional."""
        self.refused("verify_peer", "is for servers", "tls://h?verify_peer=optional")
        settled = settle("tls://h?verify_peer=optional", "server")
        self.assertEqual(settled.tls, TLSPolicy(verify_peer=Verify.OPTIONAL))

    def test_a_name_for_clients(self) -> None:
        """A server that checks names says which one."""
        text = "tls://h?verify_peer=yes&verify_peer_name=yes"
        self.refused("verify_peer_name", "needs peer_name", text, "server")
        self.assertIsNotNone(settle(f"{text}&peer_name=x", "server").tls)

    def test_a_name_that_no_one_checks(self) -> None:
        """A server that names its client and does not check the name would admit any other."""
        for more in ("", "&verify_peer=yes", "&verify_peer=optional&verify_peer_name=no"):
            text = f"tls://h?peer_name=x{more}"
            self.refused("peer_name", "needs verify_peer_name=yes", text, "server")
        self.assertIsNotNone(settle("tls://h?peer_name=x&verify_peer_name=no", "client").tls)

    def test_a_chain_that_no_one_looks_at(self) -> None:
        """With verify_peer=no whom to trust means nothing, and is refused rather than ignored."""
        for option in ("cafile=a", "capath=a", "crl=a", "verify_depth=3", "allow_self_signed=yes"):
            name = option.partition("=")[0]
            self.refused(
                name, "does nothing with verify_peer=no", f"tls://h?verify_peer=no&{option}"
            )
        self.assertIsNotNone(settle(f"tls://h?verify_peer=no&pin={PIN}").tls)

    def test_a_server_that_does_not_ask(self) -> None:
        """A check of a certificate that no client is asked for is refused, not ignored."""
        for query in (
            "cafile=/a", "capath=/a", "crl=/a", f"peer_fingerprint={HEX}", f"pin={PIN}",
            "allow_self_signed=1", "verify_peer_name=1&peer_name=x",
        ):  # fmt: skip
            option = query.partition("=")[0]
            for more in ("", "&verify_peer=no"):
                self.refused(option, "needs verify_peer=yes", f"tls://h?{query}{more}", "server")
            for more in ("&verify_peer=yes", "&verify_peer=optional"):
                self.assertIsNotNone(settle(f"tls://h?{query}{more}", "server").tls)

    def test_what_does_nothing_alone(self) -> None:
        """An option that needs another says which."""
        for query, other in (
            ("local_pk=a", "local_cert"), ("passphrase=x", "local_cert or SNI_server_certs"),
            ("passphrase_file=x", "local_cert"), ("tcp_keepidle=1", "so_keepalive"),
            ("tcp_keepcnt=1&so_keepalive=no", "so_keepalive"), ("tcp_keepintvl=1", "so_keepalive"),
        ):  # fmt: skip
            self.refused(query.partition("=")[0], f"needs {other}", f"tls://h?{query}")
        self.refused("overflow", "needs max_connections", "tcp://h?overflow=close", "server")

    def test_two_passphrases(self) -> None:
        """A passphrase comes from one place, and is not shown when it comes from two."""
        text = "tls://h?local_cert=a&passphrase=hunter2&passphrase_file=b"
        self.refused("passphrase", "exclude each other", text)
        error = self.assertRaises(InvalidOption, settle, text)
        self.assertNotIn("hunter2", str(error))

    def test_weakening_is_never_implied(self) -> None:
        """verify_peer=no leaves the name check on, and the other way round."""
        for text, chain, name in (
            ("tls://h?verify_peer=no", Verify.NO, True),
            ("tls://h?verify_peer_name=no", Verify.YES, False),
            ("tls://h?allow_self_signed=yes", Verify.YES, True),
        ):
            tls = settle(text).tls
            assert tls is not None
            self.assertEqual(
                (tls.verifies(Side.CLIENT), tls.verifies_name(Side.CLIENT)), (chain, name)
            )


class PolicyTests(SynchronousTestCase):
    """TLS options as a mapping, for startTLS()."""

    def test_a_mapping_is_a_policy(self) -> None:
        """Names and values are those of a URL."""
        self.assertEqual(policy({}, Side.CLIENT), TLSPolicy())
        self.assertEqual(
            policy({"verify_depth": "3", "peer_name": "mx.example"}, Side.CLIENT),
            TLSPolicy(verify_depth=3, peer_name="mx.example"),
        )
        self.assertEqual(
            policy({"verify_peer": "optional", "local_cert": Path("a")}, Side.SERVER),
            TLSPolicy(verify_peer=Verify.OPTIONAL, local_cert="a"),
        )
        self.assertEqual(policy({"capture_peer_cert": True}, Side.CLIENT), TLSPolicy())

    def test_only_tls_itself(self) -> None:
        """Options of sockets, of time and of serving have no place in a policy."""
        for name in ("timeout", "tcp_nodelay", "backlog", "max_connections", "close_timeout"):
            error = self.assertRaises(InvalidOption, policy, {name: 1}, Side.SERVER)
            self.assertEqual(str(error), f"{name} is not an option of TLS itself")

    def test_bad_options(self) -> None:
        """Everything that a URL refuses is refused."""
        for given_, option in (
            ({"verify_pier": True}, "verify_pier"),
            ({"verify_peer": "maybe"}, "verify_peer"),
            ({"verify_peer": "optional"}, "verify_peer"),
            ({"honor_cipher_order": True}, "honor_cipher_order"),
            ({"starttls": "smtp"}, "starttls"),
            ({"max_version": "1.0"}, "max_version"),
            ({1: 2}, "1"),
        ):
            error = self.assertRaises(InvalidOption, policy, given_, Side.CLIENT)
            self.assertEqual(error.option, option)


class ReferenceTests(SynchronousTestCase):
    """The reference page."""

    def test_it_is_up_to_date(self) -> None:
        """docs/options.md is what docs/reference.py prints now."""
        page = "\n\n".join(runpy.run_path(str(DOCS / "reference.py"))["page"]()) + "\n"
        self.assertEqual((DOCS / "options.md").read_text(encoding="utf-8"), page)

    def test_it_has_everything(self) -> None:
        """Every transport and every option is on the page."""
        page = (DOCS / "options.md").read_text(encoding="utf-8")
        for name in (*SCHEMES, *OPTIONS):
            self.assertIn(f"| `{name}` |", page)
