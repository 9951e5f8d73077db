"""The contract's messages and the domain's data: each in terms of the other."""
