"""The exceptions: their tree, their facts, and texts that are fit for a log."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any, Final

from twisted.trial.unittest import SynchronousTestCase

from tests import certificates
from txtransport import errors
from txtransport.errors import (
    AlreadySecure,
    BadCertificateFile,
    ConversationOver,
    Diagnosis,
    HandshakeFailed,
    InvalidOption,
    InvalidProxyHeader,
    InvalidTransport,
    MailNotSent,
    NegotiationError,
    NoChannelBinding,
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    PreAuthenticated,
    ProducerInTheWay,
    ProxyRefused,
    TLSNotOffered,
    TLSRefused,
    TransportError,
    TransportTimeout,
    TransportUnavailable,
    UpgradeError,
)

FLOOD: Final = b"\x1b[2J\r\n\0\xff" * 10_000
"""What a hostile peer sends to harm the reader of a log."""

WITH_PEER_TEXT: Final = (
    TransportTimeout("tls://h:1", "handshake", 10, FLOOD),
    TLSNotOffered(FLOOD),
    TLSRefused(FLOOD.decode("latin-1"), FLOOD),
    PlaintextInjected("tls://h:1", FLOOD),
)
"""Every error whose text quotes the peer."""


KINDS: Final = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)
]
"""Every exception of ours."""


class TreeTests(SynchronousTestCase):
    """The classes, and the tree in the module's docstring."""

    def test_one_name_catches_all(self) -> None:
        """``except TransportError`` catches whatever goes wrong here."""
        self.assertEqual([kind for kind in KINDS if not issubclass(kind, TransportError)], [])
        self.assertGreater(len(KINDS), 15)

    def test_the_tree_in_the_docstring_is_the_tree_of_classes(self) -> None:
        """The docstring names every exception, each below its parent."""
        lines = (errors.__doc__ or "").splitlines()
        drawn = {
            line.split("─ ")[-1].split()[0]: line.index("─ ") for line in lines if "─ " in line
        }
        drawn["TransportError"] = -1
        for kind in KINDS:
            if kind is not TransportError:
                parent = kind.__bases__[0].__name__
                self.assertGreater(drawn[kind.__name__], drawn[parent], kind)

    def test_bad_text_is_a_value_error(self) -> None:
        """Code that does not know this package catches bad URLs and options as ValueError."""
        for kind in (InvalidTransport, InvalidOption, BadCertificateFile):
            self.assertTrue(issubclass(kind, ValueError), kind)

    def test_a_refusal_is_told_from_a_breach(self) -> None:
        """A peer that refuses TLS is told apart from one that breaks the protocol's rules."""
        for kind in (TLSNotOffered, TLSRefused, PreAuthenticated, ProxyRefused):
            self.assertTrue(issubclass(kind, NegotiationError), kind)
            self.assertFalse(issubclass(kind, PeerMisbehaved), kind)
        self.assertTrue(issubclass(PlaintextInjected, PeerMisbehaved))

    def test_a_wrong_call_is_nobody_else_s_fault(self) -> None:
        """A wrong call of startTLS() is told apart from a failure of the peer."""
        for kind in (AlreadySecure, ConversationOver, ProducerInTheWay):
            self.assertTrue(issubclass(kind, UpgradeError), kind)
            self.assertFalse(issubclass(kind, NegotiationError), kind)


