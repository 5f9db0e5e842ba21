"""Errors of failed handshakes say what happened, whose fault it is, and what to do."""

from __future__ import annotations

import re
import socket
from datetime import datetime, timedelta, timezone
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from tests.diagnosis.test_alerts import WORDINGS
from tests.diagnosis.test_banners import CLIENTS, SERVERS
from tests.tls.handshake import NAME, End, arranged, client, meet, server
from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.diagnosis.alerts import ALERTS
from txtransport.diagnosis.openssl_errors import OF_REASON
from txtransport.diagnosis.x509_errors import OF_CAUSE
from txtransport.errors import CAUSES, FAULTS, HandshakeFailed
from txtransport.testing.devcert import Authority, Issued, self_signed
from txtransport.tls.connection import (
    CLOSE_NOTIFY,
    MAX_FIRST_BYTES,
    CertificateProblem,
    TLSConnection,
)
from txtransport.tls.failure import FailedConnection, handshake_failure, late_failure, timeout_hint
from txtransport.tls.verification import verify_after_handshake

WHERE: Final = "tls://peer.example:1234"
LONGEST_MESSAGE: Final = 2500
OPENINGS: Final = {Side.CLIENT: SERVERS, Side.SERVER: CLIENTS}
NUMBERS: Final = {alert.name: alert.number for alert in ALERTS}


def ssl_error(reason: str) -> SSL.Error:
    """OpenSSL's error with that reason, as pyOpenSSL raises it."""
    return SSL.Error([("SSL routines", "", "an earlier one"), ("SSL routines", "", reason)])


def failed(
    error: BaseException,
    received: bytes = b"",
    *,
    side: Side = Side.CLIENT,
    port: int | None = None,
    connection: TLSConnection | None = None,
    is_upgrade: bool = False,
    is_reset: bool = False,
) -> FailedConnection:
    """A connection that failed with that error; a client's unless the test says otherwise."""
    return FailedConnection(WHERE, side, port, received, error, connection, is_upgrade, is_reset)


def record(number: int) -> bytes:
    """The record of a fatal alert."""
    return bytes((0x15, 3, 3, 0, 2, 2, number))


def error_after_alert(number: int, policy: TLSPolicy | None = None) -> HandshakeFailed:
    """The error of a client whose ClientHello is answered with that alert."""
    end = arranged(policy).client
    end.hear(b"")
    end.hear(record(number))
    return end.explained()


def _without_intermediates(issued: Issued) -> bytes:
    """A PEM file of a key and its certificate, without the authorities above it."""
    return Issued(issued.certificate, issued.key).pem


class DiagnosisTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def checked(self, error: HandshakeFailed) -> HandshakeFailed:
        """The same error, after what must hold for every error has been asserted."""
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
    """The errors for refused certificates."""

    def test_a_refused_certificate_is_described(self) -> None:
        """Subject, issuer, names and dates are in the message: enough to find the certificate."""
        error = self.checked(meet(client(peer_name="other.example")).client.explained())
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
        """A user can search for OpenSSL's name and number of the error."""
        foreign = certificates.issued("foreign.pem", NAME, by=Authority.create("a stranger"))
        error = self.checked(meet(None, server(local_cert=foreign)).client.explained())
        reason = "X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY (20)"
        self.assertIn(reason, str(error))
        self.assertIn(
            f"against certificate 0: its issuer is not known here, {reason}", error.evidence
        )
        self.assertIn("cafile=FILE", error.remedy)

    def test_the_summary_is_the_short_form_of_the_text(self) -> None:
        """The summary has the reason alone; the error's text has the certificate's details, too."""
        error = self.checked(meet(client(peer_name="other.example")).client.explained())
        self.assertTrue(error.summary.endswith("not for other.example"), error.summary)
        self.assertTrue(str(error).startswith(f"{error.summary} (subject 'CN=localhost'"))

    def test_a_refused_certificate_leaves_no_bytes_in_the_evidence(self) -> None:
        """A hello came as it should: its bytes explain nothing, on either side."""
        strange = certificates.issued("strange.pem", NAME, by=Authority.create("a stranger"))
        asking = server(verify_peer=Verify.YES, cafile=certificates.cafile())
        for error in (
            meet(None, server(local_cert=strange)).client.explained(),
            meet(client(local_cert=strange), asking).server.explained(),
        ):
            self.assertNotIn("\\x", "\n".join(self.checked(error).evidence))
            self.assertTrue(error.received.startswith(b"\x16\x03"))

    def test_bytes_that_tell_something_are_in_the_evidence(self) -> None:
        """An alert is told in words, and what is neither hello nor alert in bytes."""
        self.assertIn(
            "the server sent the alert 'handshake failure' (40)", error_after_alert(40).evidence
        )
        for said in (b"220 a ESMTP\r\n", b"\x16\x03\x09\x00\x05hello", b"\x17\x03\x03\x00\x01a"):
            error = handshake_failure(failed(ssl_error("wrong version number"), said))
            self.assertIn(f"the server sent {said!r}", self.checked(error).evidence)

    def test_an_authority_is_told_from_the_leaf(self) -> None:
        """When an authority's certificate is refused and not the leaf, the message says so."""
        root = Authority.create("a stranger")
        path = certificates.written("shown.pem", root.issue(NAME).pem + root.pem)
        error = self.checked(meet(None, server(local_cert=path)).client.explained())
        self.assertIn("certificate (an authority, depth 1) was refused", str(error))
        self.assertIn("subject 'CN=a stranger'", str(error))

    def test_a_server_names_the_client_s_certificate(self) -> None:
        """On a server the message calls the refused certificate the client's."""
        path = certificates.written("client.pem", self_signed("x", purpose="client").pem)
        asking = server(verify_peer=Verify.YES, cafile=certificates.cafile())
        meeting = meet(client(local_cert=path), asking)
        error = self.checked(meeting.server.explained())
        self.assertIn("the client's certificate was refused", str(error))

    def test_unreadable_names_are_told_as_unreadable(self) -> None:
        """A certificate whose names cannot be decoded is refused with a readable message."""
        path = certificates.written("mislabelled.pem", certificates.mislabelled().pem)
        error = self.checked(meet(None, server(local_cert=path)).client.explained())
        self.assertEqual(error.cause, "self-signed")
        self.assertIn("subject unreadable, issuer unreadable", str(error))

    def test_the_remedy_for_a_missing_intermediate_has_its_url(self) -> None:
        """If the leaf has the URL of its issuer's certificate, the peer should have sent that."""
        url = "http://ca.example/between.crt"
        between = certificates.authority().intermediate()
        leaf = between.issue(NAME, issuer_place=url)
        alone = certificates.written("alone.pem", _without_intermediates(leaf))
        error = self.checked(meet(client(), server(local_cert=alone)).client.explained())
        self.assertEqual((error.cause, error.fault), ("unknown-issuer", "peer"))
        self.assertIn(url, error.remedy)
        nowhere = certificates.written("nowhere.pem", _without_intermediates(between.issue(NAME)))
        error = self.checked(meet(client(), server(local_cert=nowhere)).client.explained())
        self.assertEqual((error.cause, error.fault), ("unknown-issuer", "ours"))
        self.assertIn("cafile", error.remedy)

    def test_a_wrong_intermediate_is_the_remedy(self) -> None:
        """A peer that sends another authority than its own is told which one is missing."""
        issuer, other = (certificates.authority().intermediate(name) for name in ("below", "other"))
        made = issuer.issue(NAME)
        path = certificates.written(
            "wrong-issuer.pem", Issued(made.certificate, made.key, (other.certificate,)).pem
        )
        error = self.checked(meet(client(), server(local_cert=path)).client.explained())
        self.assertEqual((error.cause, error.fault), ("unknown-issuer", "peer"))
        self.assertIn(
            "The peer sends 'CN=other', which issued none of its certificates: 'CN=below' belongs",
            error.remedy,
        )

    def test_the_evidence_has_names_protocols_and_certificates(self) -> None:
        """The evidence has what was asked for, each certificate, and what is wrong with it."""
        error = meet(client(peer_name="other.example", alpn_protocols=("h2",))).client.explained()
        evidence = "\n".join(self.checked(error).evidence)
        for fact in ("asked for the name b'other.example' (SNI)", "'h2' (ALPN)", "certificate 0:",
                     "certificate 1:", "against certificate 0: it is for localhost"):  # fmt: skip
            self.assertIn(fact, evidence)

    def test_the_present_time_is_told_where_dates_decide(self) -> None:
        """An error about dates has the present time of this machine, whose clock may be wrong."""
        past = datetime(2020, 1, 1, tzinfo=timezone.utc)
        old = certificates.issued(
            "old-time.pem", NAME, not_before=past, not_after=past.replace(day=2)
        )
        error = self.checked(meet(client(), server(local_cert=old)).client.explained())
        self.assertIn(f"now it is {datetime.now(timezone.utc):%Y-}", str(error))
        self.assertIn("it has expired, on 2020-01-02 00:00 UTC, and now", error.summary)
        begins = datetime.now(timezone.utc) + timedelta(days=9)
        early = certificates.issued("early-time.pem", NAME, not_before=begins)
        error = self.checked(meet(client(), server(local_cert=early)).client.explained())
        self.assertIn(
            f"it is not valid yet, but from {begins:%Y-%m-%d %H:%M} UTC, and", error.summary
        )

    def test_hostile_text_in_a_certificate_is_escaped(self) -> None:
        """Names in an untrusted certificate are escaped, and their number is bounded."""
        names = [x509.DNSName(f"{'x' * 200}\n\x1b[2J{number}") for number in range(500)]
        loud = certificates.issued("loud.pem", common_name="\r\n\x1b[2J", alternative_names=names)
        self.checked(meet(None, server(local_cert=loud)).client.explained())

    def test_any_certificate_of_a_peer_is_explained(self) -> None:
        """A certificate that cannot be read in part has an error like every other one."""
        for what, certificate in certificates.hostile():
            for cause in ("expired", "wrong-name"):
                end = arranged().client
                problem = CertificateProblem(OF_CAUSE[cause], 10, 0, certificate)
                end.conversation.verification.problems.append(problem)
                end.conversation.verification.shown[0] = certificate.public_bytes(Encoding.DER)
                end.error = ssl_error("certificate verify failed")
                error = self.checked(end.explained())
                self.assertEqual(error.cause, cause, what)
                self.assertTrue(repr(end.conversation.verification).isprintable(), what)

    def test_a_missing_certificate_is_told(self) -> None:
        """The error for a peer without any certificate describes none."""
        end = arranged().client
        verify_after_handshake(end.conversation)
        end.error = ssl_error("the peer is not acceptable")
        error = self.checked(end.explained())
        self.assertEqual(error.cause, "other")
        self.assertIn("refused: the peer showed no certificate at all", str(error))


