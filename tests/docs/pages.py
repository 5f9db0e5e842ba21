"""The blocks of code on a page of the documentation, and what runs them as a reader would.

A page is read like a session at a terminal, from top to bottom, in an empty folder:

- A ``python`` block whose first line is ``# name.py`` is saved under that name; one without
  is run at once.
- In a ``console`` block, a line that begins with ``$ `` is a command (lines that begin with
  ``> `` go on with it), and the lines below are the output that the page promises. There
  ``…`` stands for anything. White space, dates and measured times are not compared.
- A ``urls`` block has a transport's URL on each line.
- ``text`` is shown and not run; the test lists each such block with a reason.

The ports that the pages name are replaced by free ones.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from attrs import define, field, frozen

from txtransport.config.url import TransportURL

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = {path.name: path for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]}
"""Every page by the name of its file."""

PORTS: Final = (2525, 2526, 4321, 5587, 8443, 8444, 8445, 9999)
"""The ports on which programs of the pages listen."""

PATIENCE: Final = 60.0
"""Seconds that a command has to end, or a server to listen."""

_FOREIGN: Final = {"curl", "openssl", "systemd-socket-activate"}
"""Programs of others that pages use."""

_PROGRAMS: Final = {
    "python": '"$PYTHON"',
    "txtransport": '"$PYTHON" -m txtransport',
    "twistd": '"$PYTHON" -c "from twisted.scripts.twistd import run; run()"',
}
"""What an activated environment has on its path."""


@frozen
class Block:
    """One fenced block of a page.

    Attributes:
        kind: The word behind the fence, such as ``python``.
        text: The lines within, each with its end.
    """

    kind: str
    text: str

    @property
    def first_line(self) -> str:
        """What names the block in messages and in the tests' tables."""
        return self.text.partition("\n")[0]

    @property
    def file(self) -> str | None:
        """The name under which the page has the reader save the block, if it has one."""
        match = re.match(r"# (\w+\.py)\n", self.text)
        return match[1] if match and self.kind == "python" else None


@frozen
class Command:
    """A command of a ``console`` block.

    Attributes:
        line: What is typed, without the prompts.
        output: What the page shows below; empty if nothing.
    """

    line: str
    output: str


