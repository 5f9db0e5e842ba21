"""Two sides of a dialogue in one room, and a peer that follows a script."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from attrs import define

from txtransport.errors import NegotiationError
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import Speaker, Wire

Cut = Callable[[bytes], list[bytes]]
"""Takes what was said apart into segments."""


def whole(said: bytes) -> list[bytes]:
    """All in one segment."""
    return [said]


def bytewise(said: bytes) -> list[bytes]:
    """A segment for each byte."""
    return [said[place : place + 1] for place in range(len(said))]


def split_at(place: int) -> Cut:
    """Two segments, the first of that many bytes."""
    return lambda said: [part for part in (said[:place], said[place:]) if part]


@define
class Talk:
    """What two sides said to each other.

    Attributes:
        client: The client's side, over.
        server: The server's side, over.
        by_client: Each thing that the client said, in order.
        by_server: Each thing that the server said.
    """

    client: Negotiation
    server: Negotiation
    by_client: list[bytes]
    by_server: list[bytes]


def wire(us: str = "[192.0.2.7]") -> Wire:
    """A wire with names that can be told apart in a transcript, and words that repeat.

    Args:
        us: Who we say we are; by default a client.
    """
    numbers = itertools.count(1)
    return Wire(
        local_name=us,
        host="server.example",
        name="server.example",
        nonce=lambda: f"fresh{next(numbers)}",
    )


def talk(connect: Speaker, serve: Speaker, cut: Cut = whole) -> Talk:
    """Let two sides talk until neither has anything to say.

    Args:
        connect: The client's side.
        serve: The server's side.
        cut: Takes what each says apart into segments.
    """
    client = Negotiation(connect, wire())
    server = Negotiation(serve, wire("server.example"))
    result = Talk(client, server, [], [])
    while True:
        to_server, to_client = client.data_to_send(), server.data_to_send()
        if not to_server and not to_client:
            return result
        for said, listener, record in (
            (to_server, server, result.by_client),
            (to_client, client, result.by_server),
        ):
            if said:
                record.append(said)
                for segment in cut(said):
                    listener.receive_data(segment)


def told(speaker: Speaker, *said: bytes) -> Negotiation:
    """A side to which those things were said, one after the other.

    What it answers is still in its wire, to be asked for with ``said()``.
    """
    negotiation = Negotiation(speaker, wire())
    for each in said:
        negotiation.receive_data(each)
    return negotiation


def farewell(speaker: Speaker, *said: bytes) -> tuple[NegotiationError, bytes]:
    """How a side ends to which those things were said: its error, and all that it has said.

    Raises:
        AssertionError: It has not ended.
    """
    side = Negotiation(speaker, wire("server.example"))
    try:
        for each in said:
            side.receive_data(each)
    except NegotiationError as error:
        return error, side.data_to_send()
    raise AssertionError("the dialogue has not failed")