class PlaintextTests(DiagnosisTestCase):
    """The errors for peers that do not speak TLS."""

    def test_a_server_in_plain_text_is_named(self) -> None:
        """A server that answers in another protocol is named, and its first bytes are quoted."""
        for name, greetings in SERVERS.items():
            for greeting in greetings:
                end = arranged().client
                end.hear(b"")
                end.hear(greeting)
                if end.error is None:  # Fewer than five bytes: OpenSSL waits for more.
                    end.error = SSL.SysCallError(-1, "Unexpected EOF")
                error = self.checked(end.explained())
                self.assertEqual((error.cause, error.permanent), ("plaintext-peer", True))
                self.assertIn(f" {name} ", str(error))
                self.assertIn(repr(greeting[:20])[:-1], str(error))
                self.assertEqual(error.received, greeting[:64])

    def test_a_client_in_plain_text_is_named(self) -> None:
        """A client that begins in another protocol is named."""
        for name, openings in CLIENTS.items():
            for opening in openings:
                end = arranged().server
                end.hear(opening)
                if end.error is None:
                    end.error = SSL.SysCallError(-1, "Unexpected EOF")
                error = self.checked(end.explained())
                self.assertEqual(error.cause, "plaintext-peer")
                self.assertRegex(str(error), rf" {re.escape(name)}[ :]")

    def test_the_error_has_the_url_that_works(self) -> None:
        """For a mail server's port without TLS, the message has the URL to use instead."""
        greeting = b"220 mx1.example.org ESMTP Postfix\r\n"
        error = handshake_failure(failed(ssl_error("wrong version number"), greeting, port=587))
        self.assertEqual(
            str(error),
            f"{WHERE}: expected a TLS handshake, but the peer is a plain-text SMTP server: it sent "
            f"{greeting!r}. Use {WHERE}?starttls=smtp on this port, or implicit TLS on "
            "port 465",
        )

    def test_unknown_plain_text_is_quoted(self) -> None:
        """Bytes of no known protocol are quoted, with the question whether the port is right."""
        for side, peer in ((Side.CLIENT, "server"), (Side.SERVER, "client")):
            error = handshake_failure(
                failed(ssl_error("wrong version number"), b"\x99" * 64, side=side)
            )
            self.checked(error)
            self.assertEqual(error.cause, "plaintext-peer")
            self.assertIn(f"but the {peer} does not speak it: it sent b'\\x99", str(error))
            self.assertIn("right port", error.remedy)

    def test_plain_text_after_the_go_ahead_is_blamed_on_someone_between(self) -> None:
        """After the go-ahead for TLS, plain text is an attack or a bug, not a wrong port."""
        for side, peer in ((Side.CLIENT, "server"), (Side.SERVER, "client")):
            error = handshake_failure(
                failed(ssl_error("wrong version number"), b"250 ok\r\n", side=side, is_upgrade=True)
            )
            self.checked(error)
            self.assertEqual(error.cause, "plaintext-peer")
            self.assertIn(f"the {peer} sent plain text b'250 ok\\r\\n' where", str(error))
            self.assertIn("None of it was delivered", error.remedy)

    def test_tls_of_an_unknown_version_is_not_plain_text(self) -> None:
        """TLS of a version that OpenSSL does not have is not taken for plain text."""
        error = handshake_failure(
            failed(ssl_error("wrong version number"), b"\x16\x03\x09\x00\x05hello")
        )
        self.assertEqual(self.checked(error).cause, "no-common-version")


