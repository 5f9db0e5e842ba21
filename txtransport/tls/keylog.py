"""Writes the secrets of connections into a file, for programs that decrypt captures.

The format is that of the environment variable SSLKEYLOGFILE, which browsers, curl and
Wireshark know (RFC 9850). A reader of the file who has a capture can read the connections, and
write into those that are still open; so the file must be its user's alone, and an existing one
that is not is refused.
"""

from __future__ import annotations

import contextlib
import os
import stat
import weakref
from typing import Final

from txtransport.errors import BadCertificateFile
from txtransport.text import shell_path

__all__ = ["KeyLog"]

# Not on every system. A link could lead to any file of ours, or of another user; to open
# a FIFO would wait for a reader; and a child process has no use for the file.
_FLAGS: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | os.O_CREAT
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyLog:
    """A file of secrets, open for appending for as long as this object lives.

    Args:
        path: The file; it is made, with the rights 0600, if it is not there.

    Raises:
        BadCertificateFile: It cannot be opened, is no regular file, a link, another
            user's, or others may read it or write to it.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        # Kept open, since a server may lose the right to open it (twistd's --uid).
        self._file = _open(path)
        weakref.finalize(self, os.close, self._file)

    def write(self, connection: object, line: bytes) -> None:
        """Append one line by one call, so that several processes may share the file.

        Args:
            connection: OpenSSL's connection, which does not matter.
            line: Label, random number of the ClientHello and secret.
        """
        # In a callback of OpenSSL's. A full disk must not end connections.
        with contextlib.suppress(OSError, BadCertificateFile):
            if not os.fstat(self._file).st_nlink:
                self._replace()
            os.write(self._file, line + b"\n")

    def _replace(self) -> None:
        """Make the file anew, since it was removed, in the place of the old descriptor."""
        file = _open(self._path)
        try:
            os.dup2(file, self._file, inheritable=False)
        finally:
            os.close(file)


def _open(path: str) -> int:
    try:
        file = os.open(path, _FLAGS, 0o600)
    except OSError as problem:
        raise _refused(path, f"it cannot be opened ({_reason(path, problem)})") from problem
    try:
        _require_private(path, os.fstat(file))
    except BadCertificateFile:
        os.close(file)
        raise
    return file


def _require_private(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise _refused(path, "it is not a regular file")
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise _refused(path, "it belongs to another user")
    if found.st_mode & _OTHERS:
        quoted = shell_path(path)
        raise BadCertificateFile(
            "keylog", path, "it is open to other users, who could decrypt the connections",
            "make it yours alone", command=f"chmod 600 {quoted}" if quoted else "",
        )  # fmt: skip


def _refused(path: str, problem: str) -> BadCertificateFile:
    return BadCertificateFile(
        "keylog", path, problem, expected="keylog takes a file of yours, made if it is not there"
    )


def _reason(path: str, problem: OSError) -> str:
    if os.path.islink(path):
        return "it is a symbolic link, and none is followed"
    return problem.strerror or type(problem).__name__
