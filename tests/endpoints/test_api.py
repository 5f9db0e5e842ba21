"""`client`, `server` and `datagram`: what is wrong is an error before anything is opened."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from twisted.internet.interfaces import IStreamClientEndpoint, IStreamServerEndpoint
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

import txtransport
from tests import certificates
from tests.loopback import LoopbackTestCase, Recorders
from tests.vocabulary import place_in
from txtransport.config import schemes
from txtransport.config.schemes import SCHEMES
from txtransport.config.url import TransportURL
from txtransport.endpoints.datagram import IDatagramEndpoint
from txtransport.errors import (
    BadCertificateFile,
    InvalidOption,
    InvalidTransport,
    TransportUnavailable,
)

ENTRY_POINTS: Final = {
    "client": txtransport.client,
    "server": txtransport.server,
    "datagram": txtransport.datagram,
}


class ApiTestCase(SynchronousTestCase):
    """The public functions, and a reactor that records what is opened."""

    def setUp(self) -> None:
        self.reactor: Any = MemoryReactorClock()

    def refusal(self, side: str, url: Any, kind: Any, **keywords: Any) -> Any:
        """The error with which an endpoint is refused; nothing was opened for it."""
        error = self.assertRaises(kind, ENTRY_POINTS[side], self.reactor, url, **keywords)
        self.assertEqual(self.reactor.tcpClients + self.reactor.tcpServers, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        return error

    def client(self, url: Any, *arguments: Any, **keywords: Any) -> Any:
        """A client endpoint."""
        return txtransport.client(self.reactor, url, *arguments, **keywords)


class KindTests(ApiTestCase):
    """Which kind of endpoint a URL makes."""

    def test_each_scheme_makes_its_kind_of_endpoint(self) -> None:
        """Streams make Twisted's endpoints, datagrams have an interface of their own."""
        cert = certificates.site()
        for scheme in SCHEMES.values():
            if scheme.refusal is not None or scheme.is_inherited:
                continue
            url = f"{scheme.name}://{place_in(scheme)}"
            ours = {"local_cert": cert} if scheme.is_secure else {}
            theirs = {"peer_name": "h"} if scheme.is_secure and scheme.is_local else {}
            if scheme.kind.value == "datagram":
                endpoint = txtransport.datagram(self.reactor, url)
                self.assertTrue(IDatagramEndpoint.providedBy(endpoint))
            else:
                client = self.client(url, **theirs)
                server = txtransport.server(self.reactor, url, None, **ours)
                self.assertTrue(IStreamClientEndpoint.providedBy(client))
                self.assertTrue(IStreamServerEndpoint.providedBy(server))

    def test_the_wrong_function_is_refused_with_the_right_one(self) -> None:
        """A stream is not a datagram, and the message names the right function."""
        for side in ("client", "server"):
            error = self.refusal(side, "udp://h:53", InvalidTransport)
            self.assertIn("udp is made of datagrams; use txtransport.datagram(…)", str(error))
        for scheme in ("tcp", "tls"):
            error = self.refusal("datagram", f"{scheme}://h:1", InvalidTransport)
            self.assertIn("use txtransport.client(…) or server(…)", str(error))

    def test_an_unavailable_scheme_is_refused_with_the_reason(self) -> None:
        """The error has the reason, and the version of the OpenSSL that is linked."""
        self.patch(schemes, "is_legacy_installed", lambda: False)
        for scheme in SCHEMES.values():
            if scheme.refusal is None:
                continue
            url = f"{scheme.name}://{place_in(scheme)}"
            for side in ENTRY_POINTS:
                error = self.refusal(side, url, TransportUnavailable)
                self.assertEqual(error.scheme, scheme.name)
                self.assertIn(scheme.reason, str(error))
                self.assertIn(scheme.refusal.summary, error.diagnosis.summary)
                self.assertEqual(error.diagnosis.remedy, scheme.refusal.remedy)
                self.assertRegex(str(error), r"\(linked here: OpenSSL [0-9.]+")

    def test_what_is_no_url_is_refused(self) -> None:
        """Only text and a `TransportURL` make endpoints."""
        for side in ENTRY_POINTS:
            for url in (None, b"tcp://h:1", 80, Path("/run/x"), ("h", 1), "", "http://h"):
                self.refusal(side, url, InvalidTransport)


