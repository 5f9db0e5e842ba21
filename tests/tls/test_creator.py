"""Equal policies share a context, which is replaced when its files change."""

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
    """While this context lasts, the process can open no file."""
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class SharingTests(SynchronousTestCase):
    """Endpoints with equal policies share a context."""

    def test_equal_policies_share_a_context(self) -> None:
        """Creators with equal policies use the same context."""
        one, other = (
            connection_creator(client(), Side.CLIENT),
            connection_creator(client(), Side.CLIENT),
        )
        self.assertIs(one.context, other.context)
        self.assertIs(one.connection().get_context(), other.connection().get_context())

    def test_peer_name_does_not_matter_for_sharing(self) -> None:
        """Policies that differ only in peer_name share one context."""
        names = ("a.example", "b.example", "127.0.0.1")
        shared = {
            id(connection_creator(client(peer_name=name), Side.CLIENT).context) for name in names
        }
        self.assertEqual(len(shared), 1)

    def test_application_protocols_do_not_matter_for_sharing(self) -> None:
        """Many lists of protocols, as URLs of strangers may have them, cost one context."""
        for policy, side in ((client, Side.CLIENT), (server, Side.SERVER)):
            shared = {
                id(connection_creator(policy(alpn_protocols=f"p{number}"), side).context)
                for number in range(300)
            }
            strict = connection_creator(policy(), side)
            tolerant = connection_creator(policy(alpn_mismatch="ignore"), side)
            self.assertEqual(shared, {id(strict.context)})
            self.assertIs(tolerant.context, strict.context)

    def test_a_shared_context_keeps_the_protocols_apart(self) -> None:
        """Endpoints that share a context still offer and accept their own protocols alone."""
        for name in ("imap", "h2"):
            meeting = meet(client(alpn_protocols=("imap", "h2")), server(alpn_protocols=name))
            self.assertEqual(meeting.server.session.alpn_protocol, name)
            meeting = meet(
                client(alpn_protocols=name), server(alpn_protocols=("smtp", "imap", "h2"))
            )
            self.assertEqual(meeting.server.conversation.offered_protocols, (name.encode(),))
        self.assertEqual(meet().server.conversation.offered_protocols, ())

    def test_different_policies_never_share(self) -> None:
        """Policies that differ in anything else share neither trust nor keys nor sessions."""
        policies = [
            client(), client(verify_peer=Verify.NO), client(verify_peer_name=False),
            client(allow_self_signed=True), client(local_cert=certificates.client()),
            client(verify_depth=3), client(ciphers="HIGH"), client(security_level=1),
            client(max_version="1.2"), client(no_ticket=True),
            client(peer_fingerprint="0" * 64), client(pin="A" * 43 + "="),
            client(passphrase="x"), client(SNI_enabled=False),
        ]  # fmt: skip
        shared = {id(connection_creator(policy, Side.CLIENT).context) for policy in policies}
        self.assertEqual(len(shared), len(policies))

    def test_client_and_server_do_not_share(self) -> None:
        """The same policy gives a client and a server different contexts."""
        policy = server(cafile=certificates.cafile(), verify_peer_name=False)
        one, other = (
            connection_creator(policy, Side.CLIENT),
            connection_creator(policy, Side.SERVER),
        )
        self.assertIsNot(one.context, other.context)

    def test_the_number_of_contexts_is_bounded(self) -> None:
        """The least recently requested context is dropped; creators that have it still work."""
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

    def test_a_failure_is_not_cached(self) -> None:
        """A policy whose file was missing works as soon as the file exists."""
        path = str(certificates.folder() / "later.pem")
        policy = server(local_cert=path)
        for _ in range(2):
            self.assertRaises(BadCertificateFile, connection_creator, policy, Side.SERVER)
        certificates.issued("later.pem", NAME)
        self.assertTrue(meet(None, connection_creator(policy, Side.SERVER)).is_secure)


