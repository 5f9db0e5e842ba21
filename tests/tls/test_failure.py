"""Failures explain themselves: what happened, whose doing it was, and what to do."""

from __future__ import annotations

import re
import socket
from datetime import datetime, timezone
from typing import Any, Final

from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.diagnosis.test_banners import CLIENTS, SERVERS
from tests.tls.handshake import NAME, End, arranged, client, meet, server
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.diagnosis.alerts import ALERTS
from txtransport.diagnosis.openssl_errors import OF_REASON
from txtransport.errors import CAUSES, FAULTS, HandshakeFailed
from txtransport.testing.devcert import Authority, Issued, self_signed
from txtransport.tls.connection import CLOSE_NOTIFY, MAX_FIRST_BYTES
from txtransport.tls.failure import FailedConnection, handshake_failure, late_failure, timeout_hint
from txtransport.tls.verification import verify_after_handshake

WHERE: Final = "tls://peer.example:1234"
LONGEST_MESSAGE: Final = 2500
OPENINGS: Final = {Side.CLIENT: SERVERS, Side.SERVER: CLIENTS}
NUMBERS: Final = {alert.name: alert.number for alert in ALERTS}


def ssl_error(reason: str) -> SSL.Error:
    """OpenSSL's error of that reason, as pyOpenSSL raises it."""
    return SSL.Error([("SSL routines", "", "an earlier one"), ("SSL routines", "", reason)])


def attempt(error: BaseException, received: bytes = b"", **facts: Any) -> FailedConnection:
    """A client's attempt that ended so."""
    given_ = {"where": WHERE, "side": Side.CLIENT, "port": None, "connection": None, **facts}
    return FailedConnection(error=error, received=received, **given_)


def record(number: int) -> bytes:
    """A fatal alert, as it goes over the wire."""
    return bytes((0x15, 3, 3, 0, 2, 2, number))


def told(number: int, policy: TLSPolicy | None = None) -> HandshakeFailed:
    """What a client is told whose hello is answered with that alert."""
    end = arranged(policy).client
    end.hear(b"")
    end.hear(record(number))
    return end.explained()


def _alone(issued: Issued) -> bytes:
    """A key and its certificate, without the authorities between."""
    return Issued(issued.certificate, issued.key).pem


class DiagnosisTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def well_said(self, error: HandshakeFailed) -> HandshakeFailed:
        """The error has what every one has."""
        self.assertIn(error.cause, CAUSES)
        self.assertLess(len(str(error)), LONGEST_MESSAGE)
        self.assertTrue(str(error).isprintable(), str(error))
        self.assertIn(error.fault, FAULTS)
        for line in error.evidence:
            self.assertTrue(line.isprintable() and len(line) < LONGEST_MESSAGE, line)
        self.assertLess(len(error.evidence), 20)
        self.assertIs(error.__cause__, error.original)
        self.assertIsInstance(error.original, BaseException)
        return error


