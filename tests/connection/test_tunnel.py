"""One connection to a proxy, in memory: what it is asked, and what may come of it."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.address import HostnameAddress, IPv4Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost, NoProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.memory import End
from txtransport.config.proxy_url import ProxyURL, parse_proxy
from txtransport.connection.tunnel import Tunnel, TunnelAttempt
from txtransport.errors import HandshakeFailed, PeerLeft, PeerMisbehaved, ProxyRefused
from txtransport.proxy.target import Target

WHERE: Final = "tls://mail.example.com:465: the proxy"
ADDRESS: Final = HostnameAddress(b"mail.example.com", 465)
OK: Final = b"HTTP/1.1 200 OK\r\n\r\n"
BOUND: Final = bytes.fromhex("05000001 7f000001 0019")


class Behind(Protocol):
    """A protocol behind a tunnel."""

    def __init__(self) -> None:
        self.received = b""
        self.lost: Any = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"behind")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = reason.value


class TunnelEnd(End):
    """A transport that looks its protocol up at each event, as Twisted's do.

    Attributes:
        protocol: What hears the bytes.
    """

    protocol: Any = None


class User(Factory):
    """What a tunnel is for: builds the protocol behind it."""

    noisy = False
    fails: Exception | None = None
    builds_none = False

    def __init__(self) -> None:
        self.proxies: list[ProxyURL] = []
        self.addresses: list[object] = []

    def proxying(self, proxy: ProxyURL, address: object) -> None:
        self.proxies.append(proxy)

    def buildProtocol(self, addr: object) -> Any:
        self.addresses.append(addr)
        if self.fails is not None:
            raise self.fails
        return None if self.builds_none else Behind()


class TunnelCase(SynchronousTestCase):
    """A tunnel whose connection to the proxy the test moves."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.end = TunnelEnd(self.clock, peerAddress=IPv4Address("TCP", "192.0.2.1", 3128))
        self.user = User()

    def tunnel(self, proxy: str, *, is_target_first: bool = False) -> Deferred[Any]:
        """Begin; the connection to the proxy is there at once."""
        parsed = parse_proxy(proxy)
        where = f"{WHERE} {parsed.redacted()}"
        target = Target("mail.example.com", 465)
        self.attempt = TunnelAttempt(
            Tunnel(parsed, target, ADDRESS, where, is_target_first), self.user
        )
        case = self

        class ToProxy:
            def connect(self, factory: Any) -> Deferred[Any]:
                protocol = factory.buildProtocol(None)
                case.end.protocol = protocol
                case.end.start(protocol)
                return succeed(protocol)

        ToProxyAny: Any = ToProxy
        return self.attempt.begin(ToProxyAny())

    def hear(self, data: bytes) -> None:
        """What the proxy says."""
        self.end.protocol.dataReceived(data)

    def failed(self, done: Deferred[Any], kind: type[Exception]) -> Any:
        """The error of a tunnel; nothing was built, and the connection is ended."""
        error: Any = self.failureResultOf(done, kind).value
        self.assertTrue(self.end.disconnected or self.end.is_over)
        self.assertEqual(self.user.addresses, [])
        return error


