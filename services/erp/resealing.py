"""Secrets that an older key has sealed, sealed anew with the first, so that the older key can go."""

from __future__ import annotations

import structlog

from services.erp.ports import ConnectionStore, SecretBox

log = structlog.get_logger("erp.keeping")

AT_ONCE = 200


class Resealer:
    """Seals secrets anew.

    Args:
        store: Where they are stored.
        box: Seals them.
    """

    def __init__(self, store: ConnectionStore, box: SecretBox) -> None:
        self._store = store
        self._box = box
        self._told: set[str] = set()

    async def run(self) -> None:
        """Looks at the secrets of all connections once. Raises Unavailable if the store does not answer."""
        last, count = "", 0
        while page := await self._store.secrets(last, AT_ONCE):
            for uid, secrets in page:
                anew = {slot: self._anew(uid, sealed) for slot, sealed in secrets.items()}
                if anew != secrets:
                    await self._store.reseal(uid, secrets, anew)
                    count += 1
            last = page[-1][0]
        if count:
            log.info("secrets sealed anew with the first key", connections=count, unreadable=len(self._told))

    def _anew(self, uid: str, sealed: bytes) -> bytes:
        if self._box.is_current(sealed):
            return sealed
        try:
            return self._box.seal(self._box.open(sealed, owner=uid), owner=uid)
        except ValueError:
            if uid not in self._told:
                self._told.add(uid)
                log.warning("no configured key opens a secret; put the key back or the secret anew", connection=uid)
            return sealed