class PeerNameTests(SynchronousTestCase):
    """The name that a client expects, and sends in its ClientHello."""

    def asked(self, **options: Any) -> str | None:
        """The name that the server receives (SNI)."""
        meeting = meet(client(verify_peer_name=False, **options))
        self.assertTrue(meeting.is_secure)
        return meeting.server.session.server_name

    def test_the_client_hello_names_the_peer(self) -> None:
        """The ClientHello has the peer's name, in lower case A-labels."""
        for name, told in (
            (NAME, NAME), ("GOOD.Example.", NAME), ("bücher.example", "xn--bcher-kva.example"),
        ):  # fmt: skip
            self.assertEqual(self.asked(peer_name=name), told)

    def test_an_address_is_not_sent_as_a_name(self) -> None:
        """An IP address is never sent as a name (RFC 6066, section 3)."""
        for name in ("127.0.0.1", "::1", "fe80::1%eth0", "0:0:0:0:0:0:0:1"):
            self.assertIsNone(self.asked(peer_name=name))

    def test_no_name_is_sent_without_sni(self) -> None:
        """With SNI_enabled off or without peer_name, no name is sent."""
        self.assertIsNone(self.asked(peer_name=NAME, SNI_enabled=False))
        self.assertIsNone(self.asked(peer_name=None))
        quiet = meet(client(SNI_enabled=False))
        self.assertTrue(quiet.is_secure)
        self.assertNotIn(NAME.encode(), quiet.client.sent)

    def test_verification_of_a_name_needs_peer_name(self) -> None:
        """A side that must verify a name is refused when the policy has no peer_name."""
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

    def test_an_impossible_peer_name_is_refused(self) -> None:
        """A peer_name that is neither a DNS name nor an address is refused before connecting."""
        for name in ("", "1234", "a b", "a..b", "a" * 300, "x\0.example", "\ud800", "ü" * 300):
            for verify in (True, False):
                policy = client(peer_name=name, verify_peer_name=verify)
                error: Any = self.assertRaises(
                    InvalidOption, connection_creator, policy, Side.CLIENT
                )
                self.assertEqual(error.option, "peer_name")
                self.assertTrue(str(error).startswith("peer_name='" + name[:1].strip("\ud800")))
                self.assertLess(len(str(error)), 200)

    def test_the_creator_s_policy_has_the_normal_form(self) -> None:
        """The creator's policy has peer_name in the form that certificates use."""
        made = connection_creator(client(peer_name="GOOD.Example."), Side.CLIENT)
        self.assertEqual(made.policy, client())
        self.assertEqual(made, connection_creator(client(), Side.CLIENT))

    def test_repr_shows_no_secrets(self) -> None:
        """A creator's repr shows neither passphrase nor key."""
        made = connection_creator(client(passphrase="hunter2"), Side.CLIENT)
        self.assertNotIn("hunter2", repr(made))


