"""The ports of RuleService, implemented."""
