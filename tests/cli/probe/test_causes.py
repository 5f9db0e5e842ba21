"""Every way in which a connection fails has a cause, and its remedy works."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from twisted.internet.protocol import Factory, Protocol

from tests import certificates
from tests.cli.probe.peers import (
    BANNERS,
    AbortsAtOnce,
    ClosesAtOnce,
    ProbingTestCase,
    RDPServer,
    scripted_peer,
)
from tests.loopback import Recorders
from txtransport import TransportURL
from txtransport.cli.probe import recorder
from txtransport.cli.probe.report import ProbeReport
from txtransport.cli.probe.text import as_text
from txtransport.cli.terminal import TerminalStyle
from txtransport.starttls.protocols import USUAL_STARTTLS
from txtransport.testing.devcert import Authority, Issued, self_signed

NOW: Final = datetime.now(timezone.utc)


class CausesTestCase(ProbingTestCase):
    """Peers on loopback, and what a probe must say of them."""

    async def assert_verified(self, url: str, **options: Any) -> None:
        """The URL, which a remedy has named, is connected and verified."""
        report = await self.probed(url, **options)
        self.assertTrue(report.is_verified, report.diagnosis)

    def assert_diagnosed(self, report: ProbeReport, cause: str, *words: str) -> str:
        """Check that a report has the cause, the words and a remedy; returns the remedy."""
        diagnosis = report.diagnosis
        assert diagnosis is not None, report
        self.assertEqual(diagnosis.cause, cause, diagnosis)
        self.assertFalse(report.is_connected or report.is_verified)
        text = " ".join(as_text(report, TerminalStyle(), NOW).split())
        for word in (f": not connected ({cause}) ", "What to do:", *words):
            self.assertIn(word, text)
        return diagnosis.remedy


class PlainPeerTests(CausesTestCase):
    """TLS to a port that does not speak TLS, or not at once."""

    async def test_every_plaintext_protocol_is_named(self) -> None:
        """Whatever answers in the clear is named, with what to use instead."""
        for kind, banner in BANNERS.items():
            remedy = self.assert_diagnosed(
                await self.probed(await self.plain_peer(scripted_peer(*banner))),
                "plaintext-peer",
                kind,
            )
            self.assertRegex(remedy, r"tls://localhost:\d+\?starttls=|tcp://", kind)

    async def test_url_in_the_remedy_works(self) -> None:
        """Where the remedy names a URL, that URL is connected and verified."""
        protocols = "smtp imap pop3 ftp vnc xmpp mysql nntp ldap sieve nats irc nut amqp nbd telnet"
        for protocol in protocols.split():
            port = await self.listening(
                f"tls://127.0.0.1:0?starttls={protocol}",
                Recorders(),
                local_cert=certificates.site(),
            )
            report = await self.probed(f"tls://localhost:{port}", timeout=5)
            remedy = self.assert_diagnosed(report, "plaintext-peer")
            found = re.search(r"tls://\S+", remedy)
            assert found is not None, remedy
            self.assertEqual(found[0], f"tls://localhost:{port}?starttls={protocol}")
            await self.assert_verified(found[0], cafile=certificates.cafile())

    async def test_remedy_for_rdp_works(self) -> None:
        """An RDP server that answers a ClientHello as RDP is reached by the URL in the remedy."""
        forProtocol: Callable[[type[Protocol]], Any] = Factory.forProtocol
        url = await self.plain_peer(forProtocol(RDPServer))
        remedy = self.assert_diagnosed(await self.probed(url), "plaintext-peer", "RDP")
        self.assertIn(f"{url}?starttls=rdp", remedy)
        await self.assert_verified(f"{url}?starttls=rdp", cafile=certificates.cafile())

    async def test_remedy_in_the_clear_works(self) -> None:
        """Where a port has nothing but tcp://, the remedy says so, and tcp:// connects."""
        for kind in ("HTTP", "Redis", "SSH"):
            url = await self.plain_peer(scripted_peer(*BANNERS[kind]))
            remedy = self.assert_diagnosed(await self.probed(url), "plaintext-peer", kind)
            self.assertIn("tcp://", remedy)
            self.assertTrue((await self.probed(url.replace("tls://", "tcp://"))).is_connected)

    async def test_postgres_that_hangs_up_is_recognised_by_its_port(self) -> None:
        """PostgreSQL hangs up at a ClientHello; the hint comes from its usual port."""
        url = await self.plain_peer(scripted_peer(b"", b"", end="close"))
        self.assertEqual((await self.probed(url)).hint, "")
        port = TransportURL.parse(url).port
        self.patch(recorder, "USUAL_STARTTLS", {port: "postgres"})
        right = f"{url}?starttls=postgres"
        self.assert_diagnosed(
            await self.probed(url), "closed", "Is this port for TLS?", f"try {right} instead."
        )
        # No hint names what the URL has already.
        self.assertEqual((await self.probed(right)).hint, "")

    async def test_shared_port_names_its_most_common_protocol(self) -> None:
        """Where several protocols share a port, the most common one is named."""
        self.assertEqual((USUAL_STARTTLS[5432], USUAL_STARTTLS[3389]), ("postgres", "rdp"))

    async def test_silent_peer_may_wait_for_plain_text(self) -> None:
        """For a peer that says nothing, the remedy asks whether it waits for plain text."""
        report = await self.probed(await self.plain_peer(scripted_peer()), timeout=0.2)
        self.assert_diagnosed(report, "timeout", "The handshake", "wait for plain text")

    async def test_few_bytes_are_recognised(self) -> None:
        """A few bytes, for which OpenSSL waits until a record's header is whole, are recognised."""
        for said, protocol in ((b"S", "postgres"), (b"N", "postgres"), (b"220 ", "smtp")):
            url = await self.plain_peer(scripted_peer(b"", said))
            report = await self.probed(url, timeout=0.3)
            self.assert_diagnosed(report, "timeout", f"{url}?starttls={protocol}")

    async def test_silent_peer_may_speak_tls_at_once(self) -> None:
        """A peer that is silent in a STARTTLS dialogue has TLS at once as remedy, which works."""
        url = await self.tls_peer()
        remedy = self.assert_diagnosed(
            await self.probed(f"{url}?starttls=smtp", timeout=0.3), "timeout"
        )
        self.assertIn("without starttls", remedy)
        await self.assert_verified(url, cafile=certificates.cafile())

    async def test_wrong_dialogue_names_the_right_url(self) -> None:
        """A dialogue with a peer of another protocol fails, and the remedy names the right URL."""
        port = await self.listening(
            "tls://127.0.0.1:0?starttls=imap", Recorders(), local_cert=certificates.site()
        )
        report = await self.probed(f"tls://localhost:{port}?starttls=smtp")
        remedy = self.assert_diagnosed(report, "peer-misbehaved")
        self.assertIn(f"tls://localhost:{port}?starttls=imap", remedy)

    async def test_plain_text_to_tls_is_never_verified(self) -> None:
        """Plain text to a port with TLS is connected, and never verified."""
        url = await self.tls_peer()
        report = await self.probed(url.replace("tls://", "tcp://"))
        self.assertEqual((report.is_connected, report.is_verified), (True, False))
        self.assertIn("in the clear", as_text(report, TerminalStyle(), NOW))

    async def test_hint_in_the_clear_names_the_url_with_tls(self) -> None:
        """Plain text to a server that has TLS gets a hint with its URL, which works."""
        port = await self.listening(
            "tls://127.0.0.1:0?starttls=smtp", Recorders(), local_cert=certificates.site()
        )
        report = await self.probed(f"tcp://localhost:{port}")
        found = re.search(r"tls://\S+", report.hint)
        assert found is not None, report.hint
        await self.assert_verified(found[0], cafile=certificates.cafile())


