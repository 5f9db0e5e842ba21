"""Twisted's tests of a connection, of its end and of its abort."""

from __future__ import annotations

from twisted.internet.test.connectionmixins import ConnectionTestsMixin
from twisted.internet.test.test_tcp import AbortConnectionMixin

from tests.twisted.pairs import make_test_cases


class Connections(ConnectionTestsMixin, AbortConnectionMixin):
    """Both mixins take their endpoints from a pair as it is."""


globals().update(make_test_cases(Connections))
