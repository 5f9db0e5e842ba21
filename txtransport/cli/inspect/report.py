"""What was found in files, as values, which know neither where from nor how to be shown."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from txtransport.errors import Diagnosis
from txtransport.tls.certificate import CertificateSummary

__all__ = ["FileReport", "Finding", "KeySummary", "ListSummary", "OptionUse", "PeerVerdict"]


@frozen
class Finding:
    """One thing that is to be mended.

    Attributes:
        diagnosis: What it is and what to do; its summary is a sentence about "it", the
            file.
        is_wrong: Whether the file cannot be used, or is refused by peers, for this.
            Otherwise it works as it is, with our clients at least.
        command: A line for the shell that mends it; or nothing.
    """

    diagnosis: Diagnosis
    is_wrong: bool
    command: str = ""


@frozen
class OptionUse:
    """What one option makes of the file.

    Attributes:
        option: The option's name.
        refusal: Why the option does not take the file; None when it does.
    """

    option: str
    refusal: Finding | None


@frozen
class PeerVerdict:
    """What a peer says of the certificate.

    Attributes:
        name: The name that a client asks for; empty where a server is the peer.
        refusal: Why the peer refuses the certificate; None when it accepts it.
    """

    name: str
    refusal: Diagnosis | None


@frozen
class KeySummary:
    """What may be shown of a private key.

    Attributes:
        kind: Its kind and size: ``EC secp256r1``.
        is_encrypted: Whether a passphrase is needed to open it.
        pin: The digest of its public key, as ``pin`` takes it.
    """

    kind: str
    is_encrypted: bool
    pin: str


@frozen
class ListSummary:
    """The facts of one revocation list.

    Attributes:
        issuer: The authority's distinguished name (RFC 4514).
        this_update: When it was made, in UTC.
        next_update: Until when it counts, in UTC; None when it does not say.
        count: How many certificates it revokes.
    """

    issuer: str
    this_update: datetime
    next_update: datetime | None
    count: int


@frozen
class FileReport:
    """What was found in a file, or in a certificate's file and its key's.

    Attributes:
        path: The file or folder.
        key_path: The file of the key, if that is another one; or None.
        purpose: The option that the file is judged for.
        uses: What each option makes of it.
        findings: What is to be mended; what is wrong comes first.
        trust: Whom the peers of `verdicts` trust: a path, or nothing for the authorities
            of the platform.
        verdicts: What peers say of the certificate.
        certificates: The certificates, in the file's order.
        key: The private key; None where there is none that can be read.
        lists: The revocation lists, in the file's order.
    """

    path: str
    key_path: str | None
    purpose: str
    uses: tuple[OptionUse, ...] = ()
    findings: tuple[Finding, ...] = ()
    trust: str = ""
    verdicts: tuple[PeerVerdict, ...] = ()
    certificates: tuple[CertificateSummary, ...] = ()
    key: KeySummary | None = None
    lists: tuple[ListSummary, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong for the file's purpose."""
        return not any(finding.is_wrong for finding in self.findings)