class CertificateTests(CausesTestCase):
    """Certificates that are refused, and shown."""

    async def assert_refused(
        self, cause: str, *words: str, pem: bytes | None, **options: Any
    ) -> str:
        """Check that a server with that certificate is refused; its URL."""
        site = certificates.site() if pem is None else certificates.written("refused.pem", pem)
        url = await self.tls_peer(local_cert=site)
        report = await self.probed(url, **options)
        self.assert_diagnosed(report, cause, *words)
        self.assertTrue(report.chain)
        return url

    async def test_copy_of_a_self_signed_certificate_is_the_remedy(self) -> None:
        """A copy of a self-signed certificate in cafile makes it good."""
        made = self_signed("localhost")
        url = await self.assert_refused("self-signed", "cafile=FILE", pem=made.pem)
        await self.assert_verified(url, cafile=certificates.written("copy.pem", made.cert_pem))

    async def test_unknown_authority_in_cafile_is_the_remedy(self) -> None:
        """The authority in cafile makes its certificates good."""
        url = await self.assert_refused("unknown-issuer", "cafile=FILE", pem=None)
        await self.assert_verified(url, cafile=certificates.cafile())

    async def test_missing_intermediate_is_located(self) -> None:
        """The report says where to get the missing certificate; with it in cafile all is well."""
        below = certificates.authority().intermediate("below")
        place = "http://ca.example/below.crt"
        issued = below.issue("localhost", issuer_place=place)
        alone = issued.key_pem() + issued.cert_pem.replace(below.pem, b"")
        url = await self.assert_refused(
            "unknown-issuer", place, "cafile=FILE", pem=alone, cafile=certificates.cafile()
        )
        both = below.pem + certificates.authority().pem
        await self.assert_verified(url, cafile=certificates.written("both.pem", both))

    async def test_expired_and_not_yet_valid_are_told_apart(self) -> None:
        """A certificate that has expired, or is not valid yet, is named so, with the time it is."""
        past = certificates.authority().issue("localhost", now=NOW - timedelta(days=99), days=90)
        future = certificates.authority().issue("localhost", now=NOW + timedelta(days=9))
        cafile = certificates.cafile()
        await self.assert_refused("expired", "EXPIRED", "now it is", pem=past.pem, cafile=cafile)
        await self.assert_refused(
            "not-yet-valid", "NOT YET", "clock", pem=future.pem, cafile=cafile
        )

    async def test_wrong_name_is_refused_with_peer_name_as_remedy(self) -> None:
        """A certificate for another name, or for none, is refused; peer_name is the remedy."""
        cafile = certificates.cafile()
        other = certificates.authority().issue("other.example")
        nameless = certificates.authority().issue(common_name="localhost")
        url = await self.assert_refused(
            "wrong-name", "other.example", "peer_name", pem=other.pem, cafile=cafile
        )
        await self.assert_verified(url, cafile=cafile, peer_name="other.example")
        await self.assert_refused("wrong-name", "SAN", pem=nameless.pem, cafile=cafile)

    async def test_client_certificate_on_a_server_is_refused(self) -> None:
        """A client's certificate on a server is refused as that."""
        made = certificates.authority().issue("localhost", purpose="client")
        await self.assert_refused(
            "wrong-purpose", "serverAuth", pem=made.pem, cafile=certificates.cafile()
        )

    async def test_revoked_certificate_is_refused(self) -> None:
        """A certificate in the revocation list is refused as that."""
        made = certificates.authority().issue("localhost")
        listed = certificates.authority().revocation_list(made.certificate)
        crl = certificates.written("crl.pem", listed)
        await self.assert_refused("revoked", pem=made.pem, cafile=certificates.cafile(), crl=crl)

    async def test_wrong_fingerprint_shows_the_right_one(self) -> None:
        """Another fingerprint is refused, and the report shows the right one."""
        made = certificates.authority().issue("localhost")
        cafile = certificates.cafile()
        url = await self.assert_refused(
            "fingerprint", made.fingerprint, pem=made.pem, cafile=cafile, peer_fingerprint="0" * 64
        )
        await self.assert_verified(url, cafile=cafile, peer_fingerprint=made.fingerprint)

    async def test_chain_that_is_not_in_order_is_told(self) -> None:
        """A chain out of order, or with a copy, is verified, and the report says so."""
        upper = certificates.authority().intermediate("upper")
        made = upper.intermediate("lower").issue("localhost")
        lower, above = made.chain
        for chain, words in (
            ((above, lower), "behind 'CN=localhost' stands 'CN=upper'"),
            ((lower, lower, above), "'CN=lower' is sent twice"),
        ):
            pem = Issued(made.certificate, made.key, chain).pem
            url = await self.tls_peer(local_cert=certificates.written("unordered.pem", pem))
            trusted: dict[str, Any] = {"cafile": certificates.cafile()}
            for options in (trusted, {}):
                report = await self.probed(url, **options)
                self.assertIs(report.is_verified, bool(options), report.diagnosis)
                self.assertIn(words, report.chain_problems[0])
                self.assertIn(words, " ".join(as_text(report, TerminalStyle(), NOW).split()))


