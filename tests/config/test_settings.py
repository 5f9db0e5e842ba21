"""What options come to together, and which cannot all be meant."""

from __future__ import annotations

from ipaddress import ip_network
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.vocabulary import (
    COLONS,
    EXAMPLES,
    HEX,
    PIN,
    OptionsTestCase,
    resolve_url,
)
from txtransport.config.options import OPTIONS
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.config.proxy_sources import ProxySources
from txtransport.config.schemes import SCHEMES
from txtransport.config.settings import (
    Deadlines,
    ProxyHeaderOptions,
    ServingPolicy,
    Settings,
    SocketOptions,
    StartTLSOptions,
    resolve_options,
    tls_policy,
    validate_policy,
)
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidOption
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import Dialogue, Wire


class ResolveOptionsTests(OptionsTestCase):
    """Options become settings."""

    def test_without_options_everything_has_its_default(self) -> None:
        """Without options all settings are the defaults; only schemes with TLS have a policy."""
        self.assertEqual(
            resolve_url("tls://h"),
            Settings(
                SocketOptions(),
                TLSPolicy(),
                Deadlines(),
                ServingPolicy(),
                StartTLSOptions(),
                ProxyHeaderOptions(),
            ),
        )
        self.assertIsNone(resolve_url("tcp://h").tls)
        self.assertEqual(resolve_url("tls+unix:///x").tls, TLSPolicy())
        self.assertEqual(resolve_url("ssl://h"), resolve_url("tls://h"))

    def test_each_option_goes_to_its_own_settings(self) -> None:
        """Options of the socket, of TLS, of deadlines and of serving are told apart."""
        resolved = resolve_url(
            "tls://h?so_linger=0&verify_depth=3", "server", close_timeout=1, max_connections=9,
            overflow="close",
        )  # fmt: skip
        self.assertEqual(resolved.sockets, SocketOptions(so_linger=0))
        self.assertEqual(resolved.tls, TLSPolicy(verify_depth=3))
        self.assertEqual(resolved.deadlines, Deadlines(close_timeout=1.0))
        self.assertEqual(resolved.serving, ServingPolicy(max_connections=9, overflow="close"))

    def test_every_option_reaches_its_settings(self) -> None:
        """The value of each option is found in the settings that have it."""
        needed: dict[str, dict[str, Any]] = {
            "local_pk": {"local_cert": "a"}, "passphrase": {"local_cert": "a"},
            "passphrase_file": {"local_cert": "a"}, "overflow": {"max_connections": 1},
            "tcp_keepidle": {"so_keepalive": True}, "tcp_keepintvl": {"so_keepalive": True},
            "tcp_keepcnt": {"so_keepalive": True}, "min_version": {"security_level": 0},
            "max_version": {"security_level": 0, "min_version": "1.0"},
            "starttls_name": {"starttls": "xmpp"}, "starttls_policy": {"starttls": "smtp"},
            "starttls_from": {"starttls": "xmpp-server"},
            "proxy_protocol": {"proxy_from": "10.0.0.0/8"}, "proxy_from": {"proxy_protocol": "v2"},
            "proxy_local": {"proxy_protocol": "v2", "proxy_from": "10.0.0.0/8"},
            "handshake_timeout": {"proxy_protocol": "v2", "proxy_from": "10.0.0.0/8"},
        }  # fmt: skip
        for name, row in OPTIONS.items():
            if name == "capture_peer_cert":
                continue
            scheme = next(scheme for scheme in SCHEMES.values() if row.serves(scheme))
            side = "client" if "client" in row.sides else min(row.sides)
            _, written, meant = EXAMPLES[name].good[0]
            resolved = resolve_options(scheme, (), {name: written, **needed.get(name, {})}, side)
            parts = (resolved.sockets, resolved.tls, resolved.deadlines, resolved.serving,
                     resolved.starttls_options, resolved.proxy_header,
                     resolved.proxying)  # fmt: skip
            held = [getattr(part, name) for part in parts if hasattr(part, name)]
            self.assertEqual(held, [meant], name)

    def test_an_option_may_be_in_url_and_keywords(self) -> None:
        """An option may be in both if it means the same, however it is written."""
        for text, keywords in (
            ("tls://h?verify_peer=on", {"verify_peer": True}),
            ("tls://h?timeout=05", {"timeout": 5}),
            ("tls://h?cafile=/a%20b", {"cafile": Path("/a b")}),
            (f"tls://h?peer_fingerprint={COLONS}", {"peer_fingerprint": [HEX]}),
            ("tls://h?bindto=[::1]:0", {"bindto": ("0::1", 0)}),
        ):
            self.assertEqual(resolve_url(text, **keywords), resolve_url(text))

    def test_url_and_keywords_may_not_differ(self) -> None:
        """An option with different values in both is refused, and a secret is not shown."""
        differ = "in the URL and in the keywords, with different values"
        self.refused("verify_depth", differ, "tls://h?verify_depth=3", verify_depth=4)
        self.refused("verify_peer", differ, "tls://h?verify_peer=yes", verify_peer=False)
        error = self.assertRaises(
            InvalidOption, resolve_url, "tls://h?passphrase=hunter2", passphrase="hunter3"
        )
        self.assertNotIn("hunter", str(error))

    def test_capture_peer_cert_changes_nothing(self) -> None:
        """capture_peer_cert is accepted from users of PHP, and does nothing."""
        self.assertEqual(resolve_url("tls://h?capture_peer_cert=yes"), resolve_url("tls://h"))

    def test_settings_are_values(self) -> None:
        """Equal options give equal settings, which can be keys; they show no secret."""
        one = resolve_url("tls://h?passphrase=hunter2&local_cert=a")
        self.assertEqual(
            len({one, resolve_url("tls://h", local_cert="a", passphrase="hunter2")}), 1
        )
        self.assertNotIn("hunter2", repr(one))


