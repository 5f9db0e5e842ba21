"""Local sockets: who may connect is what the URL says, from the first moment on."""

from __future__ import annotations

import errno
import os
import socket
import stat
from pathlib import Path
from typing import Any, Final

from twisted.internet.error import CannotListenError, ConnectError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from txtransport.endpoints import local
from txtransport.endpoints.network_errors import NetworkError
from txtransport.errors import InvalidOption

OWN_USER: Final = os.getuid()
OWN_GROUP: Final = os.getgid()


def rights(path: str) -> int:
    """The rights of a file."""
    return stat.S_IMODE(os.stat(path).st_mode)


class StartingFactory(Recorders):
    """A factory that notes the process's umask when it is started."""

    def __init__(self) -> None:
        super().__init__()
        self.umasks: list[int] = []

    def startFactory(self) -> None:
        self.umasks.append(os.umask(0))
        os.umask(self.umasks[-1])


class SwappingReactor:
    """A reactor with which someone replaces the file of each new local socket.

    Args:
        reactor: Listens.
        replace: Makes the new file: ``os.symlink`` or ``os.link``.
        existing: What the new file leads to.
    """

    def __init__(self, reactor: Any, replace: Any, existing: str) -> None:
        self._reactor, self._replace, self._existing = reactor, replace, existing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUNIX(self, path: str, *arguments: Any) -> Any:
        port = self._reactor.listenUNIX(path, *arguments)
        os.unlink(path)
        self._replace(self._existing, path)
        return port


class RightsTests(LoopbackTestCase):
    """The file of a local socket, and its rights."""

    async def served_at(self, path: str, query: str = "", factory: Any = None) -> IListeningPort:
        """A port at a path, until the test is over."""
        endpoint = txtransport.server(self.reactor, f"unix://{path}{query}")
        port = await endpoint.listen(factory or Recorders())
        self.adopt(port)
        return port

    def seen(self) -> list[int]:
        """The rights that a file has whenever they, or its owner, are about to change."""
        seen: list[int] = []
        change_mode, change_owner = os.chmod, os.chown

        def chmod(path: Any, mode: int, **keywords: Any) -> None:
            seen.append(rights(path))
            change_mode(path, mode, **keywords)

        def chown(path: Any, user: int, group: int, **keywords: Any) -> None:
            seen.append(rights(path))
            change_owner(path, user, group, **keywords)

        self.patch(os, "chmod", chmod)
        self.patch(os, "chown", chown)
        return seen

    def without_umask(self) -> None:
        """Let the process hide no rights of new files, until the test is over."""
        self.addCleanup(os.umask, os.umask(0))

    async def test_only_the_own_user_may_connect_by_default(self) -> None:
        """The rights are 0600 in the clear and under TLS, whatever the process's umask is."""
        self.without_umask()
        for scheme, options in (("unix", {}), ("tls+unix", {"local_cert": certificates.site()})):
            path = self.socket_path()
            await self.listening(f"{scheme}://{path}", Recorders(), **options)
            self.assertEqual(rights(path), 0o600)

    async def test_the_rights_are_those_of_the_url(self) -> None:
        """``mode`` is what it says, also where the umask would take rights away."""
        self.addCleanup(os.umask, os.umask(0o077))
        for query, expected in (("?mode=0660", 0o660), ("?mode=666", 0o666), ("?mode=000", 0)):
            path = self.socket_path()
            await self.served_at(path, query)
            self.assertEqual(rights(path), expected)

    async def test_the_rights_are_at_no_moment_wider(self) -> None:
        """From bind() on nobody may connect who may not in the end."""
        self.without_umask()
        seen = self.seen()
        own = f"&user={OWN_USER}&group={OWN_GROUP}"
        for mode in (0o600, 0o660, 0o060, 0o666, 0):
            for owners in ("", own):
                seen.clear()
                path = self.socket_path()
                await self.served_at(path, f"?mode={mode:04o}{owners}")
                self.assertEqual(rights(path), mode)
                self.assertTrue(seen)
                # Until the file has its owners, only the process's own user has rights.
                self.assertEqual([each & ~(mode & 0o600) for each in seen], [0] * len(seen))

    async def test_the_file_belongs_to_user_and_group(self) -> None:
        """``user`` and ``group`` are names or numbers, and either may be left out."""
        asked: list[tuple[int, int]] = []
        self.patch(os, "chown", lambda path, user, group, **keywords: asked.append((user, group)))
        for query in ("?user=root", "?group=0", "?user=7&group=8", "?mode=0600"):
            await self.served_at(self.socket_path(), query)
        self.assertEqual(asked, [(0, -1), (-1, 0), (7, 8)])

    async def test_a_file_that_cannot_be_given_away_is_an_error(self) -> None:
        """If the owner cannot be set, the server does not listen, and no file stays behind."""

        def refuse(*arguments: object, **keywords: object) -> None:
            raise PermissionError(errno.EPERM, "Operation not permitted")

        self.patch(os, "chown", refuse)
        path = self.socket_path()
        endpoint: Any = txtransport.server(self.reactor, f"unix://{path}?user=7")
        factory = Recorders()
        error: Any = await self.assertFailure(endpoint.listen(factory), CannotListenError)
        self.assertEqual((error.cause, error.socketError.errno), ("not-permitted", errno.EPERM))
        await self.turn()
        self.assertEqual(os.listdir(Path(path).parent), [])
        self.assertEqual(factory.numPorts, 0)

    def secret_beside(self, path: str) -> str:
        """A file of our own in the folder of a socket, that is nobody else's business."""
        secret = f"{path}-secret"
        Path(secret).write_text("secret")
        os.chmod(secret, 0o600)
        return secret

    async def test_the_new_owner_cannot_turn_the_rights_to_another_file(self) -> None:
        """A link that takes the socket's place once it is given away changes no other file."""
        path = self.socket_path()
        secret = self.secret_beside(path)
        give_away = os.chown

        def give_away_and_swap(file: Any, user: int, group: int, **keywords: Any) -> None:
            give_away(file, user, group, **keywords)
            os.unlink(path)
            os.symlink(secret, path)

        self.patch(os, "chown", give_away_and_swap)
        await self.served_at(path, f"?user={OWN_USER}&mode=0666")
        self.assertEqual(os.readlink(path), secret)
        self.assertEqual(rights(secret), 0o600)

    async def test_a_file_in_the_socket_s_place_is_left_alone(self) -> None:
        """A link or a second name that takes the place of the new socket gets no rights."""
        other = self.socket_path()
        with socket.socket(socket.AF_UNIX) as held:
            held.bind(other)
            os.chmod(other, 0o600)
            for replace, existing in ((os.symlink, self.secret_beside(other)), (os.link, other)):
                path = self.socket_path()
                reactor = SwappingReactor(self.reactor, replace, existing)
                endpoint: Any = txtransport.server(reactor, f"unix://{path}?mode=0666")
                error: Any = await self.assertFailure(
                    endpoint.listen(Recorders()), CannotListenError
                )
                self.assertEqual(error.socketError.errno, errno.ENOTSOCK)
                self.assertEqual(rights(existing), 0o600)
                await self.turn()

    async def test_a_damaged_lock_is_an_error(self) -> None:
        """A lock file that names no process is not taken away, and the error is Twisted's, too."""
        path = self.socket_path()
        os.symlink("no number", f"{path}.lock")
        factory = Recorders()
        listening: Any = txtransport.server(self.reactor, f"unix://{path}").listen(factory)
        error: Any = await self.assertFailure(listening, CannotListenError)
        self.assertIsInstance(error, NetworkError)
        self.assertEqual(os.readlink(f"{path}.lock"), "no number")
        self.assertEqual(factory.numPorts, 0)

    async def test_the_application_starts_with_its_own_umask(self) -> None:
        """What the factory writes when it is started has the rights that it always has."""
        factory = StartingFactory()
        self.addCleanup(os.umask, os.umask(0o022))
        port: Any = await self.served_at(self.socket_path(), "", factory)
        self.assertEqual(factory.umasks, [0o022])
        self.assertEqual(factory.numPorts, 1)
        await self.stop(port)
        self.assertEqual(factory.numPorts, 0)
        self.assertEqual(os.umask(0o022), 0o022)

    async def test_a_refused_connection_names_the_option(self) -> None:
        """A client without the right to connect is told of ``mode``."""
        path = self.socket_path()
        os.chmod(Path(path).parent, 0o755)
        await self.served_at(path, "?mode=0000")
        if OWN_USER == 0:
            # Rights do not hold for root.
            os.seteuid(65534)
            self.addCleanup(os.seteuid, 0)
        connecting: Any = txtransport.client(self.reactor, f"unix://{path}").connect(Recorders())
        error: Any = await self.assertFailure(connecting, ConnectError)
        self.assertEqual((error.cause, error.osError), ("not-permitted", errno.EACCES))
        self.assertIn("mode=", error.remedy)

    async def test_an_abstract_name_has_no_file(self) -> None:
        """An abstract name is listened at as ever."""
        await self.served_at(f"@txtransport-{id(self)}")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(f"\0txtransport-{id(self)}")


