"""Takes secrets out of what an ERP says: some repeat in an error what they were asked with."""

from __future__ import annotations

from typing import Any

HIDDEN = "***"
SHORTEST = 4
"""Shorter secrets are too much like other words; and whoever has one has worse to fear."""


def without(told: Any, secret: str) -> Any:
    """Returns JSON data in which a secret is hidden, in texts and in the names of objects.

    Args:
        told: What an ERP has answered.
        secret: The password or key that it was asked with.
    """
    if len(secret) < SHORTEST:
        return told
    if isinstance(told, str):
        return told.replace(secret, HIDDEN)
    if isinstance(told, list):
        return [without(one, secret) for one in told]
    if isinstance(told, dict):
        return {without(name, secret): without(value, secret) for name, value in told.items()}
    return told