class AlertTests(DiagnosisTestCase):
    """The errors for alerts by which a peer ends a handshake."""

    def test_each_alert_is_told_with_name_and_number(self) -> None:
        """The name and the number of the peer's alert are in the message."""
        for alert in ALERTS:
            if alert.number not in (0, 90):
                error = self.checked(error_after_alert(alert.number))
                self.assertIn(f"the alert {alert.name!r} ({alert.number})", str(error))
                self.assertIs(error.permanent, alert.number != 80)

    def test_alerts_are_read_in_the_words_of_every_openssl(self) -> None:
        """Releases of OpenSSL have different words for an alert; the error is the same."""
        for words in WORDINGS:
            for name, number in NUMBERS.items():
                error = handshake_failure(failed(ssl_error(f"{words} {name}")))
                if number:
                    self.assertIn(f"({number})", str(error))

    def test_an_alert_has_the_cause_of_what_it_means(self) -> None:
        """An alert has the same cause as our own diagnosis of the same problem."""
        for number, cause in (
            (40, "no-common-cipher"), (70, "no-common-version"), (71, "no-common-cipher"),
            (80, "peer-alert"), (112, "peer-alert"), (116, "client-certificate-required"),
            (120, "no-common-protocol"), (47, "peer-alert"), (48, "client-certificate-required"),
        ):  # fmt: skip
            self.assertEqual(error_after_alert(number).cause, cause, number)

    def test_an_alert_about_certificates_is_about_ours(self) -> None:
        """An alert about certificates means ours or, if we have none, that one is missing."""
        ours = client(local_cert=certificates.client())
        for number in (42, 43, 44, 45, 46, 48):
            without, having = error_after_alert(number), error_after_alert(number, ours)
            self.assertEqual(without.cause, "client-certificate-required")
            self.assertIn("local_cert=FILE", without.remedy)
            self.assertEqual(having.cause, "peer-alert")
            self.assertIn("the peer refused our certificate", str(having))
            self.assertIn("authority of local_cert", having.remedy)

    def test_a_server_is_told_why_a_client_refused_it(self) -> None:
        """A server's error names the alert by which its client refused the certificate."""
        meeting = meet(TLSPolicy(peer_name=NAME))
        error = self.checked(meeting.server.explained())
        self.assertEqual(error.cause, "peer-alert")
        self.assertIn("the client refused our certificate", str(error))
        self.assertIn("'unknown ca' (48)", str(error))

    def test_an_internal_error_may_be_a_refused_name(self) -> None:
        """A client whose name check fails sends "internal error"; the remedy says so."""
        error = meet(client(peer_name="other.example")).server.explained()
        self.checked(error)
        self.assertIn("'internal error' (80)", str(error))
        self.assertIn("check of our name", error.remedy)

    def test_an_internal_error_may_be_twisted_s_answer_to_alpn(self) -> None:
        """A Twisted server without protocols answers ALPN by that alert; the remedy says so."""
        self.assertIn(
            "without alpn_protocols", error_after_alert(80, client(alpn_protocols="h2")).remedy
        )
        self.assertNotIn("alpn_protocols", error_after_alert(80).remedy)

    def test_a_handshake_failure_may_be_a_missing_client_certificate(self) -> None:
        """In TLS 1.2 a server that asked for a certificate and got none sends that alert."""
        asking = server(verify_peer=Verify.YES, cafile=certificates.cafile())
        meeting = meet(client(max_version="1.2"), asking)
        error = self.checked(meeting.client.explained())
        self.assertEqual(error.cause, "client-certificate-required")
        self.assertIn("(40)", str(error))
        self.assertIn("local_cert", error_after_alert(40).remedy)

    def test_an_alert_in_place_of_a_hello_is_told(self) -> None:
        """A client without anything to offer begins with an alert, which OpenSSL cannot read."""
        for number, cause in ((70, "no-common-version"), (40, "no-common-cipher")):
            end = arranged().server
            end.hear(record(number))
            error = self.checked(end.explained())
            self.assertEqual(error.cause, cause)
            self.assertIn(f"({number})", str(error))

    def test_an_alert_without_a_name_is_told_by_its_number(self) -> None:
        """An alert that TLS does not have is told as one, and not as an error of OpenSSL."""
        error = self.checked(error_after_alert(255))
        self.assertEqual(error.cause, "peer-alert")
        self.assertIn("ended the handshake with the alert 'unknown' (255)", str(error))

    def test_a_warning_alert_is_told_where_nothing_follows(self) -> None:
        """An alert that OpenSSL ignores is told when the connection ends after it."""
        for number, name in ((90, "user canceled"), (112, "unrecognized name")):
            received = bytes((0x15, 3, 3, 0, 2, 1, number))
            error = self.checked(handshake_failure(failed(ConnectionLost(), received)))
            self.assertIn(name, str(error))

    def test_a_reset_is_told_from_a_close(self) -> None:
        """TCP's two ends have other reasons: a server that closes, and a firewall that resets."""
        for side in Side:
            for received, after in ((b"", "without a byte"), (b"\x16\x03\x03", "after 3 bytes")):
                closed, reset = (
                    self.checked(
                        handshake_failure(
                            failed(ConnectionLost(), received, side=side, is_reset=is_reset)
                        )
                    )
                    for is_reset in (False, True)
                )
                self.assertEqual((closed.cause, reset.cause), ("closed", "closed"))
                self.assertIn("the peer closed the connection", closed.summary)
                self.assertIn("the connection was reset (RST)", reset.summary)
                self.assertIn(after, closed.summary)
                self.assertIn(after, reset.summary)
                self.assertNotEqual(closed.remedy, reset.remedy)
                self.assertNotIn("RST", "".join(closed.evidence))
                self.assertIn("ECONNRESET", "".join(reset.evidence))

    def test_a_close_notify_in_place_of_a_handshake_is_told(self) -> None:
        """A close_notify is told as a goodbye, in place of a hello and in answer to one."""
        goodbye = b"\x15\x03\x03\x00\x02\x01\x00"
        for side in (arranged().client, arranged().server):
            side.hear(b"")
            side.hear(goodbye)
            error = self.checked(side.explained())
            self.assertEqual((error.cause, error.permanent), ("closed", False))
            self.assertIn("said goodbye", str(error))
        halfway = SSL.Error([("txtransport", "", CLOSE_NOTIFY)])
        error = self.checked(handshake_failure(failed(halfway, b"\x16\x03\x03\x00\x7a\x02")))
        self.assertEqual((error.cause, error.permanent), ("closed", False))


