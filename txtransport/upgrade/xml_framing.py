"""Where a tag of XML ends, for a parser that is to be given one at a time.

A parser of XML acts on a tag when it sees its end, so it must be given nothing
behind that. To stop at every ``>`` would be simpler, and wrong twice: within
quotes it ends nothing, and a tag that comes in a thousand pieces is parsed a
thousand times, or, by newer versions of expat, not before more has come.

Declarations of a document type are refused: they name texts which hold tags,
so that one reference in the text stands for many tags at once. XMPP forbids
them (RFC 6120, section 11.1).
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerMisbehaved

MAX_TAG: Final = 8192
"""How long a tag may be, in bytes: as much as looking for its end again and again allows."""

# A tag, a comment, CDATA or an instruction. Each ends at the first place that
# its kind can end at (XML 1.0, sections 2.5 to 2.7 and 3.1); where the two
# could differ, the document is malformed and a parser stops.
_PIECE: Final = re.compile(
    rb"""<(?:
        !--.*?--> | !\[CDATA\[.*?\]\]> | \?.*?\?> |
        [^!?] [^"'>]* (?: (?: "[^"]*" | '[^']*' ) [^"'>]* )* >
    )""",
    re.DOTALL | re.VERBOSE,
)
_KINDS: Final = (b"<!--", b"<![CDATA[")


def next_tag(data: bytes | bytearray) -> int:
    """How many bytes a parser of XML may have next: up to the end of the next tag.

    Args:
        data: What has arrived; begins where a tag has ended, or the stream.

    Returns:
        A number of bytes, or 0 when the tag is not whole yet.

    Raises:
        PeerMisbehaved: The tag is too long, or declares a document type.
    """
    # The text before it may be long, and is looked at whenever more has come.
    begun = data.find(b"<")
    if begun < 0:
        return 0
    piece = _PIECE.match(data, begun)
    if piece is not None:
        return piece.end()
    head = bytes(data[begun : begun + len(_KINDS[-1])])
    if head.startswith(b"<!") and not any(kind.startswith(head[: len(kind)]) for kind in _KINDS):
        raise PeerMisbehaved("the peer declares a document type, which may hide tags in text")
    if len(data) - begun > MAX_TAG:
        raise PeerMisbehaved(f"a tag of the peer's has no end within {MAX_TAG} bytes")
    return 0
