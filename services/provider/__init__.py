"""ProviderService: machines, asked for once, started once, never forgotten."""
