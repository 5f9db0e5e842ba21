"""Factories that know which application protocols (ALPN) theirs are."""

from __future__ import annotations

from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Factory
from twisted.protocols.policies import TimeoutFactory, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import txtransport
from tests.loopback import NegotiatingRecorders
from txtransport.connection.application_protocols import acceptable_protocols
from txtransport.errors import InvalidOption


@implementer(IProtocolNegotiationFactory)
class OfItsOwn(WrappingFactory):
    """A wrapping factory that has an answer of its own."""

    def acceptableProtocols(self) -> list[bytes]:
        return [b"imap"]


class AcceptableProtocolsTests(SynchronousTestCase):
    """Which factories are asked."""

    def test_a_factory_is_asked(self) -> None:
        """The factory's names are offered in its order."""
        self.assertEqual(acceptable_protocols(NegotiatingRecorders()), (b"h2", b"http/1.1"))

    def test_wrapping_factories_are_looked_through(self) -> None:
        """Twisted's limits and our guard do not hide what the factory within them speaks."""
        inner = NegotiatingRecorders()
        for factory in (
            WrappingFactory(inner),
            TimeoutFactory(txtransport.guard(inner)),
        ):
            self.assertEqual(acceptable_protocols(factory), (b"h2", b"http/1.1"))

    def test_the_outermost_answer_counts(self) -> None:
        """A wrapping factory that gives an answer is asked, and not the one within it."""
        factory = OfItsOwn(NegotiatingRecorders())
        self.assertEqual(acceptable_protocols(factory), (b"imap",))

    def test_other_factories_have_none(self) -> None:
        """A factory that does not know of application protocols leads to none."""
        for factory in (Factory(), WrappingFactory(Factory()), None):
            self.assertEqual(acceptable_protocols(factory), ())

    def test_an_answer_that_cannot_go_over_the_wire_names_the_factory(self) -> None:
        """Text, empty and overlong names and no list at all are refused with a reason."""
        for answer in (["h2"], [b""], [b"x" * 256], [b"h2", None], b"h2", None):
            factory = NegotiatingRecorders()
            self.patch(factory, "acceptableProtocols", lambda answer=answer: answer)
            with self.assertRaises(InvalidOption) as refusal:
                acceptable_protocols(factory)
            self.assertEqual(refusal.exception.option, "alpn_protocols")
            self.assertIn("of NegotiatingRecorders returned", str(refusal.exception))
