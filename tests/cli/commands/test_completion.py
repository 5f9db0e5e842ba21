"""``txtransport completion``: what bash and zsh complete, tried in the shells themselves."""

from __future__ import annotations

import errno
import importlib.util
import os
import pty
import re
import runpy
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final
from unittest import SkipTest

from tests.cli.test_main import MainTestCase
from tests.live.peers import demand
from txtransport.__main__ import COMMANDS
from txtransport.cli import completion
from txtransport.cli.completion import SHELLS
from txtransport.cli.inspect import OPTIONS

ROOT: Final = Path(__file__).resolve().parents[3]
FOLDER: Final = Path(completion.__file__).parent
PATIENCE: Final = 20.0
LOADING: Final = {
    "bash": "source ~/_txtransport",
    "zsh": "fpath+=~; autoload -Uz compinit; compinit -u -D",
}
"""What the help has people write into the files with which their shells begin."""


def shell(name: str) -> str:
    """The path of a shell; without it the test is skipped, or fails where CI demands it."""
    found = shutil.which(name)
    demand(None if found else f"there is no {name} here", os.environ)
    assert found is not None
    return found


class CommandTests(MainTestCase):
    """What the command prints."""

    def test_each_shell_has_its_script(self) -> None:
        """The script of each shell is printed as it is in the package."""
        for name, file in SHELLS.items():
            script = (FOLDER / file).read_text(encoding="utf-8")
            self.assertEqual(self.does("completion", name), (0, script, ""))

    def test_another_shell_is_refused_with_those_that_there_are(self) -> None:
        """For fish there is nothing, and the error says for which shells there is."""
        status, output, complaints = self.does("completion", "fish")
        self.assertEqual((status, output), (2, ""))
        for word in ("fish", "bash", "zsh"):
            self.assertIn(word, complaints)

    def test_the_help_says_how_to_install_it(self) -> None:
        """The lines of the help can be copied, and fit the terminal."""
        status, output, _ = self.does("completion", "--help")
        self.assertEqual(status, 0)
        self.assertIn('\n  eval "$(txtransport completion bash)"\n', output)
        self.assertIn("\n  txtransport completion zsh > ~/.zfunc/_txtransport\n", output)
        self.assertLessEqual(max(map(len, output.splitlines())), 80)

    def test_the_scripts_are_those_of_the_parsers(self) -> None:
        """A new option is completed: the files are what `make completion` makes now."""
        if importlib.util.find_spec("shtab") is None:
            raise SkipTest("shtab is not installed here; pip install '.[dev]' brings it")
        for name, script in runpy.run_path(str(ROOT / "docs" / "completion.py"))["scripts"]():
            file = FOLDER / SHELLS[name]
            self.assertEqual(file.read_text(encoding="utf-8"), script, "run `make completion`")

    def test_every_command_is_in_the_scripts(self) -> None:
        """Also where shtab is missing, a forgotten command is noticed."""
        for file in SHELLS.values():
            script = (FOLDER / file).read_text(encoding="utf-8")
            for command in COMMANDS:
                self.assertIn(f"_shtab_txtransport_{command}_option", script)


