"""Our client at vsftpd: FTP, and its data connections (RFC 4217)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater

from tests import certificates
from tests.live.peers import Peer, Program, demand, under_tls
from tests.live.starttls import ELSEWHERE, ServerTestCase
from txtransport.errors import TLSRefused

VSFTPD: Final = Program("vsftpd", (), "")

CONF: Final = """
listen=YES
listen_address=127.0.0.1
listen_port={port}
background=NO
one_process_model=YES
seccomp_sandbox=NO
secure_chroot_dir={folder}/empty
anon_root={folder}/files
ssl_enable={tls}
rsa_cert_file={pem}
rsa_private_key_file={pem}
allow_anon_ssl=YES
force_anon_logins_ssl={tls}
force_anon_data_ssl={tls}
require_ssl_reuse=NO
"""


class VsftpdTests(ServerTestCase):
    """A client of ours connects to vsftpd."""

    program = VSFTPD
    protocol = "ftp"

    def setUp(self) -> None:
        super().setUp()
        demand("only root can start vsftpd" if os.geteuid() else None, os.environ)

    async def start_server(self, *, tls: bool = True) -> int:
        """Start vsftpd, with one file to fetch; return its port."""
        folder, port = self.folder(), self.free_port()
        folder.chmod(0o711)
        for name in ("empty", "files"):
            (folder / name).mkdir()
        (folder / "files" / "letter").write_text("Dear Joe")
        conf = CONF.format(
            folder=folder, port=port, pem=certificates.site(), tls="YES" if tls else "NO"
        )
        (folder / "conf").write_text(conf)
        self.addCleanup(self.sessions_ended, self.start(f"{folder}/conf", stop_signal="TERM"))
        await self.wait_until_listening(port)
        return port

    async def sessions_ended(self, server: Peer) -> None:
        """Wait until its session processes are gone; without it, nobody would reap them."""
        pid = server.transport.pid
        sessions = Path(f"/proc/{pid}/task/{pid}/children")
        for _ in range(100):
            if not sessions.exists() or not sessions.read_text():
                break
            await deferLater(self.reactor, 0.02, lambda: None)

    async def test_implicit_tls_is_advised_to_use_starttls(self) -> None:
        """A probe that begins with TLS is advised to use starttls=, and that works."""
        await self.assert_advised(await self.start_server())

    async def test_a_file_is_fetched_under_tls(self) -> None:
        """Server and name are verified; the application is greeted, logs in and fetches a file.

        The data connection has TLS from the start, and is verified as well.
        """
        client = await self.connect(await self.start_server())
        self.assertTrue(under_tls(client).verified)
        self.assertEqual(await client.heard(b"\n"), b"220 ready\r\n")
        for command, code in (
            (b"USER anonymous", b"331 "),
            (b"PASS joe@example.com", b"230 "),
            (b"PBSZ 0", b"200 "),
            (b"PROT P", b"200 "),
        ):
            await self.ask(client, command + b"\r\n", code)
        data_port = re.search(rb"\(\|\|\|(\d+)\|\)", await self.ask(client, b"EPSV\r\n", b"|)"))
        assert data_port is not None
        client.say(b"RETR letter\r\n")
        data = await self.connected(
            f"tls://localhost:{int(data_port[1])}", cafile=certificates.cafile()
        )
        await client.heard(b"226 ")
        (await data.gone()).trap(ConnectionDone)
        self.assertEqual(data.received, b"Dear Joe")

    async def test_a_bad_certificate_is_refused(self) -> None:
        """A server with another name or an unknown issuer is refused."""
        await self.assert_distrusted(await self.start_server(), peer_name=ELSEWHERE)

    async def test_a_server_without_tls_needs_starttls_policy_may(self) -> None:
        """Without TLS the connection fails, and goes on in the clear with starttls_policy=may."""
        port = await self.start_server(tls=False)
        error = await self.connect_error(TLSRefused, port)
        self.assertEqual(error.code, "530")
        client = await self.connect(port, starttls_policy="may")
        self.assertEqual(await client.heard(b"\n"), b"220 ready\r\n")
        await self.ask(client, b"USER anonymous\r\n", b"331 ")