class StartTLSOptionsTests(OptionsTestCase):
    """Options of the dialogue that comes before TLS."""

    def test_a_protocol_is_found_by_its_name(self) -> None:
        """starttls= takes the name of a protocol in upper or lower case."""
        starttls_options = resolve_url("tls://h:587?starttls=SMTP").starttls_options
        self.assertEqual(starttls_options, StartTLSOptions(STARTTLS_PROTOCOLS["smtp"]))

    def test_a_user_may_bring_a_dialogue(self) -> None:
        """In Python starttls= takes a dialogue too: a generator function of a wire."""

        def ping(wire: Wire) -> Dialogue[bytes]:
            wire.ask(b"ping")
            return (yield from wire.exactly(4))

        protocol = resolve_url("tls://h:1", starttls=ping).starttls_options.starttls
        assert protocol is not None
        self.assertEqual((protocol.name, protocol.connect), ("ping", ping))

    def test_an_unknown_protocol_is_refused(self) -> None:
        """The error lists the known protocols, and suggests the nearest."""
        self.refused("starttls", "smtp, lmtp, pop3", "tls://h:587", starttls="smpt")
        self.refused("starttls", "did you mean smtp?", "tls://h:587", starttls="smpt")

    def test_a_protocol_without_a_server_s_side_is_refused(self) -> None:
        """A server cannot use a protocol of which only the client's side exists here."""
        self.refused("starttls", "for clients only", "tls://h:3389?starttls=rdp", "server")

    def test_a_domain_is_refused_where_none_is_asked_for(self) -> None:
        """starttls_name is for protocols that ask for a domain; others use peer_name."""
        self.refused(
            "starttls_name", "peer_name", "tls://h:587?starttls=smtp&starttls_name=example.com"
        )
        starttls_options = resolve_url(
            "tls://h:5222?starttls=xmpp&starttls_name=example.com"
        ).starttls_options
        self.assertEqual(starttls_options.starttls_name, "example.com")

    def test_both_domains_are_named_between_servers(self) -> None:
        """Between servers starttls_from is needed; for any other protocol it is refused."""
        self.refused("starttls_from", "the domain that we speak for",
                     "tls://h:5269?starttls=xmpp-server&starttls_name=example.com")  # fmt: skip
        self.refused(
            "starttls_from", "speaks for no domain", "tls://h:587?starttls=smtp&starttls_from=x"
        )
        starttls_options = resolve_url(
            "tls://h:5269?starttls=xmpp-server&starttls_from=example.org"
        ).starttls_options
        self.assertEqual(starttls_options.starttls_from, "example.org")
        resolve_url("tls://h:5269?starttls=xmpp-server&local_cert=a", "server")

    def test_may_is_refused_where_nothing_can_go_on(self) -> None:
        """starttls_policy=may is refused for a protocol that cannot go on in the clear."""
        starttls_options = resolve_url(
            "tls://h:587?starttls=smtp&starttls_policy=may"
        ).starttls_options
        self.assertEqual(starttls_options.starttls_policy, "may")
        self.refused(
            "starttls_policy", "no conversation", "tls://h:5672?starttls=amqp&starttls_policy=may"
        )

    def test_details_of_starttls_need_starttls(self) -> None:
        """starttls_name, starttls_from and starttls_policy are refused without starttls."""
        for name, text in (
            ("starttls_name", "x"),
            ("starttls_from", "x"),
            ("starttls_policy", "may"),
        ):
            self.refused(name, "needs starttls", f"tls://h:1?{name}={text}")

    def test_an_untrusted_url_cannot_choose_clear_text(self) -> None:
        """An untrusted URL may name a protocol, but may not weaken it."""
        TransportURL.parse("tls://h:587?starttls=smtp", trusted=False)
        for option in ("starttls_policy=may", "starttls_name=x"):
            text = f"tls://h:587?starttls=smtp&{option}"
            self.assertRaises(InvalidOption, TransportURL.parse, text, trusted=False)


