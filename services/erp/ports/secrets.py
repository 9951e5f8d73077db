"""What the domain needs to keep secrets."""

from __future__ import annotations

from typing import Protocol


class SecretBox(Protocol):
    """Encrypts secrets at rest."""

    def seal(self, secret: str, *, owner: str) -> bytes:
        """Returns a secret encrypted; ``owner`` is authenticated, so that it cannot be moved elsewhere."""
        ...

    def is_current(self, sealed: bytes) -> bool:
        """Returns whether the first of the configured keys has sealed this."""
        ...

    def open(self, sealed: bytes, *, owner: str) -> str:
        """Returns the secret.

        Raises:
            ValueError: If no configured key opens it for this owner.
        """
        ...
