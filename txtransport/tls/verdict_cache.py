"""Verdicts on certificates that were accepted before, so that they are not examined again.

To parse a chain, to match names and to look for constraints costs more than the rest of
what we do for a handshake, and a program meets the same few servers again and again. A
verdict is remembered only under everything that it depends on: the policy with the
expected name, our side, and every byte of the certificates. What depends on time is not
remembered: OpenSSL verifies signatures and dates in each handshake, and of a resumed one,
in which it does not, the verdict has the time until which it holds.

Only "accepted" is remembered. A refusal is rare, and has to be explained anyway.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

__all__ = ["VerdictCache"]

_MAX_VERDICTS: Final = 512
_MAX_BYTES: Final = 16384
"""Longer chains are not remembered: a peer chooses how long its chain is."""


class VerdictCache:
    """Accepted certificates: 512 verdicts at the most, the oldest of which is forgotten."""

    def __init__(self) -> None:
        self._verdicts: OrderedDict[tuple[Hashable, tuple[bytes, ...]], float] = OrderedDict()

    def valid_until(self, question: Hashable, certificates: tuple[bytes, ...]) -> float | None:
        """Until when the certificates are acceptable, or None where that is not known.

        Args:
            question: What was asked of them: policy, side and what else there is.
            certificates: Each in DER, in an order that is part of the question.

        Returns:
            Seconds since the epoch; infinity where time plays no role.
        """
        return self._verdicts.get((question, certificates))

    def accepted(
        self, question: Hashable, certificates: tuple[bytes, ...], until: float = float("inf")
    ) -> None:
        """Remember that the certificates are acceptable.

        Args:
            question: As for `valid_until`.
            certificates: As for `valid_until`.
            until: Seconds since the epoch.
        """
        if sum(map(len, certificates)) <= _MAX_BYTES:
            self._verdicts[question, certificates] = until
            if len(self._verdicts) > _MAX_VERDICTS:
                self._verdicts.popitem(last=False)
