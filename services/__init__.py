"""The five services, each in its own package."""
