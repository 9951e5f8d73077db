"""Stacks: groups of resources that are made, changed and removed together, in the order in which they need another."""
