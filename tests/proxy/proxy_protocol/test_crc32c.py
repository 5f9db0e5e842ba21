"""The checksum of headers of version 2."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.proxy.proxy_protocol.crc32c import crc32c


class ChecksumTests(SynchronousTestCase):
    """CRC-32C."""

    def test_the_published_examples(self) -> None:
        """What RFC 3720 (appendix B.4) and the catalogue of checksums have."""
        for data, checksum in (
            (b"", 0),
            (b"123456789", 0xE3069283),
            (bytes(32), 0x8A9136AA),
            (b"\xff" * 32, 0x62A8AB43),
            (bytes(range(32)), 0x46DD794E),
        ):
            self.assertEqual(crc32c(data), checksum, data)
