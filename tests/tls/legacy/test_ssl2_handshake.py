"""The handshake of SSL 2.0 against peers that do what no honest one does."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from twisted.trial.unittest import SynchronousTestCase

from tests.tls.legacy.ssl2_ends import (
    ALL,
    Conversation,
    Verdict,
    client,
    connected,
    operations,
    person,
    reason,
    records,
    server,
    site,
)
from txtransport.config.policy import Verify
from txtransport.tls.engine import Signal
from txtransport.tls.legacy.engine import LegacyIdentity
from txtransport.tls.legacy.ssl2 import SSL2Engine
from txtransport.tls.legacy.ssl2_keys import decrypt_secret
from txtransport.tls.legacy.ssl2_messages import (
    ClientHello,
    ClientMasterKey,
    ServerHello,
)
from txtransport.tls.legacy.ssl2_record import RecordReader, RecordWriter
from txtransport.tls.legacy.ssl2_suites import SUITES, SessionKeys

CHALLENGE: Final = bytes(range(16))
FAILED: Final = [Signal.FAILED]


def clear(message: bytes) -> bytes:
    """A record in the clear."""
    return RecordWriter().seal(message)


def secret_for_site(secret: bytes) -> bytes:
    """A secret, encrypted with the site's key."""
    return site().key.public_key().encrypt(secret, PKCS1v15())


class HostileClient:
    """A client that speaks by hand to a server of ours.

    Args:
        end: The server.
        name: The suite that it says it has chosen.

    Attributes:
        end: As given.
        hello: The server's.
    """

    def __init__(self, end: SSL2Engine, name: str) -> None:
        self.end, self._suite = end, SUITES[name]
        end.receive(
            clear(ClientHello(tuple(one.kind for one in SUITES.values()), CHALLENGE).encode())
        )
        self.hello = ServerHello.decode(end.data_to_send()[2:])

    def choose(
        self,
        secret: bytes,
        *,
        clear_key: bytes = b"",
        argument: bytes = b"",
        encrypted: bytes | None = None,
    ) -> bytes:
        """Send CLIENT-MASTER-KEY; returns the server's answer."""
        sent = secret_for_site(secret) if encrypted is None else encrypted
        message = ClientMasterKey(self._suite.kind, clear_key, sent, argument)
        self.end.receive(clear(message.encode()))
        return self.end.data_to_send()

    def keys(self, master: bytes, argument: bytes = b"") -> SessionKeys:
        """The keys of the connection."""
        return SessionKeys.derive(
            self._suite, master, CHALLENGE + self.hello.connection_id, argument
        )


class AgreementTests(SynchronousTestCase):
    """Which suite is agreed on."""

    def test_each_suite_connects(self) -> None:
        """Both sides know the suite by OpenSSL's name, and its strength."""
        for name, bits in (("RC4-MD5", 128), ("DES-CBC3-MD5", 112), ("EXP-RC4-MD5", 40)):
            talk = connected(name)
            for end in (talk.client, talk.server):
                self.assertEqual((end.cipher, end.bits, end.version), (name, bits, "SSLv2"))
                self.assertEqual(talk.signals(end), [Signal.COMPLETE])

    def test_the_server_chooses_unless_it_leaves_that_to_the_client(self) -> None:
        """honor_cipher_order decides, although in SSL 2.0 the client has the last word."""
        ours, theirs = ("DES-CBC3-MD5", "RC4-MD5"), ("RC4-MD5", "DES-CBC3-MD5")
        for honor, expected in ((True, "DES-CBC3-MD5"), (False, "RC4-MD5")):
            end = server(*ours, honor_cipher_order=honor)
            talk = Conversation(client(*theirs), end).carry()
            self.assertEqual((talk.client.cipher, end.cipher), (expected, expected))

    def test_no_suite_in_common_is_an_error_on_both_sides(self) -> None:
        """The server says so, in the one message that there is for it."""
        talk = Conversation(client("RC4-MD5"), server("DES-CBC3-MD5")).carry()
        self.assertEqual(reason(talk.server), "no shared cipher")
        self.assertEqual(reason(talk.client), "peer error no cipher")
        self.assertEqual(talk.sent[talk.server], b"\x80\x03\x00\x00\x01")

    def test_a_client_takes_no_suite_that_it_has_not_offered(self) -> None:
        """A server with the suites of export alone gets no key of a client without them."""
        end = client("RC4-MD5")
        end.data_to_send()
        kinds = tuple(SUITES[name].kind for name in ("EXP-RC4-MD5", "DES-CBC3-MD5"))
        hello = ServerHello(site().chain[0], kinds, bytes(16))
        self.assertEqual(end.receive(clear(hello.encode())), FAILED)
        self.assertEqual(reason(end), "no shared cipher")
        self.assertEqual(end.data_to_send(), b"\x80\x03\x00\x00\x01")

    def test_without_a_suite_nothing_is_sent(self) -> None:
        """A policy that leaves no cipher fails before the first byte."""
        for end in (client(ciphers=()), server(ciphers=())):
            end.receive(clear(ClientHello((SUITES["RC4-MD5"].kind,), CHALLENGE).encode()))
            self.assertEqual((reason(end), end.data_to_send()), ("no ciphers available", b""))


