"""txtransport, by URL; and its mixin and guard for upgrades in mid-conversation."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import txtransport
from benchmarks.peers.twisted_peer import (
    LOCALHOST,
    Endpoints,
    GreetingEcho,
    UpgradingClient,
    UpgradingServer,
    library,
    quiet,
    work,
)
from txtransport.config.policy import TLSPolicy

FOLDER: Final = Path(sys.argv[1])
CAFILE: Final = str(FOLDER / "ca.pem")
PEM: Final = str(FOLDER / "site.pem")
QUERY: Final = f"peer_name=localhost&cafile={CAFILE}"
FULL: Final = "&no_ticket=yes"
"""Without it, the second connection resumes the session of the first."""

SERVER: Final = TLSPolicy(local_cert=PEM)
CLIENTS: Final = {
    is_resumed: TLSPolicy(peer_name="localhost", cafile=CAFILE, no_ticket=not is_resumed)
    for is_resumed in (False, True)
}


class MixinServer(txtransport.StartTLSMixin, UpgradingServer):
    """Switches with the mixin."""


class MixinClient(txtransport.StartTLSMixin, UpgradingClient):
    """Switches with the mixin."""


def serve_by_mixin(protocol: Any) -> None:
    protocol.startTLS(SERVER, reply=b"220 go ahead\r\n")


def serve_by_guard(protocol: Any) -> None:
    protocol.sendLine(b"220 go ahead")
    protocol.transport.startTLS(None)


def say_hello(protocol: Any) -> None:
    protocol.transport.write(b"hello")


def upgrading(reactor: Any, port: int, way: str) -> tuple[Any, Any]:
    """A client's endpoint and factory for the ways of `upgrade.CLIENTS`."""
    kind, _, resumed = way.partition(" ")
    policy = CLIENTS[bool(resumed)]

    def by_mixin(protocol: Any) -> None:
        protocol.startTLS(policy)
        say_hello(protocol)

    def by_guard(protocol: Any) -> None:
        protocol.transport.startTLS(None)
        say_hello(protocol)

    if kind == "starttls=":
        url = f"tls://{LOCALHOST}:{port}?starttls=smtp&{QUERY}{'' if resumed else FULL}"
        return txtransport.client(reactor, url), quiet(lambda: UpgradingClient(say_hello, ()))
    plain = txtransport.client(reactor, f"tcp://{LOCALHOST}:{port}")
    if kind == "mixin":
        return plain, quiet(lambda: MixinClient(by_mixin))
    return plain, txtransport.guard(quiet(lambda: UpgradingClient(by_guard)), policy=policy)


def upgrade_server(reactor: Any, way: str) -> tuple[Any, Any]:
    """A server's endpoint and factory for the ways of `upgrade.SERVERS`."""
    if way == "starttls=":
        url = f"tls://{LOCALHOST}:0?starttls=smtp&local_cert={PEM}"
        return txtransport.server(reactor, url), quiet(GreetingEcho)
    plain = txtransport.server(reactor, f"tcp://{LOCALHOST}:0")
    if way == "mixin":
        return plain, quiet(lambda: MixinServer(serve_by_mixin))
    return plain, txtransport.guard(quiet(lambda: UpgradingServer(serve_by_guard)), policy=SERVER)


ENDPOINTS: Final = Endpoints(
    library=library(),
    client=lambda reactor, port, way: txtransport.client(
        reactor, f"tls://{LOCALHOST}:{port}?{QUERY}{'' if way == 'resumed' else FULL}"
    ),
    server=lambda reactor, way: txtransport.server(
        reactor, f"tls://{LOCALHOST}:0?local_cert={PEM}{FULL if way == 'no_ticket' else ''}"
    ),
    upgrading=upgrading,
    upgrade_server=upgrade_server,
    listen_datagrams=lambda reactor, protocol: txtransport.datagram(
        reactor, f"udp://{LOCALHOST}:0"
    ).listen(protocol),
)

if __name__ == "__main__":
    work(ENDPOINTS)