class PortTests(ApiTestCase):
    """The port is in the URL, or in ``port=``."""

    def test_the_port_may_be_in_either_place(self) -> None:
        """Both may say the same; a `TransportURL` takes a port like text does."""
        parsed = TransportURL.parse
        for endpoint in (
            self.client("tcp://h:80"),
            self.client("tcp://h", 80),
            self.client("tcp://h", port=80),
            self.client("tcp://h:80", 80),
            self.client(parsed("tcp://h:80")),
            self.client(parsed("tcp://h:80"), 80),
            self.client(parsed("tcp://h"), 80),
        ):
            self.assertEqual(endpoint.config.where, "tcp://h:80")
            self.assertEqual(endpoint.plaintext.port, 80)

    def test_two_different_ports_are_refused(self) -> None:
        """A port in the URL and another in ``port=`` are an error that shows both."""
        for url in ("tcp://h:80", TransportURL.parse("tcp://h:80")):
            for side in ("client", "server"):
                error = self.refusal(side, url, InvalidTransport, port=81)
                self.assertIn("the URL says port 80 and port= says 81", str(error))

    def test_a_protocol_s_usual_port_is_named(self) -> None:
        """With ``starttls=`` the error for a missing port names the usual one."""
        error = self.refusal("client", "tls://h?starttls=smtp", InvalidTransport)
        self.assertIn("the usual one of smtp is 587", str(error))
        endpoint = self.client("tls://h:587?starttls=smtp")
        self.assertEqual(endpoint.config.where, "tls://h:587?starttls=smtp")
        self.assertTrue(endpoint.config.is_upgrade)

    def test_what_is_no_port_is_refused(self) -> None:
        """A port is a number in its range, wherever it is given."""
        for port in (-1, 65536, "80", 80.0, True):
            for url in ("tcp://h", TransportURL.parse("tcp://h")):
                self.refusal("client", url, InvalidTransport, port=port)

    def test_a_path_takes_no_port(self) -> None:
        """A local socket takes no port."""
        for url in ("unix:///run/x", TransportURL.parse("unix:///run/x")):
            self.refusal("client", url, InvalidTransport, port=80)


class RepresentationTests(ApiTestCase):
    """What a log or a debugger shows of an endpoint."""

    def test_each_endpoint_names_its_side_and_place(self) -> None:
        """The representation is short, and shows no option."""
        cert = certificates.site()
        for side, url, expected in (
            ("client", "tls://h:443", "tls://h:443"),
            ("client", "tls://h:587?starttls=smtp&cafile={}", "tls://h:587?starttls=smtp"),
            ("client", "unix:///run/x", "unix:///run/x"),
            ("server", "tls://*:8443?local_cert={}", "tls://*:8443"),
            ("server", "tcp://[::1]:0?max_connections=5", "tcp://[::1]:0"),
            ("datagram", "udp://[fe80::1%25eth0]:53", "udp://[fe80::1%25eth0]:53"),
        ):
            make_endpoint: Any = ENTRY_POINTS[side]
            made = make_endpoint(self.reactor, url.format(cert))
            self.assertEqual(repr(made), f"<txtransport {side} {expected}>")


class OptionTests(ApiTestCase):
    """Options are in the URL or in the keywords, and each is used."""

    def test_each_option_reaches_the_endpoint(self) -> None:
        """The endpoint has the values of the URL and of the keywords."""
        endpoint = self.client("tls://h:1?timeout=7&close_timeout=3&bindto=127.0.0.1")
        self.assertEqual(endpoint.config.deadlines.timeout, 7)
        self.assertEqual(endpoint.config.deadlines.close_timeout, 3)
        self.assertEqual(endpoint.bindto, ("127.0.0.1", 0))
        server: Any = txtransport.server(
            self.reactor, "tls://*:0", local_cert=certificates.site(),
            handshake_timeout=2, max_connections=5,
        )  # fmt: skip
        self.assertEqual(server.config.deadlines.handshake_timeout, 2)
        self.assertEqual(server.serving.max_connections, 5)

    def test_the_same_value_twice_is_accepted(self) -> None:
        """However it is written, the same value in the URL and in the keywords is no error."""
        endpoint = self.client("tls://h:1?timeout=5&verify_depth=3", timeout=5.0, verify_depth=3)
        self.assertEqual(endpoint.config.deadlines.timeout, 5)

    def test_two_different_values_are_refused(self) -> None:
        """An option in the URL and in the keywords with different values is an error."""
        for side, url in (("client", "tcp://h:1?timeout=5"), ("datagram", "udp://h:1?timeout=5")):
            error = self.refusal(side, url, InvalidOption, timeout=6)
            self.assertEqual(error.option, "timeout")
            self.assertIn("in the URL and in the keywords, with different values", str(error))

    def test_an_unknown_option_is_refused_with_the_nearest(self) -> None:
        """A misspelt option is never ignored; the error names the nearest one."""
        error = self.refusal("client", "tls://h:1", InvalidOption, verify_pear=False)
        self.assertIn("did you mean verify_peer?", str(error))

    def test_options_of_the_other_side_are_refused(self) -> None:
        """What is for servers is refused on a client, and the other way round."""
        for side, url, option in (
            ("client", "tcp://h:1?backlog=7", "backlog"),
            ("client", "tls://h:1?max_connections=7", "max_connections"),
            ("server", "tcp://h:1?timeout=7", "timeout"),
            ("server", "tcp://h:1?bindto=127.0.0.1", "bindto"),
            ("datagram", "udp://h:1?backlog=7", "backlog"),
        ):
            self.assertEqual(self.refusal(side, url, InvalidOption).option, option)

    def test_an_option_that_this_system_does_not_have_is_refused(self) -> None:
        """It is refused when the endpoint is made, not when it is used."""
        from txtransport.endpoints import sockets

        self.patch(sockets, "_ROWS", (("so_keepalive", 1, None),))
        error = self.refusal("client", "tcp://h:1?so_keepalive=yes", InvalidOption)
        self.assertEqual(error.option, "so_keepalive")