class MasterKeyTests(SynchronousTestCase):
    """CLIENT-MASTER-KEY, on which most attacks on SSL 2.0 were made."""

    def refuses(self, attacker: HostileClient, answer: bytes, expected: str) -> None:
        """The server has failed, and answered nothing that is encrypted."""
        self.assertEqual(reason(attacker.end), expected)
        self.assertIn(answer, (b"", b"\x80\x03\x00\x00\x01"))
        self.assertEqual(attacker.end.receive(b"\x80\x01\x03"), [])

    def test_a_suite_that_was_not_offered_is_refused(self) -> None:
        """OpenSSL's server took suites of export that it was told not to have (CVE-2015-3197)."""
        for honor in (True, False):
            attacker = HostileClient(server("RC4-MD5", honor_cipher_order=honor), "EXP-RC4-MD5")
            answer = attacker.choose(bytes(5), clear_key=bytes(11))
            self.refuses(attacker, answer, "wrong cipher returned")

    def test_a_suite_that_the_server_has_and_did_not_offer_is_refused(self) -> None:
        """With honor_cipher_order the choice was the server's."""
        attacker = HostileClient(server("DES-CBC3-MD5", "RC4-MD5"), "RC4-MD5")
        self.refuses(attacker, attacker.choose(bytes(16)), "wrong cipher returned")

    def test_clear_bytes_are_for_suites_of_export_alone(self) -> None:
        """OpenSSL's server let a client overwrite its key byte by byte (CVE-2016-0703)."""
        for name, secret, argument in (("RC4-MD5", 16, 0), ("DES-CBC3-MD5", 24, 8)):
            for size in (1, 8, 11, secret):
                attacker = HostileClient(server(name), name)
                answer = attacker.choose(
                    bytes(secret - size), clear_key=bytes(size), argument=bytes(argument)
                )
                self.refuses(attacker, answer, "wrong number of key bits")

    def test_suites_of_export_have_their_11_clear_bytes(self) -> None:
        """With fewer, or more, the secret part would have another size."""
        for size in (0, 10, 12, 16):
            attacker = HostileClient(server("EXP-RC4-MD5"), "EXP-RC4-MD5")
            answer = attacker.choose(bytes(5), clear_key=bytes(size))
            self.refuses(attacker, answer, "wrong number of key bits")

    def test_the_encrypted_part_is_as_long_as_the_key(self) -> None:
        """What is shorter or longer is not decrypted."""
        for size in (0, 1, 255, 257):
            attacker = HostileClient(server("RC4-MD5"), "RC4-MD5")
            answer = attacker.choose(b"", encrypted=bytes(size))
            self.refuses(attacker, answer, "wrong number of key bits")

    def test_the_vector_has_the_size_of_a_block(self) -> None:
        """8 bytes with 3DES, and none with RC4."""
        for name, secret, sizes in (("DES-CBC3-MD5", 24, (0, 7, 9)), ("RC4-MD5", 16, (1, 8))):
            for size in sizes:
                attacker = HostileClient(server(name), name)
                answer = attacker.choose(bytes(secret), argument=bytes(size))
                self.refuses(attacker, answer, "wrong number of key bits")

    def test_a_bad_padding_is_answered_like_a_good_one(self) -> None:
        """The server goes on, with a key that nobody has (Bleichenbacher, DROWN)."""
        sizes = set()
        for encrypted in (
            secret_for_site(bytes(16)),
            secret_for_site(bytes(48)),
            secret_for_site(b""),
            bytes(255) + b"\x07",
            b"\xff" * 256,
        ):
            attacker = HostileClient(server("RC4-MD5"), "RC4-MD5")
            answer = attacker.choose(b"", encrypted=encrypted)
            self.assertIsNone(attacker.end.error)
            self.assertFalse(attacker.end.is_complete)
            sizes.add(len(answer))
        self.assertEqual(sizes, {2 + 16 + 17}, "SERVER-VERIFY, and nothing else")

    def test_two_questions_with_one_ciphertext_have_one_key(self) -> None:
        """DROWN's oracle: with random bytes in its place, a bad padding gives two keys."""
        encrypted = secret_for_site(bytes(48))
        # 40 bits are soon found. We know what is in their place.
        secret = decrypt_secret(site().key, encrypted, 5)
        for _ in range(2):
            attacker = HostileClient(server("EXP-RC4-MD5"), "EXP-RC4-MD5")
            answer = attacker.choose(b"", clear_key=bytes(11), encrypted=encrypted)
            reader = RecordReader()
            list(reader.records(clear(b"\x04")))
            reader.switch(attacker.keys(bytes(11) + secret).server)
            self.assertEqual(list(reader.records(answer)), [b"\x05" + CHALLENGE])

    def test_good_and_bad_master_keys_cost_the_same(self) -> None:
        """The server's work up to its answer is the same, call by call."""
        done = []
        good = secret_for_site(bytes(16))
        # With the first of all cryptography loads what it has not needed before.
        for encrypted in (good, good, secret_for_site(bytes(48)), bytes(256)):
            attacker = HostileClient(server("RC4-MD5"), "RC4-MD5")
            message = ClientMasterKey(SUITES["RC4-MD5"].kind, b"", encrypted, b"").encode()
            end, record = attacker.end, clear(message)
            done.append(operations(lambda e=end, r=record: e.receive(r)))  # type: ignore[misc]
        self.assertEqual(done[2:], [done[1], done[1]])

    def test_who_does_not_have_the_key_gets_nothing_more(self) -> None:
        """A client whose CLIENT-FINISHED is not encrypted with the key hears no word."""
        for name in ALL:
            talk = Conversation(client(name), server(name))
            hello = talk.client.data_to_send()
            talk.server.receive(hello)
            talk.client.receive(talk.server.data_to_send())
            flight = records(talk.client.data_to_send())
            self.assertEqual(len(flight), 2)
            talk.server.receive(flight[0])
            talk.server.data_to_send()
            finished = flight[1][:-1] + bytes((flight[1][-1] ^ 1,))
            self.assertEqual(talk.server.receive(finished), FAILED)
            self.assertEqual(reason(talk.server), "bad mac decode")
            self.assertEqual(talk.server.data_to_send(), b"")

    def test_the_connection_s_id_must_come_back(self) -> None:
        """A recorded handshake cannot be played again: the id differs."""
        attacker = HostileClient(server("RC4-MD5"), "RC4-MD5")
        attacker.choose(bytes(range(16)))
        writer = RecordWriter()
        writer.seal(b"hello")
        writer.seal(b"master key")
        writer.switch(attacker.keys(bytes(range(16))).client)
        wrong = writer.seal(b"\x03" + bytes(16))
        self.assertEqual(attacker.end.receive(wrong), FAILED)
        self.assertEqual(reason(attacker.end), "connection id is different")


