"""Makes the scripts that complete our commands in shells, from the parsers of all commands.

python docs/completion.py, which `make completion` runs. It needs shtab.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import shtab

from txtransport.__main__ import command_parser
from txtransport.cli import completion
from txtransport.config.options import OPTIONS
from txtransport.config.schemes import SCHEMES

FOLDER: Final = Path(completion.__file__).parent

URLS: Final = dict.fromkeys(completion.SHELLS, "_txtransport_urls")
NAMES: Final = dict.fromkeys(completion.SHELLS, "_txtransport_names")
BY_METAVAR: Final = {
    "FILE": shtab.FILE,
    "DIR": shtab.DIRECTORY,
    "URL": URLS,
    "NAME=VALUE": NAMES,
}
"""What an argument is completed with, by what stands for it in the help."""

ORIGIN: Final = """\
# Made by `make completion` from the parsers of txtransport; the functions that begin with
# _shtab and _set are shtab's (https://github.com/tqdm/shtab, MPL-2.0).
"""

BASH: Final = """\
_txtransport_urls() { compgen -W "@urls@" -- "$1"; }
_txtransport_names() { compgen -W "@names@" -- "$1"; }"""

# In bash a function that fills COMPREPLY says itself that no blank is to follow a
# word that goes on: `tls://`, `cafile=`.
BASH_END: Final = """

_txtransport() {
  _shtab_txtransport
  if [[ ${#COMPREPLY[@]} = 1 && "${COMPREPLY[0]}" == *[=/] ]]; then
    compopt -o nospace 2>/dev/null || :
  fi
}

complete -o bashdefault -F _txtransport txtransport
"""

ZSH: Final = """\
_txtransport_urls() { compadd -S '' -- @urls@ }
_txtransport_names() { compadd -S '' -- @names@ }"""


def scripts() -> Iterator[tuple[str, str]]:
    """Each shell with its script."""
    parser = command_parser()
    # argparse has no public way to the arguments and commands of a parser.
    for each in parsers(parser):
        for action in each._actions:
            if action.metavar in BY_METAVAR:
                action.complete = BY_METAVAR[action.metavar]
            elif action.choices and not isinstance(action, argparse._SubParsersAction):
                # shtab takes a mapping of choices for one of commands.
                action.choices = tuple(action.choices)
    bash = without_head(shtab.complete(parser, "bash", preamble=with_words(BASH)))
    yield "bash", f"{ORIGIN}\n{bash}{BASH_END}"
    zsh = without_head(shtab.complete(parser, "zsh", preamble=with_words(ZSH)))
    # The first line tells zsh what the file is for.
    yield "zsh", f"#compdef txtransport\n{ORIGIN}\n{zsh.rstrip()}\n"


def parsers(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """The parser itself and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for listed in action._choices_actions:
                # zsh shows the description beside a command; what the list has is shorter.
                action.choices[listed.dest].description = listed.help
            yield from action.choices.values()


def without_head(script: str) -> str:
    """A script without its first comments: `txtransport completion --help` says where it goes."""
    return re.sub(r"\A(#[^\n]*\n|\n)+", "", script)


def with_words(functions: str) -> str:
    """Functions of a shell with the words that they offer."""
    urls = [f"{scheme.name}://" for scheme in SCHEMES.values() if scheme.refusal is None]
    names = [f"{option.name}=" for option in OPTIONS.values()]
    return functions.replace("@urls@", " ".join(urls)).replace("@names@", " ".join(names))


if __name__ == "__main__":
    for shell, script in scripts():
        (FOLDER / completion.SHELLS[shell]).write_text(script, encoding="utf-8")
