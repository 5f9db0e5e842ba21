"""One context for equal policies, renewed with its files; a connection for each peer."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import traceback
import weakref
from collections.abc import Iterator
from typing import Any, Final

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.tls.handshake import NAME, arranged, client, meet, server
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.errors import BadCertificateFile, InvalidOption
from txtransport.testing.devcert import Issued
from txtransport.tls.connection import TLSConnection
from txtransport.tls.creator import (
    ConnectionCreator,
    SharedContext,
    connection_creator,
    openssl_version,
)

A_DAY: Final = 86400.0
MINUTE: Final = 60.0


@contextlib.contextmanager
def no_more_files() -> Iterator[None]:
    """While this lasts, the process may open no file."""
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class SharingTests(SynchronousTestCase):
    """A context is built once."""

    def test_equal_policies_share(self) -> None:
        """Endpoints that demand the same are served by one context."""
        one, other = (
            connection_creator(client(), Side.CLIENT),
            connection_creator(client(), Side.CLIENT),
        )
        self.assertIs(one.context, other.context)
        self.assertIs(one.connection().get_context(), other.connection().get_context())

    def test_the_peer_s_name_is_no_difference(self) -> None:
        """One context serves endpoints for any number of peers."""
        names = ("a.example", "b.example", "127.0.0.1")
        shared = {
            id(connection_creator(client(peer_name=name), Side.CLIENT).context) for name in names
        }
        self.assertEqual(len(shared), 1)

    def test_any_other_difference_is_one(self) -> None:
        """Two policies that differ in anything else never share trust, keys or sessions."""
        policies = [
            client(), client(verify_peer=Verify.NO), client(verify_peer_name=False),
            client(allow_self_signed=True), client(local_cert=certificates.client()),
            client(verify_depth=3), client(ciphers="HIGH"), client(security_level=1),
            client(max_version="1.2"), client(alpn_protocols="imap"), client(no_ticket=True),
            client(peer_fingerprint="0" * 64), client(pin="A" * 43 + "="),
            client(passphrase="x"), client(SNI_enabled=False),
        ]  # fmt: skip
        shared = {id(connection_creator(policy, Side.CLIENT).context) for policy in policies}
        self.assertEqual(len(shared), len(policies))

    def test_sides_do_not_share(self) -> None:
        """A policy for a client and the same for a server are two."""
        policy = server(cafile=certificates.cafile(), verify_peer_name=False)
        one, other = (
            connection_creator(policy, Side.CLIENT),
            connection_creator(policy, Side.SERVER),
        )
        self.assertIsNot(one.context, other.context)

    def test_their_number_is_bounded(self) -> None:
        """The contexts that were longest not asked for are forgotten; those in use go on."""
        first = connection_creator(client(verify_depth=1000), Side.CLIENT)
        second = connection_creator(client(verify_depth=1001), Side.CLIENT)
        for depth in range(1002, 1256):
            connection_creator(client(verify_depth=depth), Side.CLIENT)
        self.assertIs(
            connection_creator(client(verify_depth=1000), Side.CLIENT).context, first.context
        )
        connection_creator(client(verify_depth=1256), Side.CLIENT)
        self.assertIsNot(
            connection_creator(client(verify_depth=1001), Side.CLIENT).context, second.context
        )
        self.assertIs(
            connection_creator(client(verify_depth=1000), Side.CLIENT).context, first.context
        )
        self.assertTrue(meet(second).is_secure)

    def test_a_failure_is_not_kept(self) -> None:
        """A policy whose file was missing works as soon as the file is there."""
        path = str(certificates.folder() / "later.pem")
        policy = server(local_cert=path)
        for _ in range(2):
            self.assertRaises(BadCertificateFile, connection_creator, policy, Side.SERVER)
        certificates.issued("later.pem", NAME)
        self.assertTrue(meet(None, connection_creator(policy, Side.SERVER)).is_secure)


class PeerNameTests(SynchronousTestCase):
    """Whom a client expects, and what it says of it in the clear."""

    def asked(self, **options: Any) -> str | None:
        """The name that a server is asked for."""
        meeting = meet(client(verify_peer_name=False, **options))
        self.assertTrue(meeting.is_secure)
        return meeting.server.session.server_name

    def test_the_hello_names_the_peer(self) -> None:
        """Servers of many names are told whom they are taken for, in one form."""
        for name, told in (
            (NAME, NAME), ("GOOD.Example.", NAME), ("bücher.example", "xn--bcher-kva.example"),
        ):  # fmt: skip
            self.assertEqual(self.asked(peer_name=name), told)

    def test_addresses_are_not_names(self) -> None:
        """Addresses are never sent as names (RFC 6066, section 3)."""
        for name in ("127.0.0.1", "::1", "fe80::1%eth0", "0:0:0:0:0:0:0:1"):
            self.assertIsNone(self.asked(peer_name=name))

    def test_nobody_is_named_unasked(self) -> None:
        """Without SNI_enabled and without a name, the hello names nobody."""
        self.assertIsNone(self.asked(peer_name=NAME, SNI_enabled=False))
        self.assertIsNone(self.asked(peer_name=None))
        quiet = meet(client(SNI_enabled=False))
        self.assertTrue(quiet.is_secure)
        self.assertNotIn(NAME.encode(), quiet.client.sent)

    def test_a_name_is_needed_to_verify_one(self) -> None:
        """A client without a name to expect, and a server told to expect one, are refused."""
        for policy, side in (
            (client(peer_name=None), Side.CLIENT),
            (client(peer_name=None, verify_peer=Verify.NO), Side.CLIENT),
            (server(verify_peer_name=True), Side.SERVER),
        ):
            error: Any = self.assertRaises(InvalidOption, connection_creator, policy, side)
            self.assertEqual(error.option, "peer_name")
            self.assertIn("peer_name is missing", str(error))
        self.assertIsNotNone(
            connection_creator(client(peer_name=None, verify_peer_name=False), Side.CLIENT)
        )

    def test_what_is_no_name(self) -> None:
        """What can be neither name nor address is refused before anyone is called."""
        for name in ("", "1234", "a b", "a..b", "a" * 300, "x\0.example", "\ud800", "ü" * 300):
            for verify in (True, False):
                policy = client(peer_name=name, verify_peer_name=verify)
                error: Any = self.assertRaises(
                    InvalidOption, connection_creator, policy, Side.CLIENT
                )
                self.assertEqual(error.option, "peer_name")
                self.assertTrue(str(error).startswith("peer_name='" + name[:1].strip("\ud800")))
                self.assertLess(len(str(error)), 200)

    def test_the_policy_is_told_in_one_form(self) -> None:
        """The creator's policy has the name as certificates have it."""
        made = connection_creator(client(peer_name="GOOD.Example."), Side.CLIENT)
        self.assertEqual(made.policy, client())
        self.assertEqual(made, connection_creator(client(), Side.CLIENT))

    def test_a_creator_shows_no_secrets(self) -> None:
        """A creator in a log shows no passphrase and no key."""
        made = connection_creator(client(passphrase="hunter2"), Side.CLIENT)
        self.assertNotIn("hunter2", repr(made))


