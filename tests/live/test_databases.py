"""PostgreSQL and MariaDB: their servers with our clients, their clients with our fronts."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import shutil
from pathlib import Path
from typing import Final

from tests import certificates
from tests.live.peers import Peer, Program, under_tls
from tests.live.starttls import ELSEWHERE, ClientTestCase, ServerTestCase
from tests.loopback import Recorder
from txtransport.connection.driver import starttls_outcome
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
"""The user for PostgreSQL, which refuses to run as root."""

PASSWORD: Final = b"open sesame"


# --- PostgreSQL --------------------------------------------------------------------


def message(kind: bytes, contents: bytes) -> bytes:
    """A message of PostgreSQL's protocol; the first message has no kind."""
    return kind + (len(contents) + 4).to_bytes(4, "big") + contents


STARTUP: Final = message(b"", bytes.fromhex("00030000") + b"user\0nobody\0database\0postgres\0\0")
READY: Final = message(b"Z", b"I")
LET_IN: Final = message(b"R", bytes(4)) + READY


def query(text: bytes) -> bytes:
    """A query in SQL."""
    return message(b"Q", text + b"\0")


def row(value: bytes) -> bytes:
    """A row with one column of text."""
    return message(b"D", b"\0\1" + len(value).to_bytes(4, "big") + value)


