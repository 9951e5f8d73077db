"""The event ``cache.invalidated``, for caches that publish it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from sutler.context import Call, current
from sutler.events import Event
from sutler.ids import derive, new_id
from sutler.open_data import too_large

from services.cache.caches import Cache
from services.cache.ports import Outbox
from services.cache.selectors import Selector

SOURCE = "//cache.sutler.dev"
TYPE = "cache.invalidated"
MAX_DATA_BYTES = 1_000_000


class Publishing:
    """Tells others what was deleted and invalidated.

    Args:
        outbox: Where events wait; None if there is nobody to be told.
    """

    def __init__(self, outbox: Outbox | None) -> None:
        self._outbox = outbox

    async def tell(self, cache: Cache, selector: Selector, count: int, request_id: str = "") -> None:
        """Tells that entries are gone, if the cache publishes that.

        Args:
            cache: Their cache.
            selector: What the call named.
            count: How many there were.
            request_id: The id of the call; one that is repeated is told once.

        Raises:
            Unavailable: If the outbox does not answer.
        """
        if self._outbox is None or not cache.rules.publish_invalidations:
            return
        event_id = derive(request_id, f"{TYPE}/{cache.uid}") if request_id else new_id()
        await self._outbox.post(_invalidated(current(), cache, selector, count, event_id))

    def of_deleted(self, count: int) -> Callable[[Cache], Event] | None:
        """Returns what makes the event of a cache that the current call deletes; None if there is nobody to be told.

        Args:
            count: How many entries it has.
        """
        if self._outbox is None:
            return None
        call = current()
        return lambda cache: _invalidated(
            call, cache, Selector(everything=True), count, derive(cache.uid, f"{TYPE}/deleted")
        )


def _invalidated(call: Call, cache: Cache, selector: Selector, count: int, event_id: str) -> Event:
    return Event(
        id=event_id,
        source=SOURCE,
        type=TYPE,
        subject=cache.name,
        time=datetime.now(UTC),
        data=_data(selector, count),
        tenant=cache.tenant,
        correlation_id=call.correlation_id,
        actor=call.principal.actor,
    )


def _data(selector: Selector, count: int) -> Mapping[str, Any]:
    """Returns what an event says; without keys and tags that no event can carry."""
    data: dict[str, Any] = {
        "keys": list(selector.keys),
        "tags": list(selector.tags),
        "prefix": selector.prefix,
        "filter": selector.filter.text if selector.filter is not None else "",
        "all": selector.everything,
        "invalidated_count": count,
    }
    if "\0" in "".join((*selector.keys, *selector.tags, selector.prefix)) or too_large(data, MAX_DATA_BYTES):
        data |= {"keys": [], "tags": [], "prefix": "", "truncated": True}
    return data
