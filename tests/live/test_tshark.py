"""tshark, Wireshark's command, decrypts a capture by the file that ``keylog=`` has written."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from tests.live.peers import PeerTestCase, Program
from tests.tls.handshake import End, arranged, client, server

TSHARK: Final = Program("tshark", ("--version",), r"TShark")

REQUEST: Final = b"GET /secret HTTP/1.1\r\nHost: good.example\r\nUser-Agent: swordfish\r\n\r\n"
RESPONSE: Final = b"HTTP/1.1 200 OK\r\nServer: sesame\r\nContent-Length: 0\r\n\r\n"

CLIENT, SERVER = 40000, 443

_RAW_IP: Final = 101
_SYN, _ACK, _PUSH = 2, 16, 8


class Capture:
    """A TCP connection between two ports of 127.0.0.1, as a file of libpcap's format."""

    def __init__(self) -> None:
        self._packets: list[bytes] = []
        self._sent = {CLIENT: 0, SERVER: 0}
        self._add(CLIENT, _SYN)
        self._add(SERVER, _SYN | _ACK)

    def says(self, port: int, data: bytes) -> None:
        """Bytes that one side has sent."""
        for begin in range(0, len(data), 1400):
            self._add(port, _PUSH | _ACK, data[begin : begin + 1400])

    def _add(self, port: int, flags: int, data: bytes = b"") -> None:
        other = CLIENT + SERVER - port
        numbers = self._sent[port], self._sent[other]
        tcp = struct.pack("!HHIIBBHHH", port, other, *numbers, 5 << 4, flags, 65535, 0, 0) + data
        here = bytes((127, 0, 0, 1))
        ip = struct.pack("!BBHIBBH", 0x45, 0, 20 + len(tcp), 0, 64, 6, 0) + here + here
        self._sent[port] += len(data) + bool(flags & _SYN)
        self._packets.append(ip + tcp)

    def write(self, path: Path) -> None:
        """Write the file."""
        head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, _RAW_IP)
        records = (
            struct.pack("<IIII", number, 0, len(packet), len(packet)) + packet
            for number, packet in enumerate(self._packets)
        )
        path.write_bytes(head + b"".join(records))


class TSharkTests(PeerTestCase):
    """A conversation of ours, captured."""

    program = TSHARK

    def converse(self, capture: Capture, one: End, other: End) -> None:
        """Shake hands, ask and answer; `one` is the client."""
        data = one.hear(b"")
        while data:
            capture.says(CLIENT, data)
            answer = other.hear(data)
            capture.says(SERVER, answer)
            data = one.hear(answer)
        for port, end, peer, said in (
            (CLIENT, one, other, REQUEST), (SERVER, other, one, RESPONSE)
        ):  # fmt: skip
            data = end.say(said)
            capture.says(port, data)
            peer.hear(data)
        self.assertEqual((one.received, other.received), (RESPONSE, REQUEST))

    async def decrypted(self, file: Path, *options: str) -> str:
        """The fields of HTTP that tshark finds in a capture.

        Args:
            file: The capture.
            *options: Of tshark's.
        """
        fields = ("http.request.uri", "http.user_agent", "http.server")
        wanted = [word for field in fields for word in ("-e", field)]
        peer = self.start("-r", str(file), *options, "-Y", "http", "-T", "fields", *wanted)
        self.assertEqual(await peer.exits(), 0)
        # Other lines are complaints about root.
        found = [line for line in peer.printed.decode().splitlines() if "\t" in line]
        return " ".join(" ".join(found).split())

    async def test_a_capture_is_decrypted_by_the_key_log(self) -> None:
        """By the file of either side, in both versions; and by none without it."""
        for version in ("1.2", "1.3"):
            for is_client in (True, False):
                folder = self.folder()
                log, file = folder / "keys.log", folder / "capture.pcap"
                logging = {"keylog": str(log)}
                meeting = arranged(
                    client(max_version=version, **(logging if is_client else {})),
                    server(**({} if is_client else logging)),
                )
                capture = Capture()
                self.converse(capture, meeting.client, meeting.server)
                capture.write(file)
                for options, expected in (
                    ((), ""),
                    (("-o", f"tls.keylog_file:{log}"), "/secret swordfish sesame"),
                ):
                    self.assertEqual(await self.decrypted(file, *options), expected, version)