class AgreementTests(CausesTestCase):
    """Peers that do not agree on something."""

    async def test_no_common_version_names_the_options(self) -> None:
        """Without a common version the options to change are named, and with them it connects."""
        cafile = certificates.cafile()
        url = await self.tls_peer(max_version="1.2")
        report = await self.probed(url, cafile=cafile, min_version="1.3")
        self.assertIn("min_version", self.assert_diagnosed(report, "no-common-version"))
        await self.assert_verified(url, cafile=cafile, min_version="1.2")

    async def test_no_common_cipher_names_the_option(self) -> None:
        """Without a common cipher the option to change is named, and without it it is connected."""
        cafile = certificates.cafile()
        url = await self.tls_peer(max_version="1.2", ciphers="ECDHE-ECDSA-AES128-GCM-SHA256")
        other = "ECDHE-ECDSA-AES256-GCM-SHA384"
        report = await self.probed(url, cafile=cafile, max_version="1.2", ciphers=other)
        self.assertIn("ciphers", self.assert_diagnosed(report, "no-common-cipher"))
        await self.assert_verified(url, cafile=cafile, max_version="1.2")

    async def test_no_common_application_protocol_names_the_option(self) -> None:
        """Without a common application protocol the option to change is named."""
        # Our own servers leave that to the application's protocol; this is what others answer.
        url = await self.plain_peer(
            scripted_peer(b"", b"\x15\x03\x03\x00\x02\x02\x78", end="close")
        )
        report = await self.probed(url, alpn_protocols="imap")
        self.assertIn("alpn_protocols", self.assert_diagnosed(report, "no-common-protocol"))

    async def test_missing_client_certificate_names_local_cert(self) -> None:
        """Refused in the handshake (TLS 1.2) or after it (1.3), the remedy is local_cert."""
        cafile = certificates.cafile()
        for version in ("1.2", "1.3"):
            url = await self.tls_peer(verify_peer="yes", cafile=cafile, max_version=version)
            report = await self.probed(url, wait=5, cafile=cafile)
            remedy = self.assert_diagnosed(report, "client-certificate-required")
            self.assertIn("local_cert", remedy)
            await self.assert_verified(url, cafile=cafile, local_cert=certificates.client())

    async def test_untrusted_client_certificate_is_told(self) -> None:
        """When the peer refuses our certificate, the report says which authority it must trust."""
        cafile = certificates.cafile()
        another = Authority.create("another")
        untrusted = certificates.issued(
            "untrusted.pem", "client.example", purpose="client", by=another
        )
        both = certificates.written("trusted.pem", another.pem + certificates.authority().pem)
        for version in ("1.2", "1.3"):
            url = await self.tls_peer(verify_peer="yes", cafile=cafile, max_version=version)
            report = await self.probed(url, wait=5, cafile=cafile, local_cert=untrusted)
            self.assertIn(
                "trust the authority of local_cert", self.assert_diagnosed(report, "peer-alert")
            )
            url = await self.tls_peer(verify_peer="yes", cafile=both, max_version=version)
            await self.assert_verified(url, cafile=cafile, local_cert=untrusted)


