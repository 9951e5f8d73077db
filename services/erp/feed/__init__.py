"""The change feed: polls an ERP and tells differences between two observations, each once."""
