"""Names for Twisted: the prefixes of endpoint strings that are txtransport's.

Every program that looks for a plugin imports this file, so it knows names and
nothing else; whoever uses one pays for the rest. Twisted's own prefixes (tcp,
ssl, tls, unix) cannot be had: ``transport:tls://host:443`` is the way to them.
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
    """One prefix, for both sides.

    The reactor is positional only, so that an option may be called ``reactor``
    (or ``self``) and be refused as unknown instead of as a second argument.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def parseStreamClient(  # type: ignore[override]
        self, reactor: IReactorCore, /, *args: object, **kwargs: object
    ) -> IStreamClientEndpoint:
        """The endpoint that ``clientFromString`` gives."""
        from txtransport.endpoints import strings

        return strings.parse_client(reactor, self.prefix, args, kwargs)

    def parseStreamServer(  # type: ignore[override]
        self, reactor: IReactorCore, /, *args: object, **kwargs: object
    ) -> IStreamServerEndpoint:
        """The endpoint that ``serverFromString`` gives."""
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
