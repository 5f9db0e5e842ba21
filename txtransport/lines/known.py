"""All known lines, in order."""

from __future__ import annotations

from typing import Final

from txtransport.lines.agreement import IN_COMMON
from txtransport.lines.alerts import SAID_BY_PEER
from txtransport.lines.certificates import CERTIFICATES
from txtransport.lines.ends import ENDS
from txtransport.lines.plaintext import PLAIN
from txtransport.lines.settings import TOLD
from txtransport.lines.vague import VAGUE

TELLING: Final = (*CERTIFICATES, *PLAIN, *SAID_BY_PEER, *IN_COMMON, *TOLD, *ENDS)
"""The rows that name a reason, the one that says most first."""

ALL: Final = (*TELLING, *VAGUE)
