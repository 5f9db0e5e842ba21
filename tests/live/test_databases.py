"""PostgreSQL and MariaDB: their servers and our clients, their clients and our fronts."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

from tests import certificates
from tests.live.peers import Peer, Program, under_tls
from tests.live.switching import ELSEWHERE, ClientTestCase, ServerTestCase
from tests.loopback import Recorder
from txtransport.connection.handshake import starttls_outcome
from txtransport.errors import TLSNotOffered, TLSRefused
from txtransport.starttls import mysql

_WHERE: Final = "/usr/lib/postgresql/*/bin"
POSTGRES: Final = Program("postgres", ("--version",), r"\(PostgreSQL\) \d\d", _WHERE)
INITDB: Final = Program("initdb", ("--version",), r"\(PostgreSQL\) \d\d", _WHERE)
PSQL: Final = Program("psql", ("--version",), r"\(PostgreSQL\) \d\d")
MARIADBD: Final = Program("mariadbd", ("--version",), r"MariaDB")
INSTALL_DB: Final = Program("mariadb-install-db", (), "")
MARIADB: Final = Program("mariadb", ("--version",), r"MariaDB")

NOBODY: Final = "nobody"
"""PostgreSQL does not run as root."""

PASSWORD: Final = b"open sesame"


# --- PostgreSQL --------------------------------------------------------------------


def message(kind: bytes, contents: bytes) -> bytes:
    """A message of PostgreSQL's; the very first has no kind."""
    return kind + (len(contents) + 4).to_bytes(4, "big") + contents


STARTUP: Final = message(b"", bytes.fromhex("00030000") + b"user\0nobody\0database\0postgres\0\0")
READY: Final = message(b"Z", b"I")
LET_IN: Final = message(b"R", bytes(4)) + READY


def query(text: bytes) -> bytes:
    """A question in SQL."""
    return message(b"Q", text + b"\0")


def row(value: bytes) -> bytes:
    """One row of one column of text."""
    return message(b"D", b"\0\1" + len(value).to_bytes(4, "big") + value)


class PostgresTests(ServerTestCase):
    """Ours goes to PostgreSQL."""

    program = POSTGRES
    protocol = "postgres"

    async def serving(self, *, tls: bool = True) -> int:
        """Start it, with a new database to which it lets everyone; its port."""
        folder, port = self.folder(), self.free_port()
        pem = shutil.copy(certificates.site(), folder)
        for each in () if os.geteuid() else (folder, pem):
            shutil.chown(each, NOBODY)
        data = f"{folder}/data"
        options = ("--no-sync", "--auth=trust", f"--username={NOBODY}")
        made = self.start("-D", data, *options, program=INITDB, user=NOBODY)
        self.assertEqual(await made.exits(), 0)
        settings = {
            "ssl": "on" if tls else "off", "ssl_cert_file": pem, "ssl_key_file": pem,
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "",
            "fsync": "off",
        }  # fmt: skip
        given = [f"--{name}={value}" for name, value in settings.items()]
        # INT ends what it has started, too.
        peer = self.start("-D", data, *given, farewell="INT", user=NOBODY)
        await peer.prints(rb"ready to accept connections")
        return port

    async def assertAnswered(self, client: Recorder, *, tls: bytes) -> None:
        """The guest is let in, and the server says what it knows of TLS."""
        await self.asked(client, STARTUP, READY)
        question = b"SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid=pg_backend_pid()"
        self.assertIn(row(tls), await self.asked(client, query(question), READY))

    async def test_a_query_under_tls(self) -> None:
        """Server and name are verified, the guest speaks first, and the server says the same."""
        client = await self.visiting(await self.serving())
        self.assertTrue(under_tls(client).verified)
        self.assertEqual(client.received, b"")
        await self.assertAnswered(client, tls=b"TLSv1.3")

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
        self.assertEqual(error.code, "N")
        client = await self.visiting(port, starttls_policy="may")
        await self.assertAnswered(client, tls=b"none")


