"""Lines by which a tool says why it refused a certificate."""

from __future__ import annotations

from typing import Final

from attrs import evolve

from txtransport.diagnosis.tools.row import rows_for
from txtransport.diagnosis.x509_errors import OF_CAUSE
from txtransport.errors import Diagnosis

__all__ = ["CERTIFICATES", "NO_AUTHORITIES", "NO_LIST", "PINNED", "UNKNOWN"]


def _certificate(cause: str, summary: str, remedy: str = "", fault: str = "") -> Diagnosis:
    """The general diagnosis of a cause, with a summary of its own and perhaps more."""
    general = OF_CAUSE[cause]
    return evolve(
        general, summary=summary, remedy=remedy or general.remedy, fault=fault or general.fault
    )


# The name that was asked for, in quotes of any kind or in none.
_WANTED: Final = r"['`\"\u2018]?(?P<wanted>[0-9a-z*.:-]{1,253})"

_WRONG_NAME: Final = _certificate(
    "wrong-name",
    "the certificate is for another name or address than the one that was asked for",
)
_NO_SAN: Final = _certificate(
    "wrong-name",
    "the certificate has its name only in the Common Name, where no one looks any more",
    "Have it issued anew with the name as a subject alternative name (subjectAltName)",
)
_EXPIRED: Final = _certificate("expired", "the certificate, or one above it, has expired")
_NOT_YET: Final = _certificate("not-yet-valid", "the certificate is not valid yet")
_SELF_SIGNED: Final = _certificate(
    "self-signed",
    "it is a self-signed certificate, which anyone can make: no authority that is trusted here "
    "has signed it",
)
_OWN_ROOT: Final = _certificate(
    "unknown-issuer",
    "the chain ends at a self-signed certificate, that of an authority which is not trusted "
    "here: one within a company, or a proxy or virus scanner that looks into TLS",
    "If you know that authority, name it with cafile=FILE; if not, someone is in between",
)
UNKNOWN: Final = _certificate(
    "unknown-issuer",
    "the certificate's issuer is not known here: its authority is not trusted, or the peer "
    "does not send the intermediate certificate",
)
_ALONE: Final = _certificate(
    "unknown-issuer",
    "the certificate came without the intermediate one above it, or its authority is not "
    "trusted here",
    "The peer's file must hold the leaf and behind it the intermediate certificates "
    "(fullchain.pem); for an authority of your own say cafile=FILE",
    fault="peer",
)
NO_AUTHORITIES: Final = Diagnosis(
    "bad-file",
    "the file or folder with the authorities to trust cannot be read, or holds none",
    "Install the system's authorities (ca-certificates), or name a PEM file that exists "
    "with cafile=FILE",
    fault="ours",
)
_PURPOSE: Final = _certificate(
    "wrong-purpose",
    "the certificate is not made for this use, such as a client's certificate on a server",
)
_REVOKED: Final = _certificate("revoked", "the certificate has been revoked by its issuer")
_MALFORMED: Final = _certificate(
    "malformed", "the certificate, or one above it, is not made as certificates must be (RFC 5280)"
)
_NO_AUTHORITY: Final = Diagnosis(
    "unknown-issuer",
    "a certificate in the chain has signed another one and is not an authority's",
    "Have the chain issued properly: an authority needs CA:TRUE in its basic constraints",
)
_TOO_LONG: Final = Diagnosis(
    "other",
    "the chain of certificates is longer than is allowed",
    "Raise verify_depth, if the chain is as it should be",
    fault="ours",
)
NO_LIST: Final = Diagnosis(
    "other",
    "revocation is to be checked, and the authority's list (CRL) is missing or too old",
    "Fetch the authority's current list and name it with crl=FILE, or do without",
    fault="ours",
)
_WEAK: Final = Diagnosis(
    "other",
    "a key or signature in the chain is too weak for this side's security level",
    "The peer must renew its certificate; until then security_level=1 lets it pass",
)
PINNED: Final = _certificate("fingerprint", "the certificate or key is not the one expected")

