"""The mixin and the parser that it stands before."""

from __future__ import annotations

from typing import Any, cast

from tests.speakers import Lines, Plain
from tests.upgrade.mixin_case import MixinTestCase
from txtransport.errors import (
    PeerMisbehaved,
    PlaintextInjected,
)
from txtransport.upgrade.buffer import MAX_HELD
from txtransport.upgrade.switch import TLSState


class ParserTests(MixinTestCase):
    """The parser's own ways do not open a gap."""

    async def test_s15_a_paused_parser(self) -> None:
        """Words that came while the parser was paused are not in its hands at the switch."""

        class Pausing(Lines):
            def said(self, word: bytes) -> None:
                if word == b"wait":
                    self.pauseProducing()
                super().said(word)

        servers = await self.serving(Pausing)
        client = await self.raw(servers.port)
        client.say(b"wait\r\nSTARTTLS\r\nevil\r\n")
        await client.heard(b"heard wait")
        (server,) = servers.all
        self.assertEqual(self.words(server), [b"wait"])
        server.resumeProducing()
        self.assertIsInstance(await self.failure(server), PlaintextInjected)
        self.assertEqual(self.words(server), [b"wait", b"STARTTLS"])
        await client.gone()

    async def test_s14_a_decision_that_takes_time(self) -> None:
        """Held input is neither executed nor forgotten, and ends the upgrade."""

        class Deciding(Lines):
            def upgrade(self, reply: bytes) -> None:
                self.hold_input()
                self.decided = lambda: Lines.upgrade(self, reply)

        servers = await self.serving(Deciding)
        client = await self.raw(servers.port)
        client.say(b"before\r\nSTARTTLS\r\nevil\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        self.assertEqual(self.words(server), [b"before", b"STARTTLS"])
        server.decided()
        self.assertIsInstance(await self.failure(server), PlaintextInjected)
        await client.gone()

    async def test_a_decision_for_tls_after_a_while(self) -> None:
        """Holding the input does not keep the handshake from coming in."""

        class Deciding(Lines):
            def upgrade(self, reply: bytes) -> None:
                self.hold_input()
                self.hold_input()
                assert self.transport is not None
                reactor: Any = cast(Any, self.transport).reactor
                reactor.callLater(0, Lines.upgrade, self, reply)

        servers = await self.serving(Deciding)
        client = await self.calling(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured

    async def test_a_decision_against_tls(self) -> None:
        """Released input is read as what it is."""
        servers = await self.serving(Lines)
        client = await self.raw(servers.port)
        client.say(b"before\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        server.hold_input()
        server.dataReceived(b"one\r\ntwo\r\n")
        self.assertEqual(self.words(server), [b"before"])
        server.release_input()
        server.release_input()
        self.assertEqual(server.heard[1:], [(b"one", False), (b"two", False)])

    async def test_s16_raw_data_is_data(self) -> None:
        """A request within raw data is none, and what follows the data is read as words."""
        told: list[bytes] = []

        class Mail(Lines):
            left = 0

            def said(self, word: bytes) -> None:
                if word.startswith(b"data "):
                    self.left = int(word[5:])
                    self.setRawMode()
                else:
                    super().said(word)

            def rawDataReceived(self, data: bytes) -> None:
                told.append(data[: self.left])
                rest, self.left = data[self.left :], self.left - len(data[: self.left])
                if not self.left:
                    self.setLineMode(rest)

        servers = await self.serving(Mail)
        client = await self.raw(servers.port)
        client.say(b"data 10\r\nSTARTTLS\r\nSTARTTLS\r\nevil\r\n")
        await client.gone()
        (server,) = servers.all
        self.assertEqual(b"".join(told), b"STARTTLS\r\n")
        self.assertIsInstance(await self.failure(server), PlaintextInjected)
        self.assertEqual(self.words(server), [b"STARTTLS"])

    async def test_what_a_parser_gives_back_is_older(self) -> None:
        """Bytes that a raw parser gives back come before those that wait."""

        class Bulk(Lines):
            def said(self, word: bytes) -> None:
                if word == b"raw":
                    self.setRawMode()
                super().said(word)

            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return super().plaintext_unit(data) if self.line_mode else min(8, len(data))

            def rawDataReceived(self, data: bytes) -> None:
                # It needed two bytes, and got eight.
                self.setLineMode(data[2:])

        servers = await self.serving(Bulk)
        client = await self.raw(servers.port)
        client.say(b"raw\r\nxxone\r\ntwo\r\nthree\r\n")
        await client.heard(b"heard three")
        self.assertEqual(self.words(servers.all[0]), [b"raw", b"one", b"two", b"three"])

    async def test_a_parser_that_keeps_bytes_for_itself(self) -> None:
        """Clear bytes that a protocol gives back after the switch end it."""

        class Keeping(Lines):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return len(data)

            def dataReceived(self, data: bytes) -> None:
                self.said(b"STARTTLS")
                self.dataReceived(b"evil\r\n")

        servers = await self.serving(Keeping)
        client = await self.raw(servers.port)
        client.say(b"x")
        await client.gone()
        self.assertIsInstance(await self.failure(servers.all[0]), PlaintextInjected)

    async def test_lines_that_a_parser_kept(self) -> None:
        """What a line parser holds in its own buffer counts as sent ahead."""

        class Whole(Lines):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return len(data)

        servers = await self.serving(Whole)
        client = await self.raw(servers.port)
        client.say(b"STARTTLS\r\nevil\r\n")
        await client.gone()
        self.assertIsInstance(await self.failure(servers.all[0]), PlaintextInjected)
        self.assertEqual(self.words(servers.all[0]), [b"STARTTLS"])

    async def test_nothing_is_heard_after_a_close(self) -> None:
        """Words behind the one that closed, or aborted, are not acted upon."""
        for end in ("loseConnection", "abort"):

            class Ending(Lines):
                way = end

                def said(self, word: bytes) -> None:
                    super().said(word)
                    getattr(self if self.way == "abort" else self.transport, self.way)()

            servers = await self.serving(Ending)
            client = await self.raw(servers.port)
            client.say(b"quit\r\nSTARTTLS\r\nevil\r\n")
            await client.gone()
            (server,) = servers.all
            await server.lost
            self.assertEqual(self.words(server), [b"quit"], end)
            self.assertIs(server.tls_state, TLSState.CLOSED)

    async def test_s25_a_word_without_an_end(self) -> None:
        """Neither a parser's limits nor ours let a peer fill the memory."""

        class Never(Plain):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return 0

        servers = await self.serving(Never)
        client = await self.raw(servers.port)
        client.say(b"x" * (MAX_HELD + 1))
        await client.gone()
        self.assertIsInstance(await self.reason(servers.all[0]), PeerMisbehaved)
        servers = await self.serving(Lines)
        client = await self.raw(servers.port)
        client.say(b"x" * 100_000)
        await client.gone()
        self.assertEqual(self.words(servers.all[0]), [])

    async def test_a_protocol_s_own_error(self) -> None:
        """An exception of the parser is the application's, and ends the connection."""

        class Broken(Lines):
            def said(self, word: bytes) -> None:
                raise ZeroDivisionError(word)

        servers = await self.serving(Broken)
        client = await self.raw(servers.port)
        client.say(b"one\r\ntwo\r\n")
        await client.gone()
        self.assertIsInstance(await self.reason(servers.all[0]), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
