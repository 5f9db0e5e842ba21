"""Runs Postfix, which accepts mail, and Dovecot, which stores it and delivers it to clients.

Both listen on free ports of the loopback interface, and keep all their files in
a folder of the test. Only root can start them; they then work as the users that
Debian's packages create for them.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

from attrs import frozen

from tests import certificates
from tests.live.peers import Peer, PeerTestCase, Program, demand, path

DOVECOT: Final = Program("dovecot", ("--version",), r"^2\.[34]\.")
DOVECOT_PARTS: Final = tuple(
    Program(part, (), "", "/usr/lib/dovecot")
    for part in ("imap-login", "pop3-login", "lmtp", "managesieve-login")
)
POSTFIX: Final = Program("postconf", ("-d", "mail_version"), r"= 3\.([5-9]|\d\d)")
SHELL: Final = Program("sh", ("-c", "echo a shell"), "a shell")

PASSWORD: Final = "open-sesame"
"""The password of every user."""

DOVECOT_DIALECTS: Final = {
    "2.3": """
ssl = {tls}
ssl_cert = <{pem}
ssl_key = <{pem}
mail_location = maildir:~/Maildir
passdb {{
  driver = static
  args = password={password}
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/home/%n allow_all_users=yes
}}
""",
    "2.4": """
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
ssl = {tls}
ssl_server_cert_file = {pem}
ssl_server_key_file = {pem}
mail_driver = maildir
mail_path = ~/Maildir
passdb static {{
  password = {password}
}}
userdb static {{
  allow_all_users = yes
  fields {{
    uid = nobody
    gid = nogroup
    home = {folder}/home/%{{user|username}}
  }}
}}
""",
}
"""The part of Dovecot's configuration whose syntax differs between releases; it comes first."""

