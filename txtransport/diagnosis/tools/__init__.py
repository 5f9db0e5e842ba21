"""The known error lines of other tools; `txtransport.diagnosis.explain` has all of them."""
