"""The known error lines of other tools; `txtransport.lines.known` has all of them."""