class FactsTests(SynchronousTestCase):
    """An exception has attributes for programs and a text for people."""

    def test_an_option_is_named(self) -> None:
        """A program can tell which option to ask for again."""
        error = InvalidOption("verify_depth", "verify_depth takes a number")
        self.assertEqual(
            (error.option, str(error)), ("verify_depth", "verify_depth takes a number")
        )

    def test_a_file_is_named(self) -> None:
        """The error for a bad file has the file and the option that names it."""
        error = BadCertificateFile("local_cert", "/etc/site.pem", "there is no such file")
        self.assertEqual((error.option, error.path), ("local_cert", "/etc/site.pem"))
        self.assertEqual(str(error), "local_cert=/etc/site.pem: there is no such file")

    def test_a_transport_is_named(self) -> None:
        """The error for an unavailable transport has its scheme and the reason."""
        error = TransportUnavailable("sslv3", "RFC 7568 prohibits it")
        self.assertEqual(error.scheme, "sslv3")
        self.assertEqual(str(error), "sslv3:// is not available: RFC 7568 prohibits it")

    def test_a_timeout_names_its_stage(self) -> None:
        """The error for a timeout has the stage, the seconds, and what to look at."""
        for stage in ("look-up", "connect", "proxy-header", "negotiation", "handshake"):
            error = TransportTimeout("tls://h:1", stage, 2.5)
            self.assertEqual((error.stage, error.seconds, error.received), (stage, 2.5, b""))
            names = {"connect": "connecting", "proxy-header": "the PROXY header"}
            what = names.get(stage, f"the {stage}")
            self.assertRegex(str(error), f"tls://h:1: {what} took .* 2.5 s; [a-z ,]+")

    def test_a_timeout_tells_what_had_come(self) -> None:
        """The error for a timeout quotes the bytes that had come."""
        for received, is_told in ((b"", True), (b"2", False), (None, False)):
            error = TransportTimeout("h:1", "handshake", 10, received)
            self.assertIs(", and the peer sent nothing" in error.summary, is_told)
        error = TransportTimeout("h:1", "handshake", 10, b"220 ", hint="use ?starttls=smtp")
        self.assertIn("the peer had sent only b'220 '; use ?starttls=smtp", str(error))

    def test_a_failed_handshake_says_what_to_do(self) -> None:
        """The remedy is the last sentence, and everything is an attribute as well."""
        original = OSError()
        error = HandshakeFailed(
            "h:1: its certificate expired", cause="expired", permanent=True,
            remedy="Renew it", original=original, received=b"\x15\x03",
        )  # fmt: skip
        self.assertEqual(str(error), "h:1: its certificate expired. Renew it")
        self.assertIs(error.original, original)
        self.assertEqual(
            (error.cause, error.permanent, error.remedy, error.received),
            ("expired", True, "Renew it", b"\x15\x03"),
        )
        self.assertIn(error.cause, errors.CAUSES)

    def test_nothing_to_do_says_nothing(self) -> None:
        """Without a remedy the text ends where the facts end."""
        self.assertEqual(str(HandshakeFailed("x", cause="other", permanent=False, remedy="")), "x")

    def test_a_refusal_repeats_the_peer(self) -> None:
        """The message has the peer's code and text."""
        error = TLSRefused("454", b"no TLS today")
        self.assertEqual((error.code, error.text), ("454", b"no TLS today"))
        self.assertEqual(str(error), "the peer refused to start TLS (454): b'no TLS today'")
        self.assertIn("it said b'502'", str(TLSNotOffered(b"502")))

    def test_an_injection_says_what_became_of_it(self) -> None:
        """The text says that none of the injected bytes was delivered."""
        error = PlaintextInjected("h:1", b"RSET\r\n")
        self.assertEqual(error.received, b"RSET\r\n")
        self.assertIn("none of it was delivered", str(error))


class HostileTextTests(SynchronousTestCase):
    """A peer's text in an error is escaped and bounded."""

    def test_messages_are_printable(self) -> None:
        """No message has a control character of a peer."""
        for error in WITH_PEER_TEXT:
            self.assertTrue(str(error).isprintable(), type(error))

    def test_messages_are_short(self) -> None:
        """A peer that sends very much is not quoted in full."""
        for error in WITH_PEER_TEXT:
            self.assertLess(len(str(error)), 1200, type(error))

    def test_attributes_are_short(self) -> None:
        """An error keeps only the beginning of what a peer sent."""
        handshake = HandshakeFailed("x", cause="other", permanent=False, remedy="", received=FLOOD)
        for error in (*WITH_PEER_TEXT, handshake):
            kept = [value for value in vars(error).values() if isinstance(value, (bytes, str))]
            self.assertLess(max(map(len, kept)), 201, type(error))


