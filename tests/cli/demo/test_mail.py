"""The mail examples: what client and server say, and how a failure is explained."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from tests.cli.demo.samples import DemoTestCase
from txtransport import Session
from txtransport.cli.demo.mail import (
    MailClient,
    MailConversation,
    MailServer,
    run_mail_example,
    run_mail_examples,
    upgrade_and_submit,
)
from txtransport.cli.demo.report import MailExample
from txtransport.cli.demo.servers import DemoPeer, DemoServers

BEGUN = MailExample("", "tcp://mail.example.com:587", "TLSv1.3")


def said(example: MailExample, is_secure: bool) -> list[str]:
    """The lines of an example, in the clear or under TLS, each with C or S for its sender."""
    return [
        f"{'C' if line.is_client else 'S'}: {line.text}"
        for line in example.lines
        if line.is_secure is is_secure
    ]


UNDER_TLS = [
    "C: EHLO client.example.com",
    "S: 250-mail.example.com",
    "S: 250 AUTH PLAIN",
    "C: MAIL FROM:<someone@example.com>",
    "S: 250 OK",
    "C: QUIT",
    "S: 221 Bye",
]


class MailExamplesTests(DemoTestCase):
    """The three examples."""

    async def test_two_are_secured_and_the_mistake_fails(self) -> None:
        """Two conversations are secured, and the mistake fails for its own reason."""
        examples = await run_mail_examples(self.servers())
        self.assertEqual([example.asked for example in examples if not example.is_right], [])
        self.assertEqual(
            [example.asked.rpartition(".")[2] for example in examples],
            ["com:465", "com:587", "com:587"],
        )

    async def test_implicit_tls_says_nothing_in_the_clear(self) -> None:
        """On port 465 nothing is said in the clear."""
        implicit, *_ = await run_mail_examples(self.servers())
        self.assertEqual(said(implicit, is_secure=False), [])
        self.assertEqual(
            said(implicit, is_secure=True), ["S: 220 mail.example.com ESMTP", *UNDER_TLS]
        )

    async def test_starttls_begins_anew_under_tls(self) -> None:
        """On port 587 client and server agree on TLS in the clear, and begin anew under it."""
        _, upgraded, _ = await run_mail_examples(self.servers())
        self.assertEqual(
            said(upgraded, is_secure=False),
            [
                "S: 220 mail.example.com ESMTP",
                "C: EHLO client.example.com",
                "S: 250-mail.example.com",
                "S: 250 STARTTLS",
                "C: STARTTLS",
                "S: 220 Go ahead",
            ],
        )
        self.assertEqual(said(upgraded, is_secure=True), UNDER_TLS)
        assert upgraded.session is not None
        self.assertEqual(upgraded.session.server_name, "mail.example.com")

    async def test_the_mistake_is_explained(self) -> None:
        """The error of TLS to the port for STARTTLS says what answered there, and what to use."""
        _, upgraded, mistake = await run_mail_examples(self.servers())
        assert mistake.dialled is not None and upgraded.dialled is not None
        self.assertEqual(mistake.dialled.port, upgraded.dialled.port)
        self.assertEqual((mistake.cause, mistake.lines), ("plaintext-peer", ()))
        for words in ("plain-text SMTP server", "220 mail.example.com", "port 465"):
            self.assertIn(words, mistake.explanation)


class MailExampleTests(DemoTestCase):
    """A failure becomes part of the example."""

    async def example(
        self,
        converse: MailConversation,
        build: Callable[[], DemoPeer] | None = None,
        wait: float = 2.0,
    ) -> MailExample:
        """Run an example with the demo's server, in the clear, or with another."""
        servers = self.servers(wait=wait)
        place = await servers.serve("tcp", build or partial(MailServer, servers.local_cert))
        return await run_mail_example(servers, evolve(BEGUN, dialled=place), converse)

    async def test_server_takes_no_mail_in_the_clear(self) -> None:
        """The server takes no mail in the clear, and refuses commands that it does not know."""

        async def converse(servers: DemoServers, client: MailClient) -> None:
            await servers.within_deadline(client.next_reply())
            for command in ("mail from:<>", "VRFY", "quit"):
                client.send_command(command)
                await servers.within_deadline(client.next_reply())
            await servers.within_deadline(client.gone)

        self.assertEqual(
            said(await self.example(converse), is_secure=False)[1:],
            [
                "C: mail from:<>",
                "S: 530 Must issue a STARTTLS command first",
                "C: VRFY",
                "S: 502 Command not implemented",
                "C: quit",
                "S: 221 Bye",
            ],
        )

    async def test_conversation_without_tls_is_wrong(self) -> None:
        """A conversation that never came to TLS is wrong."""

        async def converse(servers: DemoServers, client: MailClient) -> None:
            await servers.within_deadline(client.next_reply())

        example = await self.example(converse)
        self.assertEqual((example.result, example.is_right), ("plain", False))

    async def test_unexpected_reply_ends_the_example(self) -> None:
        """An unexpected reply ends the example, which keeps what was said."""

        class Busy(MailServer):
            def connectionMade(self) -> None:
                DemoPeer.connectionMade(self)
                self.write_line("421 Busy \xe9")

        example = await self.example(upgrade_and_submit, partial(Busy, ""))
        self.assertEqual((example.cause, example.is_right), ("UnexpectedReply", False))
        self.assertIn("421 Busy", example.explanation)
        self.assertEqual([line.text for line in example.lines], ["421 Busy \\xc3\\xa9"])

    async def test_silence_ends_the_example(self) -> None:
        """A server that says nothing ends the example after the time limit."""
        example = await self.example(upgrade_and_submit, DemoPeer, wait=0.1)
        self.assertEqual((example.cause, example.lines), ("TimeoutError", ()))

    async def test_server_with_another_name_is_refused(self) -> None:
        """A server whose certificate is for another name is found out, and example nothing."""

        async def converse(servers: DemoServers, client: MailClient) -> Session:
            await servers.within_deadline(client.next_reply())
            client.send_command("STARTTLS")
            await servers.within_deadline(client.next_reply())
            return await servers.within_deadline(client.upgrade(servers.cafile, "other.example"))

        example = await self.example(converse)
        self.assertEqual((example.cause, example.is_right), ("wrong-name", False))
        self.assertEqual(said(example, is_secure=True), [])

    async def test_nothing_may_follow_starttls(self) -> None:
        """A client that sends more behind STARTTLS is cut off, and no error is logged."""

        async def converse(servers: DemoServers, client: MailClient) -> None:
            await servers.within_deadline(client.next_reply())
            client.send_command("STARTTLS\r\nMAIL FROM:<injected@example.com>")
            await servers.within_deadline(client.gone)

        example = await self.example(converse)
        self.assertEqual(
            [line for line in said(example, is_secure=False) if "S: 2" in line][1:], []
        )

    async def test_cancelling_is_not_failing(self) -> None:
        """A cancelled example raises, and is no failure, so that the demo ends at once."""

        async def converse(servers: DemoServers, client: MailClient) -> None:
            await servers.within_deadline(client.next_reply())
            self.reactor.callLater(0, running.cancel)
            await client.next_reply()

        running = Deferred.fromCoroutine(self.example(converse))
        with self.assertRaises(CancelledError):
            await running
