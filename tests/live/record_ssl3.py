"""Records conversations with OpenSSL 1.0.2 and Java for `tests.tls.legacy.test_ssl3_vectors`.

    python -m tests.live.record_ssl3 tests/tls/legacy/ssl3_vectors.json

Our server with both clients, in every suite of which our side follows from the random bytes:
without elliptic curves, whose keys cannot be given. Our client with Java's server, with
Diffie-Hellman: with RSA the encrypted secret differs each time. Some with a client's
certificate; 40 bytes of data there and back, and close_notify both ways.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.certificates import cafile
from tests.live.test_ssl3 import (
    JAVA_NAMES,
    JAVA_PEER,
    NASSL_PEER,
    OPENSSL_NAMES,
    pem,
    pkcs12,
)
from tests.tls.legacy.ssl3_pair import client_config, drawn, identity, server_config
from tests.tls.legacy.test_ssl3_vectors import SIZE, react
from txtransport.config.policy import Verify
from txtransport.tls.legacy.engine import LegacyIdentity
from txtransport.tls.legacy.ssl3 import SSL3_CIPHERS, SSL3Engine


def with_client(peer: str, suite: str, certificate: Verify) -> dict[str, Any]:
    """A conversation of our server.

    Args:
        peer: ``OpenSSL`` or ``Java``.
        suite: The suite.
        certificate: Whether the client's certificate is asked for.
    """
    name = f"{peer}'s client, {suite}, {certificate.value}"
    config = server_config(suite, certificate=certificate)
    ours = SSL3Engine(config, entropy=drawn(name))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        if peer == "Java":
            own = (pkcs12(identity("client")), cafile())
            command = ["java", JAVA_PEER, "client", *own, port, str(SIZE), JAVA_NAMES[suite]]
        else:
            cipher = OPENSSL_NAMES.get(suite, suite)
            options = ["--size", str(SIZE), "--close", "--cert", pem(identity("client"))]
            command = [sys.executable, NASSL_PEER, "client", port, "SSLV3", cipher, *options]
        with subprocess.Popen(command, stdout=subprocess.PIPE):
            return conversation(name, ours, listening.accept()[0])


def with_server(suite: str, certificate: Verify) -> dict[str, Any]:
    """A conversation of our client, with Java's server."""
    name = f"Java's server, {suite}, {certificate.value}"
    demand = {Verify.NO: "none", Verify.OPTIONAL: "want", Verify.YES: "need"}[certificate]
    own = identity("client") if certificate is Verify.YES else None
    config = client_config(suite, identity=own)
    ours = SSL3Engine(config, entropy=drawn(name))
    command = ["java", JAVA_PEER, "server", pkcs12(identity()), cafile(), demand]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as peer:
        assert peer.stdout is not None
        port = int(peer.stdout.readline().split()[1])
        made = conversation(name, ours, socket.create_connection(("127.0.0.1", port)))
        peer.kill()
        return made


def conversation(name: str, ours: SSL3Engine, sock: socket.socket) -> dict[str, Any]:
    """Talk until both sides have closed; the recording."""
    config = ours.config
    with sock:
        said = list(talk(ours, sock))
    assert ours.is_closed_by_peer and ours.error is None, (name, ours.error)
    return {
        "name": name,
        "side": config.side.value,
        "suite": ours.cipher,
        "certificate": config.certificate.value,
        "is_known": config.identity is not None,
        "said": said,
    }


def talk(ours: SSL3Engine, sock: socket.socket) -> Iterator[list[str]]:
    """What each side says, in turn."""
    ours.start()
    while not ours.is_closed_by_peer:
        data = ours.data_to_send()
        if data:
            sock.sendall(data)
            yield ["ours", data.hex()]
        data = sock.recv(65536)
        assert data, "closed without close_notify"
        yield ["theirs", data.hex()]
        react(ours, ours.receive(data))
    data = ours.data_to_send()
    if data:
        sock.sendall(data)
        yield ["ours", data.hex()]


def stored(owner: LegacyIdentity) -> list[str]:
    """A key and its certificates, as text."""
    key = owner.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return [b64encode(part).decode() for part in (key, *owner.chain)]


def main() -> None:
    """Record all."""
    suites = [suite for suite in SSL3_CIPHERS if "ECDHE" not in suite]
    made = [with_client("OpenSSL", suite, Verify.NO) for suite in suites]
    made += [with_client("Java", suite, Verify.NO) for suite in suites]
    made += [
        with_client(peer, suite, Verify.YES)
        for peer in ("OpenSSL", "Java")
        for suite in ("RC4-MD5", "DHE-RSA-AES256-SHA")
    ]
    made += [with_server(suite, Verify.NO) for suite in suites if "DHE" in suite]
    made += [with_server("DHE-RSA-AES128-SHA", demand) for demand in (Verify.OPTIONAL, Verify.YES)]
    whole = {
        "server": stored(identity()),
        "client": stored(identity("client")),
        "recordings": made,
    }
    with open(sys.argv[1], "w", encoding="ascii") as file:
        json.dump(whole, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
