"""What tests share in which a conversation with a program of others switches to TLS.

Either ours goes to its server, or its client comes to a front of ours.
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
from txtransport.connection.handshake import starttls_outcome
from txtransport.errors import HandshakeFailed
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.testing.devcert import Authority
from txtransport.tls.session import Session, session_of

ELSEWHERE: Final = "elsewhere.example"
"""Someone for whom the good certificate is not."""


class ServerTestCase(PeerTestCase):
    """Ours goes to a server that begins in the clear.

    Attributes:
        protocol: What ``starttls=`` takes.
        options: Our client's, beside the tests' root.
    """

    protocol: ClassVar[str]
    options: ClassVar[dict[str, str]] = {}

    async def answering(self, port: int) -> None:
        """Wait for a server that does not tell when it listens."""
        while True:
            try:
                return await self.end(await self.connected(f"tcp://127.0.0.1:{port}"))
            except ConnectionRefusedError:
                await deferLater(self.reactor, 0.02, lambda: None)

    async def visiting(self, port: int, **options: Any) -> Recorder:
        """A client of ours, which trusts the tests' root."""
        return await self.connected(
            self.url(port), **{"cafile": certificates.cafile(), **self.options, **options}
        )

    async def failing(self, kind: type[Exception], port: int, **options: Any) -> Any:
        """The error of that kind with which a client of ours fails, whose guest is never built."""
        options = {"cafile": certificates.cafile(), **self.options, **options}
        factory = Recorders()
        connecting = txtransport.client(self.reactor, self.url(port), **options).connect(factory)
        error = await self.assertFailure(cast("Deferred[Any]", connecting), kind)
        self.assertEqual(factory.built, 0)
        self.assertIn(f"?starttls={self.protocol}", str(error))
        return error

    async def distrusting(self, port: int, **wrong_name: Any) -> None:
        """Our client wants to know whom it talks to, also where it might go on in the clear.

        Args:
            port: The server's.
            **wrong_name: What makes it take the server for another.
        """
        stranger = certificates.written("switching-stranger.pem", Authority.create().pem)
        policies = ("must", "may") if STARTTLS_PROTOCOLS[self.protocol].may_continue else ("must",)
        rows = {"unknown-issuer": {"cafile": stranger}, "wrong-name": wrong_name}
        for cause, wrong in rows.items():
            for policy in policies:
                error = await self.failing(HandshakeFailed, port, starttls_policy=policy, **wrong)
                self.assertEqual((error.cause, error.permanent), (cause, True), str(error))

    async def advised(self, port: int) -> None:
        """A probe that takes the port for one of implicit TLS is sent where it is verified.

        Args:
            port: The server's, which counts as the usual one of its protocol.
        """
        self.patch(recorder, "USUAL_STARTTLS", {port: self.protocol})
        options = {"cafile": certificates.cafile(), "timeout": PATIENCE}
        astray = TransportURL.parse(f"tls://localhost:{port}")
        report = await probe(self.reactor, astray, options, is_again=False)
        assert report.diagnosis is not None
        found = re.search(r"tls://localhost:\S+", f"{report.hint} {report.diagnosis.remedy}")
        assert found is not None, report
        self.assertEqual(found[0], self.url(port))
        right = TransportURL.parse(found[0])
        report = await probe(self.reactor, right, {**options, **self.options}, is_again=False)
        self.assertTrue(report.is_verified, report.diagnosis)

    async def asked(self, client: Recorder, question: bytes, end: bytes) -> bytes:
        """What a guest hears to its question, at least up to that."""
        client.received = b""
        client.say(question)
        return await client.heard(end)

    def url(self, port: int) -> str:
        """Where our client goes."""
        return f"tls://localhost:{port}?starttls={self.protocol}"


class Application(Protocol):
    """Answers whatever it hears, and keeps it.

    Args:
        answer: What is to be said to what was heard, the clients of these tests
            saying one thing at a time.

    Attributes:
        heard: What it has heard so far.
        session: How it is protected.
        outcome: What came of the dialogue before it.
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
    """Someone's client comes to a front of ours.

    Attributes:
        protocol: What ``starttls=`` takes.
        applications: Those behind the front that were built so far.
    """

    protocol: ClassVar[str]

    def setUp(self) -> None:
        super().setUp()
        self.applications: list[Application] = []

    def answer(self, said: bytes) -> bytes:
        """What the application says to that."""
        raise NotImplementedError

    def calling(self, port: int, *arguments: str) -> Peer:
        """Start the client, which trusts the tests' root and no one else."""
        raise NotImplementedError

    async def fronted(self, local_cert: str | None = None) -> int:
        """A front and its application; the port.

        Args:
            local_cert: The good one by default.
        """

        def build() -> Application:
            self.applications.append(Application(self.answer))
            return self.applications[-1]

        factory = Factory.forProtocol(build)
        factory.noisy = False
        url = f"tls://127.0.0.1:0?starttls={self.protocol}"
        return await self.listening(url, factory, local_cert=local_cert or certificates.site())

    async def distrusted(self, wrong_name: bytes, unknown_issuer: bytes) -> None:
        """A client that sees a certificate for others, or of no one it knows, says nothing.

        Args:
            wrong_name: What it prints of the one.
            unknown_issuer: What it prints of the other.
        """
        elsewhere = certificates.issued("switching-elsewhere.pem", ELSEWHERE)
        stranger = certificates.issued(
            "switching-alien.pem", *certificates.NAMES, by=Authority.create()
        )
        for pem, said in (elsewhere, wrong_name), (stranger, unknown_issuer):
            peer = self.calling(await self.fronted(pem))
            self.assertNotIn(await peer.exits(), (0, None))
            self.assertIn(said, peer.printed)
        self.assertEqual([each.heard for each in self.applications if each.heard], [])