class LateRefusalTests(DiagnosisTestCase):
    """Refusals that a client receives when its own handshake is complete already."""

    def late(self, end: End) -> HandshakeFailed | None:
        """The error of that side, if its end is a late refusal."""
        assert end.error is not None
        side, received = end.conversation.side, end.conversation.first_bytes
        return late_failure(
            FailedConnection(WHERE, side, None, received, end.error, end.conversation)
        )

    def test_a_refused_client_certificate_is_explained_late(self) -> None:
        """In TLS 1.3 a server's refusal of the client's certificate comes late; it is explained."""
        asking = {"verify_peer": Verify.YES, "cafile": certificates.cafile()}
        untrusted = certificates.written("alone.pem", self_signed("x", purpose="client").pem)
        named = {"verify_peer_name": True, "peer_name": "other.example"}
        for client_policy, options, cause in (
            (client(), {}, "client-certificate-required"),
            (client(local_cert=untrusted), {}, "peer-alert"),
            (client(local_cert=certificates.site()), {}, "peer-alert"),
            (client(local_cert=certificates.client()), named, "peer-alert"),
        ):
            meeting = meet(client_policy, server(**asking, **options))
            self.assertTrue(meeting.client.is_secure)
            error = self.late(meeting.client)
            assert error is not None
            self.assertEqual(self.checked(error).cause, cause)
            # The server has refused, so nothing comes late to it.
            self.assertIsNone(self.late(meeting.server))

    def test_a_late_refusal_is_known_in_the_words_of_every_openssl(self) -> None:
        """With every release of OpenSSL a client is told that its certificate was refused."""
        secured = meet(client(local_cert=certificates.client())).client.conversation
        for words in WORDINGS:
            refused = ssl_error(f"{words} bad certificate")
            error = late_failure(failed(refused, connection=secured))
            assert error is not None, words
            self.assertIn("the peer refused our certificate", str(self.checked(error)))

    def test_any_other_end_is_no_late_refusal(self) -> None:
        """Any other end of a secured connection is not explained as a refusal."""
        secured = meet().client.conversation
        for error in (
            ConnectionDone(), ConnectionLost(), ssl_error("decryption failed or bad record mac"),
            ssl_error("tlsv1 alert internal error"), ssl_error("tls alert unexpected message"),
            ssl_error("tlsv1 alert record overflow"), SSL.ZeroReturnError(), RuntimeError("x"),
        ):  # fmt: skip
            for connection in (secured, None):
                self.assertIsNone(late_failure(failed(error, connection=connection)))


