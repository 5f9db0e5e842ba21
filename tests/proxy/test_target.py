"""Where a proxy is asked to connect to."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txtransport.proxy.target import Credentials, Target


class TargetTests(SynchronousTestCase):
    """Targets and logins."""

    def test_an_address_of_ipv6_stands_in_brackets(self) -> None:
        """A target is written as the authority of a URL."""
        self.assertEqual(str(Target("2001:db8::7", 443)), "[2001:db8::7]:443")
        self.assertEqual(str(Target("192.0.2.7", 443)), "192.0.2.7:443")
        self.assertEqual(str(Target("h.example", 1)), "h.example:1")

    def test_a_representation_shows_no_password(self) -> None:
        """A password stays out of logs and tracebacks."""
        self.assertEqual(
            repr(Credentials("user", "hunter2")), "Credentials(user='user', password=***)"
        )
