"""Stock Twisted, used as its documentation says: TLS options are made once and shared."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    SSL4ServerEndpoint,
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    wrapClientTLS,
)
from twisted.internet.ssl import Certificate, PrivateCertificate, optionsForClientTLS

from benchmarks.peers.twisted_peer import (
    LOCALHOST,
    Endpoints,
    UpgradingClient,
    UpgradingServer,
    library,
    quiet,
    work,
)

FOLDER: Final = Path(sys.argv[1])
CLIENT: Final = optionsForClientTLS(
    "localhost", trustRoot=Certificate.loadPEM(FOLDER.joinpath("ca.pem").read_bytes())
)
SERVER: Final = PrivateCertificate.loadPEM(FOLDER.joinpath("site.pem").read_bytes()).options()
CLIENTS: Final = {"": TCP4ClientEndpoint, "HostnameEndpoint": HostnameEndpoint}
"""The cheapest endpoint that Twisted has is the baseline; applications take the other one."""


def start_tls_of_server(protocol: Any) -> None:
    protocol.sendLine(b"220 go ahead")
    protocol.transport.startTLS(SERVER)


def start_tls_of_client(protocol: Any) -> None:
    protocol.transport.startTLS(CLIENT)
    protocol.transport.write(b"hello")


ENDPOINTS: Final = Endpoints(
    library=library(),
    client=lambda reactor, port, way: wrapClientTLS(CLIENT, CLIENTS[way](reactor, LOCALHOST, port)),
    server=lambda reactor, way: SSL4ServerEndpoint(reactor, 0, SERVER, interface=LOCALHOST),
    upgrading=lambda reactor, port, way: (
        TCP4ClientEndpoint(reactor, LOCALHOST, port),
        quiet(lambda: UpgradingClient(start_tls_of_client)),
    ),
    upgrade_server=lambda reactor, way: (
        TCP4ServerEndpoint(reactor, 0, interface=LOCALHOST),
        quiet(lambda: UpgradingServer(start_tls_of_server)),
    ),
    listen_datagrams=lambda reactor, protocol: succeed(
        reactor.listenUDP(0, protocol, interface=LOCALHOST)
    ),
)

if __name__ == "__main__":
    work(ENDPOINTS)
