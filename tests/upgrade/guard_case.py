"""What the tests of `txtransport.upgrade.guard` share."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final, cast

from attrs import frozen
from twisted.cred.checkers import InMemoryUsernamePasswordDatabaseDontUse
from twisted.cred.portal import Portal
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
)
from twisted.internet.protocol import Factory
from twisted.mail import imap4, pop3, smtp
from twisted.protocols.basic import LineOnlyReceiver

import txtransport
from tests import twisted_protocols
from tests.loopback import LoopbackTestCase, Recorder
from tests.twisted_protocols import Recording, RecordingFactory

EVIL: Final = b"mallory"
"""A text that only an attacker sends."""

AUTH_PLAIN: Final = b"AGFsaWNlAGNvcnJlY3QgaG9yc2U="
"""The name and password of `twisted_protocols.USER`, encoded for ``AUTH PLAIN``."""

POP3_OPENING: Final = (b"+OK ready\r\n", (b"CAPA", b"+OK\r\nSTLS\r\n.\r\n"))
"""A POP3 server's greeting, and its reply to CAPA, for `GuardTestCase.scripted_servers`."""


@frozen
class EndpointPair:
    """Endpoints for a server and for its client.

    Attributes:
        listen: Makes the server's endpoint, of a reactor and the path for a local socket.
        call: Makes the client's endpoint, of a reactor, that path, and the TCP port
            on which the server listens.
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
"""TCP: with our endpoints, with a connection limit, and with Twisted's endpoints."""

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
"""Local sockets: with our endpoints and with Twisted's."""


class GuardTestCase(LoopbackTestCase):
    """Makes guarded servers and clients on loopback, and unguarded peers for them."""

    def setUp(self) -> None:
        super().setUp()
        # Twisted builds its contexts with pyOpenSSL's own X.509 objects, which
        # pyOpenSSL deprecates. This filter does not outlive the test.
        warnings.filterwarnings("ignore", "Passing pyOpenSSL", DeprecationWarning)

    async def guarded_servers(self, build: Callable[[], object], **keywords: Any) -> Any:
        """Listen with a guard; the factory, whose `port` is the port's number."""
        servers: Any = RecordingFactory(build)
        servers.port = await self.listening(
            "tcp://127.0.0.1:0", txtransport.guard(servers, **keywords)
        )
        return servers

    async def unguarded_servers(self, build: Callable[[], object]) -> Any:
        """Listen without a guard; the factory, whose `port` is the port's number."""
        servers: Any = RecordingFactory(build)
        servers.port = await self.listening("tcp://127.0.0.1:0", servers)
        return servers

    async def scripted_servers(self, greeting: bytes, *steps: tuple[bytes, bytes | None]) -> Any:
        """Listen with servers that follow a script, as `ScriptedServer` describes it."""
        return await self.unguarded_servers(
            lambda: twisted_protocols.ScriptedServer(greeting, steps)
        )

    async def raw_client(self, servers: Any) -> Recorder:
        """Connect a client that sends whatever bytes the test says."""
        return await self.connected(f"tcp://127.0.0.1:{servers.port}")

    def start_tls(self, client: Recorder, name: str = "good.example") -> None:
        """Start TLS on a `raw_client`, which verifies the server's name."""
        cast(Any, client.transport).startTLS(twisted_protocols.client_context(name))

    async def guarded_client(
        self, build: Callable[[], object], servers: Any, **keywords: Any
    ) -> Recording:
        """Connect a guarded client to those servers; its recording."""
        clients = RecordingFactory(build)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{servers.port}")
        await endpoint.connect(txtransport.guard(clients, **keywords))
        self.addCleanup(self.hang_up, clients.recording)
        return clients.recording

    async def hang_up(self, recording: Recording) -> None:
        """Abort a connection that is still open, and wait for its end."""
        if not recording.lost.called:
            recording.protocol.transport.abortConnection()
            await recording.lost

    async def failure_of(self, outcome: Any) -> Any:
        """The exception with which a Deferred fails."""
        return await self.assertFailure(outcome, Exception)

    def send_mail(self, servers: Any, policy: Any = None) -> Deferred[Any]:
        """Send a mail to those servers with Twisted's SMTP client, guarded."""
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


class POP3WithoutTLS(pop3.POP3):
    """Twisted's POP3 server, which has no STLS."""


def esmtp() -> smtp.ESMTP:
    """An SMTP server with an account and without a context of its own."""
    server = smtp.ESMTP({b"PLAIN": imap4.PLAINCredentials, b"LOGIN": imap4.LOGINCredentials})
    server.portal = twisted_protocols.portal_for(twisted_protocols.Postbox())
    server.noisy = False
    return server


def imap() -> imap4.IMAP4Server:
    """An IMAP server with an account and without a context of its own."""
    server = imap4.IMAP4Server({b"PLAIN": imap4.PLAINCredentials})
    server.portal = twisted_protocols.portal_for(twisted_protocols.imap_account())
    return server


def pop3_server() -> Any:
    """A POP3 server with an account; it cannot start TLS."""
    server: Any = POP3WithoutTLS()
    server.factory = Factory()
    server.factory.noisy = False
    server.factory.challengers = {b"PLAIN": imap4.PLAINCredentials}
    accounts = InMemoryUsernamePasswordDatabaseDontUse(alice=twisted_protocols.PASSWORD)
    server.portal = Portal(twisted_protocols.Realm(object()), [accounts])
    return server
