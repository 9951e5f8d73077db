"""``sutler rule``: the flow of events through rules, from a shell."""