class ReasonTests(DiagnosisTestCase):
    """The errors for OpenSSL's own reasons."""

    def test_each_reason_of_the_table_has_its_diagnosis(self) -> None:
        """Each reason of the table leads to its diagnosis, as the last of several errors."""
        for reason, diagnosis in OF_REASON.items():
            for side in Side:
                error = self.checked(handshake_failure(failed(ssl_error(reason), side=side)))
                self.assertEqual((error.cause, error.remedy), (diagnosis.cause, diagnosis.remedy))
                self.assertIn(diagnosis.summary, str(error))

    def test_an_unknown_reason_keeps_openssl_s_words(self) -> None:
        """A reason that is not in the table is shown in OpenSSL's words."""
        error = self.checked(handshake_failure(failed(ssl_error("bad flux capacitor"))))
        self.assertEqual(error.cause, "other")
        self.assertEqual(str(error), f"{WHERE}: the TLS handshake failed: bad flux capacitor")

    def test_an_echoed_hello_is_not_plain_text(self) -> None:
        """A server that sends our own ClientHello back is not said to speak plain text."""
        end = arranged().client
        end.hear(end.hear(b""))
        error = self.checked(end.explained())
        self.assertEqual(error.cause, "other")
        self.assertIn("unexpected message", str(error))

    def test_both_sides_are_told_what_does_not_fit(self) -> None:
        """Both sides' errors have the cause when versions, ciphers or certificates do not fit."""
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
                self.assertEqual(self.checked(end.explained()).cause, cause)