class ScramClient:
    """A login by SCRAM-SHA-256-PLUS, which is bound to the TLS connection (RFC 7677, RFC 5802).

    Args:
        binding: The binding of the type tls-server-end-point, the only one of PostgreSQL's.
    """

    HEADER: Final = b"p=tls-server-end-point,,"
    NONCE: Final = b"fyko+d2lbbFgONRv9qkxdawL"

    def __init__(self, binding: bytes) -> None:
        self._binding = binding

    def first(self) -> bytes:
        """The first message, with the mechanism."""
        said = self.HEADER + b"n=,r=" + self.NONCE
        return message(b"p", b"SCRAM-SHA-256-PLUS\0" + len(said).to_bytes(4, "big") + said)

    def final(self, challenge: bytes) -> bytes:
        """The answer to the server's message, which proves the password and names the channel."""
        given = dict(part.split(b"=", 1) for part in challenge.split(b","))
        bare = b"c=" + base64.b64encode(self.HEADER + self._binding) + b",r=" + given[b"r"]
        salted = hashlib.pbkdf2_hmac(
            "sha256", PASSWORD, base64.b64decode(given[b"s"]), int(given[b"i"])
        )
        key = hmac.digest(salted, b"Client Key", "sha256")
        signed = b",".join((b"n=,r=" + self.NONCE, challenge, bare))
        signature = hmac.digest(hashlib.sha256(key).digest(), signed, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        return message(b"p", bare + b",p=" + base64.b64encode(proof))


class PostgresTests(ServerTestCase):
    """A client of ours connects to PostgreSQL."""

    program = POSTGRES
    protocol = "postgres"

    async def start_server(self, *, tls: bool = True, auth: str = "trust") -> int:
        """Start it with a new database and, by default, no passwords; return its port."""
        folder, port = self.folder(), self.free_port()
        pem = shutil.copy(certificates.site(), folder)
        password = folder / "password"
        password.write_bytes(PASSWORD)
        for each in () if os.geteuid() else (folder, pem, password):
            shutil.chown(each, NOBODY)
        data = f"{folder}/data"
        options = ("--no-sync", f"--auth={auth}", f"--username={NOBODY}", f"--pwfile={password}")
        made = self.start("-D", data, *options, program=INITDB, user=NOBODY)
        self.assertEqual(await made.exits(), 0)
        settings = {
            "ssl": "on" if tls else "off", "ssl_cert_file": pem, "ssl_key_file": pem,
            "listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "",
            "fsync": "off",
        }  # fmt: skip
        given = [f"--{name}={value}" for name, value in settings.items()]
        # At INT it ends its child processes, too.
        peer = self.start("-D", data, *given, stop_signal="INT", user=NOBODY)
        await peer.prints(rb"ready to accept connections")
        return port

    async def assert_answered(self, client: Recorder, *, tls: bytes) -> None:
        """The application is let in, and the server says which TLS it uses."""
        await self.ask(client, STARTUP, READY)
        question = b"SELECT coalesce(version, 'none') FROM pg_stat_ssl WHERE pid=pg_backend_pid()"
        self.assertIn(row(tls), await self.ask(client, query(question), READY))

    async def test_a_query_is_answered_under_tls(self) -> None:
        """The server is verified, the application speaks first, and the server confirms TLS."""
        client = await self.connect(await self.start_server())
        self.assertTrue(under_tls(client).verified)
        self.assertEqual(client.received, b"")
        await self.assert_answered(client, tls=b"TLSv1.3")

    async def test_a_login_is_bound_to_the_tls_connection(self) -> None:
        """SCRAM-SHA-256-PLUS succeeds with our binding, whatever the version of TLS."""
        port = await self.start_server(auth="scram-sha-256")
        for version in ("1.2", "1.3"):
            client = await self.connect(port, max_version=version)
            scram = ScramClient(under_tls(client).channel_binding("tls-server-end-point"))
            self.assertEqual(await self.log_in(client, scram), b"R")
            await client.heard(READY)

    async def test_a_login_that_is_bound_to_another_connection_is_refused(self) -> None:
        """As that of a client whose connection ends at an attacker in the middle."""
        client = await self.connect(await self.start_server(auth="scram-sha-256"))
        other = hashlib.sha256(b"the certificate of the attacker").digest()
        self.assertEqual(await self.log_in(client, ScramClient(other)), b"E")
        await client.heard(b"channel binding check failed")

    async def log_in(self, client: Recorder, scram: ScramClient) -> bytes:
        """Log in; the kind of the server's answer."""
        await self.ask(client, STARTUP, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
        challenge = await self.ask(client, scram.first(), b",i=4096")
        client.received = b""
        client.say(scram.final(challenge[9:]))
        await client.grown(1)
        return client.received[:1]

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
        self.assertEqual(error.code, "N")
        client = await self.connect(port, starttls_policy="may")
        await self.assert_answered(client, tls=b"none")


class PsqlTests(ClientTestCase):
    """psql connects to a front of ours."""

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
    """Our application's answers to a login, a query and a goodbye, by their first byte."""

    def answer(self, data: bytes) -> bytes:
        return self.ANSWERS[data[:1]]

    def start_client(self, port: int, *arguments: str) -> Peer:
        (mode,) = arguments or ("verify-full",)
        address = (
            f"host=localhost hostaddr=127.0.0.1 port={port} user=joe dbname=joe "
            f"sslmode={mode} sslrootcert={certificates.cafile()}"
        )
        return self.start("--no-psqlrc", "-At", "-c", "SELECT word", address)

    async def test_a_query_is_answered_under_tls(self) -> None:
        """psql verifies the front, is let in, and prints the application's answer."""
        peer = self.start_client(await self.start_front())
        self.assertEqual(await peer.exits(), 0)
        self.assertEqual(peer.printed, b"behind TLS\n")
        (application,) = self.applications
        self.assertIn(b"user\0joe\0", application.heard[0])
        self.assertEqual(application.heard[1], query(b"SELECT word"))
        assert application.session is not None
        self.assertEqual(application.session.version, "TLSv1.3")

    async def test_psql_refuses_a_bad_certificate(self) -> None:
        """psql sends nothing to a front with another name or an unknown issuer."""
        await self.assert_client_distrusts_us(
            b'does not match host name "localhost"', b"certificate verify failed"
        )

    async def test_a_client_without_tls_is_refused(self) -> None:
        """A client that does not ask for TLS is told to, and no application's protocol is built."""
        peer = self.start_client(await self.start_front(), "disable")
        self.assertEqual(await peer.exits(), 2)
        self.assertIn(b"FATAL:  connection requires SSL", peer.printed)
        self.assertEqual(self.applications, [])


# --- MariaDB -----------------------------------------------------------------------


def packet(number: int, contents: bytes) -> bytes:
    """A packet of MySQL's protocol."""
    return len(contents).to_bytes(3, "little") + bytes((number,)) + contents


def text(value: bytes) -> bytes:
    """A string after its length."""
    return bytes((len(value),)) + value


def salt_of(greeting: bytes) -> bytes:
    """The salt in a server's greeting: 8 bytes after the version, and 12 near the end."""
    rest = greeting[5:].partition(b"\0")[2]
    return rest[4:12] + rest[31:43]


def proof(password: bytes, salt: bytes, kind: str, *, behind: bool) -> bytes:
    """The client's proof that it knows the password.

    ``mysql_native_password`` and ``caching_sha2_password`` are computed alike, from
    digests of the password and of the salt.

    Args:
        password: The password.
        salt: The salt of the greeting, 20 bytes.
        kind: The digest: ``sha1`` or ``sha256``.
        behind: Whether the salt comes after the stored digest of the password
            or before it.
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
    """A client of ours connects to MariaDB."""

    program = MARIADBD
    protocol = "mysql"

    async def start_server(self, *, tls: bool = True) -> int:
        """Start it with a new database and one user; return its port."""
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
        """A login after the request for TLS: packet 2, with the greeting's salt."""
        salt = salt_of(starttls_outcome(client.transport))
        shown = proof(password, salt, "sha1", behind=False)
        return packet(
            2, mysql.REQUEST + b"joe\0" + text(shown) + b"mysql_native_password\0" + text(b"")
        )

    async def test_a_query_is_answered_under_tls(self) -> None:
        """The server is verified; the application logs in with the greeting's salt, and queries."""
        client = await self.connect(await self.start_server())
        self.assertTrue(under_tls(client).verified)
        self.assertEqual(client.received, b"")
        self.assertIn(b"MariaDB", starttls_outcome(client.transport))
        await self.ask(client, self.login(client, PASSWORD), packet(3, OK))
        question = packet(0, COM_QUERY + b"SHOW STATUS LIKE 'Ssl_version'")
        await self.ask(client, question, text(b"Ssl_version") + text(b"TLSv1.3"))

    async def test_a_refused_login_is_heard_by_the_application(self) -> None:
        """With a wrong password, the application receives the refusal, in packet 3."""
        client = await self.connect(await self.start_server())
        heard = await self.ask(client, self.login(client, b"wrong"), b"Access denied")
        self.assertEqual((heard[3], heard[4:7]), (3, DENIED[:3]))

    async def test_implicit_tls_is_advised_to_use_starttls(self) -> None:
        """A probe that begins with TLS is advised to use starttls=, and that works."""
        await self.assert_advised(await self.start_server())

    async def test_a_bad_certificate_is_refused(self) -> None:
        """A server with another name or an unknown issuer is refused."""
        await self.assert_distrusted(await self.start_server(), peer_name=ELSEWHERE)

    async def test_a_server_without_tls_is_refused(self) -> None:
        """A greeting that does not offer TLS ends the connection."""
        await self.connect_error(TLSNotOffered, await self.start_server(tls=False))


class MariaDBClientTests(ClientTestCase):
    """MariaDB's client connects to a front of ours."""

    program = MARIADB
    protocol = "mysql"

    def setUp(self) -> None:
        super().setUp()
        # In caching_sha2_password, OK without this packet would ask for the password itself.
        self.verdict = packet(3, PROVEN) + packet(4, OK)

    def answer(self, data: bytes) -> bytes:
        if data[3] == 2:
            return self.verdict
        if data[4:5] != COM_QUERY:
            return b""
        column = b"".join(map(text, (b"def", b"", b"", b"", b"word", b"")))
        shape = bytes.fromhex("0c 2100 ff000000 fd 0000 00 0000")
        parts = (b"\1", column + shape, END, text(b"behind TLS"), END)
        return b"".join(packet(number, part) for number, part in enumerate(parts, 1))

    def start_client(self, port: int, *arguments: str) -> Peer:
        tls = arguments or ("--ssl-verify-server-cert", f"--ssl-ca={certificates.cafile()}")
        return self.start(
            "--no-defaults", "--protocol=tcp", "--host=localhost", f"--port={port}", "--user=joe",
            f"--password={PASSWORD.decode()}", "--skip-column-names", *tls, "-e", "SELECT word",
        )  # fmt: skip

    async def test_a_query_is_answered_under_tls(self) -> None:
        """The client verifies the front, logs in with the salt, and prints the answer."""
        peer = self.start_client(await self.start_front())
        self.assertEqual(await peer.exits(), 0)
        self.assertEqual(peer.printed, b"behind TLS\n")
        (application,) = self.applications
        shown = proof(PASSWORD, salt_of(application.outcome), "sha256", behind=True)
        self.assertIn(b"joe\0" + text(shown) + b"caching_sha2_password\0", application.heard[0])

    async def test_a_refused_login_is_printed(self) -> None:
        """The client prints why the application refused its login."""
        self.verdict = packet(3, DENIED)
        peer = self.start_client(await self.start_front())
        self.assertEqual(await peer.exits(), 1)
        self.assertIn(b"ERROR 1045 (28000): Access denied", peer.printed)

    async def test_the_client_refuses_a_bad_certificate(self) -> None:
        """The client sends no password to a front with another name or an unknown issuer."""
        await self.assert_client_distrusts_us(
            b"Validation of SSL server certificate failed", b"certificate"
        )

    async def test_a_client_without_tls_is_refused(self) -> None:
        """A client that does not ask for TLS is told to, and no application's protocol is built."""
        peer = self.start_client(await self.start_front(), "--skip-ssl")
        self.assertEqual(await peer.exits(), 1)
        self.assertIn(b"ERROR 3159 (HY000): this server demands TLS", peer.printed)
        self.assertEqual(self.applications, [])
