"""Guards around guards, and around protocols with the mixin, and wrappers between them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory
from twisted.internet.protocol import Factory, connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.protocols.policies import TimeoutFactory
from twisted.python.failure import Failure

import txtransport
from tests import twisted_protocols
from tests.loopback import Recorder
from tests.speakers import server_policy
from tests.upgrade.guard_case import GuardTestCase
from txtransport import StartTLSMixin, session_of
from txtransport.errors import PlaintextInjected, UpgradeError


class Preparing(LineReceiver):
    """A server that pauses at ``STARTTLS`` until the test calls `begin`.

    Attributes:
        lines: The lines that it received.
        asked: Fires when the client asks for TLS.
        lost: Fires with the reason, in a list.
    """

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.asked: Deferred[None] = Deferred()
        self.lost: Deferred[list[Failure]] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.lines.append(line)
        if line == b"STARTTLS":
            self.wait()
            self.asked.callback(None)
        else:
            self.sendLine(b"heard " + line)

    def wait(self) -> None:
        """Take no input."""
        self.pauseProducing()

    def begin(self) -> None:
        """Start TLS."""
        transport: Any = self.transport
        self.sendLine(b"GO")
        transport.startTLS(twisted_protocols.server_context())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback([reason])


class PreparingWithMixin(StartTLSMixin, Preparing):
    """Does the same with `StartTLSMixin`."""

    def begin(self) -> None:
        self.startTLS(server_policy(), reply=b"GO\r\n").addErrback(lambda reason: None)


class HoldingWithMixin(PreparingWithMixin):
    """Takes no input by the mixin's `hold_input`."""

    def wait(self) -> None:
        self.hold_input()


class PipeliningWithMixin(PreparingWithMixin):
    """Accepts a ClientHello that arrives together with the request."""

    may_pipeline_hello = True


def between(factory: IProtocolFactory) -> Any:
    """A guard around a wrapper of Twisted's."""
    return txtransport.guard(TimeoutFactory(factory, 60))


NESTED: Final[tuple[tuple[type[Preparing], Callable[[Any], Any]], ...]] = (
    (Preparing, lambda factory: txtransport.guard(txtransport.guard(factory))),
    (Preparing, lambda factory: txtransport.guard(txtransport.guard(factory), boundary=b"\n")),
    (Preparing, lambda factory: between(between(between(factory)))),
    (PreparingWithMixin, txtransport.guard),
    (PreparingWithMixin, between),
    (HoldingWithMixin, txtransport.guard),
    (HoldingWithMixin, lambda factory: between(between(factory))),
)
"""Servers, and what is around them."""


class NestingTests(GuardTestCase):
    """However guards are nested, nothing that arrived in the clear is delivered under TLS."""

    async def preparing(self, kind: type[Preparing], wrap: Any, sent: bytes) -> tuple[Any, Any]:
        """A server that was asked for TLS, and the client that has sent `sent`."""
        server = kind()
        factory = Factory.forProtocol(lambda: server)
        factory.noisy = False
        port = await self.listening("tcp://127.0.0.1:0", wrap(factory))
        client = await self.connected(f"tcp://127.0.0.1:{port}")
        client.say(sent)
        await server.asked
        return server, client

    async def check_secure(self, server: Any, client: Recorder) -> None:
        """TLS begins, and both sides can talk; the connection's end is an ordinary one."""
        await client.heard(b"GO\r\n")
        self.start_tls(client)
        client.say(b"hi\r\n")
        while not session_of(server.transport):
            await self.turn()
        if server.paused:
            server.resumeProducing()
        await client.heard(b"heard hi\r\n")
        self.assertEqual(server.lines, [b"STARTTLS", b"hi"])
        transport: Any = client.transport
        transport.loseConnection()
        await client.gone()
        (reason,) = await server.lost
        self.assertIsNone(reason.check(PlaintextInjected))

    async def test_clear_text_that_waits_in_an_outer_guard_ends_the_connection(self) -> None:
        """A command behind STARTTLS is never delivered, in whichever guard it waits."""
        for kind, wrap in NESTED:
            server, client = await self.preparing(kind, wrap, b"STARTTLS\r\nevil\r\n")
            server.begin()
            await client.gone()
            (reason,) = await server.lost
            self.assertIsInstance(reason.value, PlaintextInjected, str(kind))
            self.assertEqual((server.lines, client.received), ([b"STARTTLS"], b""))

    async def test_half_a_command_in_an_outer_guard_ends_the_connection(self) -> None:
        """Half a command behind STARTTLS is not completed by the first bytes under TLS."""
        for kind, wrap in NESTED:
            server, client = await self.preparing(kind, wrap, b"STARTTLS\r\nev")
            server.begin()
            await client.gone()
            (reason,) = await server.lost
            self.assertIsInstance(reason.value, PlaintextInjected, str(kind))

    async def test_nested_protocols_talk_under_tls(self) -> None:
        """Without injected text TLS begins, and no guard stays paused or keeps the input."""
        for kind, wrap in NESTED:
            server, client = await self.preparing(kind, wrap, b"STARTTLS\r\n")
            server.begin()
            await self.check_secure(server, client)

    async def test_an_early_client_hello_in_an_outer_guard_goes_to_tls(self) -> None:
        """Where a protocol allows an early ClientHello, an outer guard does not keep it."""
        for wrap in (txtransport.guard, between):
            context = SSL.Context(SSL.TLS_METHOD)
            tls = SSL.Connection(context, None)
            tls.set_connect_state()
            self.assertRaises(SSL.WantReadError, tls.do_handshake)
            hello = tls.bio_read(65536)
            server, client = await self.preparing(
                PipeliningWithMixin, wrap, b"STARTTLS\r\n" + hello
            )
            server.begin()
            # The ServerHello is a handshake record (RFC 8446, section 5.1).
            await client.heard(b"GO\r\n\x16\x03\x03")

    async def test_a_mixin_is_not_upgraded_by_its_transport(self) -> None:
        """A guard refuses to start TLS past the protocol's own startTLS()."""
        server, client = await self.preparing(PreparingWithMixin, between, b"STARTTLS\r\n")
        context = twisted_protocols.server_context()
        with self.assertRaisesRegex(UpgradeError, "StartTLSMixin"):
            server.transport.startTLS(context)
        server.begin()
        await self.check_secure(server, client)

    async def test_a_context_that_cannot_be_used_leaves_every_guard_as_it_was(self) -> None:
        """After a refused startTLS(), nested guards deliver clear text as before."""
        for kind, wrap in NESTED[:3]:
            server, client = await self.preparing(kind, wrap, b"STARTTLS\r\n")
            warnings.filterwarnings("ignore", ".* does not explicitly provide")
            self.assertRaises(TypeError, server.transport.startTLS, object())
            server.resumeProducing()
            client.say(b"hi\r\n")
            await client.heard(b"heard hi\r\n")
