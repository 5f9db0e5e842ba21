"""Checks a certificate against the expected name, fingerprint or public key.

Each ``…_problem`` function returns what is wrong and what to do, or None when the
certificate is good. An exception during a check is a problem as well: the
module fails closed. (Twisted's own check accepts a certificate when it raises
anything but ``VerificationError``; so it accepts one without any name.)
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import evolve
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
from txtransport.diagnosis.x509_errors import OF_CAUSE, diagnosis_of_x509
from txtransport.errors import Diagnosis
from txtransport.text import ascii_repr, ascii_text
from txtransport.tls.pem import PrivateKey

__all__ = [
    "certificate_names",
    "excluded_name_problem",
    "expected_name",
    "fingerprint_problem",
    "issuer_place",
    "name_problem",
    "pin_problem",
    "spki_pin",
]

_MAX_SHOWN: Final = 8
_NOBODY: Final = "nobody"
_HOST_NAME: Final = re.compile(r"(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}").fullmatch
# By the number of hex digits.
_DIGESTS: Final = {64: hashlib.sha256, 96: hashlib.sha384, 128: hashlib.sha512}


@functools.lru_cache(maxsize=1024)
def expected_name(given: str) -> str:
    """Bring the peer's name into the form that certificates and SNI use.

    Args:
        given: A DNS name in any case, internationalized or not, with or
            without a trailing dot; or an IP address, with or without a zone.

    Returns:
        The name in ASCII (A-labels), lower case, without the dot; or the
        address in its shortest form, without the zone.

    Raises:
        ValueError: `given` is neither a DNS name nor an address.
    """
    if is_address(given):
        return canonical_address(without_zone(given))
    name = DNS_ID(given.removesuffix(".").lower()).hostname.decode("ascii")
    # RFC 1035, section 2.3.4.
    if len(name) > 253 or not _HOST_NAME(name):
        raise ValueError(given)
    return name


def name_problem(certificate: x509.Certificate, name: str) -> Diagnosis | None:
    """Check that a certificate is for the expected name.

    Args:
        certificate: The peer's leaf certificate.
        name: The expected name, in the form of `expected_name`.

    Returns:
        Why the certificate is not for that name; None when it is.

    Source: RFC 9525, section 6. The common name never counts.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return evolve(
            OF_CAUSE["wrong-name"],
            summary="it has no subject alternative name (SAN), and the common name does not count",
            remedy="The peer must get one that has its server's name as a subject alternative name "
            "(RFC 9525); browsers refuse it as well",
        )
    except Exception as problem:
        # cryptography parses either all extensions or none, and no exception of its
        # is a reason to accept the certificate.
        return _unreadable(
            "it has an extension that cannot be read, so its names are not known", problem
        )
    try:
        is_for_it = (
            find_address(name) in names.get_values_for_type(x509.IPAddress)
            if is_address(name)
            else _is_among(DNS_ID(name), names)
        )
    except Exception as problem:
        # Names that cannot be compared are not the same.
        return _wrong_name(f"its names cannot be compared: {ascii_repr(str(problem), 120)}")
    if is_for_it:
        return None
    if is_address(name) and name in names.get_values_for_type(x509.DNSName):
        return _wrong_name(f"it has the address {name} among its DNS names, where none counts")
    return _wrong_name(f"it is for {certificate_names(certificate)}, not for {name}")


def _unreadable(summary: str, problem: Exception) -> Diagnosis:
    told = f"{summary}: {ascii_repr(str(problem), 120)}"
    return evolve(OF_CAUSE["malformed"], summary=told)


def _wrong_name(summary: str) -> Diagnosis:
    return evolve(OF_CAUSE["wrong-name"], summary=summary)


def _is_among(expected: DNS_ID, names: x509.SubjectAlternativeName) -> bool:
    """Whether one of the DNS names is the expected one, or a wildcard for it."""
    first, dot, rest = expected.hostname.partition(b".")
    return any(
        expected.verify(pattern)
        # What service_identity refuses and OpenSSL and browsers accept: only within an
        # A-label may there be no wildcard (RFC 6125, section 6.4.3), "*" is a whole one.
        or (first.startswith(b"xn--") and pattern.pattern == b"*." + rest)
        for pattern in _patterns(names)
        # A wildcard is for no name of one label. service_identity before 26.1 raises an
        # exception for the two, which would cost the certificate's other names as well.
        if dot or b"*" not in pattern.pattern
    )


def _patterns(names: x509.SubjectAlternativeName) -> Iterator[DNSPattern]:
    """The DNS names that take part in matching; ``*`` and addresses are left out."""
    for name in names.get_values_for_type(x509.DNSName):
        if name != name.strip():
            # `DNSPattern` would strip the white space, and so match a name
            # other than the one that OpenSSL has checked against the name
            # constraints of the authorities (RFC 5280, section 4.2.1.10).
            continue
        try:
            yield DNSPattern.from_bytes(name.encode())
        except CertificateError:
            continue