class RenewalTests(SynchronousTestCase):
    """A context is replaced when its files change, and after a day."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.path = certificates.issued("renewed.pem", NAME)
        self.policy = server(local_cert=self.path)
        self.shared = SharedContext(self.policy, Side.SERVER, self.clock.seconds)

    def server_creator(self) -> ConnectionCreator:
        """A server's creator, with the shared context of this test."""
        return ConnectionCreator(self.policy, Side.SERVER, None, self.shared)

    def write(self, content: bytes) -> None:
        """Replace the content of the certificate's file."""
        certificates.written("renewed.pem", content)

    def issue(self) -> Issued:
        """Issue another certificate for the same name."""
        return certificates.authority().issue(NAME)

    def is_shown(self, made: Issued) -> bool:
        """Whether clients are shown that certificate."""
        meeting = meet(None, self.server_creator())
        self.assertTrue(meeting.is_secure, meeting.errors)
        return meeting.client.session.peer_certificate == made.certificate

    def test_the_context_is_kept_while_nothing_changes(self) -> None:
        """For a day, while the files stay as they are, the context is the same."""
        before = self.shared.current()
        self.clock.advance(A_DAY - 1)
        self.assertIs(self.shared.current(), before)

    def test_a_renewed_certificate_is_shown(self) -> None:
        """The next client sees a replaced certificate; an open connection is not affected."""
        before = meet(None, self.server_creator())
        made = self.issue()
        self.write(made.pem)
        self.assertTrue(self.is_shown(made))
        self.assertIsNone(self.shared.reload_error())
        before.client.hear(before.server.say(b"still here"))
        self.assertEqual(before.client.received, b"still here")

    def test_a_change_of_any_file_replaces_the_context(self) -> None:
        """A change of any file that the policy names gives a new context."""
        made = self.issue()
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

    def test_a_bad_file_leaves_the_old_certificate(self) -> None:
        """When a new file cannot be used, the old certificate stays, and the log says so once."""
        made = self.issue()
        self.write(made.pem)
        self.assertTrue(self.is_shown(made))
        self.write(self.issue().pem[:-40])
        self.assertTrue(self.is_shown(made))
        self.assertIsInstance(self.shared.problem, BadCertificateFile)
        self.assertIs(self.shared.reload_error(), self.shared.problem)
        self.assertIsNone(self.shared.reload_error())
        self.assertTrue(self.is_shown(made))

    def test_a_removed_file_leaves_the_old_certificate(self) -> None:
        """When a file is removed, the old context stays in use."""
        before = self.shared.current()
        os.unlink(self.path)
        self.assertIs(self.shared.current(), before)
        self.assertIn("No such file", str(self.shared.reload_error()))

    def test_certificate_and_key_may_be_replaced_one_by_one(self) -> None:
        """A certificate and a key in two files are used as soon as they fit together again."""
        made, newer = self.issue(), self.issue()
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

    def test_a_failed_renewal_is_tried_again(self) -> None:
        """A renewal that failed for another reason is tried again after a minute."""
        before = self.shared.current()
        made = self.issue()
        self.write(made.pem)
        with no_more_files():
            self.assertIs(self.shared.current(), before)
        self.assertIn("Too many open files", str(self.shared.reload_error()))
        self.clock.advance(MINUTE - 1)
        self.assertIs(self.shared.current(), before)
        self.clock.advance(1)
        self.assertIsNot(self.shared.current(), before)
        self.assertTrue(self.is_shown(made))
        self.assertIsNone(self.shared.problem)

    def test_a_problem_is_reported_once(self) -> None:
        """A problem that persists is reported once, and another one is reported too."""
        self.write(b"")
        self.shared.current()
        self.assertIn("it is empty", str(self.shared.reload_error()))
        for _ in range(3):
            self.clock.advance(MINUTE)
            self.shared.current()
            self.assertIsNone(self.shared.reload_error())
        self.write(b"rubbish")
        self.shared.current()
        self.assertIn("it holds no certificate", str(self.shared.reload_error()))

    def test_a_context_is_replaced_after_a_day(self) -> None:
        """A context is replaced after a day, and with it the key that encrypts its tickets."""
        before = self.shared.current()
        self.clock.advance(A_DAY)
        after = self.shared.current()
        self.assertIsNot(after, before)
        self.clock.advance(A_DAY - 1)
        self.assertIs(self.shared.current(), after)
        self.clock.advance(1)
        self.assertIsNot(self.shared.current(), after)

    def test_the_key_s_file_of_a_name_is_watched(self) -> None:
        """A renewed certificate whose key has a file of its own is used, and a bad key is not."""
        made = self.issue()
        files = {
            "local_cert": certificates.written("watched.pem", made.cert_pem),
            "local_pk": certificates.written("watched.key", made.key_pem()),
        }
        policy = TLSPolicy(SNI_server_certs={NAME: files})
        shared = SharedContext(policy, Side.SERVER, self.clock.seconds)
        before = shared.current()
        certificates.written("watched.key", self.issue().key_pem())
        self.assertIs(shared.current(), before)
        self.assertIn("the key is not that of the certificate", str(shared.problem))
        certificates.written("watched.key", made.key_pem())
        self.assertIsNot(shared.current(), before)
        self.assertIsNone(shared.problem)

    def test_a_handshake_keeps_the_context_that_it_began_with(self) -> None:
        """A renewal during a handshake does not free the context that OpenSSL will call again."""
        policy = TLSPolicy(SNI_server_certs={NAME: self.path})
        shared = SharedContext(policy, Side.SERVER, self.clock.seconds)
        meeting = arranged(None, ConnectionCreator(policy, Side.SERVER, None, shared))
        before = weakref.ref(shared.current())
        meeting.server.hear(meeting.client.hear(b""))
        self.assertIsNot(meeting.server.conversation.get_context(), before())
        self.write(self.issue().pem)
        self.assertIsNot(shared.current(), before())
        gc.collect()
        self.assertIsNotNone(before())

    def test_sessions_are_dropped_with_their_context(self) -> None:
        """A session that was verified with the old files is not resumed with the new ones."""
        trust = certificates.written("trust.pem", certificates.authority().pem)
        policy = client(cafile=trust)
        shared = SharedContext(policy.without_peer, Side.CLIENT, self.clock.seconds)
        creator = ConnectionCreator(policy, Side.CLIENT, "peer", shared)
        meet(creator).part()
        self.assertEqual(len(shared.sessions), 1)
        certificates.written("trust.pem", certificates.authority().pem)
        meeting = meet(creator)
        self.assertIs(meeting.client.session.resumed, False)
        # A connection that began with the old files leaves no session either.
        late = meet(creator)
        certificates.written("trust.pem", certificates.authority().pem)
        late.part()
        self.assertEqual(len(shared.sessions), 0)

    def test_a_bad_file_keeps_the_sessions(self) -> None:
        """While the old context stays in use, its sessions can be resumed."""
        trust = certificates.written("trust.pem", certificates.authority().pem)
        policy = client(cafile=trust)
        shared = SharedContext(policy.without_peer, Side.CLIENT, self.clock.seconds)
        creator = ConnectionCreator(policy, Side.CLIENT, "peer", shared)
        meet(creator).part()
        certificates.written("trust.pem", b"rubbish")
        self.assertIs(meet(creator).client.session.resumed, True)


