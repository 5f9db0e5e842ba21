"""A client's cache of sessions to resume.

A resumed handshake costs half of a full one and shows no certificate. So a
client must never offer a session where the policy demands another verification
than the one that the session passed: each cache belongs to one context (one
set of authorities, one certificate of ours), and each key in it to one peer, one
name and one list of application protocols.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from OpenSSL import SSL

from txtransport.tls.connection import TLSConnection

__all__ = ["SessionCache"]

# A session holds its server's chain of certificates and a ticket: a few kilobytes,
# but more than a hundred if the server so wants.
_MAX_SESSIONS: Final = 1024
_MAX_PER_PEER: Final = 8
_BOTH_CLOSED: Final = SSL.SENT_SHUTDOWN | SSL.RECEIVED_SHUTDOWN


class SessionCache:
    """Sessions by peer: at most 8 for each, and 1024 in all.

    When it is full, the peer whose latest session is the oldest is dropped.
    """

    def __init__(self) -> None:
        self._sessions: OrderedDict[Hashable, list[SSL.Session]] = OrderedDict()

    def take(self, peer: Hashable) -> SSL.Session | None:
        """Remove the latest session with a peer from the cache.

        A ticket is used only once, so that an observer cannot see that two
        connections come from the same client (RFC 8446, appendix C.4).

        Args:
            peer: The key given to `keep`.

        Returns:
            The session; None when there is none with that peer.
        """
        sessions = self._sessions.get(peer)
        if not sessions:
            return None
        session = sessions.pop()
        if not sessions:
            del self._sessions[peer]
        return session

    def keep(self, peer: Hashable, connection: TLSConnection) -> None:
        """Add the session of a connection that is over.

        Args:
            peer: Who the peer was, the name that was verified, and the
                application protocols that were offered.
            connection: Its handshake was complete, and it has not failed.
        """
        # OpenSSL makes a session unusable when its connection is freed before
        # each side has sent a close_notify. The TCP connection is often gone
        # before the peer's arrives, so both are marked as seen.
        connection.set_shutdown(_BOTH_CLOSED)
        session = connection.get_session()
        if session is None:
            return
        sessions = self._sessions.setdefault(peer, [])
        self._sessions.move_to_end(peer)
        sessions.append(session)
        del sessions[:-_MAX_PER_PEER]
        while len(self) > _MAX_SESSIONS:
            self._sessions.popitem(last=False)

    def __len__(self) -> int:
        """The number of sessions, of all peers."""
        return sum(map(len, self._sessions.values()))
