"""What an upgrade learns from Twisted's TLS layer, and that it is learnt in one place."""

from __future__ import annotations

import ast
import gc
import weakref
from typing import Any, cast

from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IOpenSSLServerConnectionCreator,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, providedBy
from zope.interface.verify import verifyObject

from tests.test_layout import sources
from txtransport.config.policy import Side, TLSPolicy
from txtransport.config.settings import Deadlines
from txtransport.connection.attempt import ConnectionAttempt, EndpointConfig
from txtransport.tls.connection import ObservedConnection
from txtransport.tls.creator import connection_creator
from txtransport.upgrade.twisted_layer import ConnectionMaker, keep_declarations, observe_end

REPLACING = {"upgrade/twisted_layer.py"}

METHODS = {
    "abortConnection",
    "connectionLost",
    "connectionMade",
    "dataReceived",
    "getHandle",
    "loseConnection",
    "registerProducer",
    "startTLS",
    "unregisterProducer",
    "write",
    "writeSequence",
}


def replaces_methods(source: str) -> bool:
    """Whether a module assigns to a method of another object's."""
    return any(
        isinstance(target, ast.Attribute) and target.attr in METHODS
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assign)
        for whole in node.targets
        for target in (whole.elts if isinstance(whole, ast.Tuple) else [whole])
    )


class Layer:
    """In place of Twisted's TLS layer; records what it is told."""

    disconnecting = False

    def __init__(self) -> None:
        self.heard: list[str] = []

    def loseConnection(self) -> None:
        self.heard.append("lose")

    def connectionLost(self, reason: Failure) -> None:
        self.heard.append("lost")


class ReplacementTests(SynchronousTestCase):
    """The methods that are replaced."""

    def test_methods_of_others_are_replaced_in_one_module(self) -> None:
        """Nowhere else is a method of Twisted's replaced on an instance."""
        found = {path for path, source in sources().items() if replaces_methods(source)}
        self.assertEqual(found, REPLACING)

    def test_a_replaced_method_is_seen(self) -> None:
        """An assignment to a method is noticed, also one of several; a call is none."""
        self.assertTrue(replaces_methods("layer.write = write"))
        self.assertTrue(replaces_methods("a.x, layer.transport.loseConnection = 1, lose"))
        self.assertFalse(replaces_methods("layer.write(b'')\nself.heard = layer.write"))

    def test_twisted_has_the_methods_that_are_replaced(self) -> None:
        """They are methods of the layer's class, which nothing on an instance hides."""
        for name in ("connectionLost", "dataReceived", "loseConnection"):
            self.assertTrue(callable(getattr(TLSMemoryBIOProtocol, name)), name)

    def test_the_end_is_told_before_the_layer_hears_of_it(self) -> None:
        """Both events reach the layer, and the observer."""
        layer: Any = Layer()
        reason = Failure(ConnectionAborted())
        observe_end(
            layer,
            lambda: layer.heard.append("closing"),
            lambda why: layer.heard.append(type(why.value).__name__),
        )
        layer.loseConnection()
        layer.connectionLost(reason)
        self.assertEqual(layer.heard, ["lose", "closing", "ConnectionAborted", "lost"])


class MakerTests(SynchronousTestCase):
    """What Twisted's ``startTLS()`` takes for a context."""

    def test_each_request_gets_a_connection_of_its_own(self) -> None:
        """Twisted's TLS layer gets a new connection, which the attempt knows."""
        creator = connection_creator(TLSPolicy(peer_name="localhost"), Side.CLIENT)
        config = EndpointConfig(Clock(), "tcp://h:1", None, Side.CLIENT, creator, Deadlines())
        attempt = ConnectionAttempt(config, 1)
        maker = ConnectionMaker(attempt)
        for interface in (IOpenSSLClientConnectionCreator, IOpenSSLServerConnectionCreator):
            self.assertTrue(verifyObject(interface, maker))
        one = maker.clientConnectionForTLS(Layer())
        self.assertIs(attempt.connection, one)
        other = maker.serverConnectionForTLS(Layer())
        self.assertIsInstance(other, ObservedConnection)
        self.assertIsNot(one, other)
        self.assertIs(attempt.outgoing, other.outgoing)

    def test_a_close_notify_of_the_peer_starts_the_deadline(self) -> None:
        """Our answer starts it, unless we have closed before, which has started it already."""
        creator = connection_creator(TLSPolicy(peer_name="localhost"), Side.CLIENT)
        for is_ours, expected in ((False, True), (True, False)):
            config = EndpointConfig(Clock(), "tcp://h:1", None, Side.CLIENT, creator, Deadlines())
            attempt = ConnectionAttempt(config, 1)
            layer = Layer()
            layer.disconnecting = is_ours
            connection = ConnectionMaker(attempt).clientConnectionForTLS(layer)
            on_close: Any = connection.on_close
            on_close()
            self.assertIs(attempt.is_closing, expected)

    def test_an_attempt_that_is_over_explains_nothing_twice(self) -> None:
        """What comes after the end is told as it is."""
        config = EndpointConfig(Clock(), "tcp://h:1", None, Side.CLIENT, None, Deadlines())
        attempt = ConnectionAttempt(config, 1)
        attempt.give_up()
        reason = Failure(ConnectionDone())
        self.assertIs(attempt.ended(reason), reason)


class DeclarationTests(SynchronousTestCase):
    """zope's declarations of what Twisted's layers provide."""

    def test_they_live_as_long_as_the_process(self) -> None:
        """A layer's declaration is the one that an earlier, forgotten layer had."""

        class Layered(TLSMemoryBIOProtocol):
            def __init__(self, transport: Any) -> None:
                for interface in providedBy(transport):
                    directlyProvides(self, interface)
                self.transport = transport

        first = Layered(StringTransport())
        declaration = weakref.ref(vars(first)["__provides__"])
        keep_declarations(cast("Any", first))
        del first
        gc.collect()
        again = Layered(StringTransport())
        self.assertIs(vars(again)["__provides__"], declaration())