class ConnectionEndTests(DiagnosisTestCase):
    """The errors for connections that end without an alert."""

    def test_a_close_without_a_byte_may_pass(self) -> None:
        """A peer that closes at once may accept a later attempt."""
        for ending in (
            ConnectionDone(), ConnectionLost(), ConnectionResetError(104, "reset"),
            SSL.SysCallError(-1, "Unexpected EOF"), SSL.ZeroReturnError(),
        ):  # fmt: skip
            error = self.checked(handshake_failure(failed(ending)))
            self.assertEqual((error.cause, error.permanent), ("closed", False))
            self.assertIn("without a byte of TLS", str(error))
            self.assertIn("firewall", error.remedy)

    def test_a_server_is_told_of_health_checks(self) -> None:
        """On a server, such an end is told as a health check or a port scan."""
        error = self.checked(handshake_failure(failed(ConnectionDone(), side=Side.SERVER)))
        self.assertIn("Health checks", error.remedy)

    def test_a_close_halfway_tells_how_many_bytes_came(self) -> None:
        """If a peer closes during the handshake, the message has how many bytes it had sent."""
        for count, words in (
            (1, "after 1 byte"),
            (5, "after 5 bytes"),
            (MAX_FIRST_BYTES, "after more than 255 bytes"),
        ):
            error = handshake_failure(
                failed(ConnectionLost(), (b"\x16\x03\x03" + b"\x00" * MAX_FIRST_BYTES)[:count])
            )
            self.assertEqual(self.checked(error).cause, "closed")
            self.assertIn(f"during the TLS handshake, {words}. ", str(error))

    def test_an_error_in_our_code_is_not_blamed_on_the_peer(self) -> None:
        """An exception of our own code is shown by its class."""
        for fault in (RuntimeError("boom"), KeyError("x"), TypeError()):
            error = self.checked(handshake_failure(failed(fault)))
            self.assertEqual(error.cause, "other")
            self.assertIn(type(fault).__name__, str(error))


class TimeoutHintTests(DiagnosisTestCase):
    """What is said about a peer that has sent a little and then nothing."""

    def test_a_few_bytes_are_enough_for_a_hint(self) -> None:
        """One byte is enough to know PostgreSQL, four are for SMTP."""
        self.assertIn(f"{WHERE}?starttls=postgres", timeout_hint(b"N", Side.CLIENT, 5432, WHERE))
        self.assertIn(f"{WHERE}?starttls=postgres", timeout_hint(b"S", Side.CLIENT, None, WHERE))
        self.assertIn("starttls=smtp", timeout_hint(b"220 ", Side.CLIENT, 587, WHERE))
        self.assertIn("starttls=ftp", timeout_hint(b"220 ", Side.CLIENT, 21, WHERE))
        self.assertIn("no proxy", timeout_hint(b"\x05\x01\x00", Side.SERVER, 443, WHERE))

    def test_a_handshake_that_stops_may_be_a_matter_of_the_network(self) -> None:
        """A server whose handshake stops after its beginning may be behind a too narrow network."""
        self.assertIn("large packets", timeout_hint(b"\x16\x03\x03", Side.CLIENT, 443, WHERE))
        self.assertEqual(timeout_hint(b"\x16\x03\x01", Side.SERVER, 443, WHERE), "")

    def test_silence_and_unknown_bytes_give_no_hint(self) -> None:
        """No bytes, one byte of TLS and unknown bytes give no hint."""
        for received in (b"", b"\x16", b"\x17\x03\x01", b"\x99"):
            for side in Side:
                self.assertEqual(timeout_hint(received, side, None, WHERE), "")


