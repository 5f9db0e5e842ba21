"""What is said of files, and that clients and servers do just that."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Final

from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.cli.inspect.samples import NAME, NOW, Sample, samples, site
from tests.tls import handshake
from txtransport.cli.inspect.document import as_document
from txtransport.cli.inspect.inspecting import inspect
from txtransport.cli.inspect.report import FileReport
from txtransport.cli.inspect.text import as_text
from txtransport.cli.terminal import TerminalStyle
from txtransport.config.policy import TLSPolicy, Verify
from txtransport.errors import BadCertificateFile
from txtransport.testing.devcert import Issued

SITE: Final = "tls://127.0.0.1:0"
PEER: Final = "tls://good.example:443"


class SampleTestCase(SynchronousTestCase):
    """What the tests of this file share."""

    def folder(self) -> Path:
        """A new folder, which is gone after the test."""
        made = tempfile.TemporaryDirectory()
        self.addCleanup(made.cleanup)
        return Path(made.name)

    def put(self, sample: Sample) -> tuple[str, str | None]:
        """Write the sample's files; their paths."""
        return sample.put(self.folder())

    def report(self, sample: Sample, path: str, key_path: str | None, **more: Any) -> FileReport:
        """What is said of the sample, with the authority that the tests trust."""
        secret = TLSPolicy(passphrase=sample.passphrase)
        cafile = certificates.cafile()
        return inspect(path, key_path, now=NOW, secret=secret, cafile=cafile, **more)


class VerdictTests(SampleTestCase):
    """The verdict on each of the samples."""

    def test_there_are_more_than_forty_files(self) -> None:
        """The samples are as many as were promised, and differ."""
        names = [sample.name for sample in samples()]
        self.assertGreater(len(names), 70)
        self.assertEqual(len(names), len(set(names)))

    def test_each_file_gets_the_right_verdict(self) -> None:
        """Each file is judged for the right option, and the first finding is its fault."""
        for sample in samples():
            path, key_path = self.put(sample)
            report = self.report(sample, path, key_path)
            seen = (report.purpose, report.is_good)
            self.assertEqual(seen, (sample.purpose, sample.is_good), (sample.name, report.findings))
            told = report.findings[0].diagnosis.summary if report.findings else ""
            self.assertTrue(bool(told) == bool(sample.fault), (sample.name, told))
            self.assertIn(sample.fault, told, sample.name)

    def test_a_refusal_has_the_name_that_people_search_for(self) -> None:
        """What OpenSSL refuses is told with its name for the reason, and its number."""
        for name, reason in (
            ("self-signed", ", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT (18)"),
            ("expired", ", X509_V_ERR_CERT_HAS_EXPIRED (10)"),
        ):
            sample = next(each for each in samples() if each.name == name)
            report = self.report(sample, *self.put(sample))
            self.assertTrue(report.findings[0].diagnosis.summary.endswith(reason))

    def test_each_fault_comes_with_what_to_do(self) -> None:
        """No finding leaves its reader without a remedy, and none has a secret."""
        for sample in samples():
            path, key_path = self.put(sample)
            for finding in self.report(sample, path, key_path).findings:
                self.assertTrue(finding.diagnosis.remedy, (sample.name, finding))
                self.assertNotIn("peer", finding.diagnosis.remedy, sample.name)

    def test_the_report_of_a_sound_file_has_its_facts(self) -> None:
        """A sound file has accepted names, a key and certificates in its report."""
        (sample, *_) = samples()
        report = self.report(sample, *self.put(sample))
        names = [verdict.name for verdict in report.verdicts]
        self.assertEqual(names, [NAME, "*.wild.example", "127.0.0.1"])
        self.assertEqual([verdict.refusal for verdict in report.verdicts], [None] * 3)
        assert report.key is not None
        self.assertEqual((report.key.kind, report.key.is_encrypted), ("EC secp256r1", False))
        self.assertEqual([each.is_authority for each in report.certificates], [False, True])

    def test_another_name_is_asked_for(self) -> None:
        """With a name of the user's, clients are asked about that one."""
        (sample, *_) = samples()
        report = self.report(sample, *self.put(sample), names=("bad.example",))
        (verdict,) = report.verdicts
        assert verdict.refusal is not None
        self.assertEqual(verdict.refusal.cause, "wrong-name")
        self.assertFalse(report.is_good)

    def test_a_purpose_can_be_demanded(self) -> None:
        """A file that is good for one option is bad for another that is meant."""
        (sample, *_) = samples()
        path, key_path = self.put(evolve(sample, content=certificates.authority().pem))
        self.assertTrue(self.report(sample, path, key_path).is_good)
        for purpose in ("local_cert", "local_pk", "crl", "capath"):
            report = self.report(sample, path, key_path, purpose=purpose)
            self.assertEqual((report.purpose, report.is_good), (purpose, False))

    def test_a_key_does_not_belong_to_the_authorities(self) -> None:
        """A file that clients get as cafile, and that has a private key, is told."""
        path = certificates.written("with-key.pem", site().key_pem() + certificates.authority().pem)
        report = self.report(Sample("with a key", None), path, None, purpose="cafile")
        self.assertTrue(report.is_good)
        self.assertIn("it holds a private key", report.findings[0].diagnosis.summary)

    def test_a_bad_cafile_is_the_user_s_error(self) -> None:
        """Authorities that cannot be read make no verdict."""
        self.assertRaises(
            BadCertificateFile, inspect, certificates.site(), None, now=NOW, cafile="/nonexistent"
        )


