"""Sockets and connections of a parent process: systemd's, inetd's, and by hand.

Each server is a child process, ``twistd`` most of the time, as on a user's machine: Twisted
reads what systemd passes when it is imported, so only a new process can be passed anything.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import sys
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import quote

from twisted.internet.defer import ensureDeferred
from twisted.internet.endpoints import ProcessEndpoint
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.threads import deferToThread

import txtransport
from tests import certificates
from tests.docs.pages import PAGES, blocks
from tests.endpoints.test_over import SocketEndpoint
from tests.live.peers import PATIENCE, Peer, PeerTestCase, Program, demand, under_tls
from tests.loopback import Recorder
from txtransport import TransportTimeout

ACTIVATE: Final = Program(
    "systemd-socket-activate", ("--version",), "systemd", "/lib/systemd:/usr/lib/systemd"
)
SH: Final = Program("sh", (), "")
ROOT: Final = Path(__file__).resolve().parents[2]

RUN: Final = "from twisted.scripts.twistd import run; run()"

PAGE: Final = {
    block.first_line: block.text
    for block in blocks(PAGES["sockets.md"].read_text(encoding="utf-8"))
}
"""The blocks of the page about sockets, whose files are used here as they are."""

NOBODY: Final = """
import os, pwd
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
import txtransport

class Hello(Protocol):
    def connectionMade(self):
        self.transport.write(b"hello from nobody")

endpoint = txtransport.server(reactor, "systemd://app")
nobody = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(nobody.pw_gid)
os.setuid(nobody.pw_uid)

def stop(port):
    print("ready", flush=True)
    reactor.addSystemEventTrigger("before", "shutdown", port.stopListening)

endpoint.listen(Factory.forProtocol(Hello)).addCallback(stop)
reactor.run()
"""


class SocketsTestCase(PeerTestCase):
    """What the tests of this file share."""

    def setUp(self) -> None:
        super().setUp()
        self.files = self.folder()
        self.files.chmod(0o755)
        (self.files / "index.html").write_text("hello from the child")

    def twistd(self, url: str, *options: str) -> list[str]:
        """The command of a web server that listens at an endpoint string."""
        # Its log is its standard output, unless that is the connection.
        return [sys.executable, "-c", RUN, "-n", "--pidfile=", *options,
                "web", "--path", str(self.files), "--listen", url]  # fmt: skip

    def as_on_the_page(self, command: str) -> list[str]:
        """A command of the page, with what this machine has in place of the page's paths."""
        program, *arguments = command.split()
        self.assertEqual(program, "/usr/bin/twistd")
        log = f"--logfile={self.files}/log"
        here = {"/srv/web": str(self.files), "--logfile=/var/log/web.log": log}
        found = [here.get(each, each) for each in arguments]
        found[-1] = re.sub(r"=[^=]*/site\.pem$", f"={certificates.site()}", found[-1])
        return [sys.executable, "-c", RUN, *found]

    def url(self, scheme_and_place: str, **options: str) -> str:
        """A URL with the certificate of the tests."""
        pairs = {"local_cert": certificates.site(), **options}
        query = "&".join(f"{name}={quote(value, safe='/')}" for name, value in pairs.items())
        return f"{scheme_and_place}?{query}"

    def pass_on(self, sockets: dict[str, list[socket.socket]], *command: str, **more: Any) -> Peer:
        """Start a program as systemd does, by hand: descriptors from 3 on, and their names."""
        named = [(name, each) for name, many in sockets.items() for each in many]
        names = ":".join(name for name, _ in named)
        # exec, since the number of the process must be the program's own.
        script = f'LISTEN_PID=$$ LISTEN_FDS={len(named)} LISTEN_FDNAMES="{names}" exec "$@"'
        passed = {3 + place: each.fileno() for place, (_, each) in enumerate(named)}
        return self.spawn(["/bin/sh", "-c", script, "sh", *command], passed, **more)

    def spawn(self, command: list[str], passed: dict[int, Any], **more: Any) -> Peer:
        """Start a program with descriptors of ours."""
        peer = Peer(self.reactor, " ".join(command))
        environ = {**os.environ, "LC_ALL": "C", "PYTHONPATH": str(ROOT), **more.pop("environ", {})}
        files = {0: "w", 1: "r", 2: "r", **passed}
        self.reactor.spawnProcess(peer, command[0], command, environ, "/", childFDs=files, **more)
        self.addCleanup(lambda: ensureDeferred(peer.reaped()))
        self._peers.append(peer)
        return peer

    def parent_s(self) -> socket.socket:
        """A socket that listens, as a parent's."""
        made = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(made.close)
        return made

    async def page(self, number: int) -> bytes:
        """What the web server has, over TLS that is verified."""
        ours = await self.connected(f"tls://localhost:{number}", cafile=certificates.cafile())
        self.assertTrue(under_tls(ours).verified)
        return await self.asked(ours)

    async def asked(self, ours: Recorder) -> bytes:
        """The answer of a web server on a connection."""
        ours.say(b"GET /index.html HTTP/1.0\r\n\r\n")
        return bytes(await ours.heard(b"hello from the child"))


