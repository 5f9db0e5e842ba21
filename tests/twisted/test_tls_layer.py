"""Twisted's own tests of its TLS layer, run against ours (`tests.twisted.tls_layer`)."""

from __future__ import annotations

import inspect
from typing import Any, Final

from attrs import frozen
from twisted.protocols.test import test_tls
from twisted.trial.util import suppress

from tests.twisted.tls_layer import Layer, LayerFactory, Partners


@frozen
class Skip:
    """Why tests of Twisted's cannot hold.

    Attributes:
        reason: The reason.
        tests: Their names.
    """

    reason: str
    tests: frozenset[str]


# Twisted 24 and older end this test by counting what their own layer logs.
_COUNTING: Final = "test_writeUnicodeRaisesTypeError"
_IS_COUNTING: Final = not inspect.iscoroutinefunction(
    getattr(test_tls.TLSMemoryBIOTests, _COUNTING)
)

SKIPS: Final = (
    Skip(
        "the test counts what Twisted's own layer logs",
        frozenset({_COUNTING} if _IS_COUNTING else ()),
    ),
    Skip(
        "our layer builds and connects the protocol when the peer is verified, and not before",
        frozenset({
            "test_makeConnection", "test_disorderlyShutdown",
            "test_streamingProducerPausedInWriteBlockedOnReadMode",
            "test_streamingProducerResumedInWriteBlockedOnReadMode",
        }),
    ),
    Skip(
        "the test asks the server for what a protocol has in connectionMade; the client, "
        "which aborts, ends the handshake before the server's protocol is connected",
        frozenset({"test_handshakeStopWriting"}),
    ),
    Skip(
        "after loseConnection() our layer delivers nothing, as plain TCP does",
        frozenset({"test_loseConnectionAfterHandshake"}),
    ),
    Skip(
        "our layer explains a failed handshake by an error of its own",
        frozenset({"test_handshakeFailure"}),
    ),
    Skip(
        "our layer says itself what it provides: the plain transport may provide more, such "
        "as ITLSTransport, which under TLS is wrong",
        frozenset({"test_wrappedProtocolInterfaces"}),
    ),
    Skip(
        "our layer stops the producer itself at the end of the connection",
        frozenset({"test_streamingProducerStopProducing"}),
    ),
    Skip(
        "the test looks into Twisted's layer; tests/connection has the same of ours",
        frozenset({
            "test_connectionLostOnlyAfterUnderlyingCloses", "test_errorWriting",
            "test_loseConnectionAfterConnectionLost", "test_loseConnectionTwice",
            "test_nonStreamingProducer", "test_streamingProducerPausedInNormalMode",
            "test_streamingProducerResumedInNormalMode",
        }),
    ),
    Skip(
        "a policy takes the place of a context",
        frozenset({"test_brokenContextFactoryErrors", "test_maximumCompatibilityWarning"}),
    ),
)  # fmt: skip
"""Tests that cannot hold for our layer."""


def adapted(case: type) -> Any:
    """A test case of Twisted's in which the layer is ours.

    Args:
        case: The test case.
    """

    def setUp(self: Any) -> None:
        super(made, self).setUp()
        self.patch(test_tls, "TLSMemoryBIOFactory", LayerFactory)
        self.patch(test_tls, "TLSMemoryBIOProtocol", Layer)
        self.patch(test_tls, "buildTLSProtocol", Partners())

    made: Any = type(case.__name__, (case,), {"__module__": __name__, "setUp": setUp})
    # Twisted makes the tests' certificates by what pyOpenSSL would like to remove.
    made.suppress = [suppress(message="Passing pyOpenSSL", category=DeprecationWarning)]
    for row in SKIPS:
        for name in row.tests & set(dir(made)):
            setattr(made, name, _skipped(row.reason))
    return made


def _skipped(reason: str) -> Any:
    def test(self: object) -> None:
        """Is skipped."""

    test.skip = reason  # type: ignore[attr-defined]
    return test


DeterministicTests = adapted(test_tls.DeterministicTLSMemoryBIOTests)
LayerTests = adapted(test_tls.TLSMemoryBIOTests)
ProducerTests = adapted(test_tls.TLSProducerTests)
