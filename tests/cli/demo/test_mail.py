"""The mail story, told by the conversations themselves."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import evolve
from twisted.internet.defer import CancelledError, Deferred

from tests.cli.demo.samples import StageTestCase
from txtransport import Session
from txtransport.cli.demo.mail import MailDialogue, Mailer, Submission, scene, story, upgraded
from txtransport.cli.demo.report import MailExample
from txtransport.cli.demo.servers import DemoPeer, DemoServers

BEGUN = MailExample("", "tcp://mail.example.com:587", "TLSv1.3")


def said(told: MailExample, is_secure: bool) -> list[str]:
    """A scene's lines, in the clear or under TLS; who said it stands in front."""
    return [
        f"{'C' if line.is_client else 'S'}: {line.text}"
        for line in told.lines
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


class StoryTests(StageTestCase):
    """The three scenes."""

    async def test_all_goes_as_it_should(self) -> None:
        """Two conversations are secured, and the mistake fails for its own reason."""
        scenes = await story(self.stage())
        self.assertEqual([told.asked for told in scenes if not told.is_right], [])
        self.assertEqual(
            [told.asked.rpartition(".")[2] for told in scenes], ["com:465", "com:587", "com:587"]
        )

    async def test_implicit_tls(self) -> None:
        """On port 465 nothing is said in the clear."""
        implicit, *_ = await story(self.stage())
        self.assertEqual(said(implicit, is_secure=False), [])
        self.assertEqual(
            said(implicit, is_secure=True), ["S: 220 mail.example.com ESMTP", *UNDER_TLS]
        )

    async def test_starttls(self) -> None:
        """On port 587 the two agree in the clear, and begin anew under TLS."""
        _, upgraded, _ = await story(self.stage())
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
        """TLS to the port for STARTTLS tells what answered there, and what to use."""
        _, upgraded, mistake = await story(self.stage())
        assert mistake.dialled is not None and upgraded.dialled is not None
        self.assertEqual(mistake.dialled.port, upgraded.dialled.port)
        self.assertEqual((mistake.cause, mistake.lines), ("plaintext-peer", ()))
        for words in ("plain-text SMTP server", "220 mail.example.com", "port 465"):
            self.assertIn(words, mistake.explanation)


class SceneTests(StageTestCase):
    """What goes wrong is part of the scene."""

    async def played(
        self, play: MailDialogue, build: Callable[[], DemoPeer] | None = None, wait: float = 2.0
    ) -> MailExample:
        """What comes of a client's part, with the story's server in the clear or another."""
        stage = self.stage(wait=wait)
        place = await stage.serve("tcp", build or partial(Submission, stage.local_cert))
        return await scene(stage, evolve(BEGUN, dialled=place), play)

    async def test_the_server_has_its_rules(self) -> None:
        """Mail is not taken in the clear, and what the server does not know it refuses."""

        async def play(stage: DemoServers, mailer: Mailer) -> None:
            await stage.within_deadline(mailer.reply())
            for command in ("mail from:<>", "VRFY", "quit"):
                mailer.say(command)
                await stage.within_deadline(mailer.reply())
            await stage.within_deadline(mailer.gone)

        self.assertEqual(
            said(await self.played(play), is_secure=False)[1:],
            [
                "C: mail from:<>",
                "S: 530 Must issue a STARTTLS command first",
                "C: VRFY",
                "S: 502 Not in this story",
                "C: quit",
                "S: 221 Bye",
            ],
        )

    async def test_without_tls_it_is_wrong(self) -> None:
        """A conversation that never came to TLS is no success."""

        async def play(stage: DemoServers, mailer: Mailer) -> None:
            await stage.within_deadline(mailer.reply())

        told = await self.played(play)
        self.assertEqual((told.result, told.is_right), ("plain", False))

    async def test_another_reply_ends_the_scene(self) -> None:
        """A server that says something else ends the scene, which keeps what was said."""

        class Busy(Submission):
            def connectionMade(self) -> None:
                DemoPeer.connectionMade(self)
                self.write_line("421 Busy \xe9")

        told = await self.played(upgraded, partial(Busy, ""))
        self.assertEqual((told.cause, told.is_right), ("UnexpectedReply", False))
        self.assertIn("421 Busy", told.explanation)
        self.assertEqual([line.text for line in told.lines], ["421 Busy \\xc3\\xa9"])

    async def test_silence_ends_the_scene(self) -> None:
        """A server that says nothing is not waited for."""
        told = await self.played(upgraded, DemoPeer, wait=0.1)
        self.assertEqual((told.cause, told.lines), ("TimeoutError", ()))

    async def test_an_upgrade_that_fails(self) -> None:
        """A server whose certificate is for another name is found out, and told nothing."""

        async def play(stage: DemoServers, mailer: Mailer) -> Session:
            await stage.within_deadline(mailer.reply())
            mailer.say("STARTTLS")
            await stage.within_deadline(mailer.reply())
            return await stage.within_deadline(mailer.upgrade(stage.cafile, "other.example"))

        told = await self.played(play)
        self.assertEqual((told.cause, told.is_right), ("wrong-name", False))
        self.assertEqual(said(told, is_secure=True), [])

    async def test_nothing_follows_starttls(self) -> None:
        """Whoever pipelines behind STARTTLS is cut off, and that is no error in the log."""

        async def play(stage: DemoServers, mailer: Mailer) -> None:
            await stage.within_deadline(mailer.reply())
            mailer.say("STARTTLS\r\nMAIL FROM:<injected@example.com>")
            await stage.within_deadline(mailer.gone)

        told = await self.played(play)
        self.assertEqual([line for line in said(told, is_secure=False) if "S: 2" in line][1:], [])

    async def test_cancelling_is_not_failing(self) -> None:
        """A scene that is cancelled is no scene, so that the demo ends at once."""

        async def play(stage: DemoServers, mailer: Mailer) -> None:
            await stage.within_deadline(mailer.reply())
            self.reactor.callLater(0, playing.cancel)
            await mailer.reply()

        playing = Deferred.fromCoroutine(self.played(play))
        with self.assertRaises(CancelledError):
            await playing
