"""A client and a server negotiation connected in memory, or one of them given fixed bytes.

Everything here is built on `Negotiation`: there is no transport, no reactor and
no time.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

from attrs import define

from txtransport.errors import NegotiationError
from txtransport.starttls.negotiation import Negotiation
from txtransport.starttls.wire import Speaker, Wire

Split = Callable[[bytes], list[bytes]]
"""Splits what one side has sent into the segments in which the other receives it."""


def one_segment(data: bytes) -> list[bytes]:
    """All bytes in one segment."""
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    """A segment for each byte."""
    return [data[index : index + 1] for index in range(len(data))]


def split_at(index: int) -> Split:
    """Two segments, of which the first has `index` bytes; no empty ones."""
    return lambda data: [part for part in (data[:index], data[index:]) if part]


@define
class Exchange:
    """What a client and a server have sent to each other.

    Attributes:
        client: The client's negotiation, after the last byte.
        server: The server's negotiation, after the last byte.
        by_client: Each message that the client has sent, in order.
        by_server: Each message that the server has sent, in order.
    """

    client: Negotiation
    server: Negotiation
    by_client: list[bytes]
    by_server: list[bytes]


def new_wire(local_name: str = "[192.0.2.7]") -> Wire:
    """A wire with names that differ from each other, and nonces that are the same in each run.

    Args:
        local_name: Our own name; by default that of a client.
    """
    numbers = itertools.count(1)
    return Wire(
        local_name=local_name,
        host="server.example",
        name="server.example",
        nonce=lambda: f"fresh{next(numbers)}",
    )


def negotiate(connect: Speaker, serve: Speaker, split: Split = one_segment) -> Exchange:
    """Connect a client and a server, and run both until neither has anything to send.

    Args:
        connect: The client's side.
        serve: The server's side.
        split: Splits each message into segments.
    """
    client = Negotiation(connect, new_wire())
    server = Negotiation(serve, new_wire("server.example"))
    result = Exchange(client, server, [], [])
    while True:
        to_server, to_client = client.data_to_send(), server.data_to_send()
        if not to_server and not to_client:
            return result
        for data, receiver, record in (
            (to_server, server, result.by_client),
            (to_client, client, result.by_server),
        ):
            if data:
                record.append(data)
                for segment in split(data):
                    receiver.receive_data(segment)


def after_receiving(speaker: Speaker, *segments: bytes) -> Negotiation:
    """The negotiation of one side that has received these segments, one after the other.

    What it has sent can still be taken with ``data_to_send()``.
    """
    negotiation = Negotiation(speaker, new_wire())
    for segment in segments:
        negotiation.receive_data(segment)
    return negotiation


def failure_after(speaker: Speaker, *segments: bytes) -> tuple[NegotiationError, bytes]:
    """The error of one side that has received these segments, and all bytes that it has sent.

    Raises:
        AssertionError: The negotiation has not failed.
    """
    negotiation = Negotiation(speaker, new_wire("server.example"))
    try:
        for segment in segments:
            negotiation.receive_data(segment)
    except NegotiationError as error:
        return error, negotiation.data_to_send()
    raise AssertionError("the dialogue has not failed")
