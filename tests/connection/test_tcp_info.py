"""What the kernel tells: how much of what was written has arrived."""

from __future__ import annotations

import select
import socket

from twisted.trial.unittest import SynchronousTestCase

from txtransport.connection import tcp_info
from txtransport.connection.tcp_info import acknowledged, is_draining


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

    def test_a_socket_drains_until_all_is_acknowledged(self) -> None:
        """is_draining is true until the peer's kernel has acknowledged everything."""
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            with (
                socket.create_connection(listening.getsockname()) as sending,
                listening.accept()[0] as receiving,
            ):
                self.assertFalse(is_draining(sending))
                sending.setblocking(False)
                sent = sending.send(bytes(2**22))
                self.assertTrue(is_draining(sending))
                while sent:
                    sent -= len(receiving.recv(2**22))
                # The last acknowledgement takes a moment on loopback, too.
                for _ in range(1000):
                    if not is_draining(sending):
                        break
                    select.select([], [], [], 0.001)
                self.assertFalse(is_draining(sending))

    def test_anything_but_a_tcp_socket_has_no_count(self) -> None:
        """A local socket, a closed one and other objects have no count."""
        with socket.socket(socket.AF_UNIX) as local, socket.socket() as gone:
            gone.close()
            for handle in (local, gone, None, "no socket"):
                self.assertIsNone(acknowledged(handle))
                self.assertFalse(is_draining(handle))

    def test_a_system_without_tcp_info_has_no_count(self) -> None:
        """Where the socket module has no TCP_INFO, there is no count."""
        with socket.socket() as there:
            self.assertIsNotNone(acknowledged(there))
            self.patch(tcp_info, "socket", Elsewhere())
            self.assertIsNone(acknowledged(there))


class Elsewhere:
    """The socket module of another system."""

    socket = socket.socket