class HostileServer:
    """A server that speaks by hand to a client of ours, with the keys of the site.

    Args:
        end: The client.
        certificate: What it shows; the site's by default.
    """

    def __init__(self, end: SSL2Engine, certificate: bytes | None = None) -> None:
        self.end = end
        self.hello = ClientHello.decode(end.data_to_send()[2:])
        self._writer = RecordWriter()
        shown = site().chain[0] if certificate is None else certificate
        hello = ServerHello(shown, (SUITES["RC4-MD5"].kind,), bytes(16))
        end.receive(self._writer.seal(hello.encode()))
        self.flight = records(end.data_to_send())

    def switch(self) -> None:
        """Read the master key, and encrypt from now on."""
        chosen = ClientMasterKey.decode(self.flight[0][2:])
        master = site().key.decrypt(chosen.encrypted, PKCS1v15())
        nonces = self.hello.challenge + bytes(16)
        keys = SessionKeys.derive(SUITES["RC4-MD5"], master, nonces, b"")
        self._writer.switch(keys.server)

    def say(self, message: bytes) -> list[object]:
        """Send a message; returns what the client made of it."""
        return list(self.end.receive(self._writer.seal(message)))


class ClientTests(SynchronousTestCase):
    """A client against servers that are not what they say."""

    def test_a_server_without_the_key_is_found_out(self) -> None:
        """Whoever shows a certificate of others cannot encrypt the challenge."""
        impostor = HostileServer(client("RC4-MD5"))
        self.assertEqual(impostor.say(b"\x05" + impostor.hello.challenge), FAILED)
        self.assertEqual(reason(impostor.end), "bad mac decode")

    def test_the_challenge_must_come_back(self) -> None:
        """A server that sends another, a shorter or a longer one is not trusted."""
        for change in (lambda c: bytes(16), lambda c: c[:-1], lambda c: c + b"\0", lambda c: b""):
            there = HostileServer(client("RC4-MD5"))
            there.switch()
            self.assertEqual(there.say(b"\x05" + change(there.hello.challenge)), FAILED)
            self.assertEqual(reason(there.end), "challenge is different")

    def test_no_message_is_taken_out_of_turn(self) -> None:
        """A server cannot finish without proving its key, nor speak for the client."""
        for early in (
            b"\x06" + bytes(16),
            b"\x07\x01" + bytes(16),
            b"\x03" + bytes(16),
            b"",
            b"\x09",
        ):
            there = HostileServer(client("RC4-MD5"))
            there.switch()
            self.assertEqual(there.say(early), FAILED)
            self.assertEqual(reason(there.end), "read wrong packet type")
            self.assertFalse(there.end.is_complete)

    def test_a_certificate_is_asked_for_once(self) -> None:
        """A second request would have us sign for as long as the server likes."""
        there = HostileServer(client("RC4-MD5", identity=person()))
        there.switch()
        there.say(b"\x05" + there.hello.challenge)
        self.assertEqual(there.say(b"\x07\x01" + bytes(16)), [])
        self.assertEqual(there.say(b"\x07\x01" + bytes(16)), FAILED)
        self.assertEqual(reason(there.end), "read wrong packet type")

    def test_another_way_to_prove_a_key_is_answered_with_no_certificate(self) -> None:
        """We know one way alone; the server may go on without."""
        there = HostileServer(client("RC4-MD5", identity=person()))
        there.switch()
        there.say(b"\x05" + there.hello.challenge)
        self.assertEqual(there.say(b"\x07\x02" + bytes(16)), [])
        self.assertEqual(len(there.end.data_to_send()), 2 + 16 + 3)
        self.assertEqual(there.say(b"\x06" + bytes(16)), [Signal.COMPLETE])

    def test_a_request_after_the_handshake_is_data(self) -> None:
        """Nothing tells a message from data then, so nobody is asked for a certificate."""
        there = HostileServer(client("RC4-MD5", identity=person()))
        there.switch()
        there.say(b"\x05" + there.hello.challenge)
        there.say(b"\x06" + bytes(16))
        there.end.data_to_send()
        request = b"\x07\x01" + bytes(16)
        self.assertEqual(there.say(request), [request])
        self.assertEqual(there.end.data_to_send(), b"")

    def test_a_session_id_may_be_missing_and_not_too_long(self) -> None:
        """It is not used; a server without a cache has none to give."""
        for size, expected in ((0, Signal.COMPLETE), (16, Signal.COMPLETE), (17, Signal.FAILED)):
            there = HostileServer(client("RC4-MD5"))
            there.switch()
            there.say(b"\x05" + there.hello.challenge)
            self.assertEqual(there.say(b"\x06" + bytes(size)), [expected])

    def test_a_certificate_that_is_none_gets_no_key(self) -> None:
        """Even where the policy finds any certificate acceptable."""
        there = HostileServer(client("RC4-MD5"), b"\x30\x00")
        self.assertEqual(reason(there.end), "unreadable certificate")
        self.assertEqual(there.flight, [b"\x80\x03\x00\x00\x04"])

    def test_errors_of_the_server_are_put_into_words(self) -> None:
        """In the clear before the keys, encrypted behind them."""
        there = HostileServer(client("RC4-MD5"))
        there.switch()
        there.say(b"\x05" + there.hello.challenge)
        self.assertEqual(there.say(b"\x00\x00\x04"), FAILED)
        self.assertEqual(reason(there.end), "peer error certificate")


