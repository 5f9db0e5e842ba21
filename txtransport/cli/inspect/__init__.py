"""The work of ``txtransport inspect``: what options will make of files.

`inspecting` asks the package's own readers and verification, `purpose` guesses what a
file is meant for, `report` has the values that come of it, `text` shows them to people and
`document` to programs.
"""

from __future__ import annotations

from typing import Final

__all__ = ["OPTIONS"]

OPTIONS: Final = ("local_cert", "local_pk", "cafile", "crl", "capath")
"""The options for which a file can be judged."""
