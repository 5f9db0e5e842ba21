"""How tools are told what a remedy says."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.diagnosis.tools.test_known import LINES
from txtransport.config.options import OPTIONS
from txtransport.diagnosis.explain import ALL_ROWS, explain
from txtransport.diagnosis.tools.advice import IN_TOOL, in_tool


class InToolTests(SynchronousTestCase):
    """The table of ways."""

    def test_the_tool_of_the_line(self) -> None:
        """A remedy that names an authority says how that tool takes one."""
        for line, way in (
            ("curl: (60) unable to get local issuer certificate", "--cacert FILE"),
            ("fatal: server certificate verification failed. CAfile: none CRLfile: none",
             "git -c http.sslCAInfo=FILE, wget --ca-certificate=FILE"),
            ("x509: certificate is valid for a, not b", "ServerName in tls.Config"),
            ("curl: (56) tlsv13 alert certificate required", "--cert FILE --key FILE"),
        ):  # fmt: skip
            self.assertEqual(explain(line)[0].in_tool, way)

    def test_nothing_that_does_not_help(self) -> None:
        """Where the remedy is another, no option of the tool is named."""
        for line in (
            "[SSL: HTTP_REQUEST] http request (_ssl.c:1006)",
            "x509: certificate relies on legacy Common Name field, use SANs instead",
            "tls: client didn't provide a certificate",
            "curl: (60) SSL certificate problem: certificate has expired",
        ):
            self.assertEqual(explain(line)[0].in_tool, "", line)

    def test_tools_without_a_way(self) -> None:
        """A tool that has no such option is told nothing."""
        self.assertEqual(in_tool("Say cafile=FILE", "nginx"), "")

    def test_the_keys(self) -> None:
        """Each option is one of ours and stands in some remedy; each tool has known lines."""
        for option, ways in IN_TOOL.items():
            self.assertIn(option.partition("=")[0], OPTIONS)
            self.assertTrue(any(option in row.diagnosis.remedy for row in ALL_ROWS), option)
            self.assertLessEqual({*ways}, {*LINES})
