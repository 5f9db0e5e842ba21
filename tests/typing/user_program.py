"""What a user's program looks like to a type checker: mypy with and without mypy-zope, pyright.

Nothing here is run. Each `assert_type` says what the type checkers must find out by
themselves; a program needs neither a cast nor a comment that silences one.
"""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.x509 import Certificate
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, IUDPTransport
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool
from typing_extensions import assert_type

import txtransport
from txtransport.connection.trace import Event
from txtransport.errors import BadCertificateFile, Diagnosis, PlaintextInjected, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.testing.devcert import Authority, Issued


class Echo(Protocol):
    """Sends back what it receives."""

    count: int = 0

    def dataReceived(self, data: bytes) -> None:
        self.count += len(data)
        session = txtransport.session_of(self.transport)
        if session is not None:
            assert_type(session.version, str)
            assert_type(session.alpn_protocol, str | None)
            assert_type(session.verified, bool)
            assert_type(session.peer_certificate, Certificate | None)
            assert_type(session.peer_chain, tuple[Certificate, ...])
        assert_type(txtransport.starttls_outcome(self.transport), bytes)


class EchoFactory(Factory):
    """Builds them."""

    def buildProtocol(self, addr: IAddress | None) -> Echo:
        return Echo()


class Submission(txtransport.StartTLSMixin, LineReceiver):
    """A mail server's first lines."""

    name: bytes = b""

    def __init__(self, policy: txtransport.TLSPolicy) -> None:
        self.policy: txtransport.TLSPolicy = policy

    def lineReceived(self, line: bytes) -> None:
        assert_type(self.is_secure, bool)
        assert_type(self.tls_state, txtransport.TLSState)
        if line.upper() == b"STARTTLS":
            starting = self.startTLS(self.policy, reply=b"220 go ahead\r\n", timeout=5)
            assert_type(starting, Deferred[txtransport.Session])
            starting.addCallbacks(self.secured, self.failed)

    def forget_plaintext_state(self) -> None:
        self.name = b""

    def plaintext_unit(self, data: bytes | bytearray) -> int:
        return data.find(b"\n") + 1

    def secured(self, session: txtransport.Session) -> None:
        self.hold_input()
        self.release_input()

    def failed(self, reason: Failure) -> None:
        self.abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)


class Resolver(DatagramProtocol):
    """Hears datagrams."""

    def datagramReceived(self, datagram: bytes, addr: object) -> None:
        pass


class Owner:
    """Keeps endpoints, of each kind, in attributes with types of their own."""

    def __init__(self, reactor: object) -> None:
        url = txtransport.TransportURL.parse("tls://example.org", 443)
        assert_type(url.port, int | None)
        assert_type(url.options, tuple[tuple[str, str], ...])
        self.calling: txtransport.ClientEndpoint = txtransport.client(
            reactor, url, cafile="ca.pem", allow_hosts=["example.org"], trace=self.traced
        )
        self.listening: txtransport.ServerEndpoint = txtransport.server(
            reactor, "tls://*:8443", local_cert="site.pem", max_per_ip=10
        )
        self.datagrams: txtransport.DatagramEndpoint = txtransport.datagram(
            reactor, "udp://192.0.2.7", 53
        )

    def traced(self, event: Event) -> None:
        assert_type(event.host, str)
        assert_type(event.error, BaseException | None)

    async def call(self) -> int:
        connecting = self.calling.connect(EchoFactory())
        assert_type(connecting, Deferred[Echo])
        protocol = await connecting
        return protocol.count

    async def stay_connected(self, reactor: object) -> int:
        urls = ["tls://a.example:443", "tls://b.example:443"]
        service = txtransport.service(
            reactor, urls, EchoFactory(), cafile="ca.pem", on_permanent="stop"
        )
        assert_type(service, txtransport.ReconnectingService[Echo])
        assert_type(service.error, BaseException | None)
        assert_type(service.whenConnected(), Deferred[Echo])
        service.startService()
        protocol = await service.whenConnected(failAfterFailures=1)
        await service.stopService()
        return protocol.count

    async def fetch(self, reactor: object) -> int:
        agent = txtransport.web.agent(
            reactor, hosts=["example.org"], local_cert="me.pem", pool=HTTPConnectionPool(reactor)
        )
        assert_type(agent, Agent)
        response = await agent.request(b"GET", b"https://example.org/")
        return response.code if isinstance(response.code, int) else 0

    def call_any(self) -> None:
        self.calling.connect(Factory.forProtocol(Echo))
        self.calling.connect(Factory.forProtocol(LineReceiver))
        self.calling.connect(txtransport.guard(EchoFactory()))

    async def listen(self) -> IListeningPort:
        assert_type(self.listening.listen(EchoFactory()), Deferred[IListeningPort])
        guarded = txtransport.guard(Factory.forProtocol(Echo), b"\n", {"local_cert": "site.pem"})
        await self.listening.listen(guarded)
        return await self.listening.listen(Factory.forProtocol(Echo))

    async def send(self) -> None:
        assert_type(self.datagrams.connect(Resolver()), Deferred[IUDPTransport])
        assert_type(self.datagrams.listen(Resolver()), Deferred[IListeningPort])


def policies() -> list[txtransport.TLSPolicy]:
    """A policy is a value, with a type for each option."""
    policy = txtransport.TLSPolicy(
        local_cert="site.pem", alpn_protocols=["h2"], SNI_server_certs={"a.example": "a.pem"}
    )
    assert_type(policy.alpn_protocols, tuple[str, ...])
    assert_type(policy.peer_name, str | None)
    return [policy, policy.for_peer("example.org"), policy.without_peer]


def strings() -> Mapping[str, str | None]:
    """Endpoint strings, and the schemes that there are."""
    assert_type(txtransport.endpoint_string("tls://example.org:443"), str)
    return txtransport.available_schemes()


def explain(error: Exception) -> str:
    """What each error knows has a type."""
    if isinstance(error, txtransport.HandshakeFailed):
        assert_type(error.chain, tuple[Certificate, ...])
        assert_type(error.received, bytes)
        assert_type(error.original, BaseException | None)
    elif isinstance(error, txtransport.TransportTimeout):
        assert_type(error.stage, str)
        assert_type(error.seconds, float)
        assert_type(error.received, bytes)
    elif isinstance(error, TLSRefused):
        assert_type(error.code, str)
        assert_type(error.text, bytes)
    elif isinstance(error, PlaintextInjected):
        assert_type(error.received, bytes)
    elif isinstance(error, BadCertificateFile):
        assert_type(error.path, str)
        assert_type(error.option, str)
    if not isinstance(error, txtransport.TransportError):
        return ""
    assert_type(error.diagnosis, Diagnosis)
    assert_type(error.permanent, bool)
    assert_type(error.evidence, tuple[str, ...])
    return f"{error.cause} ({error.fault}): {error.summary}. {error.remedy}"


def ask_for_tls(wire: Wire) -> Dialogue[bytes]:
    """A dialogue of the user's own."""
    wire.ask(b"tls?\n")
    answer = yield from wire.line()
    assert_type(answer, bytes)
    return answer


def certificate() -> Issued:
    """A certificate for the user's own tests."""
    return Authority.create().issue("localhost", days=1)
