"""What the tests of `txtransport.StartTLSMixin` share."""

from __future__ import annotations

from typing import Any, Final, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

import txtransport
from tests.loopback import LoopbackTestCase, Recorder
from tests.speakers import Lines, Speaker, SpeakerFactory, client_policy

EVIL: Final = b"evil"
"""A word that only an attacker sends."""

HELLO_START: Final = b"\x16\x03\x01"
"""How the TLS record of a ClientHello begins: a handshake, and a version (RFC 8446, 5.1)."""


class MixinTestCase(LoopbackTestCase):
    """Makes servers and clients with the mixin on loopback, and clients without it."""

    async def servers_of(self, kind: type[Speaker], url: str = "", **attributes: Any) -> Any:
        """Listen with servers of that kind; the factory, whose `port` is the port's number."""
        speakers = SpeakerFactory(kind, **attributes)
        cast(Any, speakers).port = await self.listening(url or "tcp://127.0.0.1:0", speakers)
        self.addCleanup(self.ignore_failures, speakers)
        return speakers

    def ignore_failures(self, speakers: SpeakerFactory) -> None:
        """Handle the failures of upgrades whose outcome the test does not check."""
        for speaker in speakers.all:
            speaker.secured.addErrback(lambda reason: None)

    async def client_of(self, kind: type[Speaker], port: int, **attributes: Any) -> Any:
        """Connect a client of that kind."""
        attributes = {"is_server": False, "policy": client_policy(), **attributes}
        factory = SpeakerFactory(kind, **attributes)
        endpoint = txtransport.client(self.reactor, f"tcp://127.0.0.1:{port}")
        speaker: Any = await endpoint.connect(factory)
        self.addCleanup(self.hang_up, speaker)
        return speaker

    async def hang_up(self, speaker: Any) -> None:
        """Abort a connection that is still open, and wait for its end."""
        if not speaker.lost.called:
            speaker.transport.abortConnection()
            await speaker.lost

    async def raw_client(self, port: int) -> Recorder:
        """Connect a client that sends whatever bytes the test says."""
        return await self.connected(f"tcp://127.0.0.1:{port}")

    async def reason_of(self, speaker: Any) -> Any:
        """The exception with which a connection ends."""
        (failure,) = await speaker.lost
        return failure.value

    async def upgrade_failure(self, speaker: Any) -> Any:
        """The exception with which an upgrade fails."""
        failures: list[Failure] = []
        speaker.secured.addErrback(failures.append)
        await speaker.secured
        self.assertEqual(len(failures), 1, "the upgrade did not fail")
        return failures[0].value

    def words_heard(self, speaker: Any) -> list[bytes]:
        """The words that a speaker received."""
        return [word for word, _ in speaker.heard]

    async def wait_for_first(self, servers: Any) -> list[Any]:
        """The servers built so far, once there is one."""
        while not servers.all:
            turn: Deferred[None] = Deferred()
            self.reactor.callLater(0, turn.callback, None)
            await turn
        return cast("list[Any]", servers.all)

    async def handshaking(self, **attributes: Any) -> tuple[Any, Recorder]:
        """A server that waits for a ClientHello, and its client."""
        servers = await self.servers_of(Lines, **attributes)
        client = await self.raw_client(servers.port)
        client.say(b"STARTTLS\r\n")
        await client.heard(b"GO\r\n")
        return servers.all[0], client
