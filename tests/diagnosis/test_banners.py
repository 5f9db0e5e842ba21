"""Protocols in plain text are known by their first bytes."""

from __future__ import annotations

import re
from typing import Final

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txtransport.config.policy import Side
from txtransport.diagnosis.banners import Banner, recognise_plaintext, remedy_at
from txtransport.diagnosis.rule import Rule
from txtransport.starttls.protocols import STARTTLS_PROTOCOLS
from txtransport.starttls.tls_record import is_tls

WHERE: Final = "tls://peer.example:1234"

FEDERATED: Final = (
    b"<?xml version='1.0'?><stream:stream from='' xml:lang='en' xmlns='jabber:server' "
    b"version='1.0' xmlns:db='jabber:server:dialback'"
)
"""What Prosody answers to a ClientHello on its port for other servers."""

SERVERS: Final = {
    "SMTP": (
        b"220 mx1.example.org ESMTP Postfix\r\n",
        b"220-mail.example.org\r\n220 ready\r\n",
        b"220 ftp.example.org ESMTP\r\n",
        b"220 smtp.example.org ready\r\n",
        b"554 5.7.1 go away\r\n",
        b"421 too busy\r\n",
    ),
    "FTP": (
        b"220 (vsFTPd 3.0.3)\r\n",
        b"220-FileZilla Server 1.8\r\n",
        b"220 ftp.example.org\r\n",
    ),
    "POP3": (
        b"+OK ready <1.2@example.org>\r\n",
        b"-ERR Input buffer full, aborting\r\n",
        b"-ERR [SYS/TEMP] later\r\n",
    ),
    "IMAP": (b"* OK IMAP4rev1\r\n", b"* PREAUTH hello\r\n", b"* BYE busy\r\n"),
    "ACAP": (b'* ACAP (IMPLEMENTATION "x")\r\n',),
    "NNTP": (b"200 news\r\n", b"201 news, no posting\r\n", b"400 later\r\n", b"502 no\r\n"),
    "ManageSieve": (
        b'"IMPLEMENTATION" "Dovecot"\r\n',
        b'BYE "Input buffer full, aborting"\r\n',
        b'NO (TRYLATER) "later"\r\n',
    ),
    "XMPP": (b"<?xml version='1.0'?><stream:stream", b"<stream:error/>", FEDERATED),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n",),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n", b"<html><head>", b"<!DOCTYPE html>", b"<HTML>"),
    "HTTP/2": (b"\x00\x00\x0c\x04\x00\x00\x00\x00\x00", b"\x00\x00\x06\x04\x00\x00\x00\x00\x00"),
    "VNC": (b"RFB 003.008\n",),
    "NATS": (b'INFO {"server_id":"x"}\r\n',),
    "AMQP": (b"AMQP\x00\x00\x09\x01",),
    "NBD": (b"NBDMAGICIHAVEOPT\x00\x03",),
    "Redis": (b"-NOAUTH Authentication required.\r\n", b"-ERR unknown\r\n", b"-DENIED x\r\n",
              b"-ERR Protocol error: too big\r\n", b"-ERR max number of clients reached\r\n",
              b"-ERR wrong number of arguments\r\n", b"+PONG\r\n"),
    "IRC": (b":irc.example.org NOTICE * :*** Looking up", b"NOTICE AUTH :***", b"ERROR :Closing",
            b":irc.example.org 451 * :You have not registered\r\n"),
    "NUT": (b"ERR ACCESS-DENIED\n", b"ERR UNKNOWN-COMMAND\n"),
    "MPD": (b"OK MPD 0.23.5\n",),
    "Asterisk": (b"Asterisk Call Manager/7.0.3\r\n",),
    "telnet": (b"\xff\xfd\x18", b"\xff\xfb\x01", b"\xff\xfe\x01", b"\xff\xfc\x01"),
    "RDP": (b"\x03\x00\x00\x13\x0e\xd0\x00\x00\x12\x34\x00",),
    "SQL Server": (b"\x04\x01\x00\x2b\x00\x00\x01\x00",),
    "MySQL": (b"\x4a\x00\x00\x00\x0a8.0.36", b"\x04\x01\x00\x00\x0a8.0", b"\x17\x00\x00\x00\xff"),
    "LDAP": (b"\x30\x0c\x02\x01\x00\x78\x07\x0a", b"\x30\x84\x00\x00\x00\x0c\x02\x01\x00\x78"),
    "PostgreSQL": (b"N", b"S", b"E\x00\x00\x00\x8dSFATAL\x00"),
    "SOCKS": (b"\x05\x00", b"\x05\xff", b"\x05\x02", b"\x00\x5a\x00\x50\x7f\x00\x00\x01",
              b"\x00\x5b"),
    "NetBIOS": (b"\x83\x00\x00\x01\x8f",),
}  # fmt: skip
"""What servers send at once, or in answer to a ClientHello."""

