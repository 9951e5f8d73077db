"""Answers of ERPs in a cache that others reach too, in a form that only the gateway can read and make."""

from __future__ import annotations

from typing import Any

import orjson
import structlog
from opentelemetry.metrics import Meter

from services.erp.ports import SecretBox

log = structlog.get_logger("erp.cache")


class SealedValues:
    """Seals values, each for its tenant and key, so that none can be read, changed or put elsewhere by others.

    Args:
        box: Encrypts; its keys serve nothing else.
        meter: Makes the counter of values that did not open.
    """

    def __init__(self, box: SecretBox, meter: Meter) -> None:
        self._box = box
        self._told = False
        self._unreadable = meter.create_counter(
            "sutler_erp_cache_unreadable", unit="1", description="Values in the cache that no key of the gateway opened"
        )

    def seal(self, tenant: str, key: str, plain: bytes) -> bytes:
        """Returns the text of JSON data sealed."""
        return self._box.seal(plain.decode(), owner=_owner(tenant, key))

    def open(self, tenant: str, key: str, sealed: bytes) -> Any | None:
        """Returns the JSON data; None, counted, if the gateway has not sealed them for this tenant and key."""
        try:
            return orjson.loads(self._box.open(sealed, owner=_owner(tenant, key)))
        except ValueError:
            self._unreadable.add(1)
            if not self._told:
                self._told = True
                log.warning("values in the cache cannot be opened; they count as absent", tenant=tenant)
            return None


def _owner(tenant: str, key: str) -> str:
    return f"{tenant}\0{key}"