class CertificateTests(DiagnosisTestCase):
    """A certificate that was refused."""

    def test_it_is_described(self) -> None:
        """Who it is of, who issued it, for whom and when: all that is needed to find it."""
        error = self.well_said(meet(client(peer_name="other.example")).client.explained())
        for fact in (
            f"tls://{NAME}: the peer's certificate was refused",
            "it is for localhost, good.example, *.wild.example, 127.0.0.1, ::1",
            "not for other.example",
            "subject 'CN=localhost'",
            "issuer 'CN=txtransport test CA'",
            "valid 20",
            " UTC",
            "peer_name=NAME",
        ):
            self.assertIn(fact, str(error))
        self.assertIs(error.permanent, True)
        self.assertTrue(str(error).endswith(error.remedy))

    def test_openssl_s_number_is_told(self) -> None:
        """X.509's number is there for those who search for it."""
        foreign = certificates.issued("foreign.pem", NAME, by=Authority.create("a stranger"))
        error = self.well_said(meet(None, server(local_cert=foreign)).client.explained())
        self.assertIn("X509 error 20", str(error))
        self.assertIn("cafile=FILE", error.remedy)

    def test_an_authority_is_told_from_the_leaf(self) -> None:
        """When it is not the leaf that is bad, the message says which one is."""
        root = Authority.create("a stranger")
        path = certificates.written("shown.pem", root.issue(NAME).pem + root.pem)
        error = self.well_said(meet(None, server(local_cert=path)).client.explained())
        self.assertIn("certificate (an authority, depth 1) was refused", str(error))
        self.assertIn("subject 'CN=a stranger'", str(error))

    def test_a_server_speaks_of_its_client(self) -> None:
        """On a server it is the client's certificate that was refused."""
        own = certificates.written("client.pem", self_signed("x", purpose="client").pem)
        asking = server(verify_peer=Verify.YES, cafile=certificates.cafile())
        meeting = meet(client(local_cert=own), asking)
        error = self.well_said(meeting.server.explained())
        self.assertIn("the client's certificate was refused", str(error))

    def test_one_that_cannot_be_described(self) -> None:
        """A certificate in the wrong characters is refused in right ones."""
        path = certificates.written("mislabelled.pem", certificates.mislabelled().pem)
        error = self.well_said(meet(None, server(local_cert=path)).client.explained())
        self.assertEqual(error.cause, "self-signed")
        self.assertIn("subject unreadable, issuer unreadable", str(error))

    def test_a_missing_intermediate(self) -> None:
        """Where the leaf says where its issuer is to be had, the peer has forgotten to send it."""
        place = "http://ca.example/between.crt"
        between = certificates.authority().intermediate()
        leaf = between.issue(NAME, issuer_place=place)
        alone = certificates.written("alone.pem", _alone(leaf))
        error = self.well_said(meet(client(), server(local_cert=alone)).client.explained())
        self.assertEqual((error.cause, error.fault), ("unknown-issuer", "peer"))
        self.assertIn(place, error.remedy)
        nowhere = certificates.written("nowhere.pem", _alone(between.issue(NAME)))
        error = self.well_said(meet(client(), server(local_cert=nowhere)).client.explained())
        self.assertEqual((error.cause, error.fault), ("unknown-issuer", "ours"))
        self.assertIn("cafile", error.remedy)

    def test_what_was_seen(self) -> None:
        """The evidence has what was asked, every certificate, and what is held against them."""
        error = meet(client(peer_name="other.example", alpn_protocols=("h2",))).client.explained()
        evidence = "\n".join(self.well_said(error).evidence)
        for fact in ("asked for the name b'other.example' (SNI)", "'h2' (ALPN)", "certificate 0:",
                     "certificate 1:", "against certificate 0: it is for localhost",
                     "\\x16\\x03"):  # fmt: skip
            self.assertIn(fact, evidence)

    def test_the_time(self) -> None:
        """Where dates decide, the time that is taken for now is told: the clock may be wrong."""
        past = datetime(2020, 1, 1, tzinfo=timezone.utc)
        old = certificates.issued(
            "old-time.pem", NAME, not_before=past, not_after=past.replace(day=2)
        )
        error = self.well_said(meet(client(), server(local_cert=old)).client.explained())
        self.assertIn(f"now it is {datetime.now(timezone.utc):%Y-}", str(error))

    def test_a_certificate_that_swears(self) -> None:
        """What a stranger wrote into a certificate is escaped and bounded."""
        names = [x509.DNSName(f"{'x' * 200}\n\x1b[2J{number}") for number in range(500)]
        loud = certificates.issued("loud.pem", common_name="\r\n\x1b[2J", alternative_names=names)
        self.well_said(meet(None, server(local_cert=loud)).client.explained())

    def test_no_certificate_at_all(self) -> None:
        """A peer without any certificate is told without describing one."""
        end = arranged().client
        verify_after_handshake(end.conversation)
        end.error = ssl_error("the peer is not acceptable")
        error = self.well_said(end.explained())
        self.assertEqual(error.cause, "other")
        self.assertIn("refused: the peer showed no certificate at all", str(error))


