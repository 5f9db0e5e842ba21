"""The XMPP dialogues, of clients and of servers, and what is not a go-ahead."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.starttls.in_memory import after_receiving, failure_after, negotiate, new_wire
from txtransport.errors import (
    NegotiationError,
    PeerLeft,
    PeerMisbehaved,
    PlaintextInjected,
    TLSNotOffered,
    TLSRefused,
)
from txtransport.starttls import xmpp
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.wire import TOTAL, Wire

XML: Final = b"<?xml version='1.0'?>"
TO_SERVER: Final = (
    XML + b"<stream:stream xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams' to='server.example' version='1.0'>"
)
TO_CLIENT: Final = (
    XML + b"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    b"from='server.example' id='fresh1' version='1.0'>"
)
FEATURES: Final = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>"
    b"<required/></starttls></stream:features>"
)
STARTTLS: Final = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
PROCEED: Final = b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
FAILURE: Final = b"<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"
POLICY: Final = (
    b"<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
    b"</stream:error></stream:stream>"
)
ELSEWHERE: Final = (
    b"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
    b"evil.example</see-other-host></stream:error>"
)


class TranscriptTests(SynchronousTestCase):
    """The client and the server, when all is well."""

    def test_the_dialogue_follows_the_specification(self) -> None:
        """A client and a server send what RFC 6120 specifies."""
        result = negotiate(xmpp.connect, xmpp.serve)
        self.assertEqual(result.by_client, [TO_SERVER, STARTTLS])
        self.assertEqual(result.by_server, [TO_CLIENT + FEATURES, PROCEED])

    def test_both_domains_are_named_between_servers(self) -> None:
        """A server that connects to another names its own domain, and the answer repeats it."""
        result = negotiate(xmpp.connect_server, xmpp.serve_server)
        self.assertEqual(
            result.by_client[0],
            XML + b"<stream:stream xmlns='jabber:server' "
            b"xmlns:stream='http://etherx.jabber.org/streams' "
            b"to='server.example' from='[192.0.2.7]' version='1.0'>",
        )
        self.assertEqual(
            result.by_server[0],
            XML + b"<stream:stream xmlns='jabber:server' "
            b"xmlns:stream='http://etherx.jabber.org/streams' from='server.example' "
            b"id='fresh1' to='[192.0.2.7]' version='1.0'>" + FEATURES,
        )

    def test_the_application_receives_nothing(self) -> None:
        """Under TLS a client begins a new stream, so nothing of the old one is delivered."""
        for connect, serve in (
            (xmpp.connect, xmpp.serve),
            (xmpp.connect_server, xmpp.serve_server),
        ):
            result = negotiate(connect, serve)
            self.assertEqual((result.client.outcome, result.server.outcome), (b"", b""))

    def test_names_are_escaped(self) -> None:
        """A name cannot become a part of the XML around it."""
        evil = Wire(name="'><a/>&\"", local_name="<us>")
        sent = Negotiation(xmpp.connect_server, evil).data_to_send()
        self.assertIn(b" to='&#x27;&gt;&lt;a/&gt;&amp;&quot;' from='&lt;us&gt;' ", sent)

    def test_the_domain_is_verified(self) -> None:
        """The certificate is for the domain that was asked for, not for the host that serves it."""
        asked = Negotiation(
            xmpp.connect, Wire(host="xmpp7.example", name="example.com")
        ).data_to_send()
        self.assertIn(b"to='example.com'", asked)
        self.assertNotIn(b"xmpp7", asked)
        self.assertEqual(
            {STARTTLS_PROTOCOLS[name].verifies for name in ("xmpp", "xmpp-server")}, {"domain"}
        )


class ClientTests(SynchronousTestCase):
    """The client, given what a server may send."""

    def test_another_protocol_is_refused_at_once(self) -> None:
        """A greeting that is not XML ends the dialogue without waiting for a deadline."""
        error = self.fails(PeerMisbehaved, b"220 mail.example.com ESMTP\r\n")
        self.assertIn("does not begin with XML", str(error))

    def fails(self, kind: type[NegotiationError], *received: bytes) -> NegotiationError:
        """The error of a client that receives a server's header, and then these segments."""
        error, _ = failure_after(xmpp.connect, *received)
        self.assertIs(type(error), kind, error)
        return error

    def test_every_spelling_of_the_go_ahead_is_understood(self) -> None:
        """Servers spell the same XML in many ways."""
        for header in (
            TO_CLIENT,
            TO_CLIENT.removeprefix(XML),
            TO_CLIENT.replace(b"'", b'"'),
            TO_CLIENT.replace(b"stream:", b"s:").replace(b":stream=", b":s="),
            TO_CLIENT.replace(b"version='1.0'>", b"xml:lang='en' version='1.10' a='>'>"),
        ):
            prefix = b"s:" if b"<s:" in header else b"stream:"
            for features in (
                FEATURES,
                b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
                b"</stream:features>",
                b'<stream:features><a xmlns="b"><c/></a>\n'
                b'<t:starttls xmlns:t="urn:ietf:params:xml:ns:xmpp-tls"></t:starttls>'
                b"</stream:features >",
            ):
                for proceed in (PROCEED, PROCEED[:-2] + b"></proceed>", b"\n" + PROCEED):
                    client = after_receiving(
                        xmpp.connect, header + features.replace(b"stream:", prefix), proceed
                    )
                    self.assertTrue(client.is_complete, header + features + proceed)

    def test_bytes_after_the_go_ahead_are_an_attack(self) -> None:
        """Whatever follows the go-ahead ends the dialogue, even a single space."""
        for evil in (
            b" ",
            b"\n",
            b"<message/>",
            PROCEED,
            FEATURES,
            ELSEWHERE,
            TO_CLIENT,
            b"\x16\3",
        ):
            self.fails(PlaintextInjected, TO_CLIENT + FEATURES, PROCEED + evil)

    def test_only_the_go_ahead_leads_to_tls(self) -> None:
        """Any other element in place of the go-ahead is refused."""
        plain = (
            b"<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>"
            b"<mechanism>PLAIN</mechanism></mechanisms></stream:features>"
        )
        for other in (
            plain,
            FEATURES,
            STARTTLS,
            b"<message><body>x</body></message>",
            b"<proceed/>",
            b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
            b"<stream:proceed/>",
            b"text" + PROCEED,
            b"<!-- " + PROCEED + b" -->",
            TO_CLIENT,
            TO_CLIENT.removeprefix(XML),
        ):
            self.fails(PeerMisbehaved, TO_CLIENT + FEATURES, other)

    def test_an_answer_before_its_question_is_refused(self) -> None:
        """A go-ahead that arrives with the features is not an answer."""
        for early in (PROCEED, FAILURE, b" "):
            self.fails(PeerMisbehaved, TO_CLIENT + FEATURES + early)

    def test_tls_not_offered_ends_the_dialogue(self) -> None:
        """TLS is not asked for if it is not among the features."""
        for features in (
            b"<stream:features/>",
            b"<stream:features></stream:features>",
            b"<stream:features><starttls/></stream:features>",
            b"<stream:features><starttls xmlns='x'/></stream:features>",
            b"<stream:features><a><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></a>"
            b"</stream:features>",
            b"<stream:features>&lt;starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
            b"</stream:features>",
        ):
            error = self.fails(TLSNotOffered, TO_CLIENT + features)
            self.assertIn(features[:30].decode(), str(error))
            _, sent = failure_after(xmpp.connect, TO_CLIENT + features)
            self.assertNotIn(b"starttls", sent)

    def test_a_refusal_of_tls_is_reported(self) -> None:
        """A failure is a refusal, and is reported as the server sent it."""
        error = self.fails(TLSRefused, TO_CLIENT + FEATURES, FAILURE)
        self.assertIn("(failure)", str(error))
        self.assertIn("urn:ietf:params:xml:ns:xmpp-tls", str(error))

    def test_a_server_without_capabilities_has_no_tls(self) -> None:
        """A server older than XMPP 1.0 has no features, hence no upgrade."""
        for version in (b"", b" version=''", b" version='0.9'", b" version='1'", b" version='x.1'"):
            header = TO_CLIENT.removeprefix(XML).replace(b" version='1.0'", version)
            self.fails(TLSNotOffered, XML + header + FEATURES)

    def test_referrals_are_not_followed(self) -> None:
        """An error ends the stream, and no connection is made to the host that it names."""
        self.fails(PeerLeft, TO_CLIENT + ELSEWHERE)
        self.fails(PeerLeft, TO_CLIENT + FEATURES, ELSEWHERE)

    def test_a_server_may_end_the_stream(self) -> None:
        """The end of the stream is reported as PeerLeft at any time."""
        self.fails(PeerLeft, TO_CLIENT + b"</stream:stream>")
        self.fails(PeerLeft, TO_CLIENT + FEATURES, b"</stream:stream>")
        self.fails(PeerLeft, TO_CLIENT[:-1] + b"/>")

    def test_only_features_may_follow_the_header(self) -> None:
        """Nothing but features may come first; nothing is delivered."""
        for other in (b"<message/>", b"<iq/>", b"<features/>", PROCEED):
            self.fails(PeerMisbehaved, TO_CLIENT + other + FEATURES)

    def test_hostile_text_is_escaped_and_cut(self) -> None:
        """A server's text is escaped and cut in messages."""
        failure = FAILURE.replace(b"/></", b">\x1b[31m" + b"x" * 4000 + b"</failure></")
        for control in ("\x1b", "\u202e", "\x85"):
            received = failure.replace(b"\x1b", control.encode())
            error, _ = failure_after(xmpp.connect, TO_CLIENT + FEATURES, received)
            self.assertTrue(str(error).isprintable())
            self.assertLess(len(str(error)), 400)

    def test_a_flood_ends_the_dialogue(self) -> None:
        """Endless features, and features without an end, end the dialogue."""
        for flood in (b"<a/>", b"<a>", b"<a b='" + b"x" * 4000 + b"'/>"):
            client = after_receiving(xmpp.connect, TO_CLIENT + b"<stream:features>")

            def pour(
                client: Negotiation = client, chunk: bytes = flood * (4096 // len(flood))
            ) -> None:
                for _ in range(TOTAL // 4096 + 1):
                    client.receive_data(chunk)

            self.assertRaises(PeerMisbehaved, pour)

    def test_another_root_element_is_refused(self) -> None:
        """A peer that sends other XML, or none, is not an XMPP server."""
        for other in (
            b"<html xmlns='http://www.w3.org/1999/xhtml'>",
            b"<stream:stream version='1.0'>",
            b"<stream version='1.0'>",
            TO_CLIENT.replace(b"etherx", b"other"),
            b"HTTP/1.1 400 Bad Request\r\n\r\n<html>",
            b"<!DOCTYPE html>",
        ):
            self.fails(PeerMisbehaved, other)


class ServerTests(SynchronousTestCase):
    """The server, given what a client may send."""

    def test_bytes_after_the_request_are_an_attack(self) -> None:
        """Whatever is pipelined after the request ends the dialogue, even a single space."""
        for evil in (b"<iq/>", b" ", b"</stream:stream>", b"\x16\x03\x01"):
            error, sent = failure_after(xmpp.serve, TO_SERVER, STARTTLS + evil)
            self.assertIsInstance(error, PlaintextInjected)
            self.assertNotIn(b"proceed", sent)

    def test_every_spelling_of_the_request_is_understood(self) -> None:
        """Clients spell their request in many ways."""
        for request in (
            STARTTLS,
            b'<starttls xmlns="urn:ietf:params:xml:ns:xmpp-tls"></starttls>',
            b"\n <t:starttls xmlns:t='urn:ietf:params:xml:ns:xmpp-tls' />",
        ):
            self.assertTrue(after_receiving(xmpp.serve, TO_SERVER, request).is_complete)

    def test_nothing_else_is_served_before_tls(self) -> None:
        """Credentials and all other stanzas end the stream, and are not evaluated."""
        for stanza in (
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>",
            b"<iq type='get'/>",
            b"<message/>",
            b"<starttls/>",
            PROCEED,
        ):
            error, sent = failure_after(xmpp.serve, TO_SERVER, stanza)
            self.assertIs(type(error), PeerMisbehaved)
            self.assertTrue(sent.endswith(FEATURES + POLICY), sent)

    def test_another_protocol_is_refused_at_once(self) -> None:
        """What cannot become XML is not waited for; the answer is a stream error."""
        for received in (b"\x16\x03\x01\x02\x00\x01", b"EHLO me\r\n", b"<a b></c>"):
            error, answer = failure_after(xmpp.serve, received)
            self.assertIs(type(error), PeerMisbehaved)
            self.assertTrue(answer.startswith(server_header()), answer)
            self.assertIn(b"<stream:error><not-well-formed ", answer)

    def test_only_tls_is_offered(self) -> None:
        """The only feature is the upgrade, which is required; there is no login mechanism."""
        self.assertEqual(
            after_receiving(xmpp.serve, TO_SERVER).data_to_send(), server_header() + FEATURES
        )

    def test_the_server_answers_as_the_domain_that_was_asked_for(self) -> None:
        """A server answers as the domain that the client named, or as itself."""
        for called, answered in (
            (b" to='a.example'", b"from='a.example'"),
            (b" to='a&apos;&lt;'", b"from='a&#x27;&lt;'"),
            (b"", b"from='[192.0.2.7]'"),
        ):
            header = TO_SERVER.replace(b" to='server.example'", called)
            self.assertIn(answered, after_receiving(xmpp.serve, header).data_to_send())

    def test_stream_ids_cannot_be_guessed(self) -> None:
        """Every stream has an id of its own (RFC 6120, 4.7.3)."""
        first, second = (Negotiation(xmpp.serve) for _ in range(2))
        first.receive_data(TO_SERVER)
        second.receive_data(TO_SERVER)
        self.assertNotEqual(first.data_to_send(), second.data_to_send())

    def test_a_client_without_tls_is_told_why(self) -> None:
        """A client older than XMPP 1.0 cannot have TLS, and is sent a stream error."""
        for version in (b"", b" version='0.9'"):
            header = TO_SERVER.removeprefix(XML).replace(b" version='1.0'", version)
            error, sent = failure_after(xmpp.serve, header)
            self.assertIs(type(error), PeerMisbehaved)
            self.assertIn(b"<stream:error><unsupported-version ", sent)

    def test_another_root_element_is_refused(self) -> None:
        """A client that begins no stream is sent a stream error."""
        error, sent = failure_after(xmpp.serve, b"<stream xmlns='jabber:client' version='1.0'>")
        self.assertIs(type(error), PeerMisbehaved)
        self.assertIn(b"<stream:error><invalid-namespace ", sent)
        self.assertTrue(sent.startswith(XML + b"<stream:stream "))

    def test_a_client_may_quit(self) -> None:
        """A client may end its stream, and the server ends its own."""
        error, sent = failure_after(xmpp.serve, TO_SERVER + b"</stream:stream>")
        self.assertIsInstance(error, PeerLeft)
        self.assertTrue(sent.endswith(FEATURES + b"</stream:stream>"))

    def test_http_ends_the_dialogue(self) -> None:
        """A browser is refused at its first tag, or at the limit of bytes."""
        error, _ = failure_after(xmpp.serve, b"GET /<script> HTTP/1.1\r\n\r\n")
        self.assertIs(type(error), PeerMisbehaved)


def server_header() -> bytes:
    """The stream header that a server on the wire of `after_receiving` sends."""
    serving = Negotiation(xmpp.serve, new_wire())
    serving.receive_data(TO_SERVER)
    return serving.data_to_send().removesuffix(FEATURES)
