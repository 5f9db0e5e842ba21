"""What options come to together, and which cannot all be meant."""

# Letters that look like others are what some of these tests are about.

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.vocabulary import (
    COLONS,
    EXAMPLES,
    HEX,
    PIN,
    OptionsTestCase,
    settle,
)
from txtransport.config.options import OPTIONS
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.config.schemes import SCHEMES
from txtransport.config.settings import (
    Deadlines,
    ServingPolicy,
    Settings,
    SocketOptions,
    StartTLSOptions,
    resolve_options,
    tls_policy,
)
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import Dialogue, Wire


class SplitTests(OptionsTestCase):
    """Options become policies."""

    def test_nothing_is_the_default(self) -> None:
        """Without options everything has its default; TLS is there only where the scheme has it."""
        self.assertEqual(
            settle("tls://h"),
            Settings(SocketOptions(), TLSPolicy(), Deadlines(), ServingPolicy(), StartTLSOptions()),
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
            settled = resolve_options(scheme, (), {name: written, **company.get(name, {})}, side)
            parts = (settled.sockets, settled.tls, settled.deadlines, settled.serving,
                     settled.starttls_options)  # fmt: skip
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
        starttls_options = settle("tls://h:587?starttls=SMTP").starttls_options
        self.assertEqual(starttls_options, StartTLSOptions(STARTTLS_PROTOCOLS["smtp"]))

    def test_a_dialogue_of_one_s_own(self) -> None:
        """In Python a function of a wire is a protocol."""

        def knock(wire: Wire) -> Dialogue[bytes]:
            wire.ask(b"knock")
            return (yield from wire.exactly(4))

        protocol = settle("tls://h:1", starttls=knock).starttls_options.starttls
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
        starttls_options = settle(
            "tls://h:5222?starttls=xmpp&starttls_name=example.com"
        ).starttls_options
        self.assertEqual(starttls_options.starttls_name, "example.com")

    def test_servers_among_themselves(self) -> None:
        """Between servers both domains are named, and elsewhere neither speaks for one."""
        self.refused("starttls_from", "the domain that we speak for",
                     "tls://h:5269?starttls=xmpp-server&starttls_name=example.com")  # fmt: skip
        self.refused(
            "starttls_from", "speaks for no domain", "tls://h:587?starttls=smtp&starttls_from=x"
        )
        starttls_options = settle(
            "tls://h:5269?starttls=xmpp-server&starttls_from=example.org"
        ).starttls_options
        self.assertEqual(starttls_options.starttls_from, "example.org")
        settle("tls://h:5269?starttls=xmpp-server&local_cert=a", "server")

    def test_going_on_in_the_clear(self) -> None:
        """Where nothing is left to go on with, may is refused."""
        starttls_options = settle("tls://h:587?starttls=smtp&starttls_policy=may").starttls_options
        self.assertEqual(starttls_options.starttls_policy, "may")
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
        TransportURL.parse("tls://h:587?starttls=smtp", trusted=False)
        for option in ("starttls_policy=may", "starttls_name=x"):
            text = f"tls://h:587?starttls=smtp&{option}"
            self.assertRaises(InvalidOption, TransportURL.parse, text, trusted=False)


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
        self.assertEqual(tls_policy({}, Side.CLIENT), TLSPolicy())
        self.assertEqual(
            tls_policy({"verify_depth": "3", "peer_name": "mx.example"}, Side.CLIENT),
            TLSPolicy(verify_depth=3, peer_name="mx.example"),
        )
        self.assertEqual(
            tls_policy({"verify_peer": "optional", "local_cert": Path("a")}, Side.SERVER),
            TLSPolicy(verify_peer=Verify.OPTIONAL, local_cert="a"),
        )
        self.assertEqual(tls_policy({"capture_peer_cert": True}, Side.CLIENT), TLSPolicy())

    def test_only_tls_itself(self) -> None:
        """Options of sockets, of time and of serving have no place in a policy."""
        for name in ("timeout", "tcp_nodelay", "backlog", "max_connections", "close_timeout"):
            error = self.assertRaises(InvalidOption, tls_policy, {name: 1}, Side.SERVER)
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
            error = self.assertRaises(InvalidOption, tls_policy, given_, Side.CLIENT)
            self.assertEqual(error.option, option)
