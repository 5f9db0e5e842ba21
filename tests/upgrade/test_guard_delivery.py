"""What a guarded protocol is given, and when."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.error import ConnectionClosed
from twisted.internet.protocol import Protocol
from twisted.protocols.basic import LineReceiver

import txtransport
from tests import twisted_protocols
from tests.speakers import Lines
from tests.speakers import as_server as policy_of_a_server
from tests.twisted_protocols import RecordingFactory
from tests.upgrade.guard_case import GuardTestCase
from txtransport.errors import (
    ConversationOver,
    PlaintextInjected,
)


class DeliveryTests(GuardTestCase):
    """A guest's own ways open no gap."""

    async def test_s15_a_paused_guest(self) -> None:
        """What a guest gets after a pause is one command at a time as before."""

        class Pausing(LineReceiver):
            def lineReceived(self, line: bytes) -> None:
                self.sendLine(line)
                if line == b"wait":
                    self.pauseProducing()
                if line == b"STLS":
                    cast(Any, self.transport).startTLS(twisted_protocols.as_server())

        class PausingItsTransport(twisted_protocols.PostOffice):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if line == b"wait":
                    cast(Any, self.transport).pauseProducing()

            def resumeProducing(self) -> None:
                cast(Any, self.transport).resumeProducing()

        class PausingItself(Pausing):
            def pauseProducing(self) -> None:
                self.paused = True

        for build in (Pausing, PausingItsTransport, PausingItself):
            made = await self.serving(build)
            client = await self.raw(made)
            client.say(b"wait\r\none\r\nSTLS\r\nevil\r\n")
            while not made.recorders or not made.recorder.given:
                await self.turn()
            recorder = made.recorder
            self.assertEqual(recorder.given, [b"wait\r\n"])
            recorder.protocol.resumeProducing()
            self.assertEqual(
                [unit for unit in recorder.given if unit][1:], [b"one\r\n", b"STLS\r\n"]
            )
            self.assertIsInstance(await recorder.reason(), PlaintextInjected)
            await client.gone()

    async def test_a_guest_that_pauses_in_the_handshake(self) -> None:
        """The handshake is not held up, and the guest is given nothing until it wants it."""

        class Pausing(twisted_protocols.PostOffice):
            def lineReceived(self, line: bytes) -> None:
                super().lineReceived(line)
                if line == b"STLS":
                    cast(Any, self.transport).pauseProducing()

        made = await self.serving(Pausing)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.secure(client)
        transport: Any = made.recorder.protocol.transport
        while txtransport.session_of(transport) is None:
            await self.turn()
        client.say(b"NOOP\r\n")
        for _ in range(5):
            await self.turn()
        self.assertEqual(made.recorder.protocol.heard, [b"STLS"])
        transport.resumeProducing()
        await client.heard(b"+OK\r\n+OK\r\n")

    async def test_an_abort_stops_the_delivery(self) -> None:
        """A guest that aborts hears nothing more, be it in the clear or under TLS."""

        class Aborting(LineReceiver):
            def connectionMade(self) -> None:
                self.heard: list[bytes] = []

            def lineReceived(self, line: bytes) -> None:
                self.heard.append(line)
                transport: Any = self.transport
                if line == b"STLS":
                    self.sendLine(b"+OK")
                    transport.startTLS(twisted_protocols.as_server())
                if line == b"abort":
                    transport.abortConnection()
                    self.assertRaises(
                        ConversationOver, transport.startTLS, twisted_protocols.as_server()
                    )
                    transport.write(b"too late")
                    transport.resumeProducing()

            assertRaises = self.assertRaises

        made = await self.serving(Aborting)
        client = await self.raw(made)
        client.say(b"abort\r\nSTLS\r\nevil\r\n")
        self.assertIsInstance(await made.recorder.reason(), ConnectionClosed)
        self.assertEqual(made.recorder.protocol.heard, [b"abort"])
        made = await self.serving(Aborting)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.secure(client)
        client.say(b"one\r\nabort\r\ntwo\r\n")
        self.assertIsInstance(await made.recorder.reason(), ConnectionClosed)
        self.assertEqual(made.recorder.protocol.heard, [b"STLS", b"one", b"abort"])

    async def test_a_guest_that_hooks_what_it_is_given(self) -> None:
        """A guest which has a StartTLSMixin, that stands before its parser, is guarded as well."""

        def build() -> Any:
            lines = Lines()
            lines.is_server, lines.policy = True, policy_of_a_server()
            lines.secured.addErrback(lambda reason: None)
            return lines

        made = await self.serving(build)
        client = await self.raw(made)
        client.say(b"STARTTLS\r\nevil\r\n")
        self.assertIsInstance(await made.recorder.reason(), PlaintextInjected)
        self.assertEqual(made.recorder.protocol.heard, [(b"STARTTLS", False)])
        await client.gone()

    async def test_a_guard_within_a_guard(self) -> None:
        """Twice guarded is as good."""
        made = RecordingFactory(twisted_protocols.PostOffice)
        twice = txtransport.guard(txtransport.guard(made))
        cast(Any, made).port = await self.listening("tcp://127.0.0.1:0", twice)
        client = await self.raw(made)
        client.say(b"STLS\r\nevil\r\n")
        self.assertIsInstance(await made.recorder.reason(), PlaintextInjected)
        client = await self.raw(made)
        client.say(b"STLS\r\n")
        await client.heard(b"+OK\r\n")
        self.secure(client)
        client.say(b"NOOP\r\n")
        await client.heard(b"+OK\r\n+OK\r\n")
        self.assertEqual(made.recorders[0].protocol.heard, [b"STLS"])

    async def test_a_boundary_that_comes_in_two_pieces(self) -> None:
        """What is given away because it is long does not take half a boundary with it."""

        class Long(Protocol):
            def connectionMade(self) -> None:
                self.rest, self.words = b"", list[bytes]()

            def dataReceived(self, data: bytes) -> None:
                *words, self.rest = (self.rest + data).split(b"\r\n")
                for word in words:
                    self.words.append(word.strip())
                    if word.endswith(b"STLS"):
                        cast(Any, self.transport).startTLS(twisted_protocols.as_server())

        made = await self.serving(Long, boundary=b"\r\n")
        client = await self.raw(made)
        client.say(b" " * 70_000 + b"STLS\r")
        while not made.recorders or not made.recorder.protocol.rest.endswith(b"STLS"):
            await self.turn()
        client.say(b"\nevil\r\n")
        self.assertIsInstance(await made.recorder.reason(), PlaintextInjected)
        self.assertEqual(made.recorder.protocol.words, [b"STLS"])
        await client.gone()

    async def test_an_error_of_the_guest_s(self) -> None:
        """An exception in the clear is the application's, and is told once."""

        class Broken(twisted_protocols.PostOffice):
            def lineReceived(self, line: bytes) -> None:
                raise ZeroDivisionError(line)

        made = await self.serving(Broken)
        client = await self.raw(made)
        client.say(b"one\r\ntwo\r\n")
        self.assertIsInstance(await made.recorder.reason(), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(made.recorder.given, [b"one\r\n"])
        await client.gone()