class PlaintextTests(DiagnosisTestCase):
    """Peers that do not speak TLS."""

    def test_servers_that_do_not_speak_tls(self) -> None:
        """Each protocol that answers a ClientHello is called by its name, with what it said."""
        for name, greetings in SERVERS.items():
            for greeting in greetings:
                end = arranged().client
                end.hear(b"")
                end.hear(greeting)
                if end.error is None:  # Fewer than five bytes: OpenSSL waits for more.
                    end.error = SSL.SysCallError(-1, "Unexpected EOF")
                error = self.well_said(end.explained())
                self.assertEqual((error.cause, error.permanent), ("plaintext-peer", True))
                self.assertIn(f" {name} ", str(error))
                self.assertIn(repr(greeting[:20])[:-1], str(error))
                self.assertEqual(error.received, greeting[:64])

    def test_clients_that_do_not_speak_tls(self) -> None:
        """So is each client at a server."""
        for name, openings in CLIENTS.items():
            for opening in openings:
                end = arranged().server
                end.hear(opening)
                if end.error is None:
                    end.error = SSL.SysCallError(-1, "Unexpected EOF")
                error = self.well_said(end.explained())
                self.assertEqual(error.cause, "plaintext-peer")
                self.assertRegex(str(error), rf" {re.escape(name)}[ :]")

    def test_a_url_is_given(self) -> None:
        """Who dialled a mail server's plain port gets the URL that works."""
        greeting = b"220 mx1.example.org ESMTP Postfix\r\n"
        error = handshake_failure(attempt(ssl_error("wrong version number"), greeting, port=587))
        self.assertEqual(
            str(error),
            f"{WHERE}: expected a TLS handshake, but the peer is a plain-text SMTP server: it sent "
            f"{greeting!r}. Use {WHERE}?starttls=smtp on this port, or implicit TLS on "
            "port 465",
        )

    def test_nobody_knows_them(self) -> None:
        """Bytes of no protocol that is known are shown, and the port is doubted."""
        for side, peer in ((Side.CLIENT, "server"), (Side.SERVER, "client")):
            error = handshake_failure(
                attempt(ssl_error("wrong version number"), b"\x99" * 64, side=side)
            )
            self.well_said(error)
            self.assertEqual(error.cause, "plaintext-peer")
            self.assertIn(f"but the {peer} does not speak it: it sent b'\\x99", str(error))
            self.assertIn("right port", error.remedy)

    def test_where_tls_was_to_begin(self) -> None:
        """After the go-ahead for TLS, plain text is an attack or a fault, and not a wrong port."""
        for side, peer in ((Side.CLIENT, "server"), (Side.SERVER, "client")):
            error = handshake_failure(
                attempt(
                    ssl_error("wrong version number"), b"250 ok\r\n", side=side, is_upgrade=True
                )
            )
            self.well_said(error)
            self.assertEqual(error.cause, "plaintext-peer")
            self.assertIn(f"the {peer} sent plain text b'250 ok\\r\\n' where", str(error))
            self.assertIn("None of it was delivered", error.remedy)

    def test_bytes_that_are_tls(self) -> None:
        """TLS of a version that OpenSSL does not have is not taken for plain text."""
        error = handshake_failure(
            attempt(ssl_error("wrong version number"), b"\x16\x03\x09\x00\x05hello")
        )
        self.assertEqual(self.well_said(error).cause, "no-common-version")


