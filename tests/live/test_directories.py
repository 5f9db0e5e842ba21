"""OpenLDAP: its server and our client, its client and our front (RFC 4511, 4.14)."""

from __future__ import annotations

from typing import Final

from tests import certificates
from tests.live.peers import Peer, Program, under_tls
from tests.live.switching import ELSEWHERE, ClientTestCase, ServerTestCase
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
"""Nothing but StartTLS is answered in the clear."""

ADMIN: Final = b"cn=admin,cn=example"
PASSWORD: Final = b"open sesame"

SUCCESS: Final = bytes.fromhex("0a0100 0400 0400")
INVALID_CREDENTIALS: Final = bytes.fromhex("0a0131 0400 0400")
"""What an answer holds: a code, no DN and no text."""

ANSWERS: Final = {
    0x60: ((0x61, SUCCESS),),
    0x63: ((0x64, encoded(0x04, b"cn=found") + encoded(0x30)), (0x65, SUCCESS)),
}
"""What our application says to a login, and to a search, which finds something."""


def message(number: int, tag: int, *parts: bytes) -> bytes:
    """A message of LDAP's, with an operation in it."""
    return encoded(0x30, encoded(0x02, bytes((number,))), encoded(tag, *parts))


def bind(number: int, password: bytes) -> bytes:
    """A login of the administrator's."""
    version = encoded(0x02, b"\x03")
    return message(number, 0x60, version, encoded(0x04, ADMIN), encoded(0x80, password))


def bound(number: int, result: bytes) -> bytes:
    """The answer to a login."""
    return message(number, 0x61, result)


def read_root(number: int) -> bytes:
    """The question what the server can do: the root DSE (RFC 4512, 5.1)."""
    zero, nothing = b"\x00", b"\x0a\x01\x00"
    bounds = encoded(0x02, zero) * 2 + encoded(0x01, zero)
    present = encoded(0x87, b"objectClass")
    wanted = encoded(0x30, encoded(0x04, b"supportedExtension"))
    return message(number, 0x63, encoded(0x04), nothing * 2, bounds, present, wanted)


class SlapdTests(ServerTestCase):
    """Ours goes to slapd."""

    program = SLAPD
    protocol = "ldap"

    async def serving(self, *, tls: bool = True) -> int:
        """Start it; its port."""
        folder, port = self.folder(), self.free_port()
        with_tls = TLS_CONF.format(pem=certificates.site()) if tls else ""
        (folder / "slapd.conf").write_text(
            SLAPD_CONF.format(folder=folder, password=f'"{PASSWORD.decode()}"', tls=with_tls)
        )
        peer = self.start(
            "-d", "conns", "-h", f"ldap://127.0.0.1:{port}", "-f", f"{folder}/slapd.conf"
        )
        await peer.prints(rb"daemon: added .* listener=")
        return port

    async def read(self, client: Recorder) -> None:
        """A guest is answered what the server can do."""
        heard = await self.asked(client, read_root(9), message(9, 0x65, SUCCESS))
        self.assertIn(b"1.3.6.1.4.1.4203.1.11.3", heard)  # Who am I?

    async def test_a_login_under_tls(self) -> None:
        """Server and name are verified, and the guest logs in and asks, all under TLS."""
        client = await self.visiting(await self.serving())
        self.assertEqual((under_tls(client).version, under_tls(client).verified), ("TLSv1.3", True))
        self.assertEqual(client.received, b"")
        await self.asked(client, bind(2, b"wrong"), bound(2, INVALID_CREDENTIALS))
        await self.asked(client, bind(3, PASSWORD), bound(3, SUCCESS))
        await self.read(client)

    async def test_tls_at_once(self) -> None:
        """It leaves without a word; on its usual port who begins with TLS is told what it is."""
        await self.advised(await self.serving())

    async def test_a_certificate_that_is_not_good(self) -> None:
        """There is no guest for a server that is another, or that no one vouches for."""
        await self.distrusting(await self.serving(), peer_name=ELSEWHERE)

    async def test_a_server_without_tls(self) -> None:
        """It refuses, and the guest may go on in the clear where that was said."""
        port = await self.serving(tls=False)
        error = await self.failing(TLSRefused, port)
        self.assertEqual(error.code, "2 protocolError")
        await self.read(await self.visiting(port, starttls_policy="may"))


class LdapsearchTests(ClientTestCase):
    """OpenLDAP's client, which speaks TLS with GnuTLS on Debian, comes to ours."""

    program = LDAPSEARCH
    protocol = "ldap"

    def answer(self, said: bytes) -> bytes:
        (whole,) = elements(said)
        number, operation = elements(whole.contents)
        answers = ANSWERS.get(operation.tag, ())
        return b"".join(message(number.contents[0], tag, parts) for tag, parts in answers)

    def calling(self, port: int, *arguments: str) -> Peer:
        # By its address: "localhost" it takes for the host's own name when it
        # verifies a certificate.
        return self.start(
            "-x", "-LLL", "-H", f"ldap://127.0.0.1:{port}", "-D", ADMIN.decode(), "-w",
            PASSWORD.decode(), "-b", "cn=example", "-d", "1", *(arguments or ("-ZZ",)),
            environ={"LDAPTLS_CACERT": certificates.cafile()},
        )  # fmt: skip

    async def test_a_search(self) -> None:
        """It logs in and finds something, verified, and no word of it is in the clear."""
        peer = self.calling(await self.fronted())
        self.assertEqual(await peer.exits(), 0)
        self.assertIn(b"dn: cn=found\n", peer.printed)
        (application,) = self.applications
        self.assertEqual(application.heard[0], bind(2, PASSWORD))

    async def test_a_certificate_that_is_not_good(self) -> None:
        """A front that is not whom it wants, or not known to it, hears no password."""
        await self.distrusted(b"does not match", b"untrusted")

    async def test_in_the_clear(self) -> None:
        """Who does not ask for TLS is told that it is required, and no application is built."""
        peer = self.calling(await self.fronted(), "-v")
        self.assertEqual(await peer.exits(), 13)
        self.assertIn(b"Confidentiality required (13)", peer.printed)
        self.assertEqual(self.applications, [])