class ProxyHeaderTests(OptionsTestCase):
    """Options of the PROXY header."""

    def test_a_header_is_taken_from_no_one_by_default(self) -> None:
        """Without the balancers' addresses anyone could pose as any client: both or neither."""
        for url in ("tcp://h", "tls://h", "unix:///x", "tls+unix:///x"):
            self.refused("proxy_protocol", "proxy_from", f"{url}?proxy_protocol=any", "server")
            self.refused("proxy_from", "proxy_protocol", f"{url}?proxy_from=::1", "server")
            self.refused("proxy_local", "proxy_protocol", f"{url}?proxy_local=serve", "server")

    def test_a_list_that_lets_no_one_connect_is_refused(self) -> None:
        """Those who connect to a local socket are named unix, and others are not."""
        self.refused(
            "proxy_from", "needs unix", "unix:///x?proxy_protocol=v2&proxy_from=::1", "server"
        )
        self.refused(
            "proxy_from", "needs a network", "tcp://h?proxy_protocol=v2&proxy_from=unix", "server"
        )
        both = "proxy_protocol=v2&proxy_from=192.0.2.7,unix"
        for url in ("tcp://h", "unix:///x"):
            self.assertEqual(
                resolve_url(f"{url}?{both}", "server").proxy_header,
                ProxyHeaderOptions("v2", ProxySources((ip_network("192.0.2.7"),), True)),
            )

    def test_what_only_a_header_gives_a_use_is_refused_without_one(self) -> None:
        """In the clear there is no handshake, and clients of a local socket have no address."""
        header = "proxy_protocol=any&proxy_from=::1,unix"
        for url in ("tcp://h", "unix:///x"):
            self.refused("handshake_timeout", "TLS", f"{url}?handshake_timeout=3", "server")
            resolved = resolve_url(f"{url}?handshake_timeout=3&{header}", "server")
            self.assertEqual(resolved.deadlines.handshake_timeout, 3.0)
        for url in ("unix:///x", "tls+unix:///x"):
            self.refused("max_per_ip", "no address", f"{url}?max_per_ip=3", "server")
            resolved = resolve_url(f"{url}?max_per_ip=3&{header}", "server")
            self.assertEqual(resolved.serving.max_per_ip, 3)

    def test_a_stranger_cannot_name_a_balancer(self) -> None:
        """Nor have a header sent."""
        for query in ("send_proxy=v2", "proxy_protocol=v2&proxy_from=::1", "proxy_from=0.0.0.0/0"):
            text = f"tls://h:1?{query}"
            self.assertRaises(InvalidOption, TransportURL.parse, text, trusted=False)


