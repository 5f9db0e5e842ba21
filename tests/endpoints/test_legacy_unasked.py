"""Who never asked for SSL 2.0 or SSL 3.0 cannot be moved to it, whatever the peer does."""

from __future__ import annotations

import itertools
import subprocess
import sys
from typing import Any, Final, cast
from unittest import skipIf

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorder, Recorders
from tests.tls.handshake import client as client_policy
from tests.tls.handshake import server as server_policy
from tests.tls.legacy.fake import forget_process
from txtransport.config import schemes
from txtransport.config.policy import Side
from txtransport.errors import HandshakeFailed, TransportTimeout
from txtransport.tls.creator import ConnectionCreator, creator_for
from txtransport.tls.engine import Signal, TLSEngine

ALLOWED: Final = "allow_broken_ssl=yes"
MODERN: Final = ("tls", "ssl", "tlsv1.0", "tlsv1.1", "tlsv1.2", "tlsv1.3")
BROKEN: Final = ("sslv2", "sslv3")

# RFC 6101, section 5.6.1.2: a ServerHello of SSL 3.0 that chooses RC4-SHA.
SSL3_HELLO: Final = (
    bytes.fromhex("16030000 2a 02000026 0300".replace(" ", "")) + bytes(33) + bytes([0, 5, 0])
)
# draft-hickman-netscape-ssl-00, section 2.6: a SERVER-HELLO with one cipher and no certificate.
SSL2_HELLO: Final = bytes.fromhex(
    "801e 04 00 01 0002 0000 0003 0010 010080".replace(" ", "")
) + bytes(16)


class Saying(Protocol):
    """Says something and then nothing more."""

    said: bytes = b""

    def connectionMade(self) -> None:
        cast(Any, self.transport).write(self.said)


@skipIf(not schemes.is_legacy_installed(), "the extra txtransport[legacy] is not installed")
class PeersTests(LoopbackTestCase):
    """The extra is installed, and the peer speaks nothing but SSL."""

    def setUp(self) -> None:
        forget_process(self)
        self.sites = {name: certificates.rsa_site() for name in (*MODERN, *BROKEN)}
        self.sites["sslv2"] = certificates.ssl2_site()

    async def refused(self, client: str, server: str) -> None:
        """A client of one scheme and a server of another come to nothing, on both sides."""
        servers = Recorders()
        query = {name: f"?{ALLOWED}" if name in BROKEN else "" for name in (client, server)}
        port = await self.listening(
            f"{server}://127.0.0.1:0{query[server]}", servers, local_cert=self.sites[server]
        )
        endpoint = txtransport.client(
            self.reactor,
            f"{client}://localhost:{port}{query[client]}",
            cafile=certificates.cafile(),
            timeout=2,
        )
        with self.assertRaises((HandshakeFailed, TransportTimeout)):
            await endpoint.connect(Factory.forProtocol(Recorder))
        self.assertEqual(servers.built, 0, (client, server))

    async def test_clients_of_tls(self) -> None:
        """No client of TLS connects to a server of SSL 2.0 or SSL 3.0."""
        for client, server in itertools.product(MODERN, BROKEN):
            await self.refused(client, server)

    async def test_servers_of_tls(self) -> None:
        """No server of TLS serves a client of SSL 2.0 or SSL 3.0."""
        for client, server in itertools.product(BROKEN, MODERN):
            await self.refused(client, server)

    async def test_each_speaks_its_own_version(self) -> None:
        """SSL 3.0 never becomes SSL 2.0, nor the other way."""
        await self.refused("sslv3", "sslv2")
        await self.refused("sslv2", "sslv3")

    async def test_a_hello_in_place_of_a_servers(self) -> None:
        """A peer in the middle answers with a hello of SSL: the client of TLS ends."""
        for scheme, said in itertools.product(MODERN, (SSL3_HELLO, SSL2_HELLO)):
            saying = Factory.forProtocol(type("_Saying", (Saying,), {"said": said}))
            port = await self.listening("tcp://127.0.0.1:0", saying)
            endpoint = txtransport.client(self.reactor, f"{scheme}://localhost:{port}", timeout=2)
            with self.assertRaises(HandshakeFailed):
                await endpoint.connect(Factory.forProtocol(Recorder))


class EngineTests(SynchronousTestCase):
    """OpenSSL's engine, given what a peer of SSL would say."""

    @settings(deadline=None)
    @given(
        st.sampled_from((b"", SSL3_HELLO, SSL2_HELLO)),
        st.binary(max_size=80),
        st.sampled_from((Side.CLIENT, Side.SERVER)),
    )
    def test_nothing_leads_to_ssl(self, begin: bytes, rest: bytes, side: Side) -> None:
        """Whatever follows a hello of SSL, the handshake is never complete."""
        policy = client_policy() if side is Side.CLIENT else server_policy()
        creator = creator_for(policy, side)
        self.assertIsInstance(creator, ConnectionCreator)
        engine = creator.new_engine()
        self.assertIsInstance(engine, TLSEngine)
        engine.start()
        self.assertNotIn(Signal.COMPLETE, engine.receive(begin + rest) if begin + rest else [])
        self.assertFalse(engine.is_complete)

    def test_the_code_is_not_even_there(self) -> None:
        """A process whose endpoints are of TLS never imports the code that speaks SSL."""
        code = f"""
import sys
import txtransport
from twisted.internet.testing import MemoryReactorClock
for scheme in {MODERN!r}:
    txtransport.client(MemoryReactorClock(), scheme + "://h:1", cafile={certificates.cafile()!r})
    txtransport.server(MemoryReactorClock(), scheme + "://h:1", local_cert={certificates.site()!r})
print([name for name in sys.modules if "tls.legacy" in name or name.startswith("tlslite")])
"""
        ended = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertEqual(ended.stdout, "[]\n", ended.stderr)
