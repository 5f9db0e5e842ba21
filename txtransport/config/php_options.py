"""Options of PHP's streams that have another name here, or that there is no need for.

The options that both have are in `txtransport.config.options`, under PHP's names. A
program that is moved from PHP may have others. For each of those a row says which
option to use, or why there is nothing to set, so that nobody has to find out what
became of a setting that once protected something.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["PHP_OPTIONS", "PHPOption"]


@frozen
class PHPOption:
    """One row of the table.

    Attributes:
        name: PHP's name.
        advice: What to do, the end of a sentence.
        instead: The options to use instead; none where there is nothing to set.
    """

    name: str
    advice: str
    instead: tuple[str, ...] = ()


_VERSION: Final = (
    "the scheme says which version of TLS is spoken (tlsv1.3://), or min_version and max_version do"
)
_RENEGOTIATION: Final = "renegotiation is always refused, and TLS 1.3 has none: leave it out"
_RESUMPTION: Final = (
    "clients resume their sessions by themselves, and only those that were verified for the same "
    "policy; no_ticket=yes switches that off"
)
_SERVER_SESSIONS: Final = (
    "servers keep no sessions, since their tickets carry them; no_ticket=yes switches that off"
)
_PSK: Final = (
    "keys shared beforehand are not part of this release; local_cert and pin serve for two sides "
    "that know each other"
)
_EARLY_DATA: Final = "early data can be sent again by others (RFC 8446, 8), and is never used"
_FRESH_KEYS: Final = "each connection has a new key for its key exchange: leave it out"
_SHOWN: Final = "session_of(protocol.transport) has"

_ROWS: Final = (
    # Versions and ciphers.
    PHPOption("crypto_method", _VERSION, ("min_version", "max_version")),
    PHPOption("crypto_type", _VERSION, ("min_version", "max_version")),
    PHPOption("min_proto_version", "it is min_version here, such as 1.2", ("min_version",)),
    PHPOption("max_proto_version", "it is max_version here, such as 1.3", ("max_version",)),
    PHPOption(
        "dh_param",
        "the key exchange is on elliptic curves, or in a group of TLS 1.3, and needs no "
        "parameters: leave it out",
    ),
    PHPOption("ecdh_curve", "OpenSSL chooses the group from those that both sides have: leave "
              "it out"),
    PHPOption("single_dh_use", _FRESH_KEYS),
    PHPOption("single_ecdh_use", _FRESH_KEYS),
    PHPOption("rsa_key_size", "RSA keys are made for no connection, which only export ciphers "
              "needed: leave it out"),
    PHPOption("disable_compression", "compression is always off (CRIME, CVE-2012-4929): leave it "
              "out"),
    # Names.
    PHPOption("CN_match", "peer_name is the name that the certificate must be for; the Common "
              "Name never counts (RFC 9525)", ("peer_name",)),
    PHPOption("SNI_server_name", "peer_name is the name that clients send, and that the "
              "certificate must be for", ("peer_name",)),
    # Renegotiation.
    PHPOption("reneg_limit", _RENEGOTIATION),
    PHPOption("reneg_window", _RENEGOTIATION),
    PHPOption("reneg_limit_callback", _RENEGOTIATION),
    # Sessions.
    PHPOption("session_stream", _RESUMPTION, ("no_ticket",)),
    PHPOption("session_data", _RESUMPTION, ("no_ticket",)),
    PHPOption("session_new_cb", _RESUMPTION, ("no_ticket",)),
    PHPOption("session_get_cb", _SERVER_SESSIONS, ("no_ticket",)),
    PHPOption("session_remove_cb", _SERVER_SESSIONS, ("no_ticket",)),
    PHPOption("session_cache", _SERVER_SESSIONS, ("no_ticket",)),
    PHPOption("session_cache_size", _SERVER_SESSIONS, ("no_ticket",)),
    PHPOption("session_timeout", _SERVER_SESSIONS, ("no_ticket",)),
    PHPOption("session_id_context", "servers set it by themselves: leave it out"),
    PHPOption("num_tickets", "OpenSSL sends two for each connection of TLS 1.3; no_ticket=yes "
              "switches resumption off", ("no_ticket",)),
    PHPOption("early_data", _EARLY_DATA),
    PHPOption("max_early_data", _EARLY_DATA),
    PHPOption("early_data_cb", _EARLY_DATA),
    # Keys that were shared beforehand.
    PHPOption("psk_client_cb", _PSK, ("local_cert", "pin")),
    PHPOption("psk_server_cb", _PSK, ("local_cert", "pin")),
    # What PHP writes into its context.
    PHPOption("capture_peer_cert_chain", f"{_SHOWN} the certificates, as peer_chain"),
    PHPOption("capture_session_meta", f"{_SHOWN} version, cipher and application protocol"),
    PHPOption("peer_certificate", f"{_SHOWN} it"),
    PHPOption("peer_certificate_chain", f"{_SHOWN} the certificates, as peer_chain"),
    # Sockets.
    PHPOption("so_reuseaddr", "servers always set it (SO_REUSEADDR): leave it out"),
)  # fmt: skip

PHP_OPTIONS: Final = {row.name: row for row in _ROWS}
"""Every option of PHP's streams that there is not here, by its name."""