class BashTests(MainTestCase):
    """bash, asked what it would offer."""

    def offers(self, *words: str, folder: Path = ROOT) -> list[str]:
        """What is offered for the last word of a command line."""
        script = (
            'source "$0"; COMP_WORDS=(txtransport "$@"); COMP_CWORD=$#; _txtransport; '
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        bash = [shell("bash"), "--norc", "--noprofile", "-c", script]
        done = subprocess.run(
            [*bash, str(FOLDER / SHELLS["bash"]), *words],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        return done.stdout.split()

    def test_commands(self) -> None:
        """The commands, all or those that begin so."""
        self.assertEqual(self.offers(""), [*COMMANDS])
        self.assertEqual(self.offers("in"), ["inspect"])

    def test_options(self) -> None:
        """The options of a command, also behind other words; and those of the program."""
        self.assertIn("--version", self.offers("-"))
        self.assertEqual(self.offers("probe", "--ver"), ["--versions"])
        self.assertEqual(self.offers("probe", "tls", ":", "//host", "--ver"), ["--versions"])
        self.assertEqual(self.offers("devcert", "certs", "localhost", "--da"), ["--days"])

    def test_values(self) -> None:
        """What an option takes, where that is known."""
        self.assertEqual(self.offers("inspect", "--as", ""), [*OPTIONS])
        self.assertEqual(self.offers("options", "tls+"), ["tls+unix", "tls+fd", "tls+systemd"])
        self.assertEqual(self.offers("completion", ""), [*SHELLS])
        self.assertEqual(self.offers("probe", "tlsv1.3"), ["tlsv1.3://"])
        self.assertNotIn("sslv3://", self.offers("probe", ""))
        for option in ("-o", "--option"):
            self.assertEqual(self.offers("probe", option, "caf"), ["cafile="])

    def test_files(self) -> None:
        """Files for inspect and its options, folders for devcert."""
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            (folder / "site.pem").touch()
            (folder / "certs").mkdir()
            for words in ([""], ["a.pem", ""], ["--key", ""], ["--cafile", ""]):
                found = self.offers("inspect", *words, folder=folder)
                self.assertEqual(sorted(found), ["certs", "site.pem"])
            self.assertEqual(self.offers("devcert", "", folder=folder), ["certs"])


class TypingTests(MainTestCase):
    """A person at a terminal, who types and presses Tab."""

    def types(self, name: str, *start: str, typed: str, expected: str) -> None:
        """In that shell, what is typed becomes what is expected."""
        command = [shell(name), *start]
        terminal, its_end = pty.openpty()
        self.addCleanup(os.close, terminal)
        with tempfile.TemporaryDirectory() as home:
            shutil.copy(FOLDER / SHELLS[name], Path(home, "_txtransport"))
            environment = {
                "HOME": home, "ZDOTDIR": home, "TERM": "dumb", "PATH": os.environ["PATH"],
                "PS1": "> ", "INPUTRC": "/dev/null", "LC_ALL": "C.UTF-8",
            }  # fmt: skip
            process = subprocess.Popen(
                command,
                cwd=home,
                env=environment,
                stdin=its_end,
                stdout=its_end,
                stderr=its_end,
                start_new_session=True,
            )
            os.close(its_end)
            try:
                os.write(terminal, f"{LOADING[name]}; echo loa''ded\n".encode())
                self.wait_for(terminal, "loaded")
                # The line is never sent.
                os.write(terminal, typed.encode())
                self.wait_for(terminal, expected)
            finally:
                process.kill()
                process.wait(PATIENCE)

    def wait_for(self, terminal: int, expected: str) -> None:
        """Read what the shell writes until it has written that."""
        seen, end = "", time.monotonic() + PATIENCE
        # zsh goes back over the blank behind a word that it has completed.
        while expected not in re.sub("[^\b]\b", "", seen):
            left = end - time.monotonic()
            if left <= 0 or not select.select([terminal], [], [], left)[0]:
                self.fail(f"{expected!r} is not in {seen!r}")
            try:
                seen += os.read(terminal, 4096).decode(errors="replace")
            except OSError as over:
                # On Linux: the shell has ended.
                self.assertEqual(over.errno, errno.EIO)
                self.fail(f"the shell ended after {seen!r}")

    def test_bash(self) -> None:
        """A command gets a blank behind it; a scheme and an option's name go on."""
        words = ("--norc", "--noprofile", "-i")
        for typed, expected in (
            ("txtransport insp\t--js\t!", "txtransport inspect --json !"),
            ("txtransport probe un\t!", "txtransport probe unix://!"),
            ("txtransport probe -o caf\t!", "txtransport probe -o cafile=!"),
        ):
            self.types("bash", *words, typed=typed, expected=expected)

    def test_zsh(self) -> None:
        """The same in zsh."""
        for typed, expected in (
            ("txtransport insp\t--js\t!", "inspect --json !"),
            ("txtransport probe un\t!", "unix://!"),
            ("txtransport probe -o caf\t!", "cafile=!"),
            ("txtransport inspect --as cap\t!", "capath !"),
        ):
            self.types("zsh", "-f", "-i", typed=typed, expected=expected)