class RefusalTests(SynchronousTestCase):
    """Rights that cannot be set are refused before anything is opened."""

    def refusal(self, url: str) -> InvalidOption:
        """The error with which a server endpoint is refused."""
        error = self.assertRaises(InvalidOption, txtransport.server, MemoryReactorClock(), url)
        assert isinstance(error, InvalidOption)
        return error

    def test_an_unknown_user_or_group_is_refused(self) -> None:
        """The name must be one of this machine's; a number need not be."""
        for option in ("user", "group"):
            error = self.refusal(f"unix:///run/x?{option}=nobody-of-this-name")
            self.assertEqual(error.option, option)
            self.assertIn(f"there is no {option} 'nobody-of-this-name'", str(error))
            txtransport.server(MemoryReactorClock(), f"unix:///run/x?{option}=54321")

    def test_a_number_is_written_in_plain_digits(self) -> None:
        """Digits of other alphabets are a name, and no number is larger than a system's."""
        for option in ("user", "group"):
            for written in ("\u00b2", "\u2460", "\u0663", "4294967295", "9" * 5000):
                self.assertEqual(self.refusal(f"unix:///run/x?{option}={written}").option, option)

    def test_a_system_that_cannot_do_it_safely_refuses_owner_and_rights_together(self) -> None:
        """Without /proc the new owner could turn the change of the rights to another file."""
        self.patch(local, "_OPEN_FILES", "/nonexistent")
        for owner in ("user=54321", "group=54321"):
            error = self.refusal(f"unix:///run/x?{owner}&mode=0660")
            self.assertEqual(error.option, "mode")
            self.assertIn("leave mode out, or user and group", str(error))
            txtransport.server(MemoryReactorClock(), f"unix:///run/x?{owner}")
        txtransport.server(MemoryReactorClock(), "unix:///run/x?mode=0660")

    def test_an_abstract_name_has_no_rights(self) -> None:
        """For a name without a file the options would do nothing, and are refused."""
        for option in ("mode=0600", "user=0", "group=0"):
            error = self.refusal(f"unix://@name?{option}")
            self.assertEqual(error.option, option.partition("=")[0])
            self.assertIn("an abstract name has no file", str(error))
