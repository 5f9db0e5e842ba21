"""``txtransport explain``: say what an error line of another tool means."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from attrs import asdict

from txtransport.cli.commands import CommandParsers
from txtransport.cli.terminal import table_lines, write_output
from txtransport.diagnosis.error_line import MAX_TEXT

if TYPE_CHECKING:
    from txtransport.diagnosis.explain import KnownLine

__all__ = ["add", "run"]

_WHOSE_FAULT: Final = {
    "peer": "usually the other side's",
    "ours": "usually this side's",
    "network": "usually of what is in between",
    "someone-between": "someone may be in between",
}


def add(commands: CommandParsers) -> None:
    """Add the command's parser to argparse's subparsers."""
    parser = commands.add_parser(
        "explain",
        help="say what a TLS error line of another tool means, and what to do",
        description="Takes an error line of OpenSSL, curl, PHP, Python, Node, Go, Twisted, Java "
        "or GnuTLS, from a log or a terminal, and says what it means, whose fault it usually is "
        "and what to do. Nothing is contacted.",
        epilog="The exit status is 0 when the text holds a known line, and 1 when it does not.",
    )
    parser.add_argument("--json", action="store_true", help="write one object of JSON")
    parser.add_argument(
        "text", nargs="*", metavar="TEXT", help="the line; without it, standard input is read"
    )
    parser.set_defaults(command=run)


def run(chosen: argparse.Namespace) -> int:
    """Explain a text.

    Returns:
        The exit status.
    """
    # The tables take a while to import.
    from txtransport.diagnosis.explain import clues, explain

    text = " ".join(chosen.text) if chosen.text else _read_input()
    found = explain(text)
    traces = () if found else clues(text)
    if chosen.json:
        document = {
            "ok": bool(found),
            "explanations": [*map(_as_document, found)],
            "traces": [*traces],
        }
        write_output(json.dumps(document, indent=2) + "\n")
    else:
        lines = _found_lines(found) if found else _unknown_lines(text, traces)
        write_output("\n".join(table_lines([*lines], shutil.get_terminal_size().columns)) + "\n")
    return 0 if found else 1


def _read_input() -> str:
    """The beginning of standard input; bytes that are not UTF-8 become escapes."""
    if sys.stdin is None:
        return ""
    if sys.stdin.isatty():
        sys.stderr.write("Paste the line, then press Enter and Ctrl-D:\n")
    raw = getattr(sys.stdin, "buffer", None)
    if raw is None:
        return sys.stdin.read(MAX_TEXT)
    return bytes(raw.read(MAX_TEXT)).decode("utf-8", "backslashreplace")


def _found_lines(found: list[KnownLine]) -> Iterator[tuple[str, str]]:
    """What is known of the lines, as rows of a heading and a text."""
    best, *others = found
    diagnosis = best.diagnosis
    yield "line", f"{best.words} ({best.tool})"
    yield "means", f"{diagnosis.summary}."
    for evidence in diagnosis.evidence:
        yield "seen", evidence
    yield "fault", _WHOSE_FAULT[diagnosis.fault]
    yield "do", f"{diagnosis.remedy}."
    if best.in_tool:
        yield "", f"In {best.tool}: {best.in_tool}"
    if not diagnosis.permanent:
        yield "again", "It may pass: trying again can help."
    yield "cause", diagnosis.cause
    for other in others:
        yield "also", f"{other.words}: {other.diagnosis.summary}."


def _unknown_lines(text: str, traces: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if not text.strip():
        yield "line", "There is no text to explain."
        return
    yield "line", "No line that is known stands in this text."
    for trace in traces:
        yield "seen", trace
    yield (
        "do",
        (
            "Look for the lines before it, or ask the other side: txtransport probe "
            "tls://HOST:PORT shows what it says, and what to change."
        ),
    )


def _as_document(one: KnownLine) -> dict[str, object]:
    return {
        "tool": one.tool,
        "said": one.words,
        **asdict(one.diagnosis),
        "in_tool": one.in_tool or None,
    }
