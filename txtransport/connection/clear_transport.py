"""The transport behind an ``https://`` proxy, which is TLS with the proxy and not with the peer.

Whatever asks a transport whether it is under TLS means TLS with the peer: `session_of`,
``startTLS()``, Twisted's mail clients, which send a password then. What is carried by TLS
with a proxy is as clear to that proxy, and behind it, as it is over TCP. A `ClearTransport`
passes everything on but this: it provides no ``ISSLTransport``, and has no ``getHandle()``.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IConsumer,
    IProducer,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from zope.interface import implementer

from txtransport.connection.driver import TLSDriver

__all__ = ["ClearTransport"]


@implementer(ITCPTransport, IConsumer, IPushProducer)
class ClearTransport:
    """A connection through TLS with a proxy, for what is behind that proxy.

    Args:
        driver: TLS with the proxy.
    """

    __slots__ = ("_driver",)

    def __init__(self, driver: TLSDriver) -> None:
        self._driver = driver

    @property
    def protocol(self) -> IProtocol | None:
        """What hears the bytes; the name of Twisted's connections (`replace_in_path`)."""
        return self._driver.protocol

    @protocol.setter
    def protocol(self, protocol: IProtocol) -> None:
        self._driver.protocol = protocol

    @property
    def disconnecting(self) -> bool:
        """Whether the close was asked for, and the end is awaited."""
        return self._driver.disconnecting

    def write(self, data: bytes) -> None:
        """Send data."""
        self._driver.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send the chunks as one."""
        self._driver.writeSequence(iovec)

    def loseConnection(self) -> None:
        """Send what was written, and close."""
        self._driver.loseConnection()

    def loseWriteConnection(self) -> None:
        """Close: in TLS, both directions end together."""
        self._driver.loseConnection()

    def abortConnection(self) -> None:
        """End the connection at once."""
        self._driver.abortConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """Let a producer write, as fast as the proxy takes it."""
        self._driver.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """Let the producer go."""
        self._driver.unregisterProducer()

    def pauseProducing(self) -> None:
        """Stop reading."""
        self._driver.pauseProducing()

    def resumeProducing(self) -> None:
        """Read again."""
        self._driver.resumeProducing()

    def stopProducing(self) -> None:
        """Close the connection."""
        self._driver.loseConnection()

    def getHost(self) -> IPv4Address | IPv6Address:
        """Our own address."""
        return self._driver.getHost()

    def getPeer(self) -> IPv4Address | IPv6Address:
        """The address of the first proxy."""
        return self._driver.getPeer()

    def getTcpNoDelay(self) -> bool:
        """Whether small packets are sent at once (TCP_NODELAY)."""
        return self._driver.getTcpNoDelay()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Say whether small packets are sent at once (TCP_NODELAY)."""
        self._driver.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """Whether the system looks if a silent peer is still there (SO_KEEPALIVE)."""
        return self._driver.getTcpKeepAlive()

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Say whether the system looks if a silent peer is still there (SO_KEEPALIVE)."""
        self._driver.setTcpKeepAlive(enabled)
