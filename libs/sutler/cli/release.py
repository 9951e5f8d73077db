"""What the contracts have and this release does not offer: it can be called, and is not proposed."""

from __future__ import annotations

UNBUILT = frozenset(
    {
        "sutler.provider.v1.ProviderService.DiscoverInfrastructure",
    }
)
"""Methods by their full names."""
