"""OpenLDAP: its server with our client, its client with our front (RFC 4511, section 4.14)."""

from __future__ import annotations

from typing import Final

from tests import certificates
from tests.live.peers import Peer, Program, under_tls
from tests.live.starttls import ELSEWHERE, ClientTestCase, ServerTestCase
from tests.loopback import Recorder
from txtransport.errors import TLSRefused
from txtransport.starttls.ber import elements, encoded

SLAPD: Final = Program("slapd", ("-VV",), r"OpenLDAP: slapd 2\.")
LDAPSEARCH: Final = Program("ldapsearch", ("-VV",), r"OpenLDAP: ldapsearch 2\.")

SLAPD_CONF: Final = """
{tls}
database ldif
suffix cn=example
directory {folder}
rootdn cn=admin,cn=example
rootpw {password}
"""

TLS_CONF: Final = """
TLSCertificateFile {pem}
TLSCertificateKeyFile {pem}
security ssf=128
"""
"""With this, slapd answers only StartTLS in the clear."""

ADMIN: Final = b"cn=admin,cn=example"
PASSWORD: Final = b"open sesame"

SUCCESS: Final = bytes.fromhex("0a0100 0400 0400")
INVALID_CREDENTIALS: Final = bytes.fromhex("0a0131 0400 0400")
"""The contents of an answer: a result code, no DN and no text."""

ANSWERS: Final = {
    0x60: ((0x61, SUCCESS),),
    0x63: ((0x64, encoded(0x04, b"cn=found") + encoded(0x30)), (0x65, SUCCESS)),
}
"""Our application's answers to a login and to a search, which finds an entry."""


def message(number: int, tag: int, *parts: bytes) -> bytes:
    """An LDAP message with one operation."""
    return encoded(0x30, encoded(0x02, bytes((number,))), encoded(tag, *parts))


def bind(number: int, password: bytes) -> bytes:
    """A login of the administrator."""
    version = encoded(0x02, b"\x03")
    return message(number, 0x60, version, encoded(0x04, ADMIN), encoded(0x80, password))


def bind_response(number: int, result: bytes) -> bytes:
    """The answer to a login."""
    return message(number, 0x61, result)


def search_root_dse(number: int) -> bytes:
    """A search for the server's capabilities: the root DSE (RFC 4512, section 5.1)."""
    zero, nothing = b"\x00", b"\x0a\x01\x00"
    bounds = encoded(0x02, zero) * 2 + encoded(0x01, zero)
    present = encoded(0x87, b"objectClass")
    wanted = encoded(0x30, encoded(0x04, b"supportedExtension"))
    return message(number, 0x63, encoded(0x04), nothing * 2, bounds, present, wanted)


class SlapdTests(ServerTestCase):
    """A client of ours connects to slapd."""

    program = SLAPD
    protocol = "ldap"

    async def start_server(self, *, tls: bool = True) -> int:
        """Start slapd; return its port."""
        folder, port = self.folder(), self.free_port()
        with_tls = TLS_CONF.format(pem=certificates.site()) if tls else ""
        (folder / "slapd.conf").write_text(
            SLAPD_CONF.format(folder=folder, password=f'"{PASSWORD.decode()}"', tls=with_tls)
        )
        peer = self.start(
            "-d", "conns", "-h", f"ldap://127.0.0.1:{port}", "-f", f"{folder}/slapd.conf"
        )
        await peer.prints(rb"daemon: added .* listener=0x")
        return port

    async def assert_answered(self, client: Recorder) -> None:
        """A search of the application's is answered."""
        heard = await self.ask(client, search_root_dse(9), message(9, 0x65, SUCCESS))
        self.assertIn(b"1.3.6.1.4.1.4203.1.11.3", heard)  # Who am I?

    async def test_a_login_and_a_search_are_answered_under_tls(self) -> None:
        """Server and name are verified; the application logs in and searches under TLS."""
        client = await self.connect(await self.start_server())
        self.assertEqual((under_tls(client).version, under_tls(client).verified), ("TLSv1.3", True))
        self.assertEqual(client.received, b"")
        await self.ask(client, bind(2, b"wrong"), bind_response(2, INVALID_CREDENTIALS))
        await self.ask(client, bind(3, PASSWORD), bind_response(3, SUCCESS))
        await self.assert_answered(client)

    async def test_implicit_tls_is_advised_to_use_starttls(self) -> None:
        """The server closes without a word; on its usual port the error says how to connect."""
        await self.assert_advised(await self.start_server())

    async def test_a_bad_certificate_is_refused(self) -> None:
        """A server with another name or an unknown issuer is refused."""
        await self.assert_distrusted(await self.start_server(), peer_name=ELSEWHERE)

    async def test_a_server_without_tls_needs_starttls_policy_may(self) -> None:
        """Without TLS the connection fails, and goes on in the clear with starttls_policy=may."""
        port = await self.start_server(tls=False)
        error = await self.connect_error(TLSRefused, port)
        self.assertEqual(error.code, "2 protocolError")
        await self.assert_answered(await self.connect(port, starttls_policy="may"))


class LdapsearchTests(ClientTestCase):
    """OpenLDAP's client, which uses GnuTLS on Debian, connects to a front of ours."""

    program = LDAPSEARCH
    protocol = "ldap"

    def answer(self, data: bytes) -> bytes:
        (whole,) = elements(data)
        number, operation = elements(whole.contents)
        answers = ANSWERS.get(operation.tag, ())
        return b"".join(message(number.contents[0], tag, parts) for tag, parts in answers)

    def start_client(self, port: int, *arguments: str) -> Peer:
        # Not by the name: when ldapsearch verifies a certificate, it replaces
        # "localhost" by the machine's own host name.
        return self.start(
            "-x", "-LLL", "-H", f"ldap://127.0.0.1:{port}", "-D", ADMIN.decode(), "-w",
            PASSWORD.decode(), "-b", "cn=example", "-d", "1", *(arguments or ("-ZZ",)),
            environ={"LDAPTLS_CACERT": certificates.cafile()},
        )  # fmt: skip

    async def test_a_search_is_answered_under_tls(self) -> None:
        """The client verifies the front, logs in under TLS, and finds an entry."""
        peer = self.start_client(await self.start_front())
        self.assertEqual(await peer.exits(), 0)
        self.assertIn(b"dn: cn=found\n", peer.printed)
        (application,) = self.applications
        self.assertEqual(application.heard[0], bind(2, PASSWORD))

    async def test_the_client_refuses_a_bad_certificate(self) -> None:
        """The client sends no password to a front with another name or an unknown issuer."""
        await self.assert_client_distrusts_us(b"does not match", b"untrusted")

    async def test_a_client_without_tls_is_refused(self) -> None:
        """A client that does not ask for TLS is told to, and no application's protocol is built."""
        peer = self.start_client(await self.start_front(), "-v")
        self.assertEqual(await peer.exits(), 13)
        self.assertIn(b"Confidentiality required (13)", peer.printed)
        self.assertEqual(self.applications, [])
