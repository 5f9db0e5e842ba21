"""Good and bad values of every option, and assertions that tests of options share."""

# Some tests hold letters of other alphabets that look like ASCII.
# ruff: noqa: RUF001

from __future__ import annotations

import base64
from decimal import Decimal
from enum import Enum
from ipaddress import ip_network
from pathlib import Path, PurePosixPath
from typing import Final

from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.policy import CertificateFiles, Verify
from txtransport.config.proxy_sources import ProxySources
from txtransport.config.proxy_url import ProxyURL
from txtransport.config.schemes import SCHEMES, Scheme
from txtransport.config.settings import (
    Settings,
    resolve_options,
)
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption
from txtransport.proxy.target import Credentials
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS

HEX: Final = "0123456789abcdef" * 4
COLONS: Final = ":".join(HEX[place : place + 2].upper() for place in range(0, 64, 2))
PIN: Final = base64.b64encode(bytes(range(32))).decode()
SLASHED: Final = base64.b64encode(b"\xff" * 32).decode()
PROXIES: Final = (
    ProxyURL("socks5h", "2001:db8::1", 1080, Credentials("u:", "p,")),
    ProxyURL("https", "p", 443, None, (("cafile", "/a"),)),
)


class Word(str, Enum):
    """An enumeration of a program's own, whose members are texts too."""

    CLOSE = "close"
    PATH = "/etc/site.pem"


def place_in(scheme: Scheme, host: str = "h:1") -> str:
    """What may stand behind ``://`` in a URL of a scheme.

    Args:
        scheme: The scheme.
        host: Host and port, for schemes that have them.
    """
    if scheme.is_inherited:
        return {"descriptor": "3", "name": "web.socket"}[scheme.inherited_by]
    return "/run/socket" if scheme.is_local else host


@frozen
class Examples:
    """Good and bad values of one option.

    Attributes:
        good: For each value its text in a URL, the value in Python, and what
            the settings hold for both.
        bad: Values that are refused, texts and others.
    """

    good: tuple[tuple[str, object, object], ...]
    bad: tuple[object, ...]


def numbers(low: int, high: int) -> Examples:
    """Examples of whole numbers from `low` to `high`, both ends among them."""
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

