"""What was meant by a word that stands where a command is expected."""

from __future__ import annotations

import difflib
import os
import shlex
from collections.abc import Sequence

from txtransport.cli.terminal import DID_YOU_MEAN
from txtransport.config.url import TransportURL
from txtransport.errors import InvalidTransport
from txtransport.text import shell_path, short_repr

__all__ = ["refusal"]


def refusal(typed: str, commands: Sequence[str]) -> str:
    """Say that there is no such command, and what was likely meant.

    Args:
        typed: What stands in the command's place: a mistyped command, or what
            ``probe`` and ``inspect`` take.
        commands: All commands.

    Returns:
        A sentence, or a sentence and a line to copy. Of a URL it has nothing that may
        be secret.
    """
    if "://" in typed:
        return f"a URL is no command; {DID_YOU_MEAN}txtransport probe {_url(typed)}"
    meant = difflib.get_close_matches(typed.lower(), commands, 1)
    what = f"there is no command {short_repr(typed)}"
    if meant:
        return f"{what}; {DID_YOU_MEAN}txtransport {meant[0]}"
    if shell_path(typed) and os.path.exists(typed):
        return f"{what}; {DID_YOU_MEAN}txtransport inspect {shell_path(typed)}"
    if _is_host(typed):
        return f"{what}; {DID_YOU_MEAN}txtransport probe {shlex.quote(typed)}"
    return f"{what}, but {', '.join(commands[:-1])} and {commands[-1]}"


def _url(typed: str) -> str:
    try:
        return shlex.quote(TransportURL.parse(typed).redacted())
    except InvalidTransport:
        # What is wrong with it is said by the probe.
        return "URL"


def _is_host(typed: str) -> bool:
    try:
        url = TransportURL.parse(typed)
    except InvalidTransport:
        return False
    has_sign = "." in url.host or url.port is not None or url.host in ("localhost", "::1")
    return has_sign and not url.options and typed.isascii()
