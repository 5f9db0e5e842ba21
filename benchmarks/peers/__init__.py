"""The stacks under test: a row each.

A new peer is one row and one program, which speaks the lines of `lab.worker` and
offers what it can of these deeds:

- `connect(port, count, way)`: one after another, verified connections to a
  server that echoes: 5 bytes there and back, and closed with close_notify. The
  way is empty, or one that the workload names, such as ``resumed``;
- `upgrade(port, count, way)`: the same behind STARTTLS of SMTP;
- `send(port, amount, piece)`: a connection on which `amount` bytes are written,
  `piece` bytes at a time, as fast as backpressure allows, until the server
  answers with one byte; `receive(port, amount)`: one byte is written, and
  `amount` bytes are read. Both measure what comes after the handshake;
- `pingpong(port, count, size)`: `size` bytes there and back, `count` times;
- `bursts(port, count, writes, size)`: `writes` small writes, then an answer of
  one byte is awaited, `count` times;
- `listen(way)`, `listen_starttls(way)`: a server of TLS that echoes, at a free
  ``port``, from the start or behind STARTTLS of SMTP;
- `listen_later(delay)`: as `listen`, but echoes so many seconds later;
- `datagrams()`: a server of UDP that sends back what it gets, at a free ``port``;
- `usage()`: the ``cpu`` seconds that the process has used; `memory()`: its
  resident ``bytes``; `profile(on)`: begin to count calls of Python, or end and
  tell the ``calls``.

Clients answer with what they used, in seconds: ``cpu`` and ``elapsed``.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attrs import frozen

FOLDER: Final = Path(__file__).resolve().parent


@frozen
class Peer:
    """A program that can be measured.

    Attributes:
        name: How its rows are called.
        command: Makes the command from the folder that has the certificates.
        module: The module of Python that it needs; empty if none.
        program: The program that it needs; empty if none.
    """

    name: str
    command: Callable[[Path], tuple[str, ...]]
    module: str = ""
    program: str = ""

    def missing(self) -> str:
        """What to install before it can be measured; empty if it is all there."""
        if self.module and importlib.util.find_spec(self.module) is None:
            return f"{self.module} (pip install --editable '.[bench]')"
        if self.program and shutil.which(self.program) is None:
            return f"the program {self.program}"
        return ""


def _python(program: str, *arguments: str) -> Callable[[Path], tuple[str, ...]]:
    return lambda folder: (
        sys.executable, "-m", f"benchmarks.peers.{program}", str(folder), *arguments
    )  # fmt: skip


def _go(folder: Path) -> tuple[str, ...]:
    """Compile it first."""
    program = folder / "peer-go"
    if not program.exists():
        subprocess.run(
            ["go", "build", "-o", program, FOLDER / "peer.go"],
            check=True,
            timeout=300,
            stdin=subprocess.DEVNULL,
        )
    return (str(program), str(folder))


PEERS: Final = {
    peer.name: peer
    for peer in (
        Peer("txtransport", _python("ours")),
        Peer("stock Twisted", _python("stock")),
        Peer("pyOpenSSL, blocking", _python("pyopenssl")),
        Peer("asyncio", _python("asyncio_peer", "asyncio")),
        Peer("uvloop", _python("asyncio_peer", "uvloop"), module="uvloop"),
        Peer("trio", _python("trio_peer"), module="trio"),
        Peer("anyio", _python("anyio_peer"), module="anyio"),
        Peer("Python's ssl, blocking", _python("blocking")),
        Peer(
            "PHP",
            lambda folder: ("php", "-n", str(FOLDER / "peer.php"), str(folder)),
            program="php",
        ),
        Peer("Go", _go, program="go"),
        Peer("openssl s_time", _python("s_time"), program="openssl"),
    )
}
"""All peers by name, in the order of the tables."""

NEUTRAL: Final = "pyOpenSSL, blocking"
"""What stands at the other end of every measured connection."""
