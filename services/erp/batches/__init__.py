"""Changes of many records at once."""
