"""``txtransport probe``: what happens to a connection, step by step.

`probing` connects, `recorder` notes the steps, and `report` has the result as
values. `versions` probes with each version of TLS, `survey` probes all the usual
ports of a host. `text` (with `verdict`, which comes first, `certificate_tree` and
`indented`) and `survey_text` show the reports to people, `document` to programs.
"""
