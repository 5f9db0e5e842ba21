"""Records handshakes with OpenSSL 1.0.2 for `tests.tls.legacy.test_ssl2_vectors`.

    python -m tests.live.record_ssl2 tests/tls/legacy/ssl2_vectors.json

Each suite, OpenSSL as client and as server, with and without a client's certificate; 40
bytes of data there and back. Our own random bytes follow from the name of the recording.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from tests.certificates import cafile
from tests.tls.legacy.ssl2_ends import (
    ALL,
    client,
    drawn,
    person,
    person_certificate,
    server,
    site,
    site_certificate,
)
from txtransport.config.policy import Verify
from txtransport.tls.engine import Signal
from txtransport.tls.legacy.engine import LegacyIdentity
from txtransport.tls.legacy.ssl2 import SSL2Engine

PEER = str(Path(__file__).with_name("nassl_peer.py"))
SIZE = 40


def record(role: str, cipher: str, *, is_known: bool, folder: Path) -> dict[str, Any]:
    """Record one conversation.

    Args:
        role: What OpenSSL is: ``client`` or ``server``.
        cipher: The suite.
        is_known: Whether the client shows a certificate.
        folder: Where files may be written.
    """
    name = f"OpenSSL's {role}, {cipher}{', with a client certificate' if is_known else ''}"
    begin = with_client if role == "client" else with_server
    ours, sock, peer = begin(cipher, drawn(name), is_known=is_known, folder=folder)
    with sock:
        said = list(talk(ours, sock, is_first=role == "server"))
    peer.communicate(timeout=10)
    assert ours.is_complete and ours.error is None, ours.error
    return {"name": name, "role": role, "cipher": cipher, "is_known": is_known, "said": said}


Beginning = tuple[SSL2Engine, socket.socket, "subprocess.Popen[str]"]


def with_client(
    cipher: str, random: Callable[[int], bytes], *, is_known: bool, folder: Path
) -> Beginning:
    """Our server and OpenSSL's client."""
    demand = Verify.YES if is_known else Verify.NO
    own = pem(folder, "person", person_certificate().pem) if is_known else ()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = str(listening.getsockname()[1])
        peer = start("client", port, "SSLV2", "ALL:EXP", "--size", str(SIZE), *own)
        return server(cipher, random=random, certificate=demand), listening.accept()[0], peer


def with_server(
    cipher: str, random: Callable[[int], bytes], *, is_known: bool, folder: Path
) -> Beginning:
    """Our client and OpenSSL's server."""
    demands = ("--cafile", cafile()) if is_known else ()
    own = pem(folder, "site", site_certificate().pem)
    peer = start("server", "SSLV2", cipher, *own, *demands)
    assert peer.stdout is not None
    port = int(peer.stdout.readline().split()[1])
    ours = client(cipher, random=random, identity=person() if is_known else None)
    return ours, socket.create_connection(("127.0.0.1", port)), peer


def talk(ours: SSL2Engine, sock: socket.socket, *, is_first: bool) -> Iterator[list[str]]:
    """Talk until 40 bytes have come; yields what each side has sent, in turn."""
    heard = 0
    while True:
        data = ours.data_to_send()
        if data:
            sock.sendall(data)
            yield ["ours", data.hex()]
        if heard >= SIZE:
            return
        data = sock.recv(65536)
        yield ["peer", data.hex()]
        for event in ours.receive(data):
            if isinstance(event, bytes):
                heard += len(event)
                if not is_first:
                    ours.send(event)
            elif is_first and event is Signal.COMPLETE:
                ours.send(bytes(range(SIZE)))


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start OpenSSL."""
    return subprocess.Popen([sys.executable, PEER, *arguments], stdout=subprocess.PIPE, text=True)


def pem(folder: Path, name: str, content: bytes) -> tuple[str, str]:
    """Write a certificate and its key; returns the option that names them."""
    path = folder / f"{name}.pem"
    path.write_bytes(content)
    return "--cert", str(path)


def stored(identity: LegacyIdentity) -> list[str]:
    """A certificate and its key, as text."""
    key = identity.key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return [b64encode(part).decode() for part in (identity.chain[0], key)]


def main() -> None:
    """Record all."""
    with tempfile.TemporaryDirectory() as folder:
        made = [
            record(role, cipher, is_known=is_known, folder=Path(folder))
            for role in ("client", "server")
            for cipher in ALL
            for is_known in (False, True)
        ]
    whole = {"site": stored(site()), "person": stored(person()), "recordings": made}
    Path(sys.argv[1]).write_text(json.dumps(whole, indent=1) + "\n", encoding="ascii")


if __name__ == "__main__":
    main()