class RenewalTests(SynchronousTestCase):
    """A context follows its files, and is not older than a day."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = certificates.issued("renewed.pem", NAME)
        self.policy = server(local_cert=self.path)
        self.shared = SharedContext(self.policy, Side.SERVER, self.clock.seconds)

    def host(self) -> ConnectionCreator:
        """A server with that context."""
        return ConnectionCreator(self.policy, Side.SERVER, None, self.shared)

    def written(self, content: bytes) -> None:
        """The file now holds that."""
        certificates.written("renewed.pem", content)

    def made(self) -> Issued:
        """Another certificate for the same name."""
        return certificates.authority().issue(NAME)

    def is_shown(self, made: Issued) -> bool:
        """Whether that is the certificate that clients see."""
        meeting = meet(None, self.host())
        self.assertTrue(meeting.is_secure, meeting.errors)
        return meeting.client.session.peer_certificate == made.certificate

    def test_it_is_kept_while_nothing_changes(self) -> None:
        """For a day, and while its files stay as they are, a context is the same."""
        before = self.shared.current()
        self.clock.advance(A_DAY - 1)
        self.assertIs(self.shared.current(), before)

    def test_a_renewed_certificate_is_shown(self) -> None:
        """The next client sees a certificate that was replaced; who is there stays."""
        before = meet(None, self.host())
        made = self.made()
        self.written(made.pem)
        self.assertTrue(self.is_shown(made))
        self.assertIsNone(self.shared.reload_error())
        before.client.hear(before.server.say(b"still here"))
        self.assertEqual(before.client.received, b"still here")

    def test_every_file_counts(self) -> None:
        """Whichever of the files changes, the context is made anew."""
        made = self.made()
        contents = {
            "local_cert": made.cert_pem,
            "local_pk": made.key_pem("x"),
            "passphrase_file": b"x",
            "cafile": certificates.authority().pem,
            "crl": certificates.authority().revocation_list(),
        }
        paths = {
            option: certificates.written(f"{option}.pem", content)
            for option, content in contents.items()
        }
        shared = SharedContext(TLSPolicy(**paths), Side.CLIENT, self.clock.seconds)  # type: ignore[arg-type]
        for option, content in contents.items():
            before = shared.current()
            certificates.written(f"{option}.pem", content)
            self.assertIsNot(shared.current(), before, option)
            self.assertIs(shared.current(), shared.current())
            self.assertIsNone(shared.problem)

    def test_a_bad_file_changes_nothing(self) -> None:
        """When the new file cannot be used, the old certificate goes on, and that is told once."""
        made = self.made()
        self.written(made.pem)
        self.assertTrue(self.is_shown(made))
        self.written(self.made().pem[:-40])
        self.assertTrue(self.is_shown(made))
        self.assertIsInstance(self.shared.problem, BadCertificateFile)
        self.assertIs(self.shared.reload_error(), self.shared.problem)
        self.assertIsNone(self.shared.reload_error())
        self.assertTrue(self.is_shown(made))

    def test_a_file_that_is_gone_changes_nothing(self) -> None:
        """So it is when the file was removed."""
        before = self.shared.current()
        os.unlink(self.path)
        self.assertIs(self.shared.current(), before)
        self.assertIn("No such file", str(self.shared.reload_error()))

    def test_a_file_that_is_good_again(self) -> None:
        """A certificate that is replaced file by file is taken when both fit together."""
        made, newer = self.made(), self.made()
        cert = certificates.written("two.pem", made.cert_pem)
        key = certificates.written("two.key", made.key_pem())
        shared = SharedContext(server(local_cert=cert, local_pk=key), Side.SERVER)
        before = shared.current()
        certificates.written("two.pem", newer.cert_pem)
        self.assertIs(shared.current(), before)
        self.assertIn("the key is not that of the certificate", str(shared.reload_error()))
        certificates.written("two.key", newer.key_pem())
        self.assertIsNot(shared.current(), before)
        self.assertIsNone(shared.problem)
        self.assertIsNone(shared.reload_error())

    def test_it_is_tried_again(self) -> None:
        """What was not the file's fault is tried again after a minute, and told no second time."""
        before = self.shared.current()
        made = self.made()
        self.written(made.pem)
        with no_more_files():
            self.assertIs(self.shared.current(), before)
        self.assertIn("Too many open files", str(self.shared.reload_error()))
        self.clock.advance(MINUTE - 1)
        self.assertIs(self.shared.current(), before)
        self.clock.advance(1)
        self.assertIsNot(self.shared.current(), before)
        self.assertTrue(self.is_shown(made))
        self.assertIsNone(self.shared.problem)

    def test_an_old_problem_is_no_news(self) -> None:
        """A problem that persists is told once; another one is told as well."""
        self.written(b"")
        self.shared.current()
        self.assertIn("it is empty", str(self.shared.reload_error()))
        for _ in range(3):
            self.clock.advance(MINUTE)
            self.shared.current()
            self.assertIsNone(self.shared.reload_error())
        self.written(b"rubbish")
        self.shared.current()
        self.assertIn("it holds no certificate", str(self.shared.reload_error()))

    def test_a_day_is_enough(self) -> None:
        """A context is made anew after a day, and with it the key that seals its tickets."""
        before = self.shared.current()
        self.clock.advance(A_DAY)
        after = self.shared.current()
        self.assertIsNot(after, before)
        self.clock.advance(A_DAY - 1)
        self.assertIs(self.shared.current(), after)
        self.clock.advance(1)
        self.assertIsNot(self.shared.current(), after)

    def test_a_handshake_keeps_the_context_that_it_began_with(self) -> None:
        """A renewal in mid-handshake takes away nothing that OpenSSL will call again."""
        policy = TLSPolicy(SNI_server_certs={NAME: self.path})
        shared = SharedContext(policy, Side.SERVER, self.clock.seconds)
        meeting = arranged(None, ConnectionCreator(policy, Side.SERVER, None, shared))
        before = weakref.ref(shared.current())
        meeting.server.hear(meeting.client.hear(b""))
        self.assertIsNot(meeting.server.conversation.get_context(), before())
        self.written(self.made().pem)
        self.assertIsNot(shared.current(), before())
        gc.collect()
        self.assertIsNotNone(before())

    def test_sessions_go_with_their_context(self) -> None:
        """What was agreed on under the old files is not taken up under the new ones."""
        trust = certificates.written("trust.pem", certificates.authority().pem)
        policy = client(cafile=trust)
        shared = SharedContext(policy.without_peer, Side.CLIENT, self.clock.seconds)
        creator = ConnectionCreator(policy, Side.CLIENT, "place", shared)
        meet(creator).part()
        self.assertEqual(len(shared.sessions), 1)
        certificates.written("trust.pem", certificates.authority().pem)
        meeting = meet(creator)
        self.assertIs(meeting.client.session.resumed, False)
        # One that began under the old files leaves nothing either.
        late = meet(creator)
        certificates.written("trust.pem", certificates.authority().pem)
        late.part()
        self.assertEqual(len(shared.sessions), 0)

    def test_a_bad_file_costs_no_session(self) -> None:
        """While the old context goes on, so do its sessions."""
        trust = certificates.written("trust.pem", certificates.authority().pem)
        policy = client(cafile=trust)
        shared = SharedContext(policy.without_peer, Side.CLIENT, self.clock.seconds)
        creator = ConnectionCreator(policy, Side.CLIENT, "place", shared)
        meet(creator).part()
        certificates.written("trust.pem", b"rubbish")
        self.assertIs(meet(creator).client.session.resumed, True)