def blocks(page: str) -> list[Block]:
    """The fenced blocks of a page's text, in their order."""
    found = re.findall(r"^```([^\n]*)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(kind, text) for kind, text in found]


def indented_blocks(page: str) -> list[str]:
    """The first lines of blocks that are set off by four spaces in place of a fence."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"\n\n    (\S.*)", prose)


def commands(block: Block) -> list[Command]:
    """The commands of a ``console`` block, in their order."""
    found = re.findall(r"^\$ (.*\n(?:> .*\n)*)((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)
    return [Command(line.replace("\n> ", "\n").strip(), output) for line, output in found]


def matches(promised: str, seen: str) -> bool:
    """Whether an output is what a page promises, but for what differs from run to run."""
    parts = map(re.escape, _comparable(promised).split("…"))
    return re.fullmatch(".*".join(part.strip() for part in parts), _comparable(seen)) is not None


def _comparable(output: str) -> str:
    output = re.sub(r"\d{4}-\d\d-\d\d", "DATE", output)
    output = re.sub(r"(?<![\w.])\d+\.\d{1,2}(?![\w.])", "TIME", output)
    # A table is as wide as its longest time.
    output = re.sub(r"-{10,}", "RULE", output)
    # Each side of an ellipsis is stripped, so no space may be demanded next to one.
    return re.sub(r" ?… ?", "…", re.sub(r"\s+", " ", output)).strip()


def is_url(line: str) -> bool:
    """Whether a line is a transport's URL in its canonical form."""
    return str(TransportURL.parse(line)) == line


@frozen
class Plan:
    """What a reader does with the commands of a page.

    Attributes:
        not_run: Commands that are not run here.
        lasting: Commands that run until the page is over, and the port on which each listens.
        failing: Commands that exit with 1, as their page says.
    """

    not_run: frozenset[str]
    lasting: Mapping[str, int]
    failing: frozenset[str]


@define
class Reader:
    """Follows one page.

    Attributes:
        plan: What to do with the commands.
        folder: Where the reader works, and the home; empty at first.
        programs: The folder of the environment's programs.
        problems: What was not as the page says, a paragraph each.
        missing: Programs that the page uses and this machine does not have.
    """

    plan: Plan
    folder: Path
    programs: Path
    problems: list[str] = field(factory=list)
    missing: set[str] = field(factory=set)
    _ports: dict[int, int] = field(factory=lambda: free_ports(PORTS))
    _started: list[tuple[Command, subprocess.Popen[str]]] = field(factory=list)

    def follow(self, block: Block) -> None:
        """Do what a block wants done."""
        if block.kind == "python":
            name = block.file or "unnamed.py"
            (self.folder / name).write_text(self._with_free_ports(block.text), encoding="utf-8")
            if not block.file:
                self._run(Command(f"python {name}", ""))
        elif block.kind == "console":
            for command in commands(block):
                self._do(command)
        elif block.kind == "urls":
            wrong = [line for line in block.text.splitlines() if not is_url(line)]
            self.problems += [f"{line}: is no canonical URL" for line in wrong]

    def finish(self) -> None:
        """End what still runs."""
        for command, process in self._started:
            _signal(process, signal.SIGTERM)
            output, _ = self._outputs(command, process)
            self._compare(command, output)

    def _do(self, command: Command) -> None:
        lacking = self._lacking(command.line)
        self.missing |= lacking
        if lacking or command.line in self.plan.not_run:
            return
        if command.line in self.plan.lasting:
            self._start(command)
        else:
            self._run(command)

    def _lacking(self, line: str) -> set[str]:
        """What a command needs that need not be installed here, and is not."""
        wanted = _FOREIGN & set(re.findall(r"(?:^|\| )([\w-]+)", line))
        lacking = {program for program in wanted if shutil.which(program) is None}
        script = re.match(r"python (\w+\.py)", line)
        if script and find_spec("treq") is None:
            text = (self.folder / script[1]).read_text(encoding="utf-8")
            lacking |= {"treq"} & set(re.findall(r"^import (\w+)", text, re.MULTILINE))
        return lacking

    def _run(self, command: Command) -> None:
        process = self._process(command)
        output, complaints = self._outputs(command, process)
        status = 1 if command.line in self.plan.failing else 0
        if complaints or process.returncode != status:
            how = f"ended with {process.returncode}, not {status}"
            self.problems.append(f"$ {command.line}\n{how}, and said\n{output}{complaints}")
        self._compare(command, output)

    def _start(self, command: Command) -> None:
        process = self._process(command)
        self._started.append((command, process))
        port = self._ports[self.plan.lasting[command.line]]
        end = time.monotonic() + PATIENCE
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > end:
                self.problems.append(f"$ {command.line}\ndoes not listen")
                return
            time.sleep(0.05)

    def _outputs(self, command: Command, process: subprocess.Popen[str]) -> tuple[str, str]:
        """What was printed, and on standard error, when the process has ended or was killed."""
        try:
            return process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.problems.append(f"$ {command.line}\ndid not end within {PATIENCE:g} s")
            _signal(process, signal.SIGKILL)
            return process.communicate()

    def _compare(self, command: Command, output: str) -> None:
        seen = self._with_written_ports(output)
        if command.output and not matches(command.output, seen):
            self.problems.append(f"$ {command.line}\nprinted\n{seen}\nand not\n{command.output}")

    def _process(self, command: Command) -> subprocess.Popen[str]:
        lasts = command.line in self.plan.lasting
        return subprocess.Popen(
            ["sh", "-c", self._with_free_ports(command.line)],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if lasts else subprocess.PIPE,
            text=True,
            encoding="utf-8",
            # So that what a shell has started ends with it.
            start_new_session=True,
        )

    def _environment(self) -> dict[str, str]:
        """That of someone who has activated an environment, and has an empty home."""
        path = f"{self.programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {
            "COLUMNS": "80",
            "HOME": str(self.folder),
            "LC_ALL": "C.UTF-8",
            "PATH": path,
            "PYTHON": sys.executable,
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
        }

    def _with_free_ports(self, text: str) -> str:
        return _replaced(text, self._ports)

    def _with_written_ports(self, text: str) -> str:
        return _replaced(text, {free: written for written, free in self._ports.items()})


@contextlib.contextmanager
def reader(plan: Plan) -> Iterator[Reader]:
    """A reader in a new folder; in the end, folder and processes are gone."""
    with tempfile.TemporaryDirectory(prefix="txtransport-docs-") as folder:
        work, programs = Path(folder, "work"), Path(folder, "bin")
        work.mkdir()
        _install(programs)
        made = Reader(plan, work, programs)
        try:
            yield made
        finally:
            made.finish()


def free_ports(written: tuple[int, ...]) -> dict[int, int]:
    """For each port another one, that was free just now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in written]
        return {port: each.getsockname()[1] for port, each in zip(written, sockets, strict=True)}


def _replaced(text: str, ports: Mapping[int, int]) -> str:
    return re.sub(r"\b\d{4,5}\b", lambda found: str(ports.get(int(found[0]), found[0])), text)


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Send a signal to a shell, and to all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _listens(port: int) -> bool:
    for host in ("127.0.0.1", "::1"):
        with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=1):
            return True
    return False


def _install(folder: Path) -> None:
    """Put into a folder what an environment has in which the checkout is installed."""
    folder.mkdir()
    for name, line in _PROGRAMS.items():
        program = folder / name
        # systemd-socket-activate clears the environment of what it starts.
        known = f"PYTHON={shlex.quote(sys.executable)} PYTHONPATH={shlex.quote(str(ROOT))}"
        script = f'#!/bin/sh\n{known}\nexport PYTHONPATH\nexec {line} "$@"\n'
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)
