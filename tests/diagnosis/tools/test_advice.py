"""The options of other tools that do what a remedy says."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.diagnosis.tools.test_known import LINES
from txtransport.config.options import OPTIONS
from txtransport.diagnosis.explain import ALL_ROWS, explain
from txtransport.diagnosis.tools.advice import IN_TOOL, in_tool


class InToolTests(SynchronousTestCase):
    """The table of options, by the remedy and by the tool."""

    def test_a_remedy_comes_with_the_tool_s_own_option(self) -> None:
        """With a remedy that says cafile=FILE, a user of curl reads --cacert FILE."""
        for line, option in (
            ("curl: (60) unable to get local issuer certificate", "--cacert FILE"),
            ("fatal: server certificate verification failed. CAfile: none CRLfile: none",
             "git -c http.sslCAInfo=FILE, wget --ca-certificate=FILE"),
            ("x509: certificate is valid for a, not b", "ServerName in tls.Config"),
            ("curl: (56) tlsv13 alert certificate required", "--cert FILE --key FILE"),
        ):  # fmt: skip
            self.assertEqual(explain(line)[0].in_tool, option)

    def test_no_option_is_named_where_it_would_not_help(self) -> None:
        """Where the remedy names none of those options, none of the tool is named."""
        for line in (
            "[SSL: HTTP_REQUEST] http request (_ssl.c:1006)",
            "x509: certificate relies on legacy Common Name field, use SANs instead",
            "tls: client didn't provide a certificate",
            "curl: (60) SSL certificate problem: certificate has expired",
        ):
            self.assertEqual(explain(line)[0].in_tool, "", line)

    def test_a_tool_without_such_an_option_is_told_nothing(self) -> None:
        """For a tool without such an option, the text is empty."""
        self.assertEqual(in_tool("Say cafile=FILE", "nginx"), "")

    def test_every_option_and_tool_of_the_table_exists(self) -> None:
        """Each option of the table is one of ours and is in some remedy; each tool has lines."""
        for option, by_tool in IN_TOOL.items():
            self.assertIn(option.partition("=")[0], OPTIONS)
            self.assertTrue(any(option in row.diagnosis.remedy for row in ALL_ROWS), option)
            self.assertLessEqual({*by_tool}, {*LINES})