class FileTests(ApiTestCase):
    """Files are read when the endpoint is made."""

    def test_bad_files_are_refused(self) -> None:
        """A file that is missing, or is not what it should be, is an error at once."""
        junk = certificates.written("junk.pem", b"nothing of any use")
        for side, option, path in (
            ("client", "cafile", "/nonexistent.pem"),
            ("client", "cafile", junk),
            ("client", "local_cert", junk),
            ("client", "crl", "/nonexistent.pem"),
            ("server", "local_cert", "/nonexistent.pem"),
            ("server", "local_cert", junk),
            ("server", "SNI_server_certs", f"h={junk}"),
        ):
            error = self.refusal(side, "tls://h:1", BadCertificateFile, **{option: path})
            self.assertEqual(error.option, option)
            self.assertEqual(error.path, path.removeprefix("h="))

    def test_a_server_needs_a_certificate(self) -> None:
        """A TLS server without ``local_cert`` is an error."""
        error = self.refusal("server", "tls://h:1", InvalidOption)
        self.assertEqual(error.option, "local_cert")

    def test_unknown_ciphers_are_refused(self) -> None:
        """A list in which OpenSSL knows no cipher is an error."""
        error = self.refusal("client", "tls://h:1?ciphers=NOSUCH", InvalidOption)
        self.assertEqual(error.option, "ciphers")


class PeerTests(ApiTestCase):
    """Which peer a client expects."""

    def expected(self, url: str, **keywords: Any) -> str | None:
        """The name that the peer's certificate must be for."""
        name: str | None = self.client(url, **keywords).config.creator.policy.peer_name
        return name

    def test_the_url_names_the_peer(self) -> None:
        """Without a trailing dot and without a zone, unless ``peer_name`` says otherwise."""
        rows = {
            "tls://www.example.com:1": "www.example.com",
            "tls://www.example.com.:1": "www.example.com",
            "tls://127.0.0.1:1": "127.0.0.1",
            "tls://[fe80::1%25eth0]:1": "fe80::1",
            "tls://h:1?peer_name=other": "other",
            "tls+unix:///run/x?peer_name=h": "h",
        }
        for url, name in rows.items():
            self.assertEqual(self.expected(url), name)

    def test_a_path_names_no_peer(self) -> None:
        """A local socket's peer must be named, or be known otherwise."""
        error = self.refusal("client", "tls+unix:///run/x", InvalidOption)
        self.assertEqual(error.option, "peer_name")
        self.assertIsNone(self.expected("tls+unix:///run/x?verify_peer_name=no"))

    def test_sessions_are_kept_by_host_and_port(self) -> None:
        """Two ports of one host do not share what they resume."""
        places = {
            self.client(url).config.creator.peer
            for url in ("tls://h:1", "tls://h:2", "tls://g:1", "tls+unix:///x?peer_name=h")
        }
        self.assertEqual(len(places), 4)


