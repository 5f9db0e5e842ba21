"""Where a tag of XML ends, for a parser that receives one tag at a time.

An XML parser acts on a tag when it sees the tag's end, so it must not receive
bytes behind that end. To stop at every ``>`` would be simpler, and wrong twice.
Within quotes, ``>`` does not end a tag. And a tag that arrives in a thousand
pieces would be parsed a thousand times, or, by newer versions of expat, not
before more has arrived.

Declarations of a document type are refused: they define entities, which may
contain tags, so that one short reference in the text would stand for many tags
at once. XMPP forbids them (RFC 6120, section 11.1).
"""

from __future__ import annotations

import re
from typing import Final

from txtransport.errors import PeerMisbehaved

__all__ = ["MAX_TAG", "next_tag"]

MAX_TAG: Final = 8192
"""How long a tag may be, in bytes.

The search for the tag's end starts again whenever more has arrived; this bounds
what that costs.
"""

# A tag, a comment, CDATA or a processing instruction. Each ends at the first
# place where its kind can end (XML 1.0, sections 2.5 to 2.7 and 3.1). Where a
# parser could see another end, the document is malformed and the parser stops.
_MARKUP: Final = re.compile(
    rb"""<(?:
        !--.*?--> | !\[CDATA\[.*?\]\]> | \?.*?\?> |
        [^!?] [^"'>]* (?: (?: "[^"]*" | '[^']*' ) [^"'>]* )* >
    )""",
    re.DOTALL | re.VERBOSE,
)
_COMMENT_OR_CDATA: Final = (b"<!--", b"<![CDATA[")


def next_tag(data: bytes | bytearray) -> int:
    """How many bytes an XML parser may receive next: up to the end of the next tag.

    Args:
        data: What has arrived. Begins at the start of the stream, or behind a
            tag's end.

    Returns:
        A number of bytes, or 0 when the tag is not complete yet.

    Raises:
        PeerMisbehaved: The tag is too long, or declares a document type.
    """
    # The text before the tag may be long; find() skips it fast, each time that
    # more has arrived.
    start = data.find(b"<")
    if start < 0:
        return 0
    markup = _MARKUP.match(data, start)
    if markup is not None:
        return markup.end()
    head = bytes(data[start : start + len(_COMMENT_OR_CDATA[-1])])
    if head.startswith(b"<!") and not any(
        kind.startswith(head[: len(kind)]) for kind in _COMMENT_OR_CDATA
    ):
        raise PeerMisbehaved("the peer declares a document type, which may hide tags in text")
    if len(data) - start > MAX_TAG:
        raise PeerMisbehaved(f"a tag of the peer's has no end within {MAX_TAG} bytes")
    return 0