class _Unprintable(Exception):
    """An exception that has neither a text nor a repr."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class _HostileRepr(Exception):
    """An exception whose repr would clear a terminal."""

    def __repr__(self) -> str:
        return "\x1b[2J\r\n" * 500


ERRORS: Final = st.one_of(
    st.sampled_from(
        [
            ConnectionDone(), ConnectionLost(), SSL.ZeroReturnError(), SSL.WantReadError(),
            SSL.SysCallError(-1, "Unexpected EOF"), SSL.SysCallError(104, "ECONNRESET"),
            SSL.Error(), SSL.Error([]), SSL.Error([()]), SSL.Error([""]), SSL.Error(None),
            SSL.Error({}), SSL.Error([("a", "b", None)]), SSL.Error("text"), _Unprintable(),
            _HostileRepr(),
            KeyboardInterrupt(), socket.gaierror(-2, "x"), IndexError("tuple index"),
        ]
    ),
    st.text(max_size=5000).map(ssl_error),
    st.text(max_size=5000).map(RuntimeError),
    st.sampled_from([*OF_REASON, *(f"tlsv1 alert {name}" for name in NUMBERS)]).map(ssl_error),
)  # fmt: skip


class AnyFailureTests(DiagnosisTestCase):
    """Every failure has an error, whatever the peer sent."""

    @settings(deadline=None, max_examples=300)
    @given(
        ERRORS, st.binary(max_size=64), st.sampled_from(Side), st.none() | st.integers(0, 65535),
        st.booleans(), st.booleans(),
    )  # fmt: skip
    @example(_Unprintable(), b"", Side.CLIENT, None, False, False)
    @example(_HostileRepr(), b"", Side.CLIENT, None, False, False)
    @example(ssl_error("\x1b[2J\n" * 999), b"", Side.CLIENT, None, False, False)
    @example(SSL.Error([]), b"\x15\x03\x03\x00\x02\x02\xff", Side.SERVER, None, False, True)
    def test_any_failure_has_a_bounded_printable_error(
        self,
        error: BaseException,
        received: bytes,
        side: Side,
        port: int | None,
        is_upgrade: bool,
        has_connection: bool,
    ) -> None:
        """Whatever a peer sends and whatever fails, the error is bounded and printable."""
        meeting = arranged(client(alpn_protocols="h2"))
        end = meeting.client if side is Side.CLIENT else meeting.server
        connection = FailedConnection(
            WHERE, side, port, received, error,
            end.conversation if has_connection else None, is_upgrade,
        )  # fmt: skip
        explained = self.checked(handshake_failure(connection))
        self.assertTrue(str(explained).startswith(f"{WHERE}: "))
        late = late_failure(connection)
        if late is not None:
            self.checked(late)
        self.assertLess(len(timeout_hint(received, side, port, WHERE)), 200)

    @settings(deadline=None, max_examples=100)
    @given(st.binary(min_size=1, max_size=300), st.sampled_from(Side))
    def test_any_bytes_in_place_of_a_handshake_have_an_error(self, data: bytes, side: Side) -> None:
        """Any bytes in place of a handshake lead to an error that is bounded and printable."""
        meeting = arranged()
        end = meeting.client if side is Side.CLIENT else meeting.server
        end.hear(b"")
        end.hear(data)
        if end.error is None:
            end.error = SSL.SysCallError(-1, "Unexpected EOF")
        self.checked(end.explained())
