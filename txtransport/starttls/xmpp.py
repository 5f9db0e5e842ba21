"""XMPP: ``<starttls/>``, of clients and of servers (RFC 6120, 5).

    C: <?xml version='1.0'?><stream:stream xmlns='jabber:client'
       xmlns:stream='http://etherx.jabber.org/streams'
       to='example.com' version='1.0'>
    S: <?xml version='1.0'?><stream:stream xmlns='jabber:client'
       xmlns:stream='http://etherx.jabber.org/streams'
       from='example.com' id='c2a7…' version='1.0'>
       <stream:features>
       <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>
       </stream:features>
    C: <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
    S: <proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
    TLS, with not even white space before it
    C: a new stream                     everything from before is forgotten

A server that connects to another server uses the namespace ``jabber:server``, and
sends ``from=`` too. The certificate is for the domain in ``to=``, whatever host
serves this domain. The application's protocol receives nothing: under TLS a
client begins a new stream.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final, NoReturn

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.starttls.xml import Element, Stream
from txtransport.text import escape_bytes

__all__ = ["connect", "connect_server", "serve", "serve_server"]

_STREAM: Final = "http://etherx.jabber.org/streams stream"
_FEATURES: Final = "http://etherx.jabber.org/streams features"
_ERROR: Final = "http://etherx.jabber.org/streams error"
_STARTTLS: Final = "urn:ietf:params:xml:ns:xmpp-tls starttls"
_PROCEED: Final = "urn:ietf:params:xml:ns:xmpp-tls proceed"
_FAILURE: Final = "urn:ietf:params:xml:ns:xmpp-tls failure"

_OFFER: Final = (
    b"<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'>"
    b"<required/></starttls></stream:features>"
)
_VERSION_1: Final = re.compile(r"0*[1-9][0-9]{0,3}\.[0-9]{1,4}").fullmatch


def connect(wire: Wire) -> Dialogue[bytes]:
    """The client's side, between a client and a server (``xmpp``)."""
    return (yield from _connect(wire, "jabber:client", {"to": wire.name}))


def connect_server(wire: Wire) -> Dialogue[bytes]:
    """The client's side, between two servers (``xmpp-server``)."""
    return (yield from _connect(wire, "jabber:server", {"to": wire.name, "from": wire.local_name}))


def serve(wire: Wire) -> Dialogue[bytes]:
    """The server's side, between a client and a server (``xmpp``)."""
    return (yield from _serve(wire, "jabber:client"))


def serve_server(wire: Wire) -> Dialogue[bytes]:
    """The server's side, between two servers (``xmpp-server``)."""
    return (yield from _serve(wire, "jabber:server"))


def _connect(wire: Wire, namespace: str, names: dict[str, str]) -> Dialogue[bytes]:
    stream = Stream(wire)
    wire.ask(_header(namespace, names))
    header = yield from stream.header()
    if header.name != _STREAM:
        raise PeerMisbehaved(f"expected a stream, and the peer sent {escape_bytes(header.source)}")
    # Before 1.0 there were no features, hence no upgrade (RFC 6120, 4.7.5).
    if not _VERSION_1(header.attributes.get("version", "")):
        raise TLSNotOffered(header.source)
    features = yield from _expect_element(stream, _FEATURES)
    if _STARTTLS not in features.children:
        raise TLSNotOffered(features.source)
    wire.ask(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    yield from _expect_element(stream, _PROCEED)
    return b""


def _expect_element(stream: Stream, name: str) -> Dialogue[Element]:
    """Wait for the next element, and check that it has this name.

    Raises:
        TLSRefused: It is ``<failure/>``.
        PeerLeft: The stream has ended, with or without an error (RFC 6120,
            4.9.1.1). If the error names another host, nobody connects to it:
            anyone on the path may have sent the error.
        PeerMisbehaved: It is any other element.
    """
    element = yield from stream.element()
    if element is None:
        raise PeerLeft(b"</stream:stream>")
    if element.name == _ERROR:
        raise PeerLeft(element.source)
    if element.name == _FAILURE:
        raise TLSRefused("failure", element.source)
    if element.name != name:
        expected = name.rpartition(" ")[2]
        raise PeerMisbehaved(
            f"expected <{expected}>, and the peer sent {escape_bytes(element.source)}"
        )
    return element


def _serve(wire: Wire, namespace: str) -> Dialogue[bytes]:
    stream = Stream(wire)
    try:
        header = yield from stream.header()
    except PeerMisbehaved:
        # An error needs a stream header before it (RFC 6120, 4.9.1.2).
        wire.send(
            _header(namespace, {"from": wire.local_name, "id": wire.nonce()})
            + _error(b"not-well-formed")
        )
        raise
    # A server may have many domains; it answers as the one that the client names.
    names = {"from": header.attributes.get("to", wire.local_name), "id": wire.nonce()}
    if "from" in header.attributes:
        names["to"] = header.attributes["from"]
    wire.send(_header(namespace, names))
    if header.name != _STREAM:
        _end(wire, b"invalid-namespace", header.source)
    if not _VERSION_1(header.attributes.get("version", "")):
        _end(wire, b"unsupported-version", header.source)
    wire.send(_OFFER)
    element = yield from stream.element()
    if element is None:
        wire.send(b"</stream:stream>")
        raise PeerLeft(b"</stream:stream>")
    if element.name != _STARTTLS:
        _end(wire, b"policy-violation", element.source)
    wire.send(b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    return b""


def _header(namespace: str, names: dict[str, str]) -> bytes:
    attributes = "".join(f" {name}='{escape(value)}'" for name, value in names.items())
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{namespace}' "
        f"xmlns:stream='http://etherx.jabber.org/streams'{attributes} version='1.0'>"
    ).encode()


def _end(wire: Wire, condition: bytes, source: bytes) -> NoReturn:
    wire.send(_error(condition))
    raise PeerMisbehaved(f"the peer did not ask for TLS, and sent {escape_bytes(source)}")


def _error(condition: bytes) -> bytes:
    return (
        b"<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        b"</stream:stream>" % condition
    )
