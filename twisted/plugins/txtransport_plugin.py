"""Registers txtransport's prefixes of endpoint strings with Twisted's plugin system.

Every program that looks for any plugin of Twisted's imports this file, so it
imports the rest of txtransport only when a prefix is used. Twisted's own
prefixes (tcp, ssl, tls, unix) cannot be replaced; for those schemes, write
``transport:tls://host:443``.
"""

from __future__ import annotations

from twisted.internet.interfaces import (
    IReactorCore,
    IStreamClientEndpoint,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.plugin import IPlugin
from zope.interface import implementer


@implementer(
    IPlugin,
    IStreamClientEndpointStringParserWithReactor,
    IStreamServerEndpointStringParser,
)
class _Prefix:
    """One prefix, for clients and servers.

    The reactor is a positional-only argument. So an option in the string that
    is called ``reactor`` (or ``self``) is refused as an unknown option, and is
    no second value for the argument.

    Args:
        prefix: What stands before the first ``:`` of the endpoint string.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def parseStreamClient(  # type: ignore[override]
        self, reactor: IReactorCore, /, *args: object, **kwargs: object
    ) -> IStreamClientEndpoint:
        """The endpoint that ``clientFromString`` returns.

        Args:
            reactor: Connects and keeps time.
            *args: The parts of the string without ``=``; text or bytes.
            **kwargs: The parts with ``=``, split at it.
        """
        from txtransport.endpoints import strings

        return strings.parse_client(reactor, self.prefix, args, kwargs)

    def parseStreamServer(  # type: ignore[override]
        self, reactor: IReactorCore, /, *args: object, **kwargs: object
    ) -> IStreamServerEndpoint:
        """The endpoint that ``serverFromString`` returns; arguments as for a client."""
        from txtransport.endpoints import strings

        return strings.parse_server(reactor, self.prefix, args, kwargs)


# Twisted finds plugins among a module's attributes, so each has a name.
transport = _Prefix("transport")
tlsv1_0 = _Prefix("tlsv1.0")
tlsv1_1 = _Prefix("tlsv1.1")
tlsv1_2 = _Prefix("tlsv1.2")
tlsv1_3 = _Prefix("tlsv1.3")
sslv2 = _Prefix("sslv2")
sslv3 = _Prefix("sslv3")
udp = _Prefix("udp")
fd = _Prefix("fd")
tls_fd = _Prefix("tls+fd")
tls_systemd = _Prefix("tls+systemd")
