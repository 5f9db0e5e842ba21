"""Recognises what a file is that has no PEM block of the kind that an option needs.

Certificates come in a dozen forms: the file of a Windows server, the reply of an
authority, the download of a browser. `recognise_format` names the form, and the
command that makes of it what the option reads. Nothing here decides whether a file
is used: that is `txtransport.tls.pem`.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Callable, Mapping
from typing import Final

from attrs import field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_private_key

from txtransport.text import shell_path

__all__ = ["FileFormat", "recognise_format"]

_MAX_PATH: Final = 200
_CERTIFICATES: Final = ("local_cert", "SNI_server_certs", "cafile")


@frozen
class FileFormat:
    """What a file is, and how to make a PEM file of it.

    Attributes:
        name: What it is, with its article.
        hint: What to do where no command helps; or nothing.
        commands: For each option the command that converts the file. ``{old}`` is the
            file, ``{new}`` the one that is made.
    """

    name: str
    hint: str = ""
    commands: Mapping[str, str] = field(factory=dict)

    @property
    def purpose(self) -> str:
        """The option that a file of this form is most likely meant for."""
        return next(iter(self.commands), "local_cert")

    def command(self, option: str, path: str) -> str:
        """The line for a shell that makes of the file what the option needs.

        Args:
            option: The option that names the file.
            path: The file. It is quoted; no line is made for a path that would not
                survive being copied from a terminal.

        Returns:
            The line; empty where no command helps.
        """
        template, old = self.commands.get(option, ""), shell_path(path)
        if not template or not old or len(path) > _MAX_PATH:
            return ""
        return template.format(old=old, new=shell_path(_new_path(path)))


def recognise_format(content: bytes) -> FileFormat | None:
    """Recognise a file by its content.

    Args:
        content: All of the file, or its beginning.

    Returns:
        What the file is; None for a form that is not known, and for PEM blocks whose
        labels say all.
    """
    return next((form for is_it, form in _FORMATS if is_it(content)), None)


def _new_path(path: str) -> str:
    """Where the converted file goes: beside the old one, and over no file that is there."""
    stem = os.path.splitext(path)[0]
    names = (f"{stem}{end}.pem" for end in ("", "-new", *(f"-new-{n}" for n in range(2, 100))))
    return next((name for name in names if not os.path.lexists(name)), f"{stem}-new-100.pem")


# --- how the forms are recognised ----------------------------------------------------


def _labelled(*labels: str) -> Callable[[bytes], bool]:
    """Whether there is a PEM block with one of the labels (RFC 7468, section 2)."""
    lines = [f"-----BEGIN {label}-----".encode() for label in labels]
    return lambda content: any(line in content for line in lines)


def _begins(*beginnings: bytes) -> Callable[[bytes], bool]:
    return lambda content: content.lstrip(b"\xef\xbb\xbf\r\n\t ").startswith(beginnings)


def _loads(load: Callable[[bytes], object]) -> Callable[[bytes], bool]:
    def is_it(content: bytes) -> bool:
        if content[:1] != b"\x30":  # SEQUENCE (X.690, section 8.9).
            return False
        try:
            load(content)
        except TypeError:
            # cryptography raises it for a key that is encrypted.
            return load is _load_key
        except Exception:
            return False
        return True

    return is_it


def _load_key(content: bytes) -> object:
    return load_der_private_key(content, None)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, re.DOTALL)
    return lambda content: compiled.match(content) is not None


# A SEQUENCE with its length in either form (X.690, section 8.1.3).
_SEQUENCE: Final = rb"\x30(?:[\x00-\x80]|\x81.|\x82..|\x83...|\x84....)"
# PFX: the version 3, then an authSafe (RFC 7292, section 4).
_PKCS12: Final = _matches(_SEQUENCE + rb"\x02\x01\x03\x30")
# ContentInfo with signedData (RFC 5652, sections 3 and 5.1).
_PKCS7: Final = _matches(_SEQUENCE + rb"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02")


def _is_bare_base64(content: bytes) -> bool:
    """Whether it is a certificate in base64 of which the BEGIN and END lines are missing."""
    if not content.lstrip().startswith(b"MI"):
        return False
    try:
        der = base64.b64decode(b"".join(content.split()), validate=True)
        x509.load_der_x509_certificate(der)
    except (binascii.Error, ValueError, x509.InvalidVersion):
        return False
    return True


def _is_mangled(content: bytes) -> bool:
    """Whether it has BEGIN lines whose five hyphens a word processor or a hand changed."""
    return re.search(rb"BEGIN [A-Z0-9 ]{3,30}", content) is not None and b"-----BEGIN " not in (
        content
    )


def _for_each(options: tuple[str, ...], command: str) -> Mapping[str, str]:
    return dict.fromkeys(options, command)


_ANY: Final = (*_CERTIFICATES, "local_pk", "crl")
# The file may hold a key: as `openssl` does, the new one is made for its owner alone.
_ICONV: Final = "(umask 077 && iconv -f {code} -t UTF-8 {{old}} > {{new}})"
_UTF16: Final = "text in UTF-16, as some editors of Windows save it"
_PKCS7_NAME: Final = "PKCS#7 (a .p7b or .p7c file: certificates, and no key)"
# Its certificates are a SET OF, which DER sorts by their bytes (X.690, section 11.6).
_NEEDS_KEY: Final = (
    "convert it, put the leaf first (PKCS#7 has no order), and name the key with local_pk"
)
_REQUEST: Final = "a request for a certificate (CSR)"
_SEND_IT: Final = "send it to an authority, and name the certificate that comes back"

_FORMATS: Final[tuple[tuple[Callable[[bytes], bool], FileFormat], ...]] = (
    # Text in UTF-16 is made of pairs of bytes: the hyphens of its first BEGIN line stand at
    # even places, or at odd ones.
    (
        # A byte order mark tells iconv which of the two orders it is.
        _matches(rb"\xff\xfe|\xfe\xff"),
        FileFormat(_UTF16, commands=_for_each(_ANY, _ICONV.format(code="UTF-16"))),
    ),
    (
        _matches(rb"(?:..){0,256}?-\0-\0-\0-\0-\0B\0"),
        FileFormat(_UTF16, commands=_for_each(_ANY, _ICONV.format(code="UTF-16LE"))),
    ),
    (
        _matches(rb"(?:..){0,256}?\0-\0-\0-\0-\0-\0B"),
        FileFormat(_UTF16, commands=_for_each(_ANY, _ICONV.format(code="UTF-16BE"))),
    ),
    (
        _PKCS12,
        FileFormat(
            "PKCS#12 (a .p12 or .pfx file)",
            "convert it (openssl asks for its passphrase; if it says unsupported, add -legacy)",
            {
                **_for_each(
                    ("local_cert", "SNI_server_certs"),
                    "openssl pkcs12 -in {old} -nodes -out {new}",
                ),
                "local_pk": "openssl pkcs12 -in {old} -nodes -nocerts -out {new}",
                "cafile": "openssl pkcs12 -in {old} -nokeys -cacerts -out {new}",
            },
        ),
    ),
    (
        _PKCS7,
        FileFormat(
            f"{_PKCS7_NAME} in DER",
            _NEEDS_KEY,
            _for_each(_CERTIFICATES, "openssl pkcs7 -inform DER -in {old} -print_certs -out {new}"),
        ),
    ),
    (
        _labelled("PKCS7", "CMS"),
        FileFormat(
            _PKCS7_NAME,
            _NEEDS_KEY,
            _for_each(_CERTIFICATES, "openssl pkcs7 -in {old} -print_certs -out {new}"),
        ),
    ),
    (
        _loads(x509.load_der_x509_certificate),
        FileFormat(
            "a certificate in DER (often a .cer or .crt file)",
            "",
            _for_each(_CERTIFICATES, "openssl x509 -inform DER -in {old} -out {new}"),
        ),
    ),
    (
        _loads(x509.load_der_x509_crl),
        FileFormat(
            "a revocation list in DER",
            "",
            {"crl": "openssl crl -inform DER -in {old} -out {new}"},
        ),
    ),
    (
        _loads(_load_key),
        FileFormat(
            "a private key in DER",
            "",
            {"local_pk": "openssl pkey -inform DER -in {old} -out {new}"},
        ),
    ),
    (_loads(x509.load_der_x509_csr), FileFormat(f"{_REQUEST} in DER", _SEND_IT)),
    (_labelled("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"), FileFormat(_REQUEST, _SEND_IT)),
    (
        _labelled("TRUSTED CERTIFICATE"),
        FileFormat(
            "a certificate in OpenSSL's own form (TRUSTED CERTIFICATE)",
            "convert it (of several, the first is taken; a key stays in the old file)",
            _for_each(_CERTIFICATES, "openssl x509 -in {old} -out {new}"),
        ),
    ),
    (
        _begins(b"-----BEGIN OPENSSH PRIVATE KEY-----", b"PuTTY-User-Key-File", b"ssh-", b"ecdsa-"),
        FileFormat(
            "a key of SSH",
            "name the key that was made together with the certificate's request",
        ),
    ),
    (
        _labelled("PUBLIC KEY", "RSA PUBLIC KEY"),
        FileFormat("a public key alone", "name the certificate that the authority made of it"),
    ),
    (
        _is_bare_base64,
        FileFormat(
            "a certificate in base64 without its BEGIN and END lines",
            "",
            _for_each(_CERTIFICATES, "base64 -d {old} | openssl x509 -inform DER -out {new}"),
        ),
    ),
    (
        _begins(b"\xfe\xed\xfe\xed"),
        FileFormat(
            "a key store of Java (JKS)",
            "convert it to PKCS#12 first",
            _for_each(
                ("local_cert", "SNI_server_certs", "local_pk"),
                "keytool -importkeystore -srckeystore {old} -destkeystore {new}.p12 "
                "-deststoretype PKCS12",
            ),
        ),
    ),
    (_begins(b"PK\x03\x04", b"\x1f\x8b"), FileFormat("a compressed file", "unpack it first")),
    (
        _begins(b"<!DOCTYPE", b"<!doctype", b"<html", b"<HTML", b"<?xml"),
        FileFormat("a web page", "fetch the file anew: the server answered with a page instead"),
    ),
    (
        _is_mangled,
        FileFormat(
            "PEM whose BEGIN lines have not five hyphens on each side",
            "copy the text anew, or correct the lines: -----BEGIN CERTIFICATE-----",
        ),
    ),
)
"""The most certain first; what is asked of each is the whole content."""
