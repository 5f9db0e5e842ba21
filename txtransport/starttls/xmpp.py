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
    C: a new stream; everything from before is forgotten

A server that calls another says ``jabber:server``, and ``from=`` too. The
certificate is for the domain in ``to=``, be it served by whatever host. The
guest begins a stream of its own, so it hears nothing.
"""

from __future__ import annotations

import re
from html import escape
from typing import Final, NoReturn

from txtransport.errors import PeerLeft, PeerMisbehaved, TLSNotOffered, TLSRefused
from txtransport.starttls.wire import Dialogue, Wire
from txtransport.starttls.xml import Element, Stream
from txtransport.text import escape_bytes

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
    """The side of a client that calls a server."""
    return (yield from _connect(wire, "jabber:client", {"to": wire.name}))


def connect_server(wire: Wire) -> Dialogue[bytes]:
    """The side of a server that calls another."""
    return (yield from _connect(wire, "jabber:server", {"to": wire.name, "from": wire.local_name}))


def serve(wire: Wire) -> Dialogue[bytes]:
    """The side of a server that a client calls."""
    return (yield from _serve(wire, "jabber:client"))


def serve_server(wire: Wire) -> Dialogue[bytes]:
    """The side of a server that another calls."""
    return (yield from _serve(wire, "jabber:server"))


def _connect(wire: Wire, kind: str, names: dict[str, str]) -> Dialogue[bytes]:
    stream = Stream(wire)
    wire.ask(_header(kind, names))
    header = yield from stream.header()
    if header.name != _STREAM:
        raise PeerMisbehaved(f"expected a stream, and the peer sent {escape_bytes(header.source)}")
    # Before 1.0 there were no features, hence no upgrade (RFC 6120, 4.7.5).
    if not _VERSION_1(header.attributes.get("version", "")):
        raise TLSNotOffered(header.source)
    features = yield from _element(stream, _FEATURES)
    if _STARTTLS not in features.children:
        raise TLSNotOffered(features.source)
    wire.ask(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    yield from _element(stream, _PROCEED)
    return b""


def _element(stream: Stream, name: str) -> Dialogue[Element]:
    """The next element, which is to be that one.

    Raises:
        TLSRefused: It is a failure.
        PeerLeft: The stream has ended, be it by an error (RFC 6120, 4.9.1.1).
            Another host, which an error may name, is not called: anyone may
            have said it.
        PeerMisbehaved: It is something else.
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


def _serve(wire: Wire, kind: str) -> Dialogue[bytes]:
    stream = Stream(wire)
    try:
        header = yield from stream.header()
    except PeerMisbehaved:
        # Who is told why has to be sent a stream first (RFC 6120, 4.9.1.2).
        wire.send(
            _header(kind, {"from": wire.local_name, "id": wire.nonce()})
            + _error(b"not-well-formed")
        )
        raise
    # A server has many domains; which of them we are, the caller has said.
    names = {"from": header.attributes.get("to", wire.local_name), "id": wire.nonce()}
    if "from" in header.attributes:
        names["to"] = header.attributes["from"]
    wire.send(_header(kind, names))
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


def _header(kind: str, names: dict[str, str]) -> bytes:
    said = "".join(f" {name}='{escape(value)}'" for name, value in names.items())
    return (
        f"<?xml version='1.0'?><stream:stream xmlns='{kind}' "
        f"xmlns:stream='http://etherx.jabber.org/streams'{said} version='1.0'>"
    ).encode()


def _end(wire: Wire, condition: bytes, said: bytes) -> NoReturn:
    wire.send(_error(condition))
    raise PeerMisbehaved(f"the peer did not ask for TLS, and sent {escape_bytes(said)}")


def _error(condition: bytes) -> bytes:
    return (
        b"<stream:error><%s xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"
        b"</stream:stream>" % condition
    )