class VersionTests(OptionsTestCase):
    """Which versions of TLS are spoken."""

    def spoken(self, text: str) -> tuple[str, str, int | None]:
        """The oldest and the newest version, and the security level, that a URL gives."""
        tls = resolve_url(text).tls
        assert tls is not None
        return tls.min_version, tls.max_version, tls.security_level

    def test_a_scheme_of_one_version_speaks_that_version(self) -> None:
        """tlsv1.x:// speaks one version; 1.0 and 1.1 get the security level that they need."""
        self.assertEqual(self.spoken("tls://h"), ("1.2", "1.3", None))
        self.assertEqual(self.spoken("tlsv1.2://h"), ("1.2", "1.2", None))
        self.assertEqual(self.spoken("tlsv1.3://h"), ("1.3", "1.3", None))
        self.assertEqual(self.spoken("tlsv1.0://h"), ("1.0", "1.0", 0))
        self.assertEqual(self.spoken("tlsv1.1://h?min_version=1.1"), ("1.1", "1.1", 0))

    def test_a_scheme_of_one_version_is_not_widened(self) -> None:
        """An option cannot add another version to tlsv1.x://."""
        self.refused("min_version", "is TLS 1.3 and nothing else", "tlsv1.3://h?min_version=1.2")
        self.refused("max_version", "is TLS 1.0 and nothing else", "tlsv1.0://h", max_version="1.3")

    def test_a_range_of_versions(self) -> None:
        """Old versions are spoken if they are asked for together with security_level=0."""
        self.assertEqual(self.spoken("tls://h?max_version=1.2"), ("1.2", "1.2", None))
        self.assertEqual(self.spoken("tls://h?min_version=1.0&security_level=0"), ("1.0", "1.3", 0))

    def test_an_empty_range_of_versions_is_refused(self) -> None:
        """If no version is left, the message names the options that bound the range."""
        self.refused("max_version", "no version is left", "tls://h?max_version=1.1")
        self.refused("max_version", "no version is left", "tls://h?min_version=1.3&max_version=1.2")

    def test_an_old_version_needs_security_level_0(self) -> None:
        """TLS 1.0 is refused at once if OpenSSL would refuse it at each handshake."""
        self.refused("min_version", "needs security_level=0", "tls://h?min_version=1.1")
        self.refused("security_level", "needs security_level=0", "tlsv1.0://h?security_level=1")

    def test_ciphers_are_refused_for_tls_1_3_alone(self) -> None:
        """A cipher list that TLS 1.3 would ignore is refused."""
        self.refused("ciphers", "for TLS 1.2 and older", "tlsv1.3://h?ciphers=HIGH")
        self.refused("ciphers", "for TLS 1.2 and older", "tls://h?min_version=1.3", ciphers="HIGH")
        self.assertEqual(resolve_url("tls://h?ciphers=HIGH").tls, TLSPolicy(ciphers="HIGH"))


