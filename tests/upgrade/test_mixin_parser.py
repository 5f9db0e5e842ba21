"""The mixin in front of a parser: one unit at a time, and nothing after a close."""

from __future__ import annotations

from typing import Any, cast

from tests.speakers import Lines, Plain
from tests.upgrade.mixin_case import MixinTestCase
from txtransport.errors import PeerMisbehaved, PlaintextInjected
from txtransport.upgrade.buffer import MAX_HELD
from txtransport.upgrade.switch import TLSState


class ParserTests(MixinTestCase):
    """Nothing that a parser does lets plaintext pass for data under TLS."""

    async def test_input_of_a_paused_parser_is_not_in_its_buffer(self) -> None:
        """Words that came while the parser was paused are not in its buffer at the switch."""

        class Pausing(Lines):
            def word_received(self, word: bytes) -> None:
                if word == b"wait":
                    self.pauseProducing()
                super().word_received(word)

        servers = await self.servers_of(Pausing)
        client = await self.raw_client(servers.port)
        client.say(b"wait\r\nSTARTTLS\r\nevil\r\n")
        await client.heard(b"heard wait")
        (server,) = servers.all
        self.assertEqual(self.words_heard(server), [b"wait"])
        server.resumeProducing()
        self.assertIsInstance(await self.upgrade_failure(server), PlaintextInjected)
        self.assertEqual(self.words_heard(server), [b"wait", b"STARTTLS"])
        await client.gone()

    async def test_input_held_before_an_upgrade_ends_it(self) -> None:
        """Held input is neither executed nor forgotten: startTLS() fails because of it."""

        class Deciding(Lines):
            def upgrade(self, reply: bytes) -> None:
                self.hold_input()
                self.decided = lambda: Lines.upgrade(self, reply)

        servers = await self.servers_of(Deciding)
        client = await self.raw_client(servers.port)
        client.say(b"before\r\nSTARTTLS\r\nevil\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        self.assertEqual(self.words_heard(server), [b"before", b"STARTTLS"])
        server.decided()
        self.assertIsInstance(await self.upgrade_failure(server), PlaintextInjected)
        await client.gone()

    async def test_holding_input_does_not_stop_the_handshake(self) -> None:
        """A protocol that holds its input may start TLS later."""

        class Deciding(Lines):
            def upgrade(self, reply: bytes) -> None:
                self.hold_input()
                self.hold_input()
                assert self.transport is not None
                reactor: Any = cast(Any, self.transport).reactor
                reactor.callLater(0, Lines.upgrade, self, reply)

        servers = await self.servers_of(Deciding)
        client = await self.client_of(Lines, servers.port)
        client.say(b"STARTTLS")
        await client.secured

    async def test_released_input_is_delivered(self) -> None:
        """Released input is delivered, as plaintext."""
        servers = await self.servers_of(Lines)
        client = await self.raw_client(servers.port)
        client.say(b"before\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        server.hold_input()
        server.dataReceived(b"one\r\ntwo\r\n")
        self.assertEqual(self.words_heard(server), [b"before"])
        server.release_input()
        server.release_input()
        self.assertEqual(server.heard[1:], [(b"one", False), (b"two", False)])

    async def test_request_inside_raw_data_is_data(self) -> None:
        """A request within raw data is data; what follows the raw data is read as words."""
        told: list[bytes] = []

        class Mail(Lines):
            left = 0

            def word_received(self, word: bytes) -> None:
                if word.startswith(b"data "):
                    self.left = int(word[5:])
                    self.setRawMode()
                else:
                    super().word_received(word)

            def rawDataReceived(self, data: bytes) -> None:
                told.append(data[: self.left])
                rest, self.left = data[self.left :], self.left - len(data[: self.left])
                if not self.left:
                    self.setLineMode(rest)

        servers = await self.servers_of(Mail)
        client = await self.raw_client(servers.port)
        client.say(b"data 10\r\nSTARTTLS\r\nSTARTTLS\r\nevil\r\n")
        await client.gone()
        (server,) = servers.all
        self.assertEqual(b"".join(told), b"STARTTLS\r\n")
        self.assertIsInstance(await self.upgrade_failure(server), PlaintextInjected)
        self.assertEqual(self.words_heard(server), [b"STARTTLS"])

    async def test_bytes_given_back_by_the_parser_come_first(self) -> None:
        """Bytes that a raw parser gives back come before those that wait."""

        class Bulk(Lines):
            def word_received(self, word: bytes) -> None:
                if word == b"raw":
                    self.setRawMode()
                super().word_received(word)

            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return super().plaintext_unit(data) if self.line_mode else min(8, len(data))

            def rawDataReceived(self, data: bytes) -> None:
                # It needs two of the eight bytes, and gives six back.
                self.setLineMode(data[2:])

        servers = await self.servers_of(Bulk)
        client = await self.raw_client(servers.port)
        client.say(b"raw\r\nxxone\r\ntwo\r\nthree\r\n")
        await client.heard(b"heard three")
        self.assertEqual(self.words_heard(servers.all[0]), [b"raw", b"one", b"two", b"three"])

    async def test_plaintext_given_back_after_the_switch_ends_the_connection(self) -> None:
        """Plaintext that a protocol gives back after the switch ends the connection."""

        class Keeping(Lines):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return len(data)

            def dataReceived(self, data: bytes) -> None:
                self.word_received(b"STARTTLS")
                self.dataReceived(b"evil\r\n")

        servers = await self.servers_of(Keeping)
        client = await self.raw_client(servers.port)
        client.say(b"x")
        await client.gone()
        self.assertIsInstance(await self.upgrade_failure(servers.all[0]), PlaintextInjected)

    async def test_lines_in_the_parser_s_own_buffer_count_as_injected(self) -> None:
        """Lines that a line parser holds in its own buffer count as injected plaintext."""

        class Whole(Lines):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return len(data)

        servers = await self.servers_of(Whole)
        client = await self.raw_client(servers.port)
        client.say(b"STARTTLS\r\nevil\r\n")
        await client.gone()
        self.assertIsInstance(await self.upgrade_failure(servers.all[0]), PlaintextInjected)
        self.assertEqual(self.words_heard(servers.all[0]), [b"STARTTLS"])

    async def test_nothing_is_delivered_after_a_close(self) -> None:
        """Words after the one that closed or aborted the connection are not delivered."""
        for end in ("loseConnection", "abort"):

            class Ending(Lines):
                way = end

                def word_received(self, word: bytes) -> None:
                    super().word_received(word)
                    getattr(self if self.way == "abort" else self.transport, self.way)()

            servers = await self.servers_of(Ending)
            client = await self.raw_client(servers.port)
            client.say(b"quit\r\nSTARTTLS\r\nevil\r\n")
            await client.gone()
            (server,) = servers.all
            await server.lost
            self.assertEqual(self.words_heard(server), [b"quit"], end)
            self.assertIs(server.tls_state, TLSState.CLOSED)

    async def test_word_without_an_end_does_not_fill_the_memory(self) -> None:
        """Either the parser's limit or ours ends a word that never ends."""

        class Never(Plain):
            def plaintext_unit(self, data: bytes | bytearray) -> int:
                return 0

        servers = await self.servers_of(Never)
        client = await self.raw_client(servers.port)
        client.say(b"x" * (MAX_HELD + 1))
        await client.gone()
        self.assertIsInstance(await self.reason_of(servers.all[0]), PeerMisbehaved)
        servers = await self.servers_of(Lines)
        client = await self.raw_client(servers.port)
        client.say(b"x" * 100_000)
        await client.gone()
        self.assertEqual(self.words_heard(servers.all[0]), [])

    async def test_held_input_does_not_fill_the_memory(self) -> None:
        """A parser that resumes itself while its input is held does not let the peer go on."""

        class Holding(Lines):
            def word_received(self, word: bytes) -> None:
                self.hold_input()
                self.pauseProducing()
                self.resumeProducing()
                super().word_received(word)

        servers = await self.servers_of(Holding)
        client = await self.raw_client(servers.port)
        client.say(b"wait\r\n")
        await client.heard(b"heard wait")
        (server,) = servers.all
        client.say(b"x" * 32 * MAX_HELD)
        for _ in range(100):
            await self.turn()
        held = server._upgrade.buffer.close()
        self.assertLess(len(held), MAX_HELD)
        await self.hang_up(server)

    async def test_input_that_waits_is_bounded(self) -> None:
        """A protocol that resumes its transport again and again, and takes nothing, is ended."""
        servers = await self.servers_of(Lines)
        client = await self.raw_client(servers.port)
        client.say(b"before\r\n")
        await client.heard(b"heard before")
        (server,) = servers.all
        server.hold_input()
        client.say(b"x" * 32 * MAX_HELD)
        while not server.lost.called:
            server.transport.resumeProducing()
            await self.turn()
        reason = await self.reason_of(server)
        self.assertIsInstance(reason, PeerMisbehaved)
        self.assertIn(str(MAX_HELD), str(reason))
        await client.gone()

    async def test_error_in_the_protocol_ends_the_connection(self) -> None:
        """An exception in the parser is the application's, and ends the connection."""

        class Broken(Lines):
            def word_received(self, word: bytes) -> None:
                raise ZeroDivisionError(word)

        servers = await self.servers_of(Broken)
        client = await self.raw_client(servers.port)
        client.say(b"one\r\ntwo\r\n")
        await client.gone()
        self.assertIsInstance(await self.reason_of(servers.all[0]), ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