class EndTests(CausesTestCase):
    """Peers that leave, at each step."""

    async def test_refused_port_and_unknown_name_are_told_apart(self) -> None:
        """A port that refuses, and a name that does not exist, have causes of their own."""
        self.assert_diagnosed(await self.probed(f"tls://127.0.0.1:{self.free_port()}"), "refused")
        self.resolving()
        self.assert_diagnosed(await self.probed("tls://nowhere.example:1"), "no-such-name")

    async def test_dropped_packets_suggest_a_firewall(self) -> None:
        """A port that answers nothing: a firewall may be dropping the packets."""
        url = f"tls://127.0.0.1:{self.full_port()}"
        report = await self.probed(url, timeout=0.2)
        self.assert_diagnosed(report, "timeout", "firewall")
        self.assertEqual([each.outcome.value for each in report.addresses], ["given up"])

    async def test_end_before_or_in_the_handshake_is_closed(self) -> None:
        """A peer that hangs up or resets before or in the handshake may not speak TLS."""
        hello = b"\x16\x03\x03\x00\x7a\x02\x00"
        for end, how in (("close", "The peer closed"), ("reset", "was reset (RST)")):
            for said in ((b"", b""), (b"", hello)):
                url = await self.plain_peer(scripted_peer(*said, end=end))
                report = await self.probed(url)
                self.assert_diagnosed(report, "closed", "Is this port for TLS?", how)
            # At a connection that is closed at once, our hello may be answered by a reset.
            url = await self.plain_peer(scripted_peer(b"", end=end))
            self.assert_diagnosed(await self.probed(url), "closed", "Is this port for TLS?")

    async def test_end_in_the_dialogue_is_peer_left(self) -> None:
        """A peer that leaves in the dialogue is reported as that, at each of its steps."""
        steps = (b"220 a ESMTP\r\n", b"250-a\r\n250 STARTTLS\r\n")
        for end, how in (("close", "the peer closed"), ("reset", "was reset (RST)")):
            for count in range(1, 3):
                url = await self.plain_peer(scripted_peer(*steps[:count], end=end))
                report = await self.probed(f"{url}?starttls=smtp")
                assert report.diagnosis is not None
                self.assertEqual(report.diagnosis.cause, "peer-left")
                self.assertIn(how, report.diagnosis.summary)
                assert report.failed_stage is not None
                self.assertEqual(report.failed_stage.value, "negotiation")

    async def test_end_after_the_go_ahead_is_closed(self) -> None:
        """A peer that says "go ahead" and then leaves did so in the handshake."""
        steps = (b"220 a ESMTP\r\n", b"250-a\r\n250 STARTTLS\r\n", b"220 go ahead\r\n")
        for end in ("close", "reset"):
            url = await self.plain_peer(scripted_peer(*steps, end=end))
            self.assert_diagnosed(await self.probed(f"{url}?starttls=smtp"), "closed")

    async def test_no_offer_and_refusal_are_told_apart(self) -> None:
        """A peer that has no TLS to offer, and one that refuses it, have causes of their own."""
        for answers, cause in (
            ((b"250 a\r\n",), "tls-not-offered"),
            ((b"250-a\r\n250 STARTTLS\r\n", b"454 not now\r\n"), "tls-refused"),
        ):
            url = await self.plain_peer(scripted_peer(b"220 a ESMTP\r\n", *answers))
            self.assert_diagnosed(await self.probed(f"{url}?starttls=smtp"), cause)

    async def test_goodbye_is_no_failure_and_a_reset_is(self) -> None:
        """To close after the handshake is no failure, and to abort the connection is one."""
        cafile = certificates.cafile()
        forProtocol: Callable[[type[Protocol]], Any] = Factory.forProtocol
        report = await self.probed(
            await self.tls_peer(forProtocol(ClosesAtOnce)), cafile=cafile, wait=5
        )
        self.assertTrue(report.is_verified)
        self.assertIn("hung up", as_text(report, TerminalStyle(), NOW))
        report = await self.probed(
            await self.tls_peer(forProtocol(AbortsAtOnce)), cafile=cafile, wait=5
        )
        self.assert_diagnosed(report, "reset")

    async def test_banner_cannot_move_the_cursor(self) -> None:
        """Whatever an untrusted peer says, no escape sequence reaches the terminal."""
        banner = b"\x1b[2J\x1b[H220 \xe2\x80\xae\x9b2J ESMTP\r\n"
        port = await self.listening("tcp://127.0.0.1:0", scripted_peer(banner))
        for url in (f"tls://localhost:{port}", f"tcp://localhost:{port}",
                    f"tls://localhost:{port}?starttls=smtp"):  # fmt: skip
            text = as_text(await self.probed(url), TerminalStyle(), NOW)
            self.assertTrue(text.replace("\n", "").isprintable(), ascii(text))
