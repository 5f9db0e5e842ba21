"""OpenSSL 1.0.2, which still has SSL 2.0 and SSL 3.0, as a client and as a server.

    python nassl_peer.py client PORT VERSION CIPHER [--cert PEM] [--size N] [--wait]
        [--no-tls] [--renegotiate] [--close]
    python nassl_peer.py server VERSION CIPHER --cert PEM [--cafile PEM]

A program of its own: it imports nassl, which has the AGPL, and nothing of txtransport,
and is for tests alone. VERSION is SSLV2, SSLV3 or one that nassl has besides. The
client sends random bytes and expects them back; the server takes one connection and
sends back what it gets.

nassl is a client's library. Its SSL and SSL_CTX are OpenSSL's, though, of a method that
can do both, and the wheel is not stripped: two functions that are missing are found by
their names in the symbols of the file (ELF, 64 bits).
"""

from __future__ import annotations

import argparse
import ctypes
import secrets
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nassl import _nassl_legacy
from nassl._nassl import OpenSSLError, WantReadError
from nassl.legacy_ssl_client import LegacySslClient
from nassl.ssl_client import BaseSslClient, OpenSslVerifyEnum, OpenSslVersionEnum

NO_TLS = 0x1C000000
"""OpenSSL's options SSL_OP_NO_TLSv1, _1_1 and _1_2 (ssl.h of version 1.0)."""

CLOSE_NOTIFY = "was shut down by peer"
"""What nassl says of a close_notify (SSL_ERROR_ZERO_RETURN)."""

CHUNK = 8000
"""Bytes that are written at once: the pipe between OpenSSL and us holds 17 KiB."""


class Channel:
    """A connection of OpenSSL's on a socket.

    Args:
        ssl: OpenSSL's object.
        bio: The pipe between it and us.
        sock: The socket.
    """

    def __init__(self, ssl: Any, bio: Any, sock: socket.socket) -> None:
        self._ssl, self._bio, self._sock = ssl, bio, sock

    def do(self, work: Callable[[], Any]) -> Any:
        """Do something that may need more of the peer's bytes.

        Raises:
            EOFError: The peer has closed the connection.
        """
        while True:
            try:
                return work()
            except WantReadError:
                self.flush()
                data = self._sock.recv(4096)
                if not data:
                    raise EOFError from None
                self._bio.write(data)
            finally:
                self.flush()

    def read(self) -> bytes:
        """Some bytes of the application's data."""
        return bytes(self.do(lambda: self._ssl.read(16384)))

    def write(self, data: bytes) -> None:
        """Send data."""
        for begin in range(0, len(data), CHUNK):
            self._ssl.write(data[begin : begin + CHUNK])
            self.flush()

    def flush(self) -> None:
        """Send what OpenSSL has for the peer."""
        while pending := self._bio.pending():
            self._sock.sendall(self._bio.read(pending))


def client(options: argparse.Namespace) -> None:
    """Connect, and have random bytes sent back."""
    sock = socket.create_connection(("127.0.0.1", options.port))
    own: dict[str, Any] = {"ignore_client_authentication_requests": True}
    if options.cert:
        own = {"client_certificate_chain": options.cert, "client_key": options.cert}
    verify = OpenSslVerifyEnum.PEER if options.cafile else OpenSslVerifyEnum.NONE
    made = LegacySslClient(sock, options.version, verify, options.cafile, **own)
    made.set_cipher_list(options.cipher)
    if options.no_tls:
        made._ssl.set_options(NO_TLS)
    if options.wait:
        # Its own handshake for SSL 2.0 waits for SERVER-VERIFY before CLIENT-FINISHED.
        made.do_handshake()
    else:
        BaseSslClient.do_handshake(made)
    say(f"connected {made.get_current_cipher_name()} {made.get_current_cipher_bits()}")
    channel = Channel(made._ssl, made._network_bio, sock)
    for size in chunks(options.size):
        data = secrets.token_bytes(size)
        channel.write(data)
        while data:
            part = channel.read()
            if not data.startswith(part):
                raise AssertionError("other bytes came back")
            data = data[len(part) :]
    say(f"echoed {options.size}")
    if options.renegotiate:
        made._ssl.renegotiate()
        channel.do(made._ssl.do_handshake)
        say("another handshake")
    if options.close:
        made._ssl.shutdown()
        try:
            channel.read()
        except OpenSSLError as error:
            say("closed" if CLOSE_NOTIFY in str(error) else f"broken: {error}")