class BadNowTests(SynchronousTestCase):
    """A file that was good when the first endpoint was made, and is bad for the next."""

    def test_the_next_endpoint_is_told(self) -> None:
        """Who asks for an endpoint hears that the file is bad; those that are there go on."""
        policy = server(local_cert=certificates.issued("turns.pem", NAME))
        first = connection_creator(policy, Side.SERVER)
        certificates.written("turns.pem", b"rubbish")
        for _ in range(50):
            error = self.assertRaises(BadCertificateFile, connection_creator, policy, Side.SERVER)
        self.assertTrue(meet(None, first).is_secure)
        # It is one error, and does not grow with those who hear it.
        self.assertLess(len(traceback.extract_tb(error.__traceback__)), 20)
        certificates.issued("turns.pem", NAME)
        self.assertIs(connection_creator(policy, Side.SERVER).context, first.context)


class ConnectionTests(SynchronousTestCase):
    """What a creator makes."""

    def test_each_connection_is_new(self) -> None:
        """Every connection is a conversation of its own, with the policy to keep to."""
        for side, policy in ((Side.CLIENT, client()), (Side.SERVER, server())):
            made = connection_creator(policy, side)
            one, other = made.connection(), made.connection()
            self.assertIsNot(one, other)
            self.assertIsNot(one.verification, other.verification)
            self.assertIsInstance(one, TLSConnection)
            self.assertEqual((one.policy, one.side), (made.policy, side))

    def test_the_library_is_named(self) -> None:
        """What is linked is told by name and version."""
        self.assertRegex(openssl_version(), r"\AOpenSSL [0-9.]+")
