"""Shared by tests of STARTTLS with foreign programs.

Either a client of ours connects to a foreign server, or a foreign client
connects to a front of ours: a server endpoint that runs the dialogue before
the application's protocol is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar, Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

import txtransport
from tests import certificates
from tests.live.peers import PATIENCE, Peer, PeerTestCase
from tests.loopback import Recorder, Recorders
from txtransport.cli.probe import recorder
from txtransport.cli.probe.probing import probe
from txtransport.config.url import TransportURL
from txtransport.connection.driver import starttls_outcome
from txtransport.errors import HandshakeFailed
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.testing.devcert import Authority
from txtransport.tls.session import Session, session_of

ELSEWHERE: Final = "elsewhere.example"
"""A name that is not in the good certificate."""


class ServerTestCase(PeerTestCase):
    """A client of ours connects to a foreign server that begins in the clear.

    Attributes:
        protocol: The value of ``starttls=``.
        options: Our client's options, besides `cafile`.
    """

    protocol: ClassVar[str]
    options: ClassVar[dict[str, str]] = {}

    async def wait_until_listening(self, port: int) -> None:
        """Wait for a server that does not print when it listens."""
        while True:
            try:
                return await self.end(await self.connected(f"tcp://127.0.0.1:{port}"))
            except ConnectionRefusedError:
                await deferLater(self.reactor, 0.02, lambda: None)

    async def connect(self, port: int, **options: Any) -> Recorder:
        """Connect a client that trusts the tests' root.

        Args:
            port: The server's port.
            **options: Override the options of the class.
        """
        return await self.connected(
            self.url(port), **{"cafile": certificates.cafile(), **self.options, **options}
        )

    async def connect_error(self, kind: type[Exception], port: int, **options: Any) -> Any:
        """The error with which a client fails; the application's protocol is never built.

        Args:
            kind: The expected class of the error.
            port: The server's port.
            **options: Override the options of the class.
        """
        options = {"cafile": certificates.cafile(), **self.options, **options}
        factory = Recorders()
        connecting = txtransport.client(self.reactor, self.url(port), **options).connect(factory)
        error = await self.assertFailure(cast("Deferred[Any]", connecting), kind)
        self.assertEqual(factory.built, 0)
        self.assertIn(f"?starttls={self.protocol}", str(error))
        return error

    async def assert_distrusted(self, port: int, **wrong_name: Any) -> None:
        """A client verifies authority and name, even when it may go on in the clear.

        Args:
            port: The server's port.
            **wrong_name: Options that make the client expect another name.
        """
        stranger = certificates.written("starttls-unknown-ca.pem", Authority.create().pem)
        policies = ("must", "may") if STARTTLS_PROTOCOLS[self.protocol].may_continue else ("must",)
        rows = {"unknown-issuer": {"cafile": stranger}, "wrong-name": wrong_name}
        for cause, wrong in rows.items():
            for policy in policies:
                error = await self.connect_error(
                    HandshakeFailed, port, starttls_policy=policy, **wrong
                )
                self.assertEqual((error.cause, error.permanent), (cause, True), str(error))

    async def assert_advised(self, port: int) -> None:
        """A probe with implicit TLS gets the advice to use ``starttls=``, which then works.

        Args:
            port: The server's port, which the probe takes for the usual one of
                the protocol.
        """
        self.patch(recorder, "USUAL_STARTTLS", {port: self.protocol})
        options = {"cafile": certificates.cafile(), "timeout": PATIENCE}
        wrong = TransportURL.parse(f"tls://localhost:{port}")
        report = await probe(self.reactor, wrong, options, is_again=False)
        assert report.diagnosis is not None
        found = re.search(r"tls://localhost:\S+", f"{report.hint} {report.diagnosis.remedy}")
        assert found is not None, report
        self.assertEqual(found[0], self.url(port))
        right = TransportURL.parse(found[0])
        report = await probe(self.reactor, right, {**options, **self.options}, is_again=False)
        self.assertTrue(report.is_verified, report.diagnosis)

    async def ask(self, client: Recorder, question: bytes, end: bytes) -> bytes:
        """Send a question; return what is received in reply, at least up to `end`."""
        client.received = b""
        client.say(question)
        return await client.heard(end)

    def url(self, port: int) -> str:
        """The URL of the server."""
        return f"tls://localhost:{port}?starttls={self.protocol}"


class Application(Protocol):
    """The application's protocol behind a front: answers and records each message.

    The clients of these tests wait for each answer, so that one call of
    `dataReceived` has one message.

    Args:
        answer: Returns the answer to a message.

    Attributes:
        heard: The messages so far.
        session: The TLS session, at the time of `connectionMade`.
        outcome: The outcome of the dialogue (`starttls_outcome`).
    """

    session: Session | None
    outcome: bytes

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.heard: list[bytes] = []
        self._answer = answer

    def connectionMade(self) -> None:
        self.session = session_of(self.transport)
        self.outcome = starttls_outcome(self.transport)

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.heard.append(data)
        self.transport.write(self._answer(data))


class ClientTestCase(PeerTestCase):
    """A foreign client connects to a front of ours.

    Attributes:
        protocol: The value of ``starttls=``.
        applications: The application's protocols built so far.
    """

    protocol: ClassVar[str]

    def setUp(self) -> None:
        super().setUp()
        self.applications: list[Application] = []

    def answer(self, data: bytes) -> bytes:
        """The application's answer to a message of the client."""
        raise NotImplementedError

    def start_client(self, port: int, *arguments: str) -> Peer:
        """Start the client, which trusts only the tests' root.

        Args:
            port: The front's port.
            *arguments: Replace some default arguments of the client.
        """
        raise NotImplementedError

    async def start_front(self, local_cert: str | None = None) -> int:
        """Listen with a front; return the port.

        Args:
            local_cert: The front's certificate; the good one by default.
        """

        def build() -> Application:
            self.applications.append(Application(self.answer))
            return self.applications[-1]

        factory = Factory.forProtocol(build)
        factory.noisy = False
        url = f"tls://127.0.0.1:0?starttls={self.protocol}"
        return await self.listening(url, factory, local_cert=local_cert or certificates.site())

    async def assert_client_distrusts_us(self, wrong_name: bytes, unknown_issuer: bytes) -> None:
        """A client that does not accept the front's certificate sends nothing after it.

        Args:
            wrong_name: What the client prints when the certificate is for
                another name.
            unknown_issuer: What it prints when it does not know the issuer.
        """
        elsewhere = certificates.issued("starttls-elsewhere.pem", ELSEWHERE)
        stranger = certificates.issued(
            "starttls-unknown.pem", *certificates.NAMES, by=Authority.create()
        )
        for pem, said in (elsewhere, wrong_name), (stranger, unknown_issuer):
            peer = self.start_client(await self.start_front(pem))
            self.assertNotIn(await peer.exits(), (0, None))
            self.assertIn(said, peer.printed)
        self.assertEqual([each.heard for each in self.applications if each.heard], [])
