"""Which files belong together."""

from __future__ import annotations

from tests import certificates
from tests.cli.inspect.samples import SECRET, site
from tests.cli.inspect.test_inspecting import SampleTestCase
from txtransport.cli.inspect.purpose import with_keys
from txtransport.config.policy import TLSPolicy


class PairTests(SampleTestCase):
    """A certificate and the file of its key, given in any order."""

    def pairs(
        self, *contents: bytes, passphrase: str | None = None
    ) -> list[tuple[int, int | None]]:
        """How files with these contents are paired, each by its place."""
        folder = self.folder()
        paths = [str(folder / f"{number}.pem") for number in range(len(contents))]
        for path, content in zip(paths, contents, strict=True):
            with open(path, "wb") as file:
                file.write(content)
        return [
            (paths.index(path), None if key is None else paths.index(key))
            for path, key in with_keys(paths, TLSPolicy(passphrase=passphrase))
        ]

    def test_a_key_finds_its_certificate(self) -> None:
        """A key's file goes with the certificate that has the same public key."""
        other = certificates.authority().issue("other.example")
        mine, its = site().cert_pem, other.cert_pem
        self.assertEqual(self.pairs(mine, site().key_pem()), [(0, 1)])
        self.assertEqual(self.pairs(site().key_pem(), mine), [(1, 0)])
        files = (mine, its, other.key_pem(), site().key_pem())
        self.assertEqual(self.pairs(*files), [(0, 3), (1, 2)])

    def test_an_encrypted_key_is_opened(self) -> None:
        """With the passphrase an encrypted key is recognised, too."""
        other = certificates.authority().issue("other.example")
        files = (site().cert_pem, other.cert_pem, site().key_pem(SECRET), other.key_pem())
        self.assertEqual(self.pairs(*files, passphrase=SECRET), [(0, 2), (1, 3)])
        self.assertEqual(self.pairs(*files), [(0, None), (1, 3), (2, None)])

    def test_one_of_each_is_a_pair(self) -> None:
        """One certificate and one key are taken for a pair, so that a wrong key is told."""
        other = certificates.authority().issue("other.example")
        self.assertEqual(self.pairs(other.key_pem(), site().cert_pem), [(1, 0)])

    def test_other_files_stay_alone(self) -> None:
        """Files with key and certificate, and any others, are looked at one by one."""
        both, root = site().pem, certificates.authority().pem
        self.assertEqual(self.pairs(both, root, b""), [(0, None), (1, None), (2, None)])
        self.assertEqual(self.pairs(site().key_pem()), [(0, None)])
