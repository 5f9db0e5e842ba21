"""Writing to standard output, as all commands do it."""

from __future__ import annotations

import os
import sys
from importlib import metadata
from typing import Final

PACKAGES: Final = ("txtransport", "twisted", "pyopenssl", "cryptography")
"""Whose versions a report names."""


def say(text: str) -> None:
    """Write to standard output; that no one reads on, as in ``| head``, is no error.

    Args:
        text: What the output's encoding does not have is written as an escape.

    Raises:
        OSError: It cannot be written, for any other reason.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), end="", flush=True)
    except OSError as problem:
        # Python would try once more when it exits, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(problem, BrokenPipeError):
            raise


def version(package: str) -> str:
    """The version of a package, or that it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "(not installed)"