OWNERS: Final = Examples(
    (("www-data", "www-data", "www-data"), ("033", 33, "33"), ("0", 0, "0")),
    ("", "a\nb", "4294967295", -1, 2**32 - 1, 1.0, True, None, b"root", ["root"]),
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
    "srv": Examples(
        (("xmpps-client", "xmpps-client", "xmpps-client"),
         ("sipfederationtls", "SIPfederationTLS", "sipfederationtls"),
         ("x", "X", "x"), ("4-2-x", "4-2-x", "4-2-x")),
        ("", "_xmpps-client", "_xmpps-client._tcp", "a.b", "-a", "a-", "a--b", "a_b", "5", "a b",
         "ä", "a\0", "x" * 63, None, b"x", 5, True, ["x"]),
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
    "mode": Examples(
        (("0660", 0o660, 0o660), ("600", 0o600, 0o600), ("0000", 0, 0), ("777", 0o777, 0o777)),
        ("", "66", "0o660", "1777", "00660", "668", "-660", " 660", "rw-rw----", "٦٦٠",
         660, 0o1000, -1, True, 6.0, None, b"660", 10**5000),
    ),
    "user": OWNERS,
    "group": OWNERS,
    "over": Examples(
        (("tcp:host:80", "tcp:host:80", "tcp:host:80"), ("x y", "x y", "x y")), TEXTS.bad
    ),
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
    "x509_strict": FLAGS,
    "peer_fingerprint": Examples(
        ((HEX, COLONS, (HEX,)), (COLONS, [HEX], (HEX,)),
         (f"{COLONS},{HEX * 2}", (COLONS, HEX * 2), (HEX, HEX * 2)),
         ("0" * 96, {"0" * 96}, ("0" * 96,)), (HEX, {"sha256": COLONS}, (HEX,)),
         (HEX * 2, {"SHA512": HEX * 2}, (HEX * 2,))),
        ("", ",", "x", HEX[:32], HEX[:40], f"{HEX}0", f"sha256:{HEX}", f"{HEX},", "g" * 64,
         "１" * 64, f"{HEX[:-1]}\n", "ſ" * 64, bytes.fromhex(HEX), [bytes.fromhex(HEX)], [], None,
         1, [HEX, 1], {}, {"sha256": None}, {"sha256": [HEX]}, {"sha384": HEX}, {"sha224": HEX},
         {"md5": HEX[:32]}, {"sha1": HEX[:40]}, {HEX: "sha256"}, {1: HEX},
         {"sha256": HEX, "sha512": HEX * 2}),
    ),
    "pin": Examples(
        ((PIN, PIN, (PIN,)), (f"sha256/{PIN}", [f"sha256//{PIN}"], (PIN,)),
         (f"sha256//{PIN},{SLASHED}", (PIN, f"sha256/{SLASHED}"), (PIN, SLASHED)),
         (f"sha256//{SLASHED}", SLASHED, (SLASHED,)),
         # The last character before = has two bits that are no part of the digest.
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
        (("a.example=/a.pem", {"a.example": Path("/a.pem")},
          (("a.example", CertificateFiles("/a.pem")),)),
         ("A=x,*.b.c=C:\\y=z", {"a": {"local_cert": "x"}, "*.B.c": "C:\\y=z"},
          (("a", CertificateFiles("x")), ("*.b.c", CertificateFiles("C:\\y=z"))))),
        ("", ",", "a", "a=", "=x", "a=x,", "a=x,A=y", "*=x", "*.=x", "a.*=x", "*.*.a=x", "a..b=x",
         "a b=x", "é=x", {}, {"a": ""}, {"a": None}, {"a": b"x"}, {1: "x"}, {"A": "x", "a": "y"},
         {"a": {}}, {"a": {"local_pk": "x"}}, {"a": {"local_cert": ""}}, {"a": {"local_cert": 1}},
         {"a": {"local_cert": "x", "local_pk": ""}}, {"a": {"local_cert": "x", "passphrase": "y"}},
         {"a": ["x", "y"]}, [("a", "x")], None, 1),
    ),
    "min_version": VERSIONS,
    "max_version": VERSIONS,
    "allow_broken_ssl": FLAGS,
    "ciphers": TEXTS,
    "security_level": numbers(0, 5),
    "alpn_protocols": Examples(
        (("h2,http/1.1", ["h2", "http/1.1"], ("h2", "http/1.1")), ("h2", ("h2",), ("h2",)),
         ("a" * 255, "a" * 255, ("a" * 255,))),
        ("", ",", "h2,", "h2,,h3", "a" * 256, "é" * 128, ["a" * 255] * 4 + ["b"], b"h2", [b"h2"],
         [], [""], None, 1),
    ),
    "alpn_mismatch": Examples(
        (("refuse", "refuse", "refuse"), ("ignore", "ignore", "ignore")),
        ("", "Refuse", "no", None, 1, b"ignore", True),
    ),
    "honor_cipher_order": FLAGS,
    "no_ticket": FLAGS,
    "capture_peer_cert": FLAGS,
    "keylog": PATHS,
    "timeout": SECONDS,
    "handshake_timeout": SECONDS,
    "close_timeout": SECONDS,
    "starttls": Examples(
        (("smtp", STARTTLS_PROTOCOLS["smtp"], STARTTLS_PROTOCOLS["smtp"]),
         ("IMAP", STARTTLS_PROTOCOLS["imap"], STARTTLS_PROTOCOLS["imap"])),
        ("", "x y", "stls", None, 1, b"smtp", ["smtp"], True),
    ),
    "starttls_name": TEXTS,
    "starttls_from": TEXTS,
    "starttls_policy": Examples(
        (("must", "must", "must"), ("may", "may", "may")),
        ("", "May", "maybe", None, 1, b"may", True),
    ),
    "proxy": Examples(
        (("env", "env", "env"),
         ("http://p.example:3128", ["http://p.example:3128"],
          (ProxyURL("http", "p.example", 3128),)),
         ("SOCKS5H://u%3A:p%2C@[2001:DB8::1]:1080/", PROXIES[:1], PROXIES[:1]),
         ("socks5h://u%3A:p%2C@[2001:db8::1]:1080,https://p:443?cafile=/a", PROXIES, PROXIES)),
        ("", "ENV", "none", "p:3128", "http://p", "http://p:0", "http://p:65536", "http://p:x",
         "http://:3128", "http://p:3128/x", "http://a@b@p:1", "http://@p:1", "http://u:p:q@p:1",
         "http://u:p%zz@p:1", "http://u:%ff@p:1", "http://u:%0a@p:1", "http://u:p @p:1",
         "http://u%3Aa:p@p:1", "http://p:1?cafile=a", "http://2001:db8::1:1", "http://*:1",
         "http://[192.0.2.7]:1", "https://p:1?", "https://p:1?cafile", "https://p:1?a=b&a=c",
         "socks5://u@p:1", "socks5://:p@p:1", f"socks5://u:{'p' * 256}@p:1", "socks://p:1",
         "socks4://p:1", "socks4a://p:1", "tls://p:1", "smtp://p:1", "http://p:1,", ",",
         ",".join(["http://p:1"] * 9), [], [1], [b"http://p:1"], b"http://p:1", None, 1, True),
    ),
    "proxy_protocol": Examples(
        (("v1", "v1", "v1"), ("v2", "v2", "v2"), ("any", "any", "any")),
        ("", "yes", "1", "V2", "v3", None, True, 2, b"v1"),
    ),
    "proxy_from": Examples(
        (("10.0.0.0/8", ["10.0.0.0/8"], ProxySources((ip_network("10.0.0.0/8"),))),
         ("::1,192.0.2.7,unix", ("::1", "192.0.2.7", "unix"),
          ProxySources((ip_network("::1"), ip_network("192.0.2.7")), has_unix=True)),
         ("unix", ProxySources(has_unix=True), ProxySources(has_unix=True))),
        ("", ",", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/8,", "localhost", "*", "UNIX", "fe80::1%1",
         "10.1", "192.0.2.07", "１.2.3.4", "any", 1, None, [], [1], [b"\1\2\3\4"], b"10.0.0.0/8"),
    ),
    "proxy_local": Examples(
        (("wait", "wait", "wait"), ("serve", "serve", "serve")), ("", "no", "Serve", None, 1, True)
    ),
    "send_proxy": Examples(
        (("v1", "v1", "v1"), ("v2", "v2", "v2")), ("", "any", "yes", None, 2, True, b"v2")
    ),
    "max_connections": numbers(1, 10**6),
    "max_per_ip": numbers(1, 10**6),
    "overflow": Examples(
        (("pause", "pause", "pause"), ("close", Word.CLOSE, "close")),
        ("", "Pause", "drop", None, 1, b"close", True),
    ),
}  # fmt: skip


def resolve_url(text: str, side: str = "client", **keywords: object) -> Settings:
    """The settings that a URL and keywords give on a side."""
    url = TransportURL.parse(text)
    return resolve_options(SCHEMES[url.scheme], url.options, keywords, side)


class OptionsTestCase(SynchronousTestCase):
    """A test case that can assert a refusal of options."""

    def refused(
        self, option: str, reason: str, text: str, side: str = "client", **keywords: object
    ) -> None:
        """Assert that the options of a URL and the keywords are refused.

        Args:
            option: The option that the error is about.
            reason: Part of the message.
            text: The URL.
            side: ``client``, ``server`` or ``datagram``.
            **keywords: Options beside the URL.
        """
        error = self.assertRaises(InvalidOption, resolve_url, text, side, **keywords)
        self.assertEqual(error.option, option, error)
        self.assertIn(reason, str(error))
