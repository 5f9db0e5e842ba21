"""Runs foreign proxies: tinyproxy, Squid, Dante, microsocks, and OpenSSH's ``ssh -D``.

Each listens on a free port of the loopback interface, and keeps all its files in a folder
of the test.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

import txtransport
from tests import certificates
from tests.live.peers import PATIENCE, PeerTestCase, Program, demand

TINYPROXY: Final = Program("tinyproxy", ("-v",), r"tinyproxy 1\.1[01]")
SQUID: Final = Program("squid", ("-v",), r"(?s)Version [5-9].*--with-openssl")
DANTE: Final = Program("danted", ("-v",), r"Dante v1\.4")
MICROSOCKS: Final = Program("microsocks", ("-h",), "MicroSocks SOCKS5 Server")
SSHD: Final = Program("sshd", (), "")
SSH: Final = Program("ssh", ("-V",), r"OpenSSH_([89]|\d\d)")

USER: Final = "user"
PASSWORD: Final = "open sesame"
LOGIN: Final = "user:open%20sesame@"

TINYPROXY_CONF: Final = """
Port {port}
Listen 127.0.0.1
Timeout 20
LogLevel Info
{more}
"""

# It begins as root and goes on as the user of its package.
SQUID_CONF: Final = """
{listen}
pid_filename none
access_log none
cache_log /dev/null
cache deny all
shutdown_lifetime 0 seconds
visible_hostname proxy.example
{more}
"""
SQUID_OPEN: Final = "http_access allow all"
SQUID_LOGIN: Final = """
auth_param basic program /bin/sh {users}
acl known proxy_auth REQUIRED
http_access allow known
http_access deny all
"""

# Squid percent-encodes what it asks, and reads a line for each answer.
SQUID_USERS: Final = """
while read -r line; do
    case "$line" in
        "user open%20sesame") echo OK ;;
        *) echo ERR ;;
    esac
done
"""

DANTE_CONF: Final = """
logoutput: stderr
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
clientmethod: none
socksmethod: none
client pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
socks {verdict} {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}
"""

SSHD_CONF: Final = """
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile none
StrictModes no
PermitRootLogin yes
UsePAM no
"""


class ProxyServersTestCase(PeerTestCase):
    """A test with foreign proxies."""

    async def tinyproxy(self, more: str = "") -> int:
        """Start tinyproxy; return its port.

        Args:
            more: Lines for its configuration.
        """
        port = self.free_port()
        conf = self.folder() / "tinyproxy.conf"
        conf.write_text(TINYPROXY_CONF.format(port=port, more=more))
        self.start("-d", "-c", str(conf), program=TINYPROXY)
        await self.accepts(port)
        return port

    async def squid(self, *, tls: bool = False, has_users: bool = False) -> int:
        """Start Squid; return its port.

        Args:
            tls: Whether it is an ``https://`` proxy.
            has_users: Whether it knows one user and connects for no other client.
        """
        port, folder = self.free_port(), self.folder()
        folder.chmod(0o755)
        listen = f"http_port 127.0.0.1:{port}"
        if tls:
            shutil.copy(certificates.site(), folder / "site.pem")
            listen = f"https_port 127.0.0.1:{port} tls-cert={folder}/site.pem"
        users = folder / "users"
        users.write_text(SQUID_USERS)
        more = SQUID_LOGIN.format(users=users) if has_users else SQUID_OPEN
        (folder / "squid.conf").write_text(SQUID_CONF.format(listen=listen, more=more))
        # The name of its shared memory, which is taken where another one runs.
        name = f"test{port}"
        self.start("-N", "-n", name, "-f", str(folder / "squid.conf"), program=SQUID)
        await self.accepts(port)
        return port

    async def dante(self, verdict: str = "pass") -> int:
        """Start Dante; return its port.

        Args:
            verdict: ``pass`` or ``block``, for every request.
        """
        port = self.free_port()
        conf = self.folder() / "danted.conf"
        conf.write_text(DANTE_CONF.format(port=port, verdict=verdict))
        self.start("-f", str(conf), "-p", "/dev/null", program=DANTE, stop_signal="TERM")
        await self.accepts(port)
        return port

    async def microsocks(self, *, has_users: bool = False) -> int:
        """Start microsocks; return its port.

        Args:
            has_users: Whether it knows one user and connects for no other client.
        """
        port = self.free_port()
        users = ("-u", USER, "-P", PASSWORD) if has_users else ()
        self.start("-i", "127.0.0.1", "-p", str(port), *users, program=MICROSOCKS)
        await self.accepts(port)
        return port

    async def ssh(self) -> int:
        """Start OpenSSH's server, and its client with ``-D``; return the client's port."""
        demand("only root can start sshd for itself" if os.geteuid() else None, os.environ)
        # Where sshd of Debian locks its first process up.
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        folder, port, socks = self.folder(), self.free_port(), self.free_port()
        for name in ("host", "key"):
            make = [shutil.which("ssh-keygen") or "", "-q", "-t", "ed25519", "-N", "", "-f"]
            subprocess.run([*make, str(folder / name)], check=True, timeout=30)
        (folder / "sshd_config").write_text(SSHD_CONF.format(port=port, folder=folder))
        server = self.start("-D", "-e", "-f", f"{folder}/sshd_config", program=SSHD)
        await server.prints(rb"Server listening on")
        options = ("UserKnownHostsFile=/dev/null", "StrictHostKeyChecking=no", "BatchMode=yes")
        self.start(
            "-N", "-F", "/dev/null", "-D", f"127.0.0.1:{socks}", "-p", str(port),
            "-i", f"{folder}/key", *(word for each in options for word in ("-o", each)),
            "root@127.0.0.1", program=SSH,
        )  # fmt: skip
        await self.accepts(socks)
        return socks

    def accepts(self, port: int) -> Deferred[None]:
        """Fires when a port accepts connections, of which its program tells nothing."""
        accepted: Deferred[None] = Deferred()

        async def attempt() -> None:
            url = f"tcp://127.0.0.1:{port}"
            while not accepted.called:
                try:
                    protocol = await txtransport.client(self.reactor, url).connect(
                        Factory.forProtocol(Protocol)
                    )
                except ConnectError:
                    await deferLater(self.reactor, 0.02)
                else:
                    protocol.transport.abortConnection()  # type: ignore[union-attr]
                    accepted.callback(None)

        Deferred.fromCoroutine(attempt()).addErrback(accepted.errback)
        return accepted.addTimeout(PATIENCE, self.reactor)
