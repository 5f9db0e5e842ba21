"""testssl.sh, the scanner for known vulnerabilities of TLS, with our servers.

It plays attacks that were made against servers of others, from Heartbleed to
ROBOT, and looks for ciphers and versions that must not be offered. What it finds
has a severity: OK and INFO are no complaints, and LOW to CRITICAL are.
"""

from __future__ import annotations

import json
from typing import Final

from attrs import frozen
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from tests import certificates
from tests.live.peers import TESTSSL, PeerTestCase

QUIETLY: Final = ("--nodns", "none", "--quiet", "--color", "0", "--warnings", "off")
"""Options with which it asks nothing of its user or of the DNS, nor, without
``--phone-out``, of certificate authorities.
"""

NO_DNS: Final = {"NXCONNECT": "127.0.0.1:0"}
"""Its environment. To see which options ``openssl s_client`` knows, it connects to
nowhere: without this, to a name that it looks up.
"""

HARMLESS: Final = {"DEBUG", "INFO", "OK"}
"""The severities of findings that are no complaints."""

OF_THE_SCANNER: Final = {"engine_problem"}
"""Findings about the machine that scans: its OpenSSL does not know GOST's ciphers."""

ATTACKS: Final = {
    "heartbleed", "CCS", "ticketbleed", "ROBOT", "secure_renego", "secure_client_renego",
    "CRIME_TLS", "BREACH", "POODLE_SSL", "fallback_SCSV", "SWEET32", "FREAK", "DROWN", "LOGJAM",
    "BEAST", "LUCKY13", "RC4",
}  # fmt: skip
"""The attacks that are tried."""

CIPHERS: Final = {
    f"cipherlist_{name}"
    for name in ("NULL", "aNULL", "EXPORT", "LOW", "3DES_IDEA", "AVERAGE", "STRONG")
}
"""The families of ciphers that are asked for; STRONG ones are to be offered."""

VERSIONS: Final = {"SSLv2", "SSLv3", "TLS1", "TLS1_1", "TLS1_2", "TLS1_3"}


@frozen
class Finding:
    """A line of testssl.sh's JSON.

    Attributes:
        name: What was looked for.
        severity: DEBUG, INFO, OK, WARN, LOW, MEDIUM, HIGH, CRITICAL or FATAL.
        text: What was found.
    """

    name: str
    severity: str
    text: str


class Page(Resource):
    """A web page: some attacks are made only where the scanner finds HTTP."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return b"hello"


class ScanTests(PeerTestCase):
    """A server with TLS and nothing but its certificate said."""

    program = TESTSSL
    timeout = 120

    async def test_a_default_server_has_no_known_vulnerability(self) -> None:
        """No attack succeeds, and no weak version or cipher is offered."""
        found = await self.scan(certificates.site(), "--vulnerable", "--protocols", "--standard")
        self.assert_harmless(found, ATTACKS | CIPHERS | VERSIONS)
        refused = {finding.name for finding in found if finding.severity == "OK"}
        self.assertEqual(ATTACKS - refused, set(), found)

    async def test_an_rsa_key_opens_no_further_way(self) -> None:
        """With an RSA certificate nothing is encrypted to its key (RSA key transport)."""
        own = certificates.issued("site-rsa.pem", *certificates.NAMES, key="rsa")
        found = await self.scan(own, "--robot", "--lucky13", "--standard")
        self.assert_harmless(found, {"ROBOT", "LUCKY13"} | CIPHERS)
        (robot,) = (finding for finding in found if finding.name == "ROBOT")
        self.assertIn("no RSA key transport", robot.text)

    async def scan(self, certificate: str, *checks: str) -> list[Finding]:
        """Scan a web server of ours.

        Args:
            certificate: The path of its PEM file.
            *checks: testssl.sh's options that say what to look for.

        Returns:
            What it found.
        """
        site = Site(Page())
        site.noisy = False
        port = await self.listening("tls://127.0.0.1:0", site, local_cert=certificate)
        findings = self.folder() / "findings.json"
        # Ended by a signal that it can handle, it removes its temporary folder.
        peer = self.start(
            *checks, *QUIETLY, "--jsonfile", str(findings), f"127.0.0.1:{port}",
            stop_signal="TERM", environ=NO_DNS,
        )  # fmt: skip
        await peer.exits(patience=60)
        return [
            Finding(found["id"], found["severity"], found["finding"])
            for found in json.loads(findings.read_text(encoding="utf-8"))
        ]

    def assert_harmless(self, found: list[Finding], expected: set[str]) -> None:
        """Assert that these checks were made, and that none has a complaint.

        Args:
            found: What was found.
            expected: The names of findings that must be there, so that a scan
                that was cut short or that could not connect does not pass.
        """
        self.assertEqual(expected - {finding.name for finding in found}, set(), found)
        bad = [
            finding
            for finding in found
            if finding.severity not in HARMLESS and finding.name not in OF_THE_SCANNER
        ]
        self.assertEqual(bad, [])
