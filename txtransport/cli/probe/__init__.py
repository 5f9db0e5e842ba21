"""``txtransport probe``: what becomes of a connection, step by step.

`probing` connects and writes down what it sees, `report` holds that as values.
`versions` and `survey` probe many at once: every version of TLS, every usual
port of a host. `text` shows what was seen to people, `document` to machines, and
`progress` tells whoever waits what is going on.
"""
