"""How Sutler is run."""