class HostileTests(SampleTestCase):
    """Files that are made to end the command, or to deceive its reader."""

    def test_unreadable_certificates_have_a_report(self) -> None:
        """Certificates that cryptography cannot read are shown, as leaf and as authority."""
        for why, certificate in certificates.hostile():
            key = certificates.authority().issue(NAME).key_pem()
            block = certificate.public_bytes(Encoding.PEM)
            for content in (block, key + block, key + site().cert_pem + block):
                report = self.report(*self.written(content))
                self.assertTrue(as_text(report, TerminalStyle(), NOW).isascii(), why)
                self.assertTrue(as_document([report], NOW)["files"], why)

    @settings(deadline=None, max_examples=60)
    @given(st.binary(max_size=400))
    @example(b"-----BEGIN CERTIFICATE-----")
    @example(b"-----BEGIN X509 CRL----------END X509 CRL-----")
    def test_no_content_crashes(self, content: bytes) -> None:
        """Whatever a file holds, there is a report of it."""
        for more in (b"", certificates.authority().pem, site().key_pem()):
            report = self.report(*self.written(content + more))
            self.assertTrue(as_text(report, TerminalStyle(), NOW))

    def written(self, content: bytes) -> tuple[Sample, str, None]:
        """A sample with that content, and its path."""
        path = certificates.written("hostile.pem", content)
        return Sample("hostile", content), path, None

    def test_a_url_in_a_certificate_is_quoted_or_left_out(self) -> None:
        """Where to fetch the issuer is a stranger's text: it cannot become a command."""
        for place, end in (
            ("http://ca.example/i.crt", "curl -gsSf http://ca.example/i.crt | openssl x509"),
            ("http://ca.example/$(reboot)", "curl -gsSf 'http://ca.example/$(reboot)' | openssl"),
            # curl itself would make a million requests of it without -g.
            ("http://ca.example/[1-1000000]", "curl -gsSf 'http://ca.example/[1-1000000]' |"),
            ("http://ca.example/\x1b[2J", ""),
            ("file:///etc/shadow", ""),
            ("http://ca.example/" + "a" * 300, ""),
        ):
            made = site_below(place)
            path = certificates.written("fetch.pem", made.key_pem() + made.cert_pem)
            (finding,) = inspect(path, None, now=NOW, cafile=certificates.cafile()).findings
            self.assertEqual(bool(finding.command), bool(end), place)
            self.assertTrue(finding.command.startswith(end), finding.command)
            if end:
                self.assertTrue(finding.command.endswith(f" -inform DER >> {path}"))


def site_below(place: str) -> Issued:
    """A certificate without its intermediate, which is to be had at a URL."""
    made = certificates.authority().intermediate().issue(NAME, issuer_place=place)
    return Issued(made.certificate, made.key)