def server(options: argparse.Namespace) -> None:
    """Take one connection, and send back what comes."""
    context = _nassl_legacy.SSL_CTX(options.version.value)
    context.set_verify(OpenSslVerifyEnum.NONE)
    if options.cafile:
        context.load_verify_locations(str(options.cafile))
    context.use_certificate_chain_file(str(options.cert))
    context.set_private_key_password("")
    context.use_PrivateKey_file(str(options.cert), 1)
    ssl = _nassl_legacy.SSL(context)
    ssl.set_cipher_list(options.cipher)
    call("SSL_set_accept_state", ssl)
    if options.cafile:
        demands = OpenSslVerifyEnum.PEER | OpenSslVerifyEnum.FAIL_IF_NO_PEER_CERT
        call("SSL_set_verify", ssl, int(demands), None)
    internal, network = _nassl_legacy.BIO(), _nassl_legacy.BIO()
    _nassl_legacy.BIO.make_bio_pair(internal, network)
    ssl.set_bio(internal)
    ssl.set_network_bio_to_free_when_dealloc(network)
    with socket.create_server(("127.0.0.1", 0)) as port:
        say(f"port {port.getsockname()[1]}")
        sock = port.accept()[0]
    channel = Channel(ssl, network, sock)
    channel.do(ssl.do_handshake)
    say(f"connected {ssl.get_cipher_name()} {ssl.get_cipher_bits()}")
    try:
        while True:
            channel.write(channel.read())
    except EOFError:
        say("closed")
    except OpenSSLError as error:
        if CLOSE_NOTIFY not in str(error):
            raise
        ssl.shutdown()
        channel.flush()
        say("closed")


def call(name: str, ssl: Any, *arguments: Any) -> None:
    """Call a function of OpenSSL's that nassl does not show.

    Args:
        name: Its name.
        ssl: An object of nassl's; what it wraps stands behind the head of every object.
        *arguments: What else the function takes.
    """
    known = "PyInit__nassl_legacy"
    places = dict(symbols(Path(_nassl_legacy.__file__).read_bytes(), {known, name}))
    library = ctypes.PyDLL(_nassl_legacy.__file__)
    begin = ctypes.cast(library[known], ctypes.c_void_p).value
    assert begin is not None
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(begin - places[known] + places[name])
    function.argtypes = None  # type: ignore[assignment]
    function(ctypes.c_void_p.from_address(id(ssl) + object.__basicsize__), *arguments)


def symbols(data: bytes, names: set[str]) -> Iterator[tuple[str, int]]:
    """Where in memory symbols of an ELF file stand, from its begin on.

    Args:
        data: The file (64 bits, little endian).
        names: The symbols.
    """
    begin, size, count = (*struct.unpack_from("<Q", data, 40), *struct.unpack_from("<HH", data, 58))
    sections = [struct.unpack_from("<IIQQQQII", data, begin + at * size) for at in range(count)]
    for kind, offset, length, link in ((s[1], s[4], s[5], s[6]) for s in sections):
        if kind != 2:  # SHT_SYMTAB
            continue
        for at in range(offset, offset + length, 24):
            place = sections[link][4] + struct.unpack_from("<I", data, at)[0]
            name = data[place : data.index(b"\0", place)].decode()
            if name in names:
                yield name, struct.unpack_from("<Q", data, at + 8)[0]


def chunks(size: int) -> Iterator[int]:
    """Sizes of at the most `CHUNK` bytes that make up a size."""
    while size > 0:
        yield min(size, CHUNK)
        size -= CHUNK


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main() -> None:
    """Be a client or a server."""
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(required=True)
    for role in (client, server):
        one = roles.add_parser(role.__name__)
        one.set_defaults(role=role)
        if role is client:
            one.add_argument("port", type=int)
        one.add_argument("version", type=OpenSslVersionEnum.__getitem__)
        one.add_argument("cipher")
        one.add_argument("--cert", type=Path)
        one.add_argument("--cafile", type=Path)
        one.add_argument("--size", type=int, default=1000)
        for option in ("--wait", "--no-tls", "--renegotiate", "--close"):
            one.add_argument(option, action="store_true")
    options = parser.parse_args()
    try:
        options.role(options)
    except Exception as error:
        sys.exit(f"failed: {type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