class AlertTests(DiagnosisTestCase):
    """What the peer says when it ends a handshake."""

    def test_each_alert_is_told(self) -> None:
        """Whatever alert answers a hello, its name and number are in the message."""
        for alert in ALERTS:
            if alert.number not in (0, 90):
                error = self.well_said(told(alert.number))
                self.assertIn(f"the alert {alert.name!r} ({alert.number})", str(error))
                self.assertIs(error.permanent, alert.number != 80)

    def test_the_words_of_both_openssls(self) -> None:
        """OpenSSL 3 and 4 word alerts differently, and come to the same."""
        for words in ("sslv3 alert", "tls alert", "tlsv1 alert", "tlsv13 alert"):
            for name, number in NUMBERS.items():
                error = handshake_failure(attempt(ssl_error(f"{words} {name}")))
                if number:
                    self.assertIn(f"({number})", str(error))

    def test_causes(self) -> None:
        """Alerts that mean the same as a diagnosis of our own have its cause."""
        for number, cause in (
            (40, "no-common-cipher"), (70, "no-common-version"), (71, "no-common-cipher"),
            (80, "peer-alert"), (112, "peer-alert"), (116, "client-certificate-required"),
            (120, "no-common-protocol"), (47, "peer-alert"), (48, "client-certificate-required"),
        ):  # fmt: skip
            self.assertEqual(told(number).cause, cause, number)

    def test_a_refused_certificate_of_ours(self) -> None:
        """An alert about certificates is about ours, or about there being none."""
        ours = client(local_cert=certificates.client())
        for number in (42, 43, 44, 45, 46, 48):
            without, having = told(number), told(number, ours)
            self.assertEqual(without.cause, "client-certificate-required")
            self.assertIn("local_cert=FILE", without.remedy)
            self.assertEqual(having.cause, "peer-alert")
            self.assertIn("the peer refused our certificate", str(having))
            self.assertIn("authority of local_cert", having.remedy)

    def test_a_server_s_certificate_that_is_refused(self) -> None:
        """A server hears what its client held against it."""
        meeting = meet(TLSPolicy(peer_name=NAME))
        error = self.well_said(meeting.server.explained())
        self.assertEqual(error.cause, "peer-alert")
        self.assertIn("the client refused our certificate", str(error))
        self.assertIn("'unknown ca' (48)", str(error))

    def test_a_server_whose_name_is_refused(self) -> None:
        """A name check that fails in a callback arrives as an internal error, and that is told."""
        error = meet(client(peer_name="other.example")).server.explained()
        self.well_said(error)
        self.assertIn("'internal error' (80)", str(error))
        self.assertIn("check of our name", error.remedy)

    def test_alpn_of_twisted(self) -> None:
        """An internal error after an offer of protocols may be Twisted's answer to it."""
        self.assertIn("without alpn_protocols", told(80, client(alpn_protocols="h2")).remedy)
        self.assertNotIn("alpn_protocols", told(80).remedy)

    def test_a_client_certificate_that_is_missed(self) -> None:
        """Before TLS 1.3 a missing certificate is a handshake failure; who asked is remembered."""
        asking = server(verify_peer=Verify.YES, cafile=certificates.cafile())
        meeting = meet(client(max_version="1.2"), asking)
        error = self.well_said(meeting.client.explained())
        self.assertEqual(error.cause, "client-certificate-required")
        self.assertIn("(40)", str(error))
        self.assertIn("local_cert", told(40).remedy)

    def test_a_peer_that_begins_with_an_alert(self) -> None:
        """A client that has nothing to offer says so with an alert, which OpenSSL cannot read."""
        for number, cause in ((70, "no-common-version"), (40, "no-common-cipher")):
            end = arranged().server
            end.hear(record(number))
            error = self.well_said(end.explained())
            self.assertEqual(error.cause, cause)
            self.assertIn(f"({number})", str(error))

    def test_an_alert_that_ends_nothing(self) -> None:
        """An alert that OpenSSL passes over is told when nothing follows it."""
        for number, name in ((90, "user canceled"), (112, "unrecognized name")):
            received = bytes((0x15, 3, 3, 0, 2, 1, number))
            error = self.well_said(handshake_failure(attempt(ConnectionLost(), received)))
            self.assertIn(name, str(error))

    def test_a_goodbye(self) -> None:
        """A close_notify is called a goodbye, in place of a hello and in answer to one."""
        goodbye = b"\x15\x03\x03\x00\x02\x01\x00"
        for side in (arranged().client, arranged().server):
            side.hear(b"")
            side.hear(goodbye)
            error = self.well_said(side.explained())
            self.assertEqual((error.cause, error.permanent), ("closed", False))
            self.assertIn("said goodbye", str(error))
        halfway = SSL.Error([("txtransport", "", CLOSE_NOTIFY)])
        error = self.well_said(handshake_failure(attempt(halfway, b"\x16\x03\x03\x00\x7a\x02")))
        self.assertEqual((error.cause, error.permanent), ("closed", False))


class LateTests(DiagnosisTestCase):
    """What a client hears after its own side of the handshake was over."""

    def late(self, end: End) -> HandshakeFailed | None:
        """What it is told."""
        assert end.error is not None
        side, received = end.conversation.side, end.conversation.first_bytes
        return late_failure(
            FailedConnection(WHERE, side, None, received, end.error, end.conversation)
        )

    def test_a_verdict_on_our_certificate(self) -> None:
        """In TLS 1.3 a server's no to a certificate, or to none, comes late and is explained."""
        asking = {"verify_peer": Verify.YES, "cafile": certificates.cafile()}
        alone = certificates.written("alone.pem", self_signed("x", purpose="client").pem)
        named = {"verify_peer_name": True, "peer_name": "other.example"}
        for protocol, options, cause in (
            (client(), {}, "client-certificate-required"),
            (client(local_cert=alone), {}, "peer-alert"),
            (client(local_cert=certificates.site()), {}, "peer-alert"),
            (client(local_cert=certificates.client()), named, "peer-alert"),
        ):
            meeting = meet(protocol, server(**asking, **options))
            self.assertTrue(meeting.client.is_secure)
            error = self.late(meeting.client)
            assert error is not None
            self.assertEqual(self.well_said(error).cause, cause)
            # The server is the judge, and hears nothing late.
            self.assertIsNone(self.late(meeting.server))

    def test_any_other_end(self) -> None:
        """What ends a conversation later than that is no verdict, and keeps its own name."""
        conversation = meet().client.conversation
        for error in (
            ConnectionDone(), ConnectionLost(), ssl_error("decryption failed or bad record mac"),
            ssl_error("tlsv1 alert internal error"), ssl_error("tls alert unexpected message"),
            ssl_error("tlsv1 alert record overflow"), SSL.ZeroReturnError(), RuntimeError("x"),
        ):  # fmt: skip
            for connection in (conversation, None):
                self.assertIsNone(late_failure(attempt(error, connection=connection)))