class PsqlTests(ClientTestCase):
    """psql comes to ours."""

    program = PSQL
    protocol = "postgres"

    ANSWERS: Final = {
        b"\0": LET_IN,
        b"Q": message(b"T", b"\0\1word\0" + bytes(6) + bytes.fromhex("00000019 ffff ffffffff 0000"))
        + row(b"behind TLS")
        + message(b"C", b"SELECT 1\0")
        + READY,
        b"X": b"",
    }
    """What our application says to a login, a query and a farewell, by their first byte."""

    def answer(self, said: bytes) -> bytes:
        return self.ANSWERS[said[:1]]

    def calling(self, port: int, *arguments: str) -> Peer:
        (mode,) = arguments or ("verify-full",)
        address = (
            f"host=localhost hostaddr=127.0.0.1 port={port} user=joe dbname=joe "
            f"sslmode={mode} sslrootcert={certificates.cafile()}"
        )
        return self.start("--no-psqlrc", "-At", "-c", "SELECT word", address)

    async def test_a_query(self) -> None:
        """It verifies us, is let in and prints what the application answers."""
        peer = self.calling(await self.fronted())
        self.assertEqual(await peer.exits(), 0)
        self.assertEqual(peer.printed, b"behind TLS\n")
        (application,) = self.applications
        self.assertIn(b"user\0joe\0", application.heard[0])
        self.assertEqual(application.heard[1], query(b"SELECT word"))
        assert application.session is not None
        self.assertEqual(application.session.version, "TLSv1.3")

    async def test_a_certificate_that_is_not_good(self) -> None:
        """A front that is not whom it wants, or not known to it, hears nothing."""
        await self.distrusted(b'does not match host name "localhost"', b"certificate verify failed")

    async def test_in_the_clear(self) -> None:
        """Who does not ask for TLS is told that it is required, and no application is built."""
        peer = self.calling(await self.fronted(), "disable")
        self.assertEqual(await peer.exits(), 2)
        self.assertIn(b"FATAL:  connection requires SSL", peer.printed)
        self.assertEqual(self.applications, [])


# --- MariaDB -----------------------------------------------------------------------


def packet(number: int, contents: bytes) -> bytes:
    """A packet of MySQL's."""
    return len(contents).to_bytes(3, "little") + bytes((number,)) + contents


def text(value: bytes) -> bytes:
    """A string behind its length."""
    return bytes((len(value),)) + value


def salt_of(greeting: bytes) -> bytes:
    """The salt in a server's greeting: 8 bytes behind its version, 12 towards its end."""
    rest = greeting[5:].partition(b"\0")[2]
    return rest[4:12] + rest[31:43]


def proof(password: bytes, salt: bytes, kind: str, *, behind: bool) -> bytes:
    """What shows that one knows the password (both of MySQL's kinds are made alike).

    Args:
        password: The password.
        salt: Of the greeting.
        kind: The digest.
        behind: Whether the salt stands behind what it is digested with.
    """

    def digest(data: bytes) -> bytes:
        return hashlib.new(kind, data).digest()

    once = digest(password)
    stored = digest(once)
    mask = digest(stored + salt if behind else salt + stored)
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


OK: Final = bytes.fromhex("00 0000 0200 0000")
END: Final = bytes.fromhex("fe 0000 0200")
PROVEN: Final = b"\x01\x03"
COM_QUERY: Final = b"\x03"
DENIED: Final = b"\xff" + (1045).to_bytes(2, "little") + b"#28000Access denied"