class ContradictionTests(OptionsTestCase):
    """Options that cannot all be meant."""

    def test_optional_is_refused_for_clients(self) -> None:
        """A client cannot make the server's certificate optional."""
        self.refused("verify_peer", "is for servers", "tls://h?verify_peer=optional")
        resolved = resolve_url("tls://h?verify_peer=optional", "server")
        self.assertEqual(resolved.tls, TLSPolicy(verify_peer=Verify.OPTIONAL))

    def test_a_server_that_checks_names_needs_peer_name(self) -> None:
        """A server that checks its clients' name must say which name."""
        text = "tls://h?verify_peer=yes&verify_peer_name=yes"
        self.refused("verify_peer_name", "needs peer_name", text, "server")
        self.assertIsNotNone(resolve_url(f"{text}&peer_name=x", "server").tls)

    def test_a_server_with_peer_name_must_check_it(self) -> None:
        """On a server peer_name without verify_peer_name would let any trusted client in."""
        for more in ("", "&verify_peer=yes", "&verify_peer=optional&verify_peer_name=no"):
            text = f"tls://h?peer_name=x{more}"
            self.refused("peer_name", "needs verify_peer_name=yes", text, "server")
        self.assertIsNotNone(resolve_url("tls://h?peer_name=x&verify_peer_name=no", "client").tls)

    def test_options_of_an_unverified_chain_are_refused(self) -> None:
        """With verify_peer=no the options about the chain do nothing, and are refused."""
        for option in ("cafile=a", "capath=a", "crl=a", "verify_depth=3", "allow_self_signed=yes",
                       "x509_strict=yes"):  # fmt: skip
            name = option.partition("=")[0]
            self.refused(
                name, "does nothing with verify_peer=no", f"tls://h?verify_peer=no&{option}"
            )
        self.assertIsNotNone(resolve_url(f"tls://h?verify_peer=no&pin={PIN}").tls)

    def test_checks_of_a_certificate_not_asked_for_are_refused(self) -> None:
        """A server that asks for no certificate cannot check one."""
        for query in (
            "cafile=/a", "capath=/a", "crl=/a", "allow_self_signed=1",
            "verify_peer_name=1&peer_name=x",
        ):  # fmt: skip
            option = query.partition("=")[0]
            for more in ("", "&verify_peer=no"):
                self.refused(option, "needs verify_peer=yes", f"tls://h?{query}{more}", "server")
            for more in ("&verify_peer=yes", "&verify_peer=optional"):
                self.assertIsNotNone(resolve_url(f"tls://h?{query}{more}", "server").tls)

    def test_a_pin_or_fingerprint_demands_a_certificate_of_every_client(self) -> None:
        """A server that knows its clients by a digest lets none in that shows no certificate."""
        for query in (f"peer_fingerprint={HEX}", f"pin={PIN}"):
            option = query.partition("=")[0]
            for more in ("", "&verify_peer=no", "&verify_peer=optional"):
                text = f"tls://h?{query}{more}"
                self.refused(option, "needs verify_peer=yes,", text, "server")
            self.assertIsNotNone(resolve_url(f"tls://h?{query}&verify_peer=yes", "server").tls)
        made = TLSPolicy(verify_peer=Verify.OPTIONAL, pin=PIN)
        error = self.assertRaises(InvalidOption, validate_policy, made, Side.SERVER)
        self.assertEqual(error.option, "pin")

    def test_an_option_that_needs_another_says_which(self) -> None:
        """An option that does nothing alone is refused; the message names what it needs."""
        for query, other in (
            ("local_pk=a", "local_cert"), ("passphrase=x", "local_cert or SNI_server_certs"),
            ("passphrase_file=x", "local_cert"), ("tcp_keepidle=1", "so_keepalive"),
            ("tcp_keepcnt=1&so_keepalive=no", "so_keepalive"), ("tcp_keepintvl=1", "so_keepalive"),
        ):  # fmt: skip
            self.refused(query.partition("=")[0], f"needs {other}", f"tls://h?{query}")
        self.refused("overflow", "needs max_connections", "tcp://h?overflow=close", "server")

    def test_two_passphrases_are_refused(self) -> None:
        """A passphrase comes from one place; if it comes from two, the error shows neither."""
        text = "tls://h?local_cert=a&passphrase=hunter2&passphrase_file=b"
        self.refused("passphrase", "exclude each other", text)
        error = self.assertRaises(InvalidOption, resolve_url, text)
        self.assertNotIn("hunter2", str(error))

    def test_weakening_is_never_implied(self) -> None:
        """verify_peer=no leaves the name check on, and the other way round."""
        for text, chain, name in (
            ("tls://h?verify_peer=no", Verify.NO, True),
            ("tls://h?verify_peer_name=no", Verify.YES, False),
            ("tls://h?allow_self_signed=yes", Verify.YES, True),
        ):
            tls = resolve_url(text).tls
            assert tls is not None
            self.assertEqual(
                (tls.verifies(Side.CLIENT), tls.verifies_name(Side.CLIENT)), (chain, name)
            )


class PolicyFromMappingTests(SynchronousTestCase):
    """tls_policy(): a mapping of TLS options becomes a policy, for startTLS()."""

    def test_a_mapping_becomes_a_policy(self) -> None:
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

    def test_only_options_of_tls_itself_are_taken(self) -> None:
        """Options of sockets, of deadlines and of serving have no place in a policy."""
        for name in ("timeout", "tcp_nodelay", "backlog", "max_connections", "close_timeout"):
            error = self.assertRaises(InvalidOption, tls_policy, {name: 1}, Side.SERVER)
            self.assertEqual(str(error), f"{name} is not an option of TLS itself")

    def test_what_a_url_refuses_is_refused(self) -> None:
        """An option that a URL may not have is refused in a mapping too."""
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