class CertificateTests(SynchronousTestCase):
    """Certificates of both sides, and what the policy says of them."""

    def test_the_client_asks_before_it_sends_a_key(self) -> None:
        """A server whose certificate is refused learns so, and gets nothing encrypted."""
        refuse = Verdict(is_good=False)
        talk = Conversation(client("RC4-MD5", verify=refuse), server("RC4-MD5")).carry()
        self.assertEqual(refuse.asked, [(site().chain[0],)])
        self.assertEqual(talk.client.peer_chain, (site().chain[0],))
        self.assertEqual(reason(talk.client), "certificate verify failed")
        self.assertEqual(reason(talk.server), "peer error certificate")
        self.assertEqual(records(talk.sent[talk.client])[1:], [b"\x80\x03\x00\x00\x04"])

    def test_the_server_demands_what_its_policy_demands(self) -> None:
        """Whether the client is asked, and whether it may come without a certificate."""
        for demand, identity, is_good in (
            (Verify.NO, None, True),
            (Verify.NO, person(), True),
            (Verify.OPTIONAL, None, True),
            (Verify.OPTIONAL, person(), True),
            (Verify.YES, None, False),
            (Verify.YES, person(), True),
        ):
            for name in ALL:
                verdict = Verdict()
                end = server(name, certificate=demand, verify=verdict)
                talk = Conversation(client(name, identity=identity), end).carry()
                self.assertEqual(end.is_complete, is_good)
                self.assertEqual(talk.client.is_complete, is_good)
                self.assertEqual(talk.client.is_certificate_requested, demand is not Verify.NO)
                shown = identity.chain if identity and demand is not Verify.NO else ()
                self.assertEqual(end.peer_chain, shown)
                self.assertEqual(verdict.asked, [shown] if is_good else [])
                if not is_good:
                    self.assertEqual(reason(end), "peer did not return a certificate")
                    self.assertEqual(reason(talk.client), "peer error certificate")

    def test_a_client_that_is_refused_gets_no_data_through(self) -> None:
        """The server's verdict comes before the first byte of data is looked at."""
        end = server("RC4-MD5", certificate=Verify.YES, verify=Verdict(is_good=False))
        talk = Conversation(client("RC4-MD5", identity=person()), end).carry()
        self.assertEqual(talk.signals(end), FAILED)
        self.assertEqual(reason(end), "certificate verify failed")
        self.assertEqual(reason(talk.client), "peer error certificate")

    def test_a_certificate_without_its_key_is_refused(self) -> None:
        """Anyone can show a certificate; the policy is not even asked."""
        stolen = LegacyIdentity(person().chain, site().key)
        verdict = Verdict()
        end = server("RC4-MD5", certificate=Verify.YES, verify=verdict)
        talk = Conversation(client("RC4-MD5", identity=stolen), end).carry()
        self.assertEqual(reason(end), "bad checksum")
        self.assertEqual(reason(talk.client), "peer error certificate")
        self.assertEqual(verdict.asked, [])

    def test_our_certificate_must_have_room_in_a_record(self) -> None:
        """A message is one record: with a certificate that is too large nothing is sent."""
        for size in (33000, 70000):
            huge = LegacyIdentity((bytes(size),), site().key)
            end = server(identity=huge)
            self.assertEqual(end.receive(client().data_to_send()), FAILED)
            self.assertEqual((reason(end), end.data_to_send()), ("message too long", b""))
            talk = Conversation(client(identity=huge), server(certificate=Verify.YES)).carry()
            self.assertEqual(reason(talk.client), "message too long")

    def test_an_exception_of_the_verdict_is_a_refusal(self) -> None:
        """It is raised, and the connection is broken whoever catches it."""

        def fail(chain: tuple[bytes, ...]) -> bool:
            raise ZeroDivisionError

        there, end = server("RC4-MD5"), client("RC4-MD5", verify=fail)
        there.receive(end.data_to_send())
        hello = there.data_to_send()
        self.assertRaises(ZeroDivisionError, end.receive, hello)
        self.assertEqual(reason(end), "internal error")
        self.assertEqual(end.receive(hello), [])
        self.assertEqual((end.is_complete, end.data_to_send()), (False, b""))