class ReasonTests(DiagnosisTestCase):
    """OpenSSL's own reasons."""

    def test_each_row(self) -> None:
        """Each reason in the table comes to its diagnosis, as the last of several errors."""
        for reason, diagnosis in OF_REASON.items():
            for side in Side:
                error = self.well_said(handshake_failure(attempt(ssl_error(reason), side=side)))
                self.assertEqual((error.cause, error.remedy), (diagnosis.cause, diagnosis.remedy))
                self.assertIn(diagnosis.summary, str(error))

    def test_a_reason_that_is_not_in_the_table(self) -> None:
        """What the table does not know keeps its original words."""
        error = self.well_said(handshake_failure(attempt(ssl_error("bad flux capacitor"))))
        self.assertEqual(error.cause, "other")
        self.assertEqual(str(error), f"{WHERE}: the TLS handshake failed: bad flux capacitor")

    def test_an_echo(self) -> None:
        """A server that sends our own hello back is not taken for one that speaks in the clear."""
        end = arranged().client
        end.hear(end.hear(b""))
        error = self.well_said(end.explained())
        self.assertEqual(error.cause, "other")
        self.assertIn("unexpected message", str(error))

    def test_both_sides_of_each_disagreement(self) -> None:
        """Versions, ciphers and certificates that do not fit are told on both sides."""
        asking = server(verify_peer=Verify.YES, cafile=certificates.cafile())
        aes128, aes256 = "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"
        for policies, cause in (
            ((client(min_version="1.3"), server(max_version="1.2")), "no-common-version"),
            ((client(max_version="1.2"), server(min_version="1.3")), "no-common-version"),
            ((client(ciphers=aes128, max_version="1.2"), server(ciphers=aes256)),
             "no-common-cipher"),
            ((client(max_version="1.2"), asking), "client-certificate-required"),
            ((client(), asking), "client-certificate-required"),
        ):  # fmt: skip
            meeting = meet(*policies)
            for end in (meeting.client, meeting.server):
                self.assertEqual(self.well_said(end.explained()).cause, cause)


class EndTests(DiagnosisTestCase):
    """Connections that end without a word."""

    def test_without_a_byte(self) -> None:
        """A peer that closes at once may be better tomorrow."""
        for ending in (
            ConnectionDone(), ConnectionLost(), ConnectionResetError(104, "reset"),
            SSL.SysCallError(-1, "Unexpected EOF"), SSL.ZeroReturnError(),
        ):  # fmt: skip
            error = self.well_said(handshake_failure(attempt(ending)))
            self.assertEqual((error.cause, error.permanent), ("closed", False))
            self.assertIn("without a byte of TLS", str(error))
            self.assertIn("firewall", error.remedy)

    def test_on_a_server(self) -> None:
        """Health checks and port scans are called what they are."""
        error = self.well_said(handshake_failure(attempt(ConnectionDone(), side=Side.SERVER)))
        self.assertIn("Health checks", error.remedy)

    def test_in_the_middle(self) -> None:
        """A peer that closes halfway is told by how far it came."""
        for count, words in (
            (1, "after 1 byte"),
            (5, "after 5 bytes"),
            (MAX_FIRST_BYTES, "after more than 255 bytes"),
        ):
            error = handshake_failure(
                attempt(ConnectionLost(), (b"\x16\x03\x03" + b"\x00" * MAX_FIRST_BYTES)[:count])
            )
            self.assertEqual(self.well_said(error).cause, "closed")
            self.assertIn(f"during the TLS handshake, {words}. ", str(error))

    def test_a_fault_of_our_own(self) -> None:
        """An error in our own code is not blamed on the peer."""
        for fault in (RuntimeError("boom"), KeyError("x"), TypeError()):
            error = self.well_said(handshake_failure(attempt(fault)))
            self.assertEqual(error.cause, "other")
            self.assertIn(type(fault).__name__, str(error))