class WarningTests(LoopbackTestCase):
    """What is weaker than it should be is in the log, once."""

    def warnings(self, url: str, **keywords: Any) -> list[str]:
        """What is logged when an endpoint is made three times."""
        heard = self.overheard()
        make_endpoint = txtransport.server if "local_cert" in keywords else txtransport.client
        for _ in range(3):
            make_endpoint(MemoryReactorClock(), url, None, **keywords)
        for event in heard.events:
            self.assertEqual(event["log_level"], LogLevel.warn)
            self.assertEqual(event["where"], url.partition("?")[0])
        return [event["weakness"] for event in heard.events]

    def test_each_weakness_is_logged_once(self) -> None:
        """Each is logged once for each host and port, however often the endpoint is made."""
        print_ = f"peer_fingerprint={'0' * 64}"
        pin = "pin=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA%3D"
        rows: dict[str, list[str]] = {
            "": [],
            "?verify_peer=no": ["verify_peer=no"],
            "?verify_peer_name=no": ["verify_peer_name=no"],
            "?verify_peer=no&verify_peer_name=no": ["verify_peer_name=no", "verify_peer=no"],
            "?allow_self_signed=yes": ["allow_self_signed=yes"],
            "?starttls=smtp&starttls_policy=may": ["starttls_policy=may"],
            "?min_version=1.0&security_level=0": ["TLS 1.0 is deprecated (RFC 8996)"],
            # A certificate that is known by its fingerprint needs no authority.
            f"?verify_peer=no&verify_peer_name=no&{print_}": [],
            f"?allow_self_signed=yes&{print_}": [],
            f"?verify_peer=no&{pin}": [],
            f"?verify_peer=no&verify_peer_name=no&{pin}": ["verify_peer_name=no"],
        }
        for number, (query, expected) in enumerate(rows.items(), 1000):
            told = self.warnings(f"tls://weak.example:{number}{query}")
            self.assertEqual([text.partition(":")[0].partition(" and")[0] for text in told],
                             expected, query)  # fmt: skip

    def test_a_key_log_is_told_once_and_not_for_strangers(self) -> None:
        """Whoever reads the file can read the connections, of clients and of servers."""
        folder = tempfile.mkdtemp(prefix="txtransport-")
        self.addCleanup(shutil.rmtree, folder)
        query = f"?keylog={folder}/keys.log"
        given: tuple[tuple[int, dict[str, Any]], ...] = (
            (1, {}), (2, {"local_cert": certificates.site()})
        )  # fmt: skip
        for port, options in given:
            (told,) = self.warnings(f"tls://logged.example:{port}{query}", **options)
            self.assertIn("keylog: all who can read that file", told)
        error = self.assertRaises(
            InvalidOption, TransportURL.parse, f"tls://logged.example:3{query}", trusted=False
        )
        self.assertEqual(error.option, "keylog")

    def test_new_weaknesses_are_logged_however_many_there_were(self) -> None:
        """Of many endpoints the oldest is forgotten, and would be logged again; none is silent."""
        told = self.overheard()
        made = 2100
        for number in range(made):
            txtransport.client(MemoryReactorClock(), f"tls://many{number}.example:1?verify_peer=no")
        self.assertEqual(len(told.events), made)
        for number, count in ((made - 1, 0), (0, 1)):
            told.events.clear()
            txtransport.client(MemoryReactorClock(), f"tls://many{number}.example:1?verify_peer=no")
            self.assertEqual(len(told.events), count)

    def test_deprecated_versions_are_logged(self) -> None:
        """TLS 1.0 and 1.1 are deprecated on both sides; 1.2 and 1.3 are not."""
        for version, count in (("1.0", 1), ("1.1", 1), ("1.2", 0), ("1.3", 0)):
            url = f"tlsv{version}://old.example:1"
            self.assertEqual(len(self.warnings(url)), count)
            url = f"tlsv{version}://old.example:2"
            self.assertEqual(len(self.warnings(url, local_cert=certificates.site())), count)

    def test_a_server_that_verifies_no_clients_is_not_logged(self) -> None:
        """That a server does not verify its clients is usual, and not logged."""
        self.assertEqual(self.warnings("tls://h:3", local_cert=certificates.site()), [])

    async def test_deprecated_versions_work(self) -> None:
        """A connection of TLS 1.0 or 1.1 can be made, if the URL asks for it."""
        for version in ("1.0", "1.1"):
            scheme = f"tlsv{version}"
            port = await self.listening(
                f"{scheme}://127.0.0.1:0", Recorders(), local_cert=certificates.site()
            )
            client = await self.connected(
                f"{scheme}://127.0.0.1:{port}", cafile=certificates.cafile()
            )
            session = txtransport.session_of(client.transport)
            assert session is not None
            self.assertEqual(session.version, "TLSv1" if version == "1.0" else "TLSv1.1")
