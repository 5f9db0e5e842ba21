"""Which public keys belong to SSL 2.0, and which to all else: never one to both (DROWN).

A server of SSL 2.0 can be made to decrypt what was encrypted with its RSA key. So all that
was ever protected by key transport with that key can be decrypted, also if it was recorded
long ago, in TLS and at another port (DROWN, CVE-2016-0800). Hence the rule: whichever use of
a key comes second in a process is refused.

A key is known by its public half (SubjectPublicKeyInfo), since one key may stand in many
files and certificates. What was claimed stays claimed for as long as the process runs, when
its endpoint is gone as well: its connections may have been recorded. That costs 32 bytes for
each key. Contexts that other code brings (``startTLS(context)``) are not seen, and neither are
other processes, which is why keys of SSL 2.0 must not be used anywhere else at all.

Source: https://drownattack.com/drown-attack-paper.pdf
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from enum import Enum
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from txtransport.errors import BadCertificateFile
from txtransport.tls.pem import Identity, display_subject

__all__ = ["KeyUse", "KeyUses", "claim_keys"]


class KeyUse(Enum):
    """What a key is used for."""

    SSL2_SERVER = "a server of SSL 2.0"
    OTHER = "TLS or SSL 3.0, or as a client"


class KeyUses:
    """The uses of the keys of one process."""

    def __init__(self) -> None:
        self._use_of: dict[bytes, KeyUse] = {}

    def claim(self, identities: Iterable[Identity], use: KeyUse) -> None:
        """Note what the keys of an endpoint are used for; all of them, or none.

        Args:
            identities: Our certificates with their keys.
            use: What they are to be used for.

        Raises:
            BadCertificateFile: One of them has been used for the other.
        """
        claimed = {}
        for own in identities:
            digest = _digest(own)
            if self._use_of.get(digest, use) is not use:
                raise BadCertificateFile(
                    own.option, own.path, f"the key of {display_subject(own.leaf)} {_WHY[use]}",
                    _REMEDY,
                )  # fmt: skip
            claimed[digest] = use
        self._use_of.update(claimed)


_WHY: Final = {
    KeyUse.SSL2_SERVER: "was used for TLS or SSL 3.0 in this process, and with a server of SSL "
    "2.0 all of that could be decrypted (DROWN, CVE-2016-0800)",
    KeyUse.OTHER: "was used by a server of SSL 2.0 in this process, with which all that it "
    "protects can be decrypted (DROWN, CVE-2016-0800)",
}
_REMEDY: Final = "make a key for SSL 2.0 alone, which no other server anywhere has (docs/legacy.md)"


def _digest(own: Identity) -> bytes:
    spki = own.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).digest()


_uses: Final = KeyUses()


def claim_keys(identities: Iterable[Identity], use: KeyUse) -> None:
    """Note what keys are used for in this process, as `KeyUses.claim` does."""
    _uses.claim(identities, use)