class ByHandTests(SocketsTestCase):
    """The protocol of systemd (sd_listen_fds(3)), spoken by the test."""

    program: ClassVar[Program] = SH

    async def test_sockets_of_one_name(self) -> None:
        """twistd listens at two sockets of one name, and leaves that of another name alone."""
        web, other = [self.parent_s(), self.parent_s()], self.parent_s()
        command = self.twistd(self.url("tls+systemd://web"))
        self.pass_on({"web": web, "other": [other]}, *command)
        for each in web:
            self.assertIn(b"200 OK", await self.page(each.getsockname()[1]))

    async def test_a_descriptor(self) -> None:
        """A parent of any kind passes a descriptor by its number."""
        made = self.parent_s()
        self.spawn(self.twistd(self.url("tls+fd://7")), {7: made.fileno()})
        self.assertIn(b"200 OK", await self.page(made.getsockname()[1]))

    async def test_inetd_waits(self) -> None:
        """inetd's wait: the listening socket is standard input."""
        made = self.parent_s()
        self.spawn(self.twistd(self.url("tls+fd://0")), {0: made.fileno()})
        self.assertIn(b"200 OK", await self.page(made.getsockname()[1]))

    async def test_a_connection_is_refused(self) -> None:
        """Accept=yes by mistake: the program ends, and its last line says what to write."""
        made = self.parent_s()
        with socket.create_connection(made.getsockname()):
            accepted, _ = made.accept()
            self.addCleanup(accepted.close)
            peer = self.pass_on({"web": [accepted]}, *self.twistd(self.url("tls+systemd://web")))
            await peer.prints(
                rb"InvalidTransport: tls\+systemd://web: descriptor 3 is a connection"
            )
            await peer.prints(rb"Accept=no")
            self.assertEqual(await peer.exits(), 1)

    async def test_a_shell_in_between_is_named(self) -> None:
        """LISTEN_PID is the shell's: the program was not passed anything, and says why."""
        made = self.parent_s()
        command = self.twistd(self.url("tls+systemd://web"))
        peer = self.pass_on({"web": [made]}, "/bin/sh", "-c", '"$@"; exit $?', "sh", *command)
        await peer.prints(rb"to another one \(LISTEN_PID\)")

    async def test_another_user_s_local_socket(self) -> None:
        """A socket of root's, served by nobody: its rights and its file stay as they are."""
        demand("only root can be another user" if os.geteuid() else None, os.environ)
        path = self.socket_path()
        made = socket.socket(socket.AF_UNIX)
        self.addCleanup(made.close)
        made.bind(path)
        os.chmod(path, 0o600)
        made.listen(5)
        peer = self.pass_on({"app": [made]}, sys.executable, "-c", NOBODY)
        await peer.prints(b"ready")
        ours = await self.connected(f"unix://{path}")
        await ours.heard(b"hello from nobody")
        self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
        peer.kill("TERM")
        self.assertEqual(await peer.exits(), 0)
        self.assertTrue(os.path.exists(path))
        # systemd listens on, and starts the service for the next client.
        await self.connected(f"unix://{path}")

    async def test_the_page_s_line_for_inetd(self) -> None:
        """wait in inetd.conf, word for word."""
        line = PAGE["# /etc/inetd.conf"].splitlines()[1].split(" ", 6)
        self.assertEqual(line[1:4], ["stream", "tcp", "wait"])
        self.assertEqual(line[6].split()[0], "twistd")
        made = self.parent_s()
        command = self.as_on_the_page(f"{line[5]} {line[6].partition(' ')[2]}")
        self.spawn(command, {0: made.fileno(), 1: made.fileno(), 2: made.fileno()})
        self.assertIn(b"200 OK", await self.page(made.getsockname()[1]))

    async def test_standard_input_is_a_connection(self) -> None:
        """inetd's nowait: TLS on standard input and output, by an endpoint string of Twisted's."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        log = self.files / "log"
        url = self.url("transport:tls://localhost", over="stdio:")
        self.spawn(self.twistd(url, f"--logfile={log}"), dict.fromkeys((0, 1), theirs.fileno()))
        theirs.close()
        client = await self.over(ours)
        self.assertTrue(under_tls(client).verified)
        self.assertIn(b"200 OK", await self.asked(client))
        await client.lost

    async def test_a_silent_client_of_standard_input(self) -> None:
        """Its deadline ends the connection, which Twisted would leave open until the exit."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        log = self.files / "log"
        url = self.url("transport:tls://localhost", over="stdio:", handshake_timeout="0.5")
        peer = self.spawn(
            self.twistd(url, f"--logfile={log}"), dict.fromkeys((0, 1), theirs.fileno())
        )
        theirs.close()
        ours.settimeout(PATIENCE)
        self.assertEqual(await deferToThread(ours.recv, 1), b"")
        self.assertIn("the handshake took longer than 0.5 s", log.read_text())
        # twistd stops its services: what stands for a port here can be stopped.
        peer.kill("TERM")
        await peer.exits()
        ended = log.read_text()
        self.assertIn("Server Shut Down", ended)
        self.assertNotIn("Traceback", ended)

    async def test_nothing_is_printed_in_the_clear_behind_tls(self) -> None:
        """A program of the page prints when TLS is over: its peer gets none of it."""
        ours, theirs = socket.socketpair()
        self.addCleanup(ours.close)
        program = PAGE["# greet.py"].replace(
            "reactor.callLater", "print('secret'); reactor.callLater"
        )
        self.assertIn("secret", program)
        program = program.replace("certs/localhost.pem", certificates.site())
        peer = self.spawn(
            [sys.executable, "-u", "-c", program], dict.fromkeys((0, 1), theirs.fileno())
        )
        theirs.close()
        copy = ours.dup()
        copy.setblocking(False)
        client = await self.over(ours)
        await client.heard(b"hello under TLS\n")
        await client.lost
        self.assertEqual(await peer.exits(), 0)
        # What is left in the socket behind the close_notify of TLS: nothing but its end.
        self.assertEqual(copy.recv(100), b"")
        copy.close()
        self.assertNotIn(b"secret", client.received)

    async def test_a_program_is_the_way(self) -> None:
        """TLS through the pipes of a child process, as with ssh: over= on both sides."""
        program = PAGE["# greet.py"].replace("certs/localhost.pem", certificates.site())
        way = self.process(sys.executable, "-c", program)
        client = await self.connected("tls://localhost", over=way, cafile=certificates.cafile())
        await client.heard(b"hello under TLS\n")
        await client.lost

    async def test_a_program_that_says_nothing_is_killed_at_the_deadline(self) -> None:
        """A program whose input is closed need not end, so it would stay for ever."""
        ends, held = os.pipe()
        self.addCleanup(os.close, ends)
        way = self.process(
            "/bin/sh", "-c", "exec sleep 60", childFDs={0: "w", 1: "r", 2: "r", 5: held}
        )
        attempt = ensureDeferred(
            self.connected("tls://localhost", over=way, cafile=certificates.cafile(), timeout=1)
        )
        os.close(held)
        with self.assertRaises(TransportTimeout):
            await attempt
        # The end of the pipe: nobody holds it any more.
        self.assertEqual(await deferToThread(os.read, ends, 1), b"")

    def process(self, *command: str, **keywords: Any) -> ProcessEndpoint:
        """An endpoint that starts a program for each connection."""
        environ = {**os.environ, "PYTHONPATH": str(ROOT)}
        return ProcessEndpoint(self.reactor, command[0], command, environ, **keywords)

    async def over(self, connected: socket.socket) -> Recorder:
        """A client of ours over a socket that is connected already."""
        here = SocketEndpoint(self.reactor, connected)
        return await self.connected("tls://localhost", over=here, cafile=certificates.cafile())