class MariaDBTests(ServerTestCase):
    """Ours goes to MariaDB."""

    program = MARIADBD
    protocol = "mysql"

    async def serving(self, *, tls: bool = True) -> int:
        """Start it, with a new database in which there is one user; its port."""
        folder, port = self.folder(), self.free_port()
        data = [f"--datadir={folder}/data", "--innodb-log-file-size=4M", "--user=root"]
        made = self.start("--no-defaults", *data, "--skip-test-db", program=INSTALL_DB)
        self.assertEqual(await made.exits(), 0)
        users = Path(folder, "users.sql")
        users.write_text(f"CREATE USER joe IDENTIFIED BY '{PASSWORD.decode()}' REQUIRE SSL;\n")
        pem = certificates.site()
        with_tls = [f"--ssl-cert={pem}", f"--ssl-key={pem}"] if tls else ["--skip-ssl"]
        peer = self.start(
            "--no-defaults", *data, *with_tls, "--bind-address=127.0.0.1", f"--port={port}",
            f"--socket={folder}/s", f"--pid-file={folder}/pid", f"--init-file={users}",
        )  # fmt: skip
        await peer.prints(rb"ready for connections")
        return port

    def login(self, client: Recorder, password: bytes) -> bytes:
        """A login as it goes on from the request for TLS: packet 2, of the greeting's salt."""
        salt = salt_of(starttls_outcome(client.transport))
        shown = proof(password, salt, "sha1", behind=False)
        return packet(
            2, mysql.REQUEST + b"joe\0" + text(shown) + b"mysql_native_password\0" + text(b"")
        )

    async def test_a_query_under_tls(self) -> None:
        """Server and name are verified; the guest logs in with the greeting's salt, and asks."""
        client = await self.visiting(await self.serving())
        self.assertTrue(under_tls(client).verified)
        self.assertEqual(client.received, b"")
        self.assertIn(b"MariaDB", starttls_outcome(client.transport))
        await self.asked(client, self.login(client, PASSWORD), packet(3, OK))
        question = packet(0, COM_QUERY + b"SHOW STATUS LIKE 'Ssl_version'")
        await self.asked(client, question, text(b"Ssl_version") + text(b"TLSv1.3"))

    async def test_a_login_that_is_refused(self) -> None:
        """With another password, the guest hears so, in packet 3."""
        client = await self.visiting(await self.serving())
        heard = await self.asked(client, self.login(client, b"wrong"), b"Access denied")
        self.assertEqual((heard[3], heard[4:7]), (3, DENIED[:3]))

    async def test_tls_at_once(self) -> None:
        """Who begins with TLS is told where it begins in the clear, and that works."""
        await self.advised(await self.serving())

    async def test_a_certificate_that_is_not_good(self) -> None:
        """There is no guest for a server that is another, or that no one vouches for."""
        await self.distrusting(await self.serving(), peer_name=ELSEWHERE)

    async def test_a_server_without_tls(self) -> None:
        """Its greeting does not offer any, and there is no going on."""
        await self.failing(TLSNotOffered, await self.serving(tls=False))


class MariaDBClientTests(ClientTestCase):
    """MariaDB's client comes to ours."""

    program = MARIADB
    protocol = "mysql"

    def setUp(self) -> None:
        super().setUp()
        # With this kind of password, OK alone would be a demand for the password itself.
        self.verdict = packet(3, PROVEN) + packet(4, OK)

    def answer(self, said: bytes) -> bytes:
        if said[3] == 2:
            return self.verdict
        if said[4:5] != COM_QUERY:
            return b""
        column = b"".join(map(text, (b"def", b"", b"", b"", b"word", b"")))
        shape = bytes.fromhex("0c 2100 ff000000 fd 0000 00 0000")
        parts = (b"\1", column + shape, END, text(b"behind TLS"), END)
        return b"".join(packet(number, part) for number, part in enumerate(parts, 1))

    def calling(self, port: int, *arguments: str) -> Peer:
        tls = arguments or ("--ssl-verify-server-cert", f"--ssl-ca={certificates.cafile()}")
        return self.start(
            "--no-defaults", "--protocol=tcp", "--host=localhost", f"--port={port}", "--user=joe",
            f"--password={PASSWORD.decode()}", "--skip-column-names", *tls, "-e", "SELECT word",
        )  # fmt: skip

    async def test_a_query(self) -> None:
        """It verifies us, logs in with the greeting's salt and prints what it is answered."""
        peer = self.calling(await self.fronted())
        self.assertEqual(await peer.exits(), 0)
        self.assertEqual(peer.printed, b"behind TLS\n")
        (application,) = self.applications
        shown = proof(PASSWORD, salt_of(application.outcome), "sha256", behind=True)
        self.assertIn(b"joe\0" + text(shown) + b"caching_sha2_password\0", application.heard[0])

    async def test_a_login_that_is_refused(self) -> None:
        """It prints why the application turned it away."""
        self.verdict = packet(3, DENIED)
        peer = self.calling(await self.fronted())
        self.assertEqual(await peer.exits(), 1)
        self.assertIn(b"ERROR 1045 (28000): Access denied", peer.printed)

    async def test_a_certificate_that_is_not_good(self) -> None:
        """A front that is not whom it wants, or not known to it, hears no password."""
        await self.distrusted(b"Validation of SSL server certificate failed", b"certificate")

    async def test_in_the_clear(self) -> None:
        """Who does not ask for TLS is told that it is required, and no application is built."""
        peer = self.calling(await self.fronted(), "--skip-ssl")
        self.assertEqual(await peer.exits(), 1)
        self.assertIn(b"ERROR 3159 (HY000): this server demands TLS", peer.printed)
        self.assertEqual(self.applications, [])
