"""First answers to requests, kept for some days, each with a record that tells of its end."""

from __future__ import annotations

from collections.abc import Callable

from sutler.backends import OrderedStore
from sutler.idempotency import Once, RequestRepeated

from services.cache.adapters.ordered import keys
from services.cache.adapters.ordered.records import dump_answer, load_answer
from services.cache.adapters.ordered.steps import Step


class OrderedAnswers:
    """First answers to requests, in an ordered store.

    Args:
        store: Where.
        clock: The time, in seconds since 1970.
    """

    def __init__(self, store: OrderedStore, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock

    async def find(self, tenant: str, method: str, request_id: str) -> tuple[bytes, bytes] | None:
        """Returns the hash of a request and its first answer, or None."""
        [record] = await self._store.get([keys.request(tenant, method, request_id)])
        known = load_answer(record)
        return None if known is None or known.expire_time <= self._clock() else (known.hash, known.answer)


def wanted(once: Once | None) -> list[bytes]:
    """Returns the keys that :func:`check_new` looks at."""
    return [] if once is None else [keys.request(once.tenant, once.method, once.request_id)]


def check_new(step: Step, once: Once | None) -> None:
    """Checks that a request was not answered yet.

    Raises:
        RequestRepeated: If it was.
    """
    for key in wanted(once):
        known = load_answer(step.get(key))
        if known is not None and known.expire_time > step.now:
            raise RequestRepeated(known)


def remember(step: Step, once: Once | None, result: object, keep_seconds: float) -> None:
    """Remembers the answer to a request."""
    if once is None:
        return
    key, end = keys.request(once.tenant, once.method, once.request_id), step.now + keep_seconds
    step.put(key, dump_answer(once, result, end))
    step.put(keys.due(end, key), once.tenant.encode())


def expire(step: Step, found: bytes, key: bytes) -> None:
    """Forgets an answer if its time is over; ``found`` is the record that tells of that."""
    known = load_answer(step.get(key))
    if known is None or known.expire_time <= step.now:
        step.delete(key)
        step.delete(found)