class HintTests(DiagnosisTestCase):
    """What a peer said that then fell silent."""

    def test_a_few_bytes_may_be_enough(self) -> None:
        """One byte is enough to know PostgreSQL, four are for SMTP."""
        self.assertIn(f"{WHERE}?starttls=postgres", timeout_hint(b"N", Side.CLIENT, 5432, WHERE))
        self.assertIn(f"{WHERE}?starttls=postgres", timeout_hint(b"S", Side.CLIENT, None, WHERE))
        self.assertIn("starttls=smtp", timeout_hint(b"220 ", Side.CLIENT, 587, WHERE))
        self.assertIn("starttls=ftp", timeout_hint(b"220 ", Side.CLIENT, 21, WHERE))
        self.assertIn("no proxy", timeout_hint(b"\x05\x01\x00", Side.SERVER, 443, WHERE))

    def test_silence_hints_at_nothing(self) -> None:
        """Nothing, TLS and rubbish give no hint."""
        for received in (b"", b"\x16", b"\x16\x03\x01", b"\x99"):
            for side in Side:
                self.assertEqual(timeout_hint(received, side, None, WHERE), "")


class _Unspeakable(Exception):
    """An error that cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class _Rude(Exception):
    def __repr__(self) -> str:
        return "\x1b[2J\r\n" * 500


ERRORS: Final = st.one_of(
    st.sampled_from(
        [
            ConnectionDone(), ConnectionLost(), SSL.ZeroReturnError(), SSL.WantReadError(),
            SSL.SysCallError(-1, "Unexpected EOF"), SSL.SysCallError(104, "ECONNRESET"),
            SSL.Error(), SSL.Error([]), SSL.Error([()]), SSL.Error([""]), SSL.Error(None),
            SSL.Error({}), SSL.Error([("a", "b", None)]), SSL.Error("text"), _Unspeakable(),
            _Rude(), KeyboardInterrupt(), socket.gaierror(-2, "x"), IndexError("tuple index"),
        ]
    ),
    st.text(max_size=5000).map(ssl_error),
    st.text(max_size=5000).map(RuntimeError),
    st.sampled_from([*OF_REASON, *(f"tlsv1 alert {name}" for name in NUMBERS)]).map(ssl_error),
)  # fmt: skip


class AnythingTests(DiagnosisTestCase):
    """There is an answer to everything."""

    @settings(deadline=None, max_examples=300)
    @given(
        ERRORS, st.binary(max_size=64), st.sampled_from(Side), st.none() | st.integers(0, 65535),
        st.booleans(), st.booleans(),
    )  # fmt: skip
    @example(_Unspeakable(), b"", Side.CLIENT, None, False, False)
    @example(_Rude(), b"", Side.CLIENT, None, False, False)
    @example(ssl_error("\x1b[2J\n" * 999), b"", Side.CLIENT, None, False, False)
    @example(SSL.Error([]), b"\x15\x03\x03\x00\x02\x02\xff", Side.SERVER, None, False, True)
    def test_whatever_happened(
        self,
        error: BaseException,
        received: bytes,
        side: Side,
        port: int | None,
        is_upgrade: bool,
        has_connection: bool,
    ) -> None:
        """Whatever a peer sends and whatever breaks, there is a bounded, printable answer."""
        meeting = arranged(client(alpn_protocols="h2"))
        end = meeting.client if side is Side.CLIENT else meeting.server
        tried = FailedConnection(
            WHERE, side, port, received, error,
            end.conversation if has_connection else None, is_upgrade,
        )  # fmt: skip
        explained = self.well_said(handshake_failure(tried))
        self.assertTrue(str(explained).startswith(f"{WHERE}: "))
        late = late_failure(tried)
        if late is not None:
            self.well_said(late)
        self.assertLess(len(timeout_hint(received, side, port, WHERE)), 200)

    @settings(deadline=None, max_examples=100)
    @given(st.binary(min_size=1, max_size=300), st.sampled_from(Side))
    def test_whatever_arrives(self, data: bytes, side: Side) -> None:
        """Any bytes, given to OpenSSL in place of a handshake, come to an answer."""
        meeting = arranged()
        end = meeting.client if side is Side.CLIENT else meeting.server
        end.hear(b"")
        end.hear(data)
        if end.error is None:
            end.error = SSL.SysCallError(-1, "Unexpected EOF")
        self.well_said(end.explained())
