"""RuleService on NATS JetStream: the log of events, the handing out of work, and sources of events."""
