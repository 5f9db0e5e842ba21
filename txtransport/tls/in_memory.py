"""Runs a handshake in memory, or its beginning, without a socket.

A whole one tells what a peer will say of a certificate of ours.

Both sides are connections as endpoints make them, from policies, with the verification
of this package. What one side writes is given to the other until neither writes anything.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve
from OpenSSL import SSL

from txtransport.config.policy import Side, TLSPolicy, Verify
from txtransport.tls.connection import CertificateProblem, TLSConnection
from txtransport.tls.creator import connection_creator
from txtransport.tls.failure import FailedConnection, handshake_failure

__all__ = ["client_hello", "client_refusal", "server_refusal"]

_CHUNK: Final = 2**16
# A handshake of TLS 1.2 takes four; more would be a peer that never ends.
_MAX_ROUNDS: Final = 16


def client_hello(name: str) -> bytes:
    """The first bytes of any client, which ask for any certificate and any version of ours.

    Args:
        name: The peer's name, which the client names (SNI), or its address.
    """
    # No trust store is read: this client ends here, before any certificate.
    policy = TLSPolicy(verify_peer=Verify.NO, verify_peer_name=False, peer_name=name)
    client = connection_creator(policy, Side.CLIENT).connection()
    client.set_connect_state()
    hello, _ = _turn(client, b"")
    return hello


def client_refusal(own: TLSPolicy, client: TLSPolicy) -> CertificateProblem | None:
    """What a client says of the certificate of a server.

    Args:
        own: The server's policy, with its `local_cert`.
        client: The client's policy, with `peer_name`.

    Returns:
        Why the client refuses it; None when it accepts it.

    Raises:
        InvalidOption: One of the policies cannot be used.
    """
    server_side = connection_creator(own, Side.SERVER).connection()
    client_side = connection_creator(client, Side.CLIENT).connection()
    error = _handshake(client_side, server_side)
    return _refusal(client_side, error)


def server_refusal(own: TLSPolicy, trusted: TLSPolicy) -> CertificateProblem | None:
    """What a server that demands a certificate says of the one of a client.

    Args:
        own: The client's policy, with its `local_cert`.
        trusted: Whom the server trusts: `cafile`, `capath` and `crl` of this policy.

    Returns:
        Why the server refuses it; None when it accepts it.

    Raises:
        InvalidOption: One of the policies cannot be used.
    """
    # The server needs a certificate as well, at which this client does not look.
    server = evolve(
        own,
        verify_peer=Verify.YES,
        cafile=trusted.cafile,
        capath=trusted.capath,
        crl=trusted.crl,
    )
    client = evolve(own, verify_peer=Verify.NO, verify_peer_name=False)
    server_side = connection_creator(server, Side.SERVER).connection()
    client_side = connection_creator(client, Side.CLIENT).connection()
    error = _handshake(client_side, server_side)
    return _refusal(server_side, error)


def _handshake(client: TLSConnection, server: TLSConnection) -> SSL.Error | None:
    """Let two connections shake hands; what ended that, the first error of either side."""
    client.set_connect_state()
    server.set_accept_state()
    said = b""
    for _ in range(_MAX_ROUNDS):
        of_client, error = _turn(client, said)
        said, other_error = _turn(server, of_client)
        if error or other_error:
            return error or other_error
        if not of_client and not said:
            return None
    raise AssertionError("client and server never stop sending")


def _turn(connection: TLSConnection, said: bytes) -> tuple[bytes, SSL.Error | None]:
    """Give a connection what the other side said; what it answers, and what ended it."""
    if said:
        connection.bio_write(said)
    error: SSL.Error | None = None
    try:
        connection.do_handshake()
    except SSL.WantReadError:
        pass
    except SSL.Error as problem:
        error = problem
    try:
        return connection.bio_read(_CHUNK), error
    except SSL.WantReadError:
        return b"", error


def _refusal(judge: TLSConnection, error: SSL.Error | None) -> CertificateProblem | None:
    if judge.verification.problems:
        return judge.verification.problems[0]
    if error is None:
        return None
    # Not the certificate itself: the two have no signature algorithm in common, say.
    failed = FailedConnection("inspect", judge.side, None, b"", error, judge)
    diagnosis = handshake_failure(failed).diagnosis
    summary = diagnosis.summary.partition(": ")[2]
    return CertificateProblem(evolve(diagnosis, summary=summary), 0, 0, None)
