"""What keeps secrets from those who can read the data."""

from __future__ import annotations

from typing import Protocol


class SecretBox(Protocol):
    """Encrypts secrets at rest."""

    def check(self) -> None:
        """Checks that there is a key.

        Raises:
            FailedPrecondition: If there is none.
        """
        ...

    def seal(self, secret: str, *, owner: str) -> bytes:
        """Returns a secret encrypted; ``owner`` is authenticated, so that it cannot be moved elsewhere.

        Raises:
            FailedPrecondition: If there is no key.
        """
        ...

    def open(self, sealed: bytes, *, owner: str) -> str:
        """Returns the secret.

        Raises:
            ValueError: If no configured key opens it for this owner.
            FailedPrecondition: If there is no key.
        """
        ...
