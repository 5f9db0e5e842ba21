"""Several ports as one: stopped together, once, and never restarted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from zope.interface.verify import verifyObject

import txtransport
from tests.loopback import LoopbackTestCase, Recorders


class PortGroupTests(LoopbackTestCase):
    """The ports of ``*`` and of a local socket."""

    async def ports(self) -> list[Any]:
        """A port at every address, and one of a local socket."""
        urls = ("tcp://*:0", f"unix://{self.socket_path()}?mode=0660")
        endpoints = [txtransport.server(self.reactor, url) for url in urls]
        return [await endpoint.listen(Recorders()) for endpoint in endpoints]

    async def test_a_port_is_not_restarted(self) -> None:
        """A restart would lose the options of the URL, and says so instead."""
        for port in await self.ports():
            self.assertTrue(verifyObject(IListeningPort, port))
            for _ in range(2):
                error = self.assertRaises(CannotListenError, port.startListening)
                self.assertIn("call listen() of its endpoint again", str(error))
                await self.stop(port)

    async def test_a_restarted_local_socket_is_open_to_nobody(self) -> None:
        """No restart makes a socket's file that others than those of the URL may use."""
        self.addCleanup(os.umask, os.umask(0))
        path = self.socket_path()
        port: Any = await txtransport.server(self.reactor, f"unix://{path}").listen(Recorders())
        await self.stop(port)
        self.assertRaises(CannotListenError, port.startListening)
        self.assertEqual(os.listdir(Path(path).parent), [])

    async def test_stopping_twice_is_stopping_once(self) -> None:
        """A second stop waits for the first, and so does one that comes later."""
        for port in await self.ports():
            first, second = port.stopListening(), port.stopListening()
            await first
            await second
            await port.stopListening()