class ActivateTests(SocketsTestCase):
    """systemd's own program, which passes sockets as systemd does."""

    program: ClassVar[Program] = ACTIVATE

    def activate(self, *arguments: str) -> Peer:
        """Start it; it starts its program when the first client comes."""
        return self.start("-E", "PYTHONPATH", *arguments, environ={"PYTHONPATH": str(ROOT)})

    async def test_named_sockets(self) -> None:
        """--fdname=web:web: two addresses, one name, one server."""
        ports = self.free_port(), self.free_port()
        places = [part for port in ports for part in ("-l", f"127.0.0.1:{port}")]
        command = self.twistd(self.url("tls+systemd://web"))
        peer = self.activate("--fdname=web:web", *places, *command)
        await peer.prints(rb"Listening on .* as 4")
        for port in ports:
            self.assertIn(b"200 OK", await self.page(port))

    async def test_the_page_s_units(self) -> None:
        """The socket unit's names are those of the service, whose command works as it is."""
        unit = PAGE["# /etc/systemd/system/web.socket"]
        service = PAGE["# /etc/systemd/system/web.service"]
        names = re.findall(r"^FileDescriptorName=(.*)$", unit, re.M)
        found = re.search(r"^ExecStart=(.*)$", service, re.M)
        assert found is not None
        command = self.as_on_the_page(found[1])
        port = self.free_port()
        peer = self.activate(f"--fdname={names[0]}", "-l", f"127.0.0.1:{port}", *command)
        await peer.prints(rb"Listening on .* as 3")
        self.assertIn(b"200 OK", await self.page(port))

    async def test_datagrams(self) -> None:
        """--datagram: a UDP socket by its name; the answer comes from its address."""
        port = self.free_port()
        peer = self.activate(
            "--datagram",
            "--fdname=echo",
            "-l",
            f"127.0.0.1:{port}",
            sys.executable,
            "-c",
            PAGE["# echo.py"],
        )
        await peer.prints(rb"Listening on .* as 3")
        heard: Any = Recorder()

        class Asking(DatagramProtocol):
            def datagramReceived(self, datagram: bytes, addr: Any) -> None:
                heard.dataReceived(datagram)

        asking: Any = await txtransport.datagram(self.reactor, f"udp://127.0.0.1:{port}").connect(
            Asking()
        )
        self.addCleanup(asking.stopListening)
        asking.write(b"question")
        await heard.heard(b"question")

    async def test_inetd_s_connections(self) -> None:
        """--accept --inetd is StandardInput=socket of a unit with Accept=yes."""
        port = self.free_port()
        url = self.url("transport:tls://localhost", over="stdio:")
        command = self.twistd(url, f"--logfile={self.files}/log")
        peer = self.activate("--accept", "--inetd", "-l", f"127.0.0.1:{port}", *command)
        await peer.prints(rb"Listening on .* as 3")
        self.assertIn(b"200 OK", await self.page(port))
        await peer.prints(rb"Spawned .* as PID \d+")
        child = int(peer.printed.rpartition(b"PID ")[2].split(b".")[0])
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, 15)