CERTIFICATES: Final = (
    *rows_for(
        _WRONG_NAME,
        Node=(
            rf"host: {_WANTED}\.? is not (?:in the cert.s altnames: (?P<names>[^}}\]]{{1,300}})"
            r"|cert.s cn)",
            r"err tls cert altname invalid|does(?: not|n.t) match certificate.s altnames",
        ),
        Go=(
            rf"certificate is valid for (?P<names>[^)]{{1,300}}), not {_WANTED}",
            rf"certificate is not valid for any names, but wanted to match {_WANTED}",
            rf"cannot validate certificate for {_WANTED} because it doesn.t contain any ip sans",
        ),
        curl=(
            rf"certificate subject name .?(?P<names>[^ ']{{1,253}}). does not match target "
            rf"(?:host ?name|ipv[46] address) {_WANTED}",
            rf"no alternative certificate subject name matches target "
            rf"(?:host ?name|ipv[46] address) {_WANTED}",
        ),
        PHP=(
            rf"peer certificate cn=.?(?P<names>[^ ']{{1,253}}). did not match expected "
            rf"cn={_WANTED}",
            rf"subjectaltname did not match expected name {_WANTED}",
        ),
        Python=(
            rf"mismatch, certificate is not valid for {_WANTED}",
            rf"hostname {_WANTED}. doesn.t match",
        ),
        Twisted=(
            rf"(?:dns|srv|uri)mismatch\(mismatched id=[a-z]{{3}} id\(hostname=b{_WANTED}",
            r"ipaddressmismatch\(mismatched id=ipaddress id\(ip=ipv[46]address\(" + _WANTED,
            r"service identity\.(?:exceptions\.)?verificationerror",
        ),
        Java=(
            rf"no subject alternative (?:dns |ip )?(?:names?|address) matching (?:ip address )?"
            rf"{_WANTED}",
            rf"no name matching {_WANTED} found",
        ),
        GnuTLS=rf"certificate.s owner does not match hostname {_WANTED}",
        OpenSSL=r"(?:hostname|ip address) mismatch",
    ),
    *rows_for(
        _NO_SAN,
        Go=r"certificate relies on legacy common name field",
        PHP=r"unable to locate peer certificate cn",
        curl=r"unable to obtain common name from peer certificate",
        Java=r"no subject alternative names present",
    ),
    *rows_for(
        _NOT_YET,
        Go=r"has expired or is not yet valid: current time \S{1,40} is before",
        Java=r"certificatenotyetvalidexception",
        OpenSSL=r"certificate is not yet valid|cert not yet valid",
        GnuTLS=r"not yet (?:been )?activated|uses not yet valid certificate",
    ),
    *rows_for(
        _EXPIRED,
        Go=r"certificate has expired or is not yet valid",
        Java=r"certificateexpiredexception",
        OpenSSL=r"(?<!crl )(?:certificate|\bcert) has expired",
        GnuTLS=r"the certificate of .{1,255} has expired",
    ),
    *rows_for(
        _OWN_ROOT,
        OpenSSL=r"self.signed certificate in certificate chain",
        Node=r"self signed cert in chain",
    ),
    *rows_for(
        _SELF_SIGNED,
        OpenSSL=r"self.signed certificate",
        Node=r"depth zero self signed cert",
    ),
    *rows_for(
        _ALONE,
        OpenSSL=r"unable to verify the first certificate",
        Node=r"unable to verify leaf signature",
    ),
    *rows_for(
        UNKNOWN,
        OpenSSL=r"unable to get (?:local )?issuer certificate",
        Node=r"unable to get issuer cert",
        Go=(
            r"certificate signed by unknown authority",
            r"x509: .{1,200} certificate is not trusted",
        ),
        Java=r"pkix path building failed|unable to find valid certification path",
        GnuTLS=(
            r"server certificate verification failed\. cafile",
            r"doesn.t have a known issuer|the certificate of .{1,255} is not trusted",
        ),
    ),
    *rows_for(
        NO_AUTHORITIES,
        Go=r"failed to load system roots and no roots provided",
        curl=r"error setting certificate (?:verify locations|file)",
        PHP=r"failed loading ca(?:file stream| names from cafile)|no valid certs found cafile",
        Python=r"no certificate or crl found",
        Java=r"trustanchors parameter must be non-empty",
    ),
    *rows_for(
        _PURPOSE,
        OpenSSL=r"(?:unsuitable|unsupported) certificate purpose|\binvalid purpose\b",
        Go=r"certificate specifies an incompatible key usage",
        Java=r"extended key usage does not permit",
    ),
    *rows_for(
        _MALFORMED,
        OpenSSL=(
            r"invalid or inconsistent certificate (?:policy )?extension",
            r"format error in certificate.s not(?:before|after) field",
            r"unsupported or invalid name (?:constraint )?syntax",
        ),
        Go=(
            r"failed to parse certificate from (?:server|client)",
            r"x509: malformed certificate",
        ),
    ),
    *rows_for(
        _REVOKED,
        OpenSSL=r"(?<!alert )(?<!alert: )\bcert(?:ificate)? revoked",
        Java=r"certificate has been revoked",
    ),
    *rows_for(
        _NO_AUTHORITY,
        OpenSSL=r"invalid (?:non-)?ca(?: certificate|\b)",
        Go=r"certificate is not authorized to sign other certificates",
    ),
    *rows_for(
        _TOO_LONG,
        OpenSSL=r"cert(?:ificate)? chain too long|path length (?:constraint )?exceeded",
        Go=r"too many intermediates for path length constraint",
    ),
    *rows_for(
        NO_LIST,
        OpenSSL=r"unable to get (?:certificate )?crl|\bcrl has expired",
        curl=r"no ocsp response received",
    ),
    *rows_for(
        _WEAK,
        OpenSSL=r"(?:certificate key|\bca (?:key|md)) too (?:weak|small)|digest algorithm too weak",
    ),
    *rows_for(
        PINNED,
        PHP=r"peer fingerprint match failure",
        curl=r"public key does not match pinned public key",
    ),
)  # fmt: skip