class SuccessTests(TunnelCase):
    """The proxy connects us."""

    def test_the_protocol_is_built_when_the_proxy_has_connected_us(self) -> None:
        """Not before; and it is told of the target's address, not of the proxy's."""
        done = self.tunnel("http://p:1")
        self.assertIn(b"CONNECT mail.example.com:465", self.end.taken())
        self.hear(OK[:-1])
        self.assertNoResult(done)
        self.assertEqual(self.user.addresses, [])
        self.hear(OK[-1:])
        behind = self.successResultOf(done)
        self.assertEqual(self.user.addresses, [ADDRESS])
        self.assertEqual(self.end.taken(), b"behind")
        self.assertIs(behind.transport, self.end)

    def test_the_tunnel_leaves_the_path_of_the_bytes(self) -> None:
        """What the transport hears goes to the protocol behind the tunnel directly."""
        behind = self.connected()
        self.assertIs(self.end.protocol, behind)
        self.hear(b"220 mx\r\n")
        self.assertEqual(behind.received, b"220 mx\r\n")

    def test_the_end_is_told_to_the_protocol_behind(self) -> None:
        """Also where the transport goes on telling the tunnel."""
        behind = self.connected()
        self.end.lose(ConnectionDone())
        self.assertIsInstance(behind.lost, ConnectionDone)

    def test_the_user_is_told_of_the_proxy(self) -> None:
        """So that an error can say how far an attempt has come."""
        self.tunnel("socks5h://u:pw@p:1")
        self.assertEqual([proxy.host for proxy in self.user.proxies], ["p"])

    def connected(self) -> Any:
        """The protocol behind a tunnel."""
        done = self.tunnel("http://p:1")
        self.hear(OK)
        return self.successResultOf(done)