class BadFileLaterTests(SynchronousTestCase):
    """A file that was good for the first endpoint and is bad for the next."""

    def test_a_new_endpoint_fails_and_old_ones_go_on(self) -> None:
        """A new endpoint fails because of the bad file; earlier endpoints still work."""
        policy = server(local_cert=certificates.issued("turns.pem", NAME))
        first = connection_creator(policy, Side.SERVER)
        certificates.written("turns.pem", b"rubbish")
        for _ in range(50):
            error = self.assertRaises(BadCertificateFile, connection_creator, policy, Side.SERVER)
        self.assertTrue(meet(None, first).is_secure)
        # The same exception is raised each time; its traceback must not grow.
        self.assertLess(len(traceback.extract_tb(error.__traceback__)), 20)
        certificates.issued("turns.pem", NAME)
        self.assertIs(connection_creator(policy, Side.SERVER).context, first.context)


class ConnectionTests(SynchronousTestCase):
    """The connections that a creator makes."""

    def test_each_connection_is_new(self) -> None:
        """Each call makes a new connection, with the creator's policy and side."""
        for side, policy in ((Side.CLIENT, client()), (Side.SERVER, server())):
            made = connection_creator(policy, side)
            one, other = made.connection(), made.connection()
            self.assertIsNot(one, other)
            self.assertIsNot(one.verification, other.verification)
            self.assertIsInstance(one, TLSConnection)
            self.assertEqual((one.policy, one.side), (made.policy, side))

    def test_openssl_is_named_with_its_version(self) -> None:
        """`openssl_version` gives OpenSSL's name and version."""
        self.assertRegex(openssl_version(), r"\AOpenSSL [0-9.]+")
