"""What a shell sources to complete the words of ``txtransport``: a file for each shell.

``make completion`` makes the files from the parsers of all commands, by shtab, which
is not needed to use them.
"""

from __future__ import annotations

from typing import Final

__all__ = ["SHELLS"]

SHELLS: Final = {"bash": "txtransport.bash", "zsh": "txtransport.zsh"}
"""For each shell the name of its file in this folder."""
