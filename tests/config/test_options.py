"""The vocabulary of options: a table that keeps what it promises."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Final

from attrs import fields
from twisted.trial.unittest import SynchronousTestCase

from tests.vocabulary import (
    EXAMPLES,
    OptionsTestCase,
)
from txtransport.config.options import OPTIONS, find_option
from txtransport.config.policy import TLSPolicy
from txtransport.config.proxy_sources import NO_ONE
from txtransport.config.schemes import SCHEMES, Kind
from txtransport.config.settings import (
    Deadlines,
    ProxyHeaderOptions,
    ProxyOptions,
    ServingPolicy,
    SocketOptions,
    StartTLSOptions,
    resolve_options,
)
from txtransport.errors import InvalidOption

DOCS: Final = Path(__file__).resolve().parents[2] / "docs"
PARTS: Final = (
    SocketOptions, TLSPolicy, Deadlines, ServingPolicy, StartTLSOptions, ProxyHeaderOptions,
    ProxyOptions,
)  # fmt: skip
"""What has the options as fields."""


class OptionTableTests(SynchronousTestCase):
    """What holds for every row of the table."""

    def test_php_s_names_are_kept(self) -> None:
        """A user who comes from PHP finds its options by their names."""
        php = (
            "bindto backlog ipv6_v6only so_reuseport so_broadcast tcp_nodelay so_keepalive "
            "tcp_keepidle tcp_keepintvl tcp_keepcnt so_linger so_rcvbuf so_sndbuf verify_peer "
            "verify_peer_name peer_name allow_self_signed cafile capath local_cert local_pk "
            "passphrase verify_depth ciphers security_level capture_peer_cert SNI_enabled "
            "SNI_server_certs peer_fingerprint alpn_protocols no_ticket honor_cipher_order"
        )
        self.assertEqual(set(php.split()) - OPTIONS.keys(), set())

    def test_an_untrusted_url_names_no_file(self) -> None:
        """An untrusted URL may not carry an option that takes a path, nor a secret."""
        for row in OPTIONS.values():
            if "path" in row.type.expects or row.is_secret:
                self.assertFalse(row.is_for_strangers, row.name)

    def test_an_untrusted_url_weakens_no_check(self) -> None:
        """Which peers are trusted and how TLS is spoken is never up to an untrusted URL."""
        for name in ("verify_peer", "verify_peer_name", "peer_name", "allow_self_signed", "ciphers",
                     "security_level", "min_version", "max_version", "SNI_enabled"):  # fmt: skip
            self.assertFalse(OPTIONS[name].is_for_strangers, name)

    def test_every_option_is_a_field(self) -> None:
        """No option is read and then ignored."""
        held = {attribute.name for part in PARTS for attribute in fields(part)}
        self.assertEqual(OPTIONS.keys() - held, {"capture_peer_cert"})
        self.assertEqual(held - OPTIONS.keys(), set())

    def test_documented_defaults_are_the_real_ones(self) -> None:
        """The reference page's column of defaults is what the code does."""
        for part in PARTS:
            for attribute in fields(part):
                said, held = OPTIONS[attribute.name], getattr(part(), attribute.name)
                if held not in (None, (), False, NO_ONE):
                    self.assertEqual(said.parse(said.default), held, attribute.name)


