"""The keys of secrets. A key file is looked for when it is first needed: who keeps no secrets needs no key."""

from __future__ import annotations

from functools import cached_property

from pydantic import SecretStr
from sutler.secret_box import SecretBox, data_folder, make_box


class LateBox:
    """Implements :class:`services.resource.ports.SecretBox`.

    Args:
        keys: The keys as the settings give them; empty for a key file beside the data.
        data: The URL of the database.
    """

    def __init__(self, keys: SecretStr, data: str) -> None:
        self._keys = keys
        self._data = data

    def check(self) -> None:
        """Checks that there is a key.

        Raises:
            FailedPrecondition: If there is none, or it cannot be used.
        """
        _ = self._box

    def seal(self, secret: str, *, owner: str) -> bytes:
        """Returns a secret encrypted."""
        return self._box.seal(secret, owner=owner)

    def open(self, sealed: bytes, *, owner: str) -> str:
        """Returns the secret. Raises ValueError if no configured key opens it for this owner."""
        return self._box.open(sealed, owner=owner)

    @cached_property
    def _box(self) -> SecretBox:
        return make_box("resource", self._keys.get_secret_value(), data_folder(self._data))
