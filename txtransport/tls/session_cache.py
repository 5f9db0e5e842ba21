"""The sessions that a client may take up again.

A resumed handshake costs half of a full one and shows no certificate, so a
session must never be offered where another verification would have been
demanded: the shelf belongs to one context (one trust, one certificate of
ours, one ALPN list), and each place on it to one peer and one name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from OpenSSL import SSL

from txtransport.tls.connection import TLSConnection

_PEERS: Final = 1024
_EACH: Final = 8
_BOTH: Final = SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN


class SessionCache:
    """Sessions by peer; the oldest peers are forgotten first."""

    def __init__(self) -> None:
        self._shelf: OrderedDict[Hashable, list[SSL.Session]] = OrderedDict()

    def take(self, peer: Hashable) -> SSL.Session | None:
        """A session for that place, which then is gone.

        A ticket is used once (RFC 8446, appendix C.4), so that an observer
        cannot tie two connections together.
        """
        sessions = self._shelf.get(peer)
        if not sessions:
            return None
        session = sessions.pop()
        if not sessions:
            del self._shelf[peer]
        return session

    def keep(self, peer: Hashable, connection: TLSConnection) -> None:
        """Keep the session of a connection that is over and went well.

        Args:
            place: Who the peer was, and by which name it was verified.
            connection: Its handshake is complete and it has not failed.
        """
        # OpenSSL spoils the session of a connection that is freed before
        # both sides have said goodbye; the TCP connection may well be gone
        # before the peer has answered ours.
        connection.set_shutdown(_BOTH)
        session = connection.get_session()
        if session is None:
            return
        sessions = self._shelf.setdefault(peer, [])
        self._shelf.move_to_end(peer)
        sessions.append(session)
        del sessions[:-_EACH]
        while len(self._shelf) > _PEERS:
            self._shelf.popitem(last=False)

    def __len__(self) -> int:
        return sum(map(len, self._shelf.values()))
