"""Everything that RuleService stores, in SQLite or PostgreSQL."""
