"""The transport under the wrappers: who is there, and can TLS begin?"""

from __future__ import annotations

from typing import Any, cast

from attrs import define
from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import ClientContextFactory
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase

from txtransport.errors import AlreadySecure, UpgradeError
from txtransport.upgrade.base_transport import (
    base_transport,
    describe_peer,
    is_client,
    is_under_tls,
    require_startable,
)


@define
class Peer:
    """A transport that has nothing but its peer's address."""

    address: Any

    def getPeer(self) -> Any:
        """The address."""
        return self.address


def wrapped(transport: Any) -> Any:
    """Put a transport under two wrappers; the outer wrapper."""
    for _ in range(2):
        wrapper = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
        wrapper.transport = transport
        transport = wrapper
    return transport


class BaseTransportTests(SynchronousTestCase):
    """What can be learnt from the transport under the wrappers."""

    def test_base_transport_is_found_under_wrappers(self) -> None:
        """However many wrappers there are, the transport beneath them is found."""
        transport = StringTransport()
        self.assertIs(base_transport(wrapped(transport)), transport)
        self.assertIs(base_transport(transport), transport)

    def test_implicit_tls_is_detected(self) -> None:
        """TLS among the wrappers is detected, and cannot be started again."""
        factory = TLSMemoryBIOFactory(ClientContextFactory(), True, Factory())
        tls = TLSMemoryBIOProtocol(factory, Protocol())
        tls.transport = cast(Any, StringTransport())
        self.assertTrue(is_under_tls(wrapped(tls)))
        self.assertFalse(is_under_tls(wrapped(StringTransport())))
        self.assertRaises(AlreadySecure, require_startable, wrapped(tls))

    def test_transport_that_cannot_start_tls_is_refused(self) -> None:
        """A transport in memory has no TLS; the error names its type."""
        error = self.assertRaises(UpgradeError, require_startable, StringTransport())
        self.assertIn("StringTransport", str(error))

    def test_role_is_that_of_tcp(self) -> None:
        """A TCP client, a TCP server, and a transport that is neither."""
        client = tcp.Client.__new__(tcp.Client)
        server = tcp.Server.__new__(tcp.Server)
        self.assertEqual(
            [is_client(wrapped(each)) for each in (client, server, StringTransport())],
            [True, False, None],
        )

    def test_description_names_the_peer(self) -> None:
        """The description has the peer's address, in brackets if it is IPv6, and its name."""
        rows = {
            IPv4Address("TCP", "192.0.2.1", 25): "tcp://192.0.2.1:25: STARTTLS",
            IPv6Address("TCP", "::1", 25): "tcp://[::1]:25: STARTTLS",
            IPv6Address("TCP", "fe80::1%eth0", 25): "tcp://[fe80::1%25eth0]:25: STARTTLS",
            UNIXAddress("/run/x y"): "unix:///run/x%20y: STARTTLS",
            UNIXAddress(None): "unix://…: STARTTLS",
        }
        for address, text in rows.items():
            self.assertEqual(describe_peer(Peer(address)), text)
        peer = Peer(IPv4Address("TCP", "192.0.2.1", 25))
        self.assertEqual(
            describe_peer(peer, "mx.example"), "tcp://192.0.2.1:25: STARTTLS with mx.example"
        )
