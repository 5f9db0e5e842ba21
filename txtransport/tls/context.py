"""Turns a policy into an `SSL.Context`; no other module builds one.

A context is built complete, from the policy and the files that the policy
names, and never changed afterwards: pyOpenSSL forbids changes to a context
that is in use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from OpenSSL import SSL, crypto

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.errors import BadCertificateFile, InvalidOption
from txtransport.text import short_repr
from txtransport.tls import pem
from txtransport.tls.connection import select_protocol
from txtransport.tls.key_use import KeyUse, claim_keys
from txtransport.tls.keylog import KeyLog
from txtransport.tls.verification import verify_callback

__all__ = ["build_context", "build_trust", "store_flags"]

_VERSIONS: Final = {
    "1.0": SSL.TLS1_VERSION,
    "1.1": SSL.TLS1_1_VERSION,
    "1.2": SSL.TLS1_2_VERSION,
    "1.3": SSL.TLS1_3_VERSION,
}
_MODES: Final = {
    Verify.NO: SSL.VERIFY_NONE,
    Verify.OPTIONAL: SSL.VERIFY_PEER,
    Verify.YES: SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT,
}

# Mozilla's intermediate profile for servers, for TLS 1.2 (guidelines 5.7,
# https://wiki.mozilla.org/Security/Server_Side_TLS): forward secrecy and AEAD alone.
# OpenSSL's own list also has key transport by RSA and CBC, which RFC 9325 (section
# 4.1) advises against. The profile's DHE ciphers are not here, since they need
# parameters, which we do not load; without any, OpenSSL never chooses them.
_SERVER_CIPHERS: Final = ":".join(
    (
        "ECDHE-ECDSA-AES128-GCM-SHA256",
        "ECDHE-RSA-AES128-GCM-SHA256",
        "ECDHE-ECDSA-AES256-GCM-SHA384",
        "ECDHE-RSA-AES256-GCM-SHA384",
        "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-CHACHA20-POLY1305",
    )
)


# SSL_MODE_ENABLE_PARTIAL_WRITE (ssl.h), which pyOpenSSL sets and has no name for. With it
# SSL_write() encrypts one record and leaves the rest to another call.
_PARTIAL_WRITE: Final = 1


def build_context(policy: TLSPolicy, side: Side) -> SSL.Context:
    """Build the OpenSSL context that enforces a policy.

    Args:
        policy: What to enforce. Its `peer_name` and its application protocols
            (ALPN) are ignored, since they are kept on each connection, so that one
            context serves connections to any number of peers.
        side: Whether the context is for clients or for servers.

    Returns:
        A new context; its certificate, trust and callbacks are set.

    Raises:
        BadCertificateFile: A file that the policy names cannot be used, or its key
            belongs to a server of SSL 2.0.
        InvalidOption: OpenSSL does not accept the cipher list, cannot read
            the platform's trust store, or a server has no certificate.
    """
    own = pem.identity(policy)
    named = {
        name: pem.read_identity(policy, "SNI_server_certs", files)
        for name, files in policy.SNI_server_certs
    }
    log = None if policy.keylog is None else KeyLog(policy.keylog)
    context = _context(policy, side, own, log)
    if side is Side.SERVER:
        if own is None and not policy.SNI_server_certs:
            raise InvalidOption("local_cert", "a TLS server needs local_cert, the PEM file of "
                                "its certificate, chain and key (or SNI_server_certs)")  # fmt: skip
        _serve_names(context, policy, named, log)
    claim_keys(filter(None, [own, *named.values()]), KeyUse.OTHER)
    return context


def build_trust(policy: TLSPolicy, side: Side) -> SSL.Context:
    """Build a context that makes no connection, for its store of authorities.

    OpenSSL has the loaders of the platform's authorities, and of folders, on contexts alone.

    Args:
        policy: Names the authorities and the revocation lists.
        side: Whether they are for a client's peers or for a server's.

    Raises:
        BadCertificateFile: A file that the policy names cannot be used.
        InvalidOption: The platform's trust store cannot be read.
    """
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    _load_trust(context, policy, side)
    return context


def _context(
    policy: TLSPolicy, side: Side, own: pem.Identity | None, log: KeyLog | None
) -> SSL.Context:
    is_client = side is Side.CLIENT
    context = SSL.Context(SSL.TLS_CLIENT_METHOD if is_client else SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_VERSIONS[policy.min_version])
    context.set_max_proto_version(_VERSIONS[policy.max_version])
    context.set_options(_options(policy))
    context.set_mode(SSL.MODE_RELEASE_BUFFERS)
    if hasattr(context, "clear_mode"):
        context.clear_mode(_PARTIAL_WRITE)
    # Tickets carry the session, so OpenSSL's own cache would only use memory.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"txtransport")
    if log is not None:
        context.set_keylog_callback(log.write)
    _set_ciphers(context, policy, side)
    if own is not None:
        _use_certificate(context, own)
    context.set_verify(_MODES[policy.verifies(side)], verify_callback)
    context.set_verify_depth(policy.verify_depth)
    if is_client or policy.verifies(side) is not Verify.NO:
        _load_trust(context, policy, side)
    if not is_client:
        context.set_alpn_select_callback(
            lambda connection, offered: (
                select_protocol(connection, offered) or SSL.NO_OVERLAPPING_PROTOCOLS
            )
        )
    return context


def _options(policy: TLSPolicy) -> int:
    options = SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION
    if policy.honor_cipher_order:
        options |= SSL.OP_CIPHER_SERVER_PREFERENCE
    if policy.no_ticket:
        options |= SSL.OP_NO_TICKET
    return options


def _set_ciphers(context: SSL.Context, policy: TLSPolicy, side: Side) -> None:
    ciphers = policy.ciphers
    # Before TLS 1.2 there is none of the profile's ciphers.
    if ciphers is None and side is Side.SERVER and policy.min_version >= "1.2":
        ciphers = _SERVER_CIPHERS
    if ciphers is None and policy.security_level is None:
        return
    # Never without authentication or encryption, whatever the list says.
    wanted = f"{ciphers or 'DEFAULT'}:!aNULL:!eNULL"
    if policy.security_level is not None:
        wanted += f":@SECLEVEL={policy.security_level}"
    try:
        # OpenSSL reads the list as a C string: a NUL would end it, and drop
        # what is appended above.
        context.set_cipher_list(wanted.replace("\0", "?").encode("ascii"))
    except (SSL.Error, UnicodeEncodeError) as problem:
        raise InvalidOption(
            "ciphers", f"OpenSSL knows no cipher of ciphers={short_repr(policy.ciphers)}; "
            "see openssl ciphers -v, and note that it is for TLS 1.2 and older",
        ) from problem  # fmt: skip


def _use_certificate(context: SSL.Context, own: pem.Identity) -> None:
    try:
        context.use_certificate(own.leaf)
        for authority in own.chain:
            context.add_extra_chain_cert(authority)
        context.use_privatekey(own.key)
        context.check_privatekey()
    except (SSL.Error, crypto.Error) as problem:
        raise BadCertificateFile(
            own.option, own.path, f"OpenSSL will not use {pem.display_subject(own.leaf)} "
            f"({_reasons(problem)})",
            "renew it with a stronger key or digest, or lower security_level",
        ) from problem  # fmt: skip


def _load_trust(context: SSL.Context, policy: TLSPolicy, side: Side) -> None:
    store = context.get_cert_store()
    assert store is not None
    if policy.cafile is not None:
        _load_cafile(context, store, policy.cafile, side)
    if policy.capath is not None:
        pem.check_folder("capath", policy.capath)
        context.load_verify_locations(None, os.fsencode(policy.capath))
    if policy.cafile is None and policy.capath is None:
        try:
            context.set_default_verify_paths()
        except SSL.Error as problem:
            raise InvalidOption("cafile", "the platform's trust store cannot be read "
                                f"({_reasons(problem)}); name authorities with cafile=FILE",
            ) from problem  # fmt: skip
    if policy.crl is not None:
        _load_lists(store, policy.crl)
    store.set_flags(store_flags(policy))


def store_flags(policy: TLSPolicy) -> int:
    """The flags of a store (`crypto.X509StoreFlags`) that hold a chain to the policy."""
    flags = 0
    if not policy.pin:
        # Any certificate of the file ends a chain, be it a root or not, as in Go,
        # rustls and Python 3.13. Where a file has an intermediate and its root, the
        # chain then ends at the intermediate; with a pin it goes on to the root,
        # whose key may be the pinned one.
        flags |= crypto.X509StoreFlags.PARTIAL_CHAIN
    if policy.x509_strict:
        flags |= crypto.X509StoreFlags.X509_STRICT
    if policy.crl is not None:
        flags |= crypto.X509StoreFlags.CRL_CHECK
    return flags


def _load_cafile(context: SSL.Context, store: crypto.X509Store, path: str, side: Side) -> None:
    for authority in pem.read_authorities("cafile", path):
        try:
            store.add_cert(crypto.X509.from_cryptography(authority))
        except crypto.Error as problem:
            raise BadCertificateFile(
                "cafile", path, f"OpenSSL cannot read {pem.display_subject(authority)} in it "
                f"({_reasons(problem)})",
            ) from problem  # fmt: skip
        if side is Side.SERVER:
            context.add_client_ca(authority)


def _load_lists(store: crypto.X509Store, path: str) -> None:
    for number, revocations in enumerate(pem.read_revocations("crl", path), 1):
        try:
            store.add_crl(revocations)
        except crypto.Error as problem:
            raise BadCertificateFile(
                "crl", path, f"OpenSSL cannot read revocation list {number} in it "
                f"({_reasons(problem)})",
            ) from problem  # fmt: skip


def _reasons(problem: SSL.Error | crypto.Error) -> str:
    reasons = dict.fromkeys(reason for *_, reason in problem.args[0]) if problem.args else ()
    return ", ".join(reasons)[:200]


def _serve_names(
    context: SSL.Context,
    policy: TLSPolicy,
    identities: Mapping[str, pem.Identity],
    log: KeyLog | None,
) -> None:
    """Choose the certificate by the name that the client sends (SNI: RFC 6066, section 3).

    Each entry of `SNI_server_certs` gets a context of its own, and the
    callback moves the connection to it. An exact name goes before a wildcard;
    for any other name the connection keeps the first context, with
    `local_cert`.
    """
    named = {name: _context(policy, Side.SERVER, own, log) for name, own in identities.items()}
    if not named:
        return

    def choose(connection: SSL.Connection) -> None:
        # Nothing here can raise: pyOpenSSL before 26.0 would go on with the first context
        # (CVE-2026-27448). All the contexts demand the same of clients.
        asked = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        chosen = named.get(asked) or named.get(f"*.{asked.partition('.')[2]}")
        if chosen is not None:
            connection.set_context(chosen)

    context.set_tlsext_servername_callback(choose)
