"""Tables of the error lines that other tools print; `txtransport.diagnosis.explain` joins them."""