CLIENTS: Final = {
    "HTTP": (
        b"GET / HTTP/1.1\r\n", b"POST /x HTTP/1.1\r\n", b"PUT /x HTTP/1.1\r\n", b"HEAD / HTTP/1.0",
        b"OPTIONS * HTTP/1.1\r\n", b"DELETE /x HTTP/1.1\r\n", b"PATCH /x HTTP/1.1\r\n",
        b"TRACE / HTTP/1.1\r\n", b"CONNECT peer.example:443 HTTP/1.1\r\n",
    ),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",),
    "PROXY": (
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c",
    ),
    "SMTP": (b"EHLO me\r\n", b"helo me\r\n", b"LHLO me\r\n"),
    "POP3": (b"CAPA\r\n", b"stls\r\n", b"USER me\r\n"),
    "IMAP": (b"x LOGIN a b\r\n", b"a001 CAPABILITY\r\n", b". starttls\r\n"),
    "XMPP": (b"<?xml version='1.0'?>", b"<stream:stream"),
    "LDAP": (b"\x30\x1d\x02\x01\x01\x77\x18\x80\x16",),
    "PostgreSQL": (b"\0\0\0\x08\x04\xd2\x16\x2f", b"\0\0\0\x08\x04\xd2\x16\x30"),
    "SSL 2.0": (b"\x80\x2e\x01\x00\x02",),
    "SOCKS": (b"\x05\x01\x00", b"\x05\x02\x00\x02", b"\x04\x01\x00\x50\x7f\x00\x00\x01"),
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n",),
    "telnet": (b"\xff\xfb\x01", b"\xff\xfd\x03"),
}  # fmt: skip
"""What clients send first when they do not know that TLS is expected."""

HELLO: Final = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"


class RecogniseTests(SynchronousTestCase):
    """A peer is known by its first bytes."""

    def known(self, received: bytes, side: Side, port: int | None = None) -> Rule[Banner]:
        """The rule that matches."""
        rule = recognise_plaintext(received, side, port)
        assert rule is not None, received
        return rule

    def test_each_server_is_known_by_its_greeting(self) -> None:
        """Each protocol that a server may speak is known by its greeting."""
        for name, greetings in SERVERS.items():
            for greeting in greetings:
                self.assertIn(f" {name} ", self.known(greeting, Side.CLIENT).match.who, greeting)

    def test_xmpp_between_servers_has_its_own_starttls(self) -> None:
        """A port for other XMPP servers has its own value of ``starttls=``."""
        self.assertIn("?starttls=xmpp-server ", self.known(FEDERATED, Side.CLIENT).diagnosis.remedy)

    def test_each_client_is_known_by_its_first_words(self) -> None:
        """Each protocol that a client may speak is known by its first words."""
        for name, openings in CLIENTS.items():
            for opening in openings:
                self.assertIn(
                    f" {name} ", f"{self.known(opening, Side.SERVER).match.who} ", opening
                )

    def test_the_port_decides_between_smtp_and_ftp(self) -> None:
        """``220`` alone is SMTP, except on the ports of FTP."""
        for greeting in (b"220 hello\r\n", b"421 busy\r\n", b"554-no\r\n"):
            for port, name in (
                (25, "SMTP"),
                (587, "SMTP"),
                (None, "SMTP"),
                (21, "FTP"),
                (990, "FTP"),
            ):
                self.assertIn(f" {name} ", self.known(greeting, Side.CLIENT, port).match.who)

    def test_the_greeting_beats_the_port(self) -> None:
        """A mail server on FTP's port is a mail server."""
        self.assertIn(" SMTP ", self.known(b"220 x ESMTP\r\n", Side.CLIENT, 21).match.who)
        self.assertIn(" FTP ", self.known(b"220 ProFTPD\r\n", Side.CLIENT, 25).match.who)

    def test_unknown_bytes_are_no_protocol(self) -> None:
        """No bytes, TLS and random bytes are no protocol in plain text."""
        for received in (b"", HELLO, b"\x15\x03\x03\x00\x02\x02\x28", b"\x99" * 64, b"hello\r\n"):
            for side in Side:
                self.assertIsNone(recognise_plaintext(received, side, None))

    @given(st.binary(max_size=64), st.sampled_from(Side), st.none() | st.integers(0, 65535))
    def test_any_bytes_can_be_looked_at(
        self, received: bytes, side: Side, port: int | None
    ) -> None:
        """No bytes of a peer raise an exception."""
        recognise_plaintext(received, side, port)
        is_tls(received)