class FindOptionTests(OptionsTestCase):
    """Looking an option up by its name."""

    def test_a_mistyped_name_is_answered_with_the_nearest(self) -> None:
        """An unknown option names the nearest one that the scheme has."""
        for written, meant in {
            "verify_pier": "verify_peer", "SNI_Enabled": "SNI_enabled", "verifypeer": "verify_peer",
            "VERIFY_DEPTH": "verify_depth", "local_certificate": "local_cert",
            "sni_server_cert": "SNI_server_certs", "min_ver": "min_version", "timeouts": "timeout",
        }.items():  # fmt: skip
            error = self.assertRaises(InvalidOption, find_option, written, SCHEMES["tls"])
            self.assertEqual(error.option, written)
            self.assertEqual(str(error), f"there is no option {written!r}; did you mean {meant}?")

    def test_a_name_without_a_near_one_is_answered_with_the_scheme(self) -> None:
        """If no name is near, the message names the scheme instead."""
        error = self.assertRaises(InvalidOption, find_option, "colour", SCHEMES["tcp"])
        self.assertEqual(str(error), "there is no option 'colour' for tcp://")

    def test_only_options_of_the_scheme_are_suggested(self) -> None:
        """For tcp:// the message does not suggest verify_peer, which tcp:// does not have."""
        error = self.assertRaises(InvalidOption, find_option, "verify_pier", SCHEMES["tcp"])
        self.assertNotIn("did you mean verify_peer?", str(error))

    def test_any_name_is_refused_in_a_short_message(self) -> None:
        """A name of any length, alphabet or type is refused in a short printable message."""
        for name in ("x" * 10**6, "\u202e\0", "", b"verify_peer", 1, None, ("verify_peer",)):
            error = self.assertRaises(InvalidOption, find_option, name, SCHEMES["tls"])
            self.assertIsInstance(error.option, str)
            self.assertTrue(str(error).isprintable() and len(str(error)) < 200, error)

    def test_an_option_of_other_schemes_is_refused(self) -> None:
        """An option that the scheme does not have says which schemes have it."""
        self.refused("verify_depth", "it belongs to tls, ssl, tlsv1.0", "tcp://h", verify_depth=3)
        self.refused("bindto", "unix:// has no option bindto", "unix:///x", bindto="::1")
        self.refused(
            "tcp_nodelay", "it belongs to tcp, tls", "udp://h", "datagram", tcp_nodelay=True
        )

    def test_each_scheme_has_its_options(self) -> None:
        """TLS options are for schemes with TLS, socket options for those with such a socket."""
        for scheme in SCHEMES.values():
            there = {row.name for row in OPTIONS.values() if row.serves(scheme)}
            is_stream, is_local = scheme.kind is Kind.STREAM, scheme.is_local
            self.assertEqual("verify_peer" in there, scheme.is_secure, scheme)
            is_opened = not scheme.is_inherited
            is_remote = not is_local and is_opened
            self.assertEqual("bindto" in there, is_remote, scheme)
            self.assertEqual("tcp_nodelay" in there, is_stream and is_remote, scheme)
            self.assertEqual("over" in there, is_stream and is_remote, scheme)
            self.assertEqual("so_broadcast" in there, not is_stream and is_remote, scheme)
            self.assertEqual("backlog" in there, is_stream and is_opened, scheme)
            may_be_stream = scheme.kind is not Kind.DATAGRAM
            self.assertEqual("max_connections" in there, may_be_stream, scheme)
            self.assertEqual("max_per_ip" in there, may_be_stream, scheme)
            self.assertEqual("handshake_timeout" in there, may_be_stream, scheme)
            self.assertEqual("timeout" in there, is_opened, scheme)

    def test_an_option_of_the_other_side_is_refused(self) -> None:
        """An option that does nothing on this side is refused; the message names its side."""
        self.refused("backlog", "an option of a server, not of a client", "tls://h?backlog=5")
        self.refused(
            "SNI_enabled", "of a client, not of a server", "tls://h", "server", SNI_enabled=True
        )
        self.refused("honor_cipher_order", "not of a client", "tls://h?honor_cipher_order=no")
        self.refused("so_broadcast", "not of a client", "udp://h?so_broadcast=1")

    def test_each_option_is_refused_on_all_other_sides(self) -> None:
        """Each option is refused on every side that the table does not give it."""
        for name, row in OPTIONS.items():
            scheme = next(scheme for scheme in SCHEMES.values() if row.serves(scheme))
            given_ = {name: EXAMPLES[name].good[0][0]}
            for side in {"client", "server", "datagram"} - row.sides:
                error = self.assertRaises(InvalidOption, resolve_options, scheme, (), given_, side)
                self.assertIn(f"not of a {side}", str(error))


class ReferencePageTests(SynchronousTestCase):
    """docs/options.md, which is made from the tables."""

    def test_the_page_is_up_to_date(self) -> None:
        """docs/options.md is what docs/reference.py prints now."""
        page = "\n\n".join(runpy.run_path(str(DOCS / "reference.py"))["page"]()) + "\n"
        self.assertEqual((DOCS / "options.md").read_text(encoding="utf-8"), page)

    def test_the_page_has_every_scheme_and_option(self) -> None:
        """Every scheme and every option is on the page."""
        page = (DOCS / "options.md").read_text(encoding="utf-8")
        for name in (*SCHEMES, *OPTIONS):
            self.assertIn(f"| `{name}` |", page)
