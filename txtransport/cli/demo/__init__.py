"""``txtransport demo``: real conversations over every transport, on loopback.

`stage` has the servers, `table` and `mail` what is tried on them, `report` what
came of it. `text` shows that to people, `document` to machines; `run` lends
them the reactor.
"""
