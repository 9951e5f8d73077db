"""RuleService: events, subjects, and the rules that tie them together."""
