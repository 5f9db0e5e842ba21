"""vsftpd and our client: FTP, and the connections for its data (RFC 4217)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater

from tests import certificates
from tests.live.peers import Peer, Program, demand, under_tls
from tests.live.switching import ELSEWHERE, ServerTestCase
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
    """Ours goes to vsftpd."""

    program = VSFTPD
    protocol = "ftp"

    def setUp(self) -> None:
        super().setUp()
        demand("only root can start vsftpd" if os.geteuid() else None, os.environ)

    async def serving(self, *, tls: bool = True) -> int:
        """Start it, with one file; its port."""
        folder, port = self.folder(), self.free_port()
        folder.chmod(0o711)
        for name in ("empty", "files"):
            (folder / name).mkdir()
        (folder / "files" / "letter").write_text("Dear Joe")
        conf = CONF.format(
            folder=folder, port=port, pem=certificates.site(), tls="YES" if tls else "NO"
        )
        (folder / "conf").write_text(conf)
        self.addCleanup(self.deserted, self.start(f"{folder}/conf", farewell="TERM"))
        await self.answering(port)
        return port

    async def deserted(self, server: Peer) -> None:
        """Wait for the end of its sessions: with it gone, no one would reap them."""
        pid = server.transport.pid
        sessions = Path(f"/proc/{pid}/task/{pid}/children")
        for _ in range(100):
            if not sessions.exists() or not sessions.read_text():
                break
            await deferLater(self.reactor, 0.02, lambda: None)

    async def test_tls_at_once(self) -> None:
        """Who begins with TLS is told where it begins in the clear, and that works."""
        await self.advised(await self.serving())

    async def test_a_file_under_tls(self) -> None:
        """Server and name are verified; the guest is greeted, logs in and fetches a file.

        The connection for the data is under TLS from the start, and verified
        as well.
        """
        client = await self.visiting(await self.serving())
        self.assertTrue(under_tls(client).verified)
        self.assertEqual(await client.heard(b"\n"), b"220 ready\r\n")
        for command, code in (
            (b"USER anonymous", b"331 "),
            (b"PASS joe@example.com", b"230 "),
            (b"PBSZ 0", b"200 "),
            (b"PROT P", b"200 "),
        ):
            await self.asked(client, command + b"\r\n", code)
        place = re.search(rb"\(\|\|\|(\d+)\|\)", await self.asked(client, b"EPSV\r\n", b"|)"))
        assert place is not None
        client.say(b"RETR letter\r\n")
        data = await self.connected(
            f"tls://localhost:{int(place[1])}", cafile=certificates.cafile()
        )
        await client.heard(b"226 ")
        (await data.gone()).trap(ConnectionDone)
        self.assertEqual(data.received, b"Dear Joe")

    async def test_a_certificate_that_is_not_good(self) -> None:
        """There is no guest for a server that is another, or that no one vouches for."""
        await self.distrusting(await self.serving(), peer_name=ELSEWHERE)

    async def test_a_server_without_tls(self) -> None:
        """It refuses, and the guest may go on in the clear where that was said."""
        port = await self.serving(tls=False)
        error = await self.failing(TLSRefused, port)
        self.assertEqual(error.code, "530")
        client = await self.visiting(port, starttls_policy="may")
        self.assertEqual(await client.heard(b"\n"), b"220 ready\r\n")
        await self.asked(client, b"USER anonymous\r\n", b"331 ")