DOVECOT_CONF: Final = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
listen = 127.0.0.1
protocols = imap pop3 lmtp sieve
auth_mechanisms = plain login
haproxy_trusted_networks = 127.0.0.1
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
  }}
  inet_listener imap-proxied {{
    port = {imap_proxied}
    haproxy = yes
  }}
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {pop3}
  }}
  inet_listener pop3s {{
    port = {pop3s}
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = {sieve}
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service auth {{
  inet_listener auth-postfix {{
    port = {auth}
  }}
}}
"""

MAIN_CF: Final = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = /dev/stdout
inet_interfaces = 127.0.0.1
myhostname = post.example
mydestination =
alias_maps =
smtpd_peername_lookup = no
smtpd_tls_security_level = {tls}
smtpd_tls_chain_files = {pem}
virtual_mailbox_domains = example.com
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
"""

MASTER_CF: Final = """
127.0.0.1:{smtp}  inet  n - n - - smtpd
127.0.0.1:{smtps} inet  n - n - - smtpd -o smtpd_tls_wrappermode=yes {login}
127.0.0.1:{submission} inet  n - n - - smtpd -o smtpd_tls_security_level=encrypt {login}
127.0.0.1:{smtp_proxied} inet n - n - - smtpd -o smtpd_upstream_proxy_protocol=haproxy
anvil             unix  - - n - 1 anvil
bounce            unix  - - n - 0 bounce
cleanup           unix  n - n - 0 cleanup
defer             unix  - - n - 0 bounce
lmtp              unix  - - n - - lmtp
postlog     unix-dgram  n - n - 1 postlogd
proxymap          unix  - - n - - proxymap
qmgr              unix  n - n 300 1 qmgr
retry             unix  - - n - - error
rewrite           unix  - - n - - trivial-rewrite
tlsmgr            unix  - - n 1000? 1 tlsmgr
"""

LOGIN: Final = (
    "-o smtpd_sasl_auth_enable=yes -o smtpd_sasl_type=dovecot"
    " -o smtpd_sasl_path=inet:127.0.0.1:{auth}"
    " -o smtpd_client_restrictions=permit_sasl_authenticated,reject"
)
"""Options of a service of Postfix's that takes mails from those who have logged in."""

START_POSTFIX: Final = """
PATH="$PATH:/usr/sbin"
postfix check && exec "$(postconf -h daemon_directory)/master" -s
"""
"""Not ``postfix start-fg``, which would leave a shell between the test and the master process."""


@frozen
class Server:
    """A running mail server.

    Attributes:
        peer: Its process.
        ports: Its port for each protocol. A name that ends in ``s``, such as
            ``imaps``, is a port with TLS from the start; one that ends in
            ``_proxied`` expects a PROXY header.
    """

    peer: Peer
    ports: dict[str, int]


class MailServersTestCase(PeerTestCase):
    """A test with Postfix and Dovecot."""

    program = DOVECOT

    def setUp(self) -> None:
        """Find all programs of both servers."""
        super().setUp()
        for program in (POSTFIX, *DOVECOT_PARTS):
            path(program, os.environ)
        demand("only root can start Postfix and Dovecot" if os.geteuid() else None, os.environ)

    async def dovecot(self, *, tls: bool = True, pem: str | None = None) -> Server:
        """Start Dovecot.

        Args:
            tls: Whether it offers TLS.
            pem: The file of its certificate and key; the good one by default.
        """
        ports = _free_ports(
            "imap", "imaps", "imap_proxied", "pop3", "pop3s", "sieve", "lmtp", "auth"
        )
        folder = self._public_folder()
        shutil.chown(_made(folder / "home"), "nobody")
        conf = (DOVECOT_DIALECTS[_release()] + DOVECOT_CONF).format(
            folder=folder, tls="yes" if tls else "no", pem=pem or certificates.site(),
            password=PASSWORD, **ports,
        )  # fmt: skip
        (folder / "dovecot.conf").write_text(conf)
        peer = self.start("-F", "-c", f"{folder}/dovecot.conf", stop_signal="TERM")
        await peer.prints(rb"starting up for imap, pop3, lmtp, sieve")
        return Server(peer, ports)

    async def postfix(
        self, lmtp: int, *, tls: bool = True, pem: str | None = None, auth: int | None = None
    ) -> Server:
        """Start Postfix.

        Args:
            lmtp: The LMTP port to which it delivers mail for example.com.
            tls: Whether it offers TLS.
            pem: The file of its certificate and key; the good one by default.
            auth: Dovecot's port for log-ins, without which nothing is then taken at the
                ports ``smtps`` and ``submission``; or None.
        """
        ports = _free_ports("smtp", "smtps", "submission", "smtp_proxied")
        folder = self._public_folder()
        shutil.chown(_made(folder / "data"), "postfix")
        etc = _made(folder / "etc")
        main = MAIN_CF.format(
            folder=folder, tls="may" if tls else "none", pem=pem or certificates.site(), lmtp=lmtp
        )
        (etc / "main.cf").write_text(main)
        # Postfix waits before it reads a file that was changed in this second.
        os.utime(etc / "main.cf", (0, 0))
        login = "" if auth is None else LOGIN.format(auth=auth)
        (etc / "master.cf").write_text(MASTER_CF.format(login=login, **ports))
        _made(folder / "queue")
        peer = self.start(
            "-c",
            START_POSTFIX,
            program=SHELL,
            stop_signal="TERM",
            environ={"MAIL_CONFIG": str(etc)},
        )
        await peer.prints(rb"daemon started")
        return Server(peer, ports)

    def _public_folder(self) -> Path:
        """A new folder that other users can enter."""
        folder = self.folder()
        folder.chmod(0o711)
        return folder


@functools.cache
def _release() -> str:
    """The release of Dovecot, which decides about its configuration: ``2.3``."""
    asked = subprocess.run([path(DOVECOT, os.environ), *DOVECOT.question],
                           capture_output=True, text=True, timeout=30)  # fmt: skip
    return asked.stdout[:3]


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _free_ports(*names: str) -> dict[str, int]:
    """A different free port for each name."""
    with contextlib.ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in names]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return {name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)}
