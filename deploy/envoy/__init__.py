"""The gateway: Envoy, configured from the contracts."""
