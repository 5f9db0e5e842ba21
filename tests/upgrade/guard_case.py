"""What the tests of `txtransport.upgrade.guard` share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final, cast

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.protocols.basic import LineOnlyReceiver

import txtransport
from tests import twisted_protocols
from tests.loopback import LoopbackTestCase, Recorder
from tests.twisted_protocols import Recording, RecordingFactory

EVIL: Final = b"mallory"


AUTH_PLAIN: Final = b"AGFsaWNlAGNvcnJlY3QgaG9yc2U="
"""`twisted_protocols.USER` and her password, as the mechanism PLAIN has it."""


POP3_OPENING: Final = (b"+OK ready\r\n", (b"CAPA", b"+OK\r\nSTLS\r\n.\r\n"))
"""How a POP3 server begins."""


@frozen
class EndpointPair:
    """One way to listen and to call.

    Attributes:
        listen: Where to listen: of a reactor, and a path for a local socket.
        call: How to call the one that listens there, and at that port.
    """

    listen: Callable[[Any, str], Any]
    call: Callable[[Any, str, int], Any]


TCP: Final = (
    EndpointPair(
        lambda reactor, path: txtransport.server(reactor, "tcp://127.0.0.1:0"),
        lambda reactor, path, port: txtransport.client(reactor, f"tcp://127.0.0.1:{port}"),
    ),
    EndpointPair(
        lambda reactor, path: txtransport.server(reactor, "tcp://127.0.0.1:0", max_connections=9),
        lambda reactor, path, port: txtransport.client(reactor, f"tcp://localhost:{port}"),
    ),
    EndpointPair(
        lambda reactor, path: TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"),
        lambda reactor, path, port: TCP4ClientEndpoint(reactor, "127.0.0.1", port),
    ),
)


LOCAL: Final = (
    EndpointPair(
        lambda reactor, path: txtransport.server(reactor, f"unix://{path}"),
        lambda reactor, path, port: txtransport.client(reactor, f"unix://{path}"),
    ),
    EndpointPair(
        lambda reactor, path: UNIXServerEndpoint(reactor, path),
        lambda reactor, path, port: UNIXClientEndpoint(reactor, path),
    ),
)


class GuardTestCase(LoopbackTestCase):
    """Guarded servers and clients."""

    def setUp(self) -> None:
        super().setUp()
        # Twisted builds its contexts of what pyOpenSSL would rather not have.
        # The filters that are in force now are gone when the test is over.
        warnings.filterwarnings("ignore", "Passing pyOpenSSL", DeprecationWarning)

    async def guarded_servers(self, build: Callable[[], object], **keywords: Any) -> Any:
        """Guarded servers on loopback; with the port's number."""
        servers: Any = RecordingFactory(build)
        servers.port = await self.listening(
            "tcp://127.0.0.1:0", txtransport.guard(servers, **keywords)
        )
        return servers

    async def unguarded_servers(self, build: Callable[[], object]) -> Any:
        """The same without a guard."""
        servers: Any = RecordingFactory(build)
        servers.port = await self.listening("tcp://127.0.0.1:0", servers)
        return servers

    async def scripted_servers(self, greeting: bytes, *steps: tuple[bytes, bytes | None]) -> Any:
        """Servers that say what the script says; with the port's number."""
        return await self.unguarded_servers(
            lambda: twisted_protocols.ScriptedServer(greeting, steps)
        )

    async def raw_client(self, servers: Any) -> Recorder:
        """A client that writes what it likes."""
        return await self.connected(f"tcp://127.0.0.1:{servers.port}")

    def start_tls(self, client: Recorder, name: str = "localhost") -> None:
        """Have such a client begin TLS."""
        cast(Any, client.transport).startTLS(twisted_protocols.client_context(name))

    async def guarded_client(
        self, build: Callable[[], object], servers: Any, **keywords: Any
    ) -> Recording:
        """A guarded client's conversation with those servers."""
        clients = RecordingFactory(build)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{servers.port}")
        await endpoint.connect(txtransport.guard(clients, **keywords))
        self.addCleanup(self.hang_up, clients.recording)
        return clients.recording

    async def hang_up(self, recording: Recording) -> None:
        """Abort, and wait for the end."""
        if not recording.lost.called:
            recording.protocol.transport.abortConnection()
            await recording.lost

    async def failure_of(self, attempt: Any) -> Any:
        """The exception with which something failed."""
        return await self.assertFailure(attempt, Exception)

    def send_mail(self, servers: Any, policy: Any = None) -> Deferred[Any]:
        """Have Twisted's guarded sender give a mail to those servers."""
        sent: Deferred[Any] = Deferred()
        sender = twisted_protocols.mail_sender(sent)
        guarded = txtransport.guard(sender, policy=policy)
        self.reactor.connectTCP("127.0.0.1", servers.port, guarded)
        return sent


class FirstLineReceiver(LineOnlyReceiver):
    """Sends nothing, and keeps the first line that arrives.

    Attributes:
        first_line: Fires with that line.
    """

    def __init__(self) -> None:
        self.first_line: Deferred[bytes] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.first_line.callback(line)
