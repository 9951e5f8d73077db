"""Rules that every contract keeps, checked on the descriptor set. See style.md A3 for where they come from."""