class DiagnosisTests(SynchronousTestCase):
    """The diagnosis that every error has."""

    def test_every_error_has_a_diagnosis(self) -> None:
        """Every error has a cause, a fault and texts that are fit for a log."""
        for error in (*WITH_PEER_TEXT, PeerLeft(FLOOD),
                      ProxyRefused("HTTP status", 502, FLOOD), PreAuthenticated("x"),
                      UpgradeError("x"),
                      InvalidTransport("x"), InvalidOption("ciphers", "x"),
                      TransportUnavailable("sslv2", "x")):  # fmt: skip
            diagnosis = error.diagnosis
            self.assertIn(diagnosis.fault, errors.FAULTS)
            self.assertNotIn(diagnosis.cause, ("", "other"))
            self.assertIsInstance(diagnosis.permanent, bool)
            for text in (diagnosis.summary, diagnosis.remedy, *diagnosis.evidence):
                self.assertTrue(text.isprintable() and len(text) < 1500, text)

    def test_what_happened_and_what_to_do_are_two_things(self) -> None:
        """What to do is in the remedy and not in the summary."""
        failed = HandshakeFailed("it failed", cause="closed", permanent=False, remedy="Look again")
        self.assertEqual(
            failed.diagnosis, Diagnosis("closed", "it failed", "Look again", permanent=False)
        )
        late = TransportTimeout("tcp://h:1", "connect", 3)
        self.assertEqual(late.summary, "tcp://h:1: connecting took longer than 3 s")
        self.assertEqual((late.fault, late.permanent), ("network", False))
        self.assertIn("firewall", late.remedy)
        located = TLSNotOffered(b"250 hi").located("tls://h:587?starttls=smtp", "Ask the owner")
        self.assertTrue(located.summary.endswith("it said b'250 hi'"))
        self.assertEqual(located.remedy, "Ask the owner")

    def test_a_refusal_may_be_for_now(self) -> None:
        """A refusal with a code that begins with 4 is not permanent."""
        self.assertFalse(TLSRefused("454", b"later").permanent)
        self.assertTrue(TLSRefused("502", b"never").permanent)


COPIES: Final[tuple[Callable[[Any], Any], ...]] = (
    copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error)),
)  # fmt: skip
"""Ways in which an error comes to another place, a process of a pool for example."""

SAMPLES: Final = (
    TransportError("x"),
    InvalidTransport("x"),
    InvalidOption("ciphers", "x"),
    InvalidOption("ciphers", "x").located("tls://h:1"),
    BadCertificateFile("cafile", "/a", "x"),
    TransportUnavailable("sslv2", "x", "y", "z"),
    *WITH_PEER_TEXT,
    HandshakeFailed(
        "x", cause="expired", permanent=True, remedy="y", evidence=("z",), received=b"a",
        original=OSError(5, "x"),
    ),
    NegotiationError("x"),
    TLSNotOffered(b"x").located("tls://h:587?starttls=smtp", "Ask the owner"),
    PreAuthenticated("x"),
    ProxyRefused("HTTP status", 407, b"x", ("Basic",)),
    PeerLeft(b"x"),
    InvalidProxyHeader("x", "y"),
    PeerMisbehaved("x"),
    MailNotSent("tls://h:465", Diagnosis("refused", "x", "y"), 550, "z", may_be_delivered=True),
    NoChannelBinding("tls-exporter", "x"),
    UpgradeError("x"),
    AlreadySecure("x"),
    ConversationOver("x"),
    ProducerInTheWay("x"),
)  # fmt: skip
"""At least one error of each class."""


class CopyTests(SynchronousTestCase):
    """An error can be copied, and sent to another process."""

    def test_a_copy_says_the_same(self) -> None:
        """The copy of an error, pickled or not, has its class, text, attributes and notes."""
        self.assertEqual({type(error) for error in SAMPLES}, {*KINDS})
        for error in SAMPLES:
            for copied in (make(error) for make in COPIES):
                self.assertIs(type(copied), type(error))
                self.assertEqual(str(copied), str(error))
                self.assertEqual(copied.args, error.args)
                self.assertEqual(copied.diagnosis, error.diagnosis)
                self.assertEqual(repr(vars(copied)), repr(vars(error)))

    def test_a_chain_of_certificates_is_not_pickled(self) -> None:
        """What cannot be pickled is left out: the chain, and an error underneath as its repr."""

        class Local(Exception):
            """A class that no other process can find."""

        chain = (certificates.authority().certificate,)
        error = HandshakeFailed(
            "x", cause="other", permanent=True, remedy="", original=Local("why"), chain=chain
        )
        self.assertEqual(copy.copy(error).chain, chain)
        self.assertIs(copy.copy(error).original, error.original)
        copied = pickle.loads(pickle.dumps(error))
        self.assertEqual(copied.chain, ())
        self.assertEqual(repr(copied.original), "Exception(\"Local('why')\")")
        self.assertEqual(str(copied), "x")

    def test_an_attribute_of_a_user_s_never_hinders(self) -> None:
        """An attribute that a program has added and that cannot be pickled is left out."""
        error = InvalidOption("ciphers", "x")
        vars(error).update(socket=lambda: None, number=5)
        copied = pickle.loads(pickle.dumps(error))
        self.assertEqual(vars(copied), {"option": "ciphers", "number": 5})
