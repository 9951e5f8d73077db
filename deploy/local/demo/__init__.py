"""The demonstration: sample declarations (the YAML files) and what plays and shows them."""