def excluded_name_problem(authorities: Iterable[x509.Certificate], name: str) -> Diagnosis | None:
    """Check that every authority of a verified chain may vouch for the expected name.

    OpenSSL holds the names that stand in the leaf against the constraints, as texts: to
    it ``*.example.com`` is not below an excluded ``a.example.com``, though it matches it.
    So the name that was asked for is held against them as well.

    Args:
        authorities: The certificates above the leaf, the root among them, in any order.
        name: The expected name, in the form of `expected_name`. To an address OpenSSL's
            own check is enough, since it has no wildcards.

    Returns:
        The constraint that excludes the name or cannot be read; None when there is none.

    Source: RFC 5280, section 4.2.1.10.
    """
    if is_address(name):
        return None
    for authority in authorities:
        # cryptography parses either all extensions of a certificate or none. An odd
        # extension of another kind must not cost the few authorities that have one,
        # but without the bytes of its identifier there is no constraint.
        if _NAME_CONSTRAINTS not in authority.tbs_certificate_bytes:
            continue
        try:
            excluded = _excluded_names(authority)
            reason = next((each for each in excluded if _is_below(name, each)), None)
        except Exception as problem:
            return _unreadable(
                "an authority above it has a constraint that cannot be read", problem
            )
        if reason is not None:
            return _excluded(name, reason)
    return None


# The identifier 2.5.29.30 in DER (X.690, section 8.19).
_NAME_CONSTRAINTS: Final = b"\x55\x1d\x1e"


def _excluded_names(authority: x509.Certificate) -> list[str]:
    try:
        found = authority.extensions.get_extension_for_class(x509.NameConstraints)
    except x509.ExtensionNotFound:
        return []
    excluded = found.value.excluded_subtrees or ()
    return [each.value for each in excluded if isinstance(each, x509.DNSName)]


def _is_below(name: str, constraint: str) -> bool:
    """Whether a name is the constraint's or has labels before it; ``""`` is every name.

    A constraint that begins with a dot is for the names below it alone, as it is to
    OpenSSL and Go; RFC 5280 knows no such constraint.

    Raises:
        ValueError: The constraint is no DNS name.
    """
    base = constraint.lower()
    if base and not _HOST_NAME(base.removeprefix(".")):
        raise ValueError(constraint)
    return not base or name == base or name.endswith(base if base[0] == "." else f".{base}")


def _excluded(name: str, reason: str) -> Diagnosis:
    told = f"an authority above it must not vouch for {name} (it excludes {ascii_repr(reason, 80)})"
    return evolve(diagnosis_of_x509(_EXCLUDED_VIOLATION), summary=told)


# X509_V_ERR_EXCLUDED_VIOLATION (x509_vfy.h).
_EXCLUDED_VIOLATION: Final = 48


def certificate_names(certificate: x509.Certificate) -> str:
    """The subject alternative names of a certificate, escaped and bounded, for messages."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        values = [str(name.value) for name in names if not isinstance(name, x509.OtherName)]
    except x509.ExtensionNotFound:
        return _NOBODY
    except Exception:
        return "names that cannot be read"
    shown = ", ".join(ascii_text(value, 80) for value in values[:_MAX_SHOWN])
    return f"{shown}, …" if len(values) > _MAX_SHOWN else shown or _NOBODY


def fingerprint_problem(certificate: x509.Certificate, accepted: Iterable[str]) -> Diagnosis | None:
    """Check that a certificate has one of the accepted fingerprints.

    Args:
        certificate: The peer's leaf certificate.
        accepted: Hex digests, without colons, in lower case. 64 digits are
            SHA-256, 96 SHA-384, 128 SHA-512; others match nothing.

    Returns:
        The certificate's SHA-256 fingerprint, in a sentence, when none
        matches; None when one does.
    """
    der = certificate.public_bytes(Encoding.DER)
    digests = {length: of(der).hexdigest() for length, of in _DIGESTS.items()}
    if any(digests.get(len(wanted)) == wanted for wanted in accepted):
        return None
    return _another(
        f"its SHA-256 fingerprint is {digests[64]}, which peer_fingerprint does not have"
    )


def pin_problem(chain: Iterable[x509.Certificate], accepted: Iterable[str]) -> Diagnosis | None:
    """Check that a chain holds one of the pinned public keys.

    Args:
        chain: The peer's verified chain, leaf first.
        accepted: Base64 SHA-256 digests, as `spki_pin` makes them.

    Returns:
        The pins of the chain's keys, in a sentence, when none is accepted;
        None when one is.

    Source: RFC 7469, section 2.4.
    """
    pins = [spki_pin(certificate) for certificate in chain]
    if set(pins).intersection(accepted):
        return None
    return _another(f"its public keys are {', '.join(pins)}, none of which is in pin")


def _another(summary: str) -> Diagnosis:
    return evolve(OF_CAUSE["fingerprint"], summary=summary)


def spki_pin(owner: x509.Certificate | PrivateKey) -> str:
    """The base64 SHA-256 digest of the public key (SubjectPublicKeyInfo, DER) of its owner."""
    spki = owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()


def issuer_place(certificate: x509.Certificate) -> str | None:
    """The URL at which a certificate says that its issuer's certificate can be downloaded.

    Returns:
        The URL, escaped and bounded, for messages; None when the certificate
        gives none that can be read.

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
        # The URL is only a hint for the user, and the extension may be
        # malformed in any way.
        return None
    return ascii_text(places[0], 200) if places else None