class AgreementTests(SampleTestCase):
    """What is said of a file is what `client()` and `server()` do with it."""

    def test_options_take_what_they_are_said_to_take(self) -> None:
        """For every file and option, the endpoint is made or refused as the report says."""
        for sample in samples():
            path, key_path = self.put(sample)
            uses = {use.option: use for use in self.report(sample, path, key_path).uses}
            for option, use in uses.items():
                said = None if use.refusal is None else use.refusal.diagnosis.summary
                refusal = self.refusal(sample, option, path, key_path)
                if refusal is not None and refusal.path != path:
                    said = said and said.partition(f"={refusal.path}: ")[2]
                self.assertEqual(
                    said, None if refusal is None else refusal.problem, (sample.name, option)
                )

    def refusal(
        self, sample: Sample, option: str, path: str, key_path: str | None
    ) -> BadCertificateFile | None:
        """Why an endpoint with that option is refused; None when it is made."""
        reactor = MemoryReactorClock()
        words: dict[str, Any] = (
            {} if sample.passphrase is None else {"passphrase": sample.passphrase}
        )
        try:
            if option == "local_cert":
                keys: dict[str, Any] = {} if key_path is None else {"local_pk": key_path}
                txtransport.server(reactor, SITE, local_cert=path, **keys, **words)
            elif option == "local_pk":
                txtransport.server(
                    reactor, SITE, local_cert=certificates.site(), local_pk=path, **words
                )
            else:
                options: dict[str, Any] = {option: path}
                if option == "crl":
                    options["cafile"] = certificates.cafile()
                txtransport.client(reactor, PEER, **options)
        except BadCertificateFile as refused:
            # A key is held against a certificate that the report does not know.
            is_of_another = option == "local_pk" and "is not that of" in refused.problem
            return None if is_of_another else refused
        return None

    def test_clients_say_what_they_are_said_to_say(self) -> None:
        """For every certificate and name, a real client accepts or refuses it as reported."""
        count = 0
        for sample in samples():
            path, key_path = self.put(sample)
            own = TLSPolicy(local_cert=path, local_pk=key_path, passphrase=sample.passphrase)
            for verdict in self.report(sample, path, key_path).verdicts:
                if verdict.name:
                    asked = verdict.name.replace("*", "www")
                    meeting = handshake.meet(handshake.client(peer_name=asked), own)
                    judge = meeting.client
                else:
                    demanding = handshake.server(
                        verify_peer=Verify.YES, cafile=certificates.cafile()
                    )
                    meeting = handshake.meet(handshake.client(local_cert=path), demanding)
                    judge = meeting.server
                said = None if verdict.refusal is None else verdict.refusal.cause
                done = None if judge.error is None else judge.explained().cause
                self.assertEqual(said, done, (sample.name, verdict.name))
                count += 1
        self.assertGreater(count, 25)

    def test_revocation_lists_are_refused_as_said(self) -> None:
        """A list that is called bad makes a client refuse a good server; a good one does not."""
        for sample in samples():
            if sample.purpose != "crl" or b"X509 CRL" not in (sample.content or b""):
                continue
            path, _ = self.put(sample)
            report = self.report(sample, path, None)
            if any(use.option == "crl" and use.refusal for use in report.uses):
                continue
            meeting = handshake.meet(handshake.client(crl=path))
            self.assertEqual(meeting.is_secure, report.is_good, sample.name)

    def test_authorities_are_trusted_as_said(self) -> None:
        """A client that is given the file accepts what good authorities in it have issued."""
        root = certificates.authority().pem
        for sample in samples():
            if sample.purpose != "cafile" or root not in (sample.content or b""):
                continue
            path, _ = self.put(sample)
            meeting = handshake.meet(handshake.client(cafile=path))
            self.assertEqual(meeting.is_secure, sample.is_good, sample.name)

    def test_a_folder_is_used_as_said(self) -> None:
        """A folder that is called good has authorities that OpenSSL finds; another has not."""
        seen = set()
        for sample in samples():
            if sample.purpose == "capath":
                path, _ = self.put(sample)
                meeting = handshake.meet(handshake.client(capath=path))
                self.assertEqual(meeting.is_secure, sample.is_good, sample.name)
                seen.add(sample.is_good)
        self.assertEqual(seen, {True, False})