class RemedyTests(SynchronousTestCase):
    """What to do about a peer in plain text."""

    def test_the_remedy_has_the_user_s_url(self) -> None:
        """A remedy with a URL has the user's own URL, when the user gave one."""
        rule = recognise_plaintext(SERVERS["SMTP"][0], Side.CLIENT, 1234)
        assert rule is not None
        self.assertEqual(
            remedy_at(rule.diagnosis, WHERE),
            f"Use {WHERE}?starttls=smtp on this port, or implicit TLS on port 465",
        )
        self.assertIn("Use tls://…?starttls=smtp", remedy_at(rule.diagnosis, "peer.example:1234"))

    def test_every_rule_has_a_remedy(self) -> None:
        """Each rule says what to do, in a sentence without its full stop."""
        for side, rows in ((Side.CLIENT, SERVERS), (Side.SERVER, CLIENTS)):
            for examples in rows.values():
                rule = recognise_plaintext(examples[0], side, None)
                assert rule is not None
                self.assertRegex(rule.diagnosis.remedy, r"\A[A-Z].{10,120}[^.!]\Z")
                self.assertRegex(rule.match.who, r"\Aan? [A-Za-z0-9 ./-]+\Z")

    def test_every_server_s_remedy_says_how_to_connect(self) -> None:
        """More than 25 protocols of servers are known, each with a URL or another way to use it."""
        self.assertGreater(len(SERVERS), 25)
        for name, greetings in SERVERS.items():
            for greeting in greetings:
                rule = recognise_plaintext(greeting, Side.CLIENT, None)
                assert rule is not None
                way = r"tls://peer\.example:1234\?starttls=[\w-]+ on this port|tcp://|as a proxy"
                self.assertRegex(remedy_at(rule.diagnosis, WHERE), way, name)

    def test_remedies_name_only_dialogues_that_exist(self) -> None:
        """A remedy names no starttls= value that does not exist."""
        named = {
            found
            for greetings in SERVERS.values()
            for rule in [recognise_plaintext(greetings[0], Side.CLIENT, None)]
            if rule is not None
            for found in re.findall("starttls=([a-z0-9]+)", rule.diagnosis.remedy)
        }
        self.assertEqual(named - STARTTLS_PROTOCOLS.keys(), set())
        self.assertGreater(len(named), 15)


class TLSTests(SynchronousTestCase):
    """Whether bytes are TLS at all."""

    def test_every_kind_of_record_is_tls(self) -> None:
        """Four kinds of records are TLS, in any version of it, from the first byte on."""
        for kind in (0x14, 0x15, 0x16, 0x17):
            for version in range(5):
                self.assertTrue(is_tls(bytes((kind, 3, version, 0, 2))))
            self.assertTrue(is_tls(bytes((kind,))))
        self.assertTrue(is_tls(HELLO))

    def test_other_bytes_are_not_tls(self) -> None:
        """Other kinds of records, other versions and no bytes are not TLS."""
        for received in (b"", b"\x13\x03\x03", b"\x18\x03", b"\x16\x02\x00", b"\x16\x16", b"HTTP"):
            self.assertFalse(is_tls(received))
