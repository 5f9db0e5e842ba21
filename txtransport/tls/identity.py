"""Whether a certificate is the one that was expected: its name, its digest, its key.

Every function answers with the problem, or None when there is none. Whatever
goes wrong while looking is itself a problem: this room fails closed.
(Twisted's own check accepts a certificate when the look raises anything but
``VerificationError``, and with it one without any name.)
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID
from service_identity.exceptions import CertificateError
from service_identity.hazmat import DNS_ID, DNSPattern

from txtransport.config.address import (
    canonical_address,
    find_address,
    is_address,
    without_zone,
)

_SHOWN: Final = 8
_NOBODY: Final = "nobody"
_NAME: Final = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}").fullmatch
_DIGESTS: Final = {64: hashlib.sha256, 96: hashlib.sha384, 128: hashlib.sha512}


@functools.lru_cache(maxsize=1024)
def expected_name(given: str) -> str:
    """The peer's name, as certificates and SNI have it.

    Args:
        given: A DNS name in any case, international or not, perhaps with a
            trailing dot; or an address, perhaps with a zone.

    Returns:
        The name in ASCII (A-labels), lower case, without the dot; or the
        address in its shortest form, without the zone.

    Raises:
        ValueError: It can be neither.
    """
    if is_address(given):
        return canonical_address(without_zone(given))
    name = DNS_ID(given.removesuffix(".").lower()).hostname.decode("ascii")
    # RFC 1035, section 2.3.4.
    if len(name) > 253 or not _NAME(name):
        raise ValueError(given)
    return name


def name_problem(certificate: x509.Certificate, name: str) -> str | None:
    """Why the certificate is not for that name, or None when it is.

    Args:
        certificate: The peer's leaf.
        name: As `expected_name` has it.

    Source: RFC 9525, section 6; the common name is never looked at.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        is_for_it = (
            find_address(name) in names.get_values_for_type(x509.IPAddress)
            if is_address(name)
            else any(map(DNS_ID(name).verify, _patterns(names)))
        )
    except x509.ExtensionNotFound:
        return "it has no subject alternative name (SAN), and the common name does not count"
    except Exception as problem:
        # Whatever it is that cannot be read: never a reason to accept.
        return f"its names cannot be read: {str(problem)[:120]!a}"
    if is_for_it:
        return None
    if is_address(name) and name in names.get_values_for_type(x509.DNSName):
        return f"it has the address {name} among its DNS names, where none counts"
    return f"it is for {certificate_names(certificate)}, not for {name}"


def _patterns(names: x509.SubjectAlternativeName) -> Iterator[DNSPattern]:
    """The DNS names that may be matched; ``*`` and addresses are none."""
    for name in names.get_values_for_type(x509.DNSName):
        if name != name.strip():
            # It would be stripped, and is then not the name that OpenSSL has
            # held against the constraints of the authorities (RFC 5280, 4.2.1.10).
            continue
        try:
            yield DNSPattern.from_bytes(name.encode())
        except CertificateError:
            continue


def certificate_names(certificate: x509.Certificate) -> str:
    """The names that a certificate is for, escaped and bounded, for messages."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        values = [str(name.value) for name in names if not isinstance(name, x509.OtherName)]
    except x509.ExtensionNotFound:
        return _NOBODY
    except Exception:
        return "names that cannot be read"
    shown = ", ".join(ascii(value[:80])[1:-1] for value in values[:_SHOWN])
    return f"{shown}, …" if len(values) > _SHOWN else shown or _NOBODY


def fingerprint_problem(certificate: x509.Certificate, accepted: Iterable[str]) -> str | None:
    """Why the certificate's digest is not one of those, or None when it is.

    Args:
        certificate: The peer's leaf.
        accepted: Hex digests; their length tells the algorithm.
    """
    der = certificate.public_bytes(Encoding.DER)
    digests = {length: of(der).hexdigest() for length, of in _DIGESTS.items()}
    if any(digests.get(len(wanted)) == wanted for wanted in accepted):
        return None
    return f"its SHA-256 fingerprint is {digests[64]}, which peer_fingerprint does not have"


def pin_problem(chain: Iterable[x509.Certificate], accepted: Iterable[str]) -> str | None:
    """Why none of the chain's public keys is pinned, or None when one is.

    Args:
        chain: The certificates that vouch for the peer, leaf first.
        accepted: Base64 SHA-256 digests (RFC 7469, section 2.4).
    """
    pins = [spki_pin(certificate) for certificate in chain]
    if set(pins).intersection(accepted):
        return None
    return f"its public keys are {', '.join(pins)}, none of which is in pin"


def spki_pin(certificate: x509.Certificate) -> str:
    """The base64 SHA-256 digest of a certificate's public key."""
    spki = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def issuer_place(certificate: x509.Certificate) -> str | None:
    """Where a certificate says that its issuer's is to be had, escaped and bounded, or None.

    Source: RFC 5280, section 4.2.2.1 (authority information access, caIssuers).
    """
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess)
        places = [
            str(each.access_location.value)
            for each in access.value
            if each.access_method == AuthorityInformationAccessOID.CA_ISSUERS
        ]
    except Exception:
        # It is no more than a hint, and may be malformed in any way.
        return None
    return ascii(places[0][:200])[1:-1] if places else None