class RefusalTests(TunnelCase):
    """The proxy does not connect us."""

    def test_a_refusal_says_what_the_code_means(self) -> None:
        """Where, what, whose fault and what to do; the connection is ended."""
        done = self.tunnel("http://u:hunter2@p:3128")
        self.hear(b"HTTP/1.1 407 Denied\r\nProxy-Authenticate: Basic realm=x\r\n\r\n<html>")
        error = self.failed(done, ProxyRefused)
        self.assertEqual((error.kind, error.code), ("HTTP status", 407))
        self.assertEqual(
            str(error),
            "tls://mail.example.com:465: the proxy http://u:***@p:3128: the proxy does not accept "
            "the user or the password (HTTP status 407: b'Denied'). Check both; in a URL, signs "
            "other than letters and digits are percent-encoded in them",
        )
        self.assertEqual((error.fault, error.permanent), ("ours", True))
        self.assertEqual(error.cause, "proxy-login")
        self.assertIn("Check both", error.remedy)
        self.assertNotIn("Check both", error.summary)

    def test_a_refusal_of_socks_names_the_target(self) -> None:
        """SOCKS has only a number, and the error says what it is about."""
        done = self.tunnel("socks5h://p:1080")
        self.hear(b"\x05\x00")
        self.hear(b"\x05\x05\x00\x01" + b"\x00" * 6)
        error = self.failed(done, ProxyRefused)
        self.assertIn("nothing listens at mail.example.com:465", str(error))
        self.assertIn("(SOCKS reply 5)", str(error))
        self.assertFalse(error.permanent)

    def test_a_proxy_of_another_kind_is_recognised(self) -> None:
        """The error says which scheme to write."""
        done = self.tunnel("socks5h://p:3128")
        self.hear(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertIn("write http:// for the proxy", str(self.failed(done, PeerMisbehaved)))

    def test_a_proxy_that_hangs_up_is_told(self) -> None:
        """Before its answer, with its last words; reset or closed."""
        for error, words in ((ConnectionDone(), "closed"), (ConnectionLost(), "reset")):
            self.setUp()
            done = self.tunnel("socks5h://p:1")
            self.hear(b"\x05")
            self.end.lose(error)
            told = self.failed(done, PeerLeft)
            self.assertIn(words, str(told))
            self.assertIn("before it had connected us; it had said b'\\x05'", str(told))
            self.assertNotIn("TLS began", str(told))
            self.assertIn("is mail.example.com:465 spelt rightly", told.remedy)
        self.setUp()
        done = self.tunnel("socks5h://p:1")
        self.end.lose(ConnectionDone())
        self.assertIn("does it want a login", self.failed(done, PeerLeft).remedy)

    def test_what_tls_with_the_proxy_says_is_kept(self) -> None:
        """A proxy that refuses our certificate does so after its handshake (TLS 1.3)."""
        done = self.tunnel("https://p:1")
        self.end.lose(HandshakeFailed("x", cause="peer-alert", permanent=True, remedy=""))
        self.failed(done, HandshakeFailed)


class AttackTests(TunnelCase):
    """A hostile proxy, or someone between us and it."""

    def test_bytes_behind_the_answer_end_the_connection(self) -> None:
        """Where TLS comes next, nothing can come from the target before our ClientHello."""
        for proxy, answers in (("http://p:1", [OK]), ("socks5h://p:1", [b"\x05\x00", BOUND])):
            self.setUp()
            done = self.tunnel(proxy)
            *before, last = answers
            for each in before:
                self.hear(each)
            self.hear(last + b"\x16\x03\x03\x00\x01evil")
            error = self.failed(done, PeerMisbehaved)
            self.assertIn("stood behind the proxy's answer", str(error))

    def test_a_target_that_speaks_first_may_stand_there(self) -> None:
        """The greeting of a mail server goes to the protocol behind the tunnel, whole."""
        done = self.tunnel("http://p:1", is_target_first=True)
        self.hear(OK + b"220 mx ESMTP\r\n")
        self.assertEqual(self.successResultOf(done).received, b"220 mx ESMTP\r\n")

    def test_answers_before_their_questions_end_the_connection(self) -> None:
        """Nothing more is sent: no password and no target."""
        done = self.tunnel("socks5h://user:hunter2@p:1")
        self.hear(b"\x05\x02\x01\x00" + BOUND)
        self.failed(done, PeerMisbehaved)
        self.assertNotIn(b"hunter2", self.end.taken())

    def test_a_lying_bound_address_is_not_believed(self) -> None:
        """The protocol is told of the target, wherever the proxy says that it is."""
        done = self.tunnel("socks5h://p:1")
        self.hear(b"\x05\x00")
        self.hear(b"\x05\x00\x00\x01\x06\x06\x06\x06\x06\x06")
        self.successResultOf(done)
        self.assertEqual(self.user.addresses, [ADDRESS])

    def test_endless_headers_end_the_connection(self) -> None:
        """So does any flood; what was received is bounded."""
        for flood in (b"X: y\r\n" * 2000, b"x" * 70000):
            self.setUp()
            done = self.tunnel("http://p:1")
            self.hear(b"HTTP/1.1 200 OK\r\n" + flood)
            self.assertLess(len(str(self.failed(done, PeerMisbehaved))), 500)

    def test_what_comes_after_a_failure_is_not_heard(self) -> None:
        """Neither bytes nor the end can change what an attempt has come to."""
        done = self.tunnel("http://p:1")
        self.hear(b"HTTP/1.1 403 No\r\n\r\n")
        self.hear(OK)
        self.end.lose()
        self.failed(done, ProxyRefused)


class ApplicationTests(TunnelCase):
    """What the factory behind the tunnel may do."""

    def test_a_factory_that_fails_ends_the_connection(self) -> None:
        """Its exception is that of the attempt; None is NoProtocol, as without a proxy."""
        self.user.fails = ZeroDivisionError()
        done = self.tunnel("http://p:1")
        self.hear(OK)
        self.failureResultOf(done, ZeroDivisionError)
        self.assertTrue(self.end.disconnected)
        self.setUp()
        self.user.builds_none = True
        done = self.tunnel("http://p:1")
        self.hear(OK)
        self.failureResultOf(done, NoProtocol)
        self.assertTrue(self.end.disconnected)

    def test_a_cancelled_attempt_ends_the_connection(self) -> None:
        """During the dialogue, and while the factory builds its protocol."""
        done = self.tunnel("http://p:1")
        done.cancel()
        self.failed(done, CancelledError)
        self.setUp()
        done = self.tunnel("http://p:1")
        build = self.user.buildProtocol

        def cancelling(addr: object) -> Any:
            done.cancel()
            return build(addr)

        self.user.buildProtocol = cancelling  # type: ignore[method-assign]
        self.hear(OK)
        self.failureResultOf(done, CancelledError)
        self.assertTrue(self.end.disconnected)
