"""What the kernel tells: how much of what was written has arrived."""

from __future__ import annotations

import socket

from twisted.trial.unittest import SynchronousTestCase

from txtransport.connection import tcp_info
from txtransport.connection.tcp_info import acknowledged


class AcknowledgedTests(SynchronousTestCase):
    """Whether a peer still takes what it is sent."""

    def test_the_count_grows_with_what_the_peer_takes(self) -> None:
        """Bytes that the peer's system has taken are counted, one by one."""
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            with (
                socket.create_connection(listening.getsockname()) as sending,
                listening.accept()[0] as receiving,
            ):
                before = acknowledged(sending)
                assert before is not None
                sending.sendall(b"12345")
                receiving.recv(5)
                self.assertEqual(acknowledged(sending), before + 5)

    def test_anything_but_a_tcp_socket_has_no_count(self) -> None:
        """A local socket, a closed one and other objects have no count."""
        with socket.socket(socket.AF_UNIX) as local, socket.socket() as gone:
            gone.close()
            for handle in (local, gone, None, "no socket"):
                self.assertIsNone(acknowledged(handle))

    def test_a_system_without_tcp_info_has_no_count(self) -> None:
        """Where the socket module has no TCP_INFO, there is no count."""
        with socket.socket() as there:
            self.assertIsNotNone(acknowledged(there))
            self.patch(tcp_info, "_TCP_INFO", None)
            self.assertIsNone(acknowledged(there))
