"""``txtransport demo``: real connections over every transport, on loopback.

`servers` starts the servers, `table` and `mail` are what is tried on them, and
`report` has the results as values, which `text` shows to people and `document`
to programs. `run` is the whole, with the reactor.
"""
