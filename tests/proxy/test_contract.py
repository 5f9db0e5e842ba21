"""What every dialogue before TLS promises, those with a proxy promise as well."""

from __future__ import annotations

from typing import ClassVar

from twisted.trial.unittest import SynchronousTestCase

from tests.proxy.dialogues import PAIRS
from tests.starttls.in_memory import negotiate
from tests.starttls.test_contract import Contract


class ProxyContractTests(Contract, SynchronousTestCase):
    """The contract of the dialogues holds for proxies."""

    pairs: ClassVar = PAIRS
    sides: ClassVar = [
        (f"{name} {side}", speaker)
        for name, connect, serve in PAIRS
        for side, speaker in (("client", connect), ("proxy", serve))
    ]

    def test_the_proxy_hears_where_the_client_wants_to_go(self) -> None:
        """Name or address and port arrive as they were given."""
        targets = [negotiate(connect, serve).server.outcome for _, connect, serve in PAIRS]
        named = b"mail.example.com:465"
        self.assertEqual(targets, [named] * 4 + [b"192.0.2.7:1", b"[2001:db8::7]:1"])
