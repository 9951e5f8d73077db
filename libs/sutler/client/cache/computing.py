"""Looking a value up and computing it where it misses, from any event loop and from any thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from sutler.client.cache.entries import expired_seconds
from sutler.client.cache.leases import Policy
from sutler.client.cache.turns import Outcome, Turn

if TYPE_CHECKING:
    from sutler.client.cache.cache import Cache

Keep = Callable[[Any], bool]

log = logging.getLogger(__name__)


def always(value: object) -> bool:
    """Returns that every value is kept."""
    return True


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """How often a function found its values.

    Attributes:
        hits: Values from the cache.
        near_hits: Values from the near cache.
        stale_hits: Values that had expired, given while they were computed anew or because that failed.
        misses: Values that were computed.
        errors: Calls for which the cache did not serve.
    """

    hits: int = 0
    near_hits: int = 0
    stale_hits: int = 0
    misses: int = 0
    errors: int = 0


class Counts:
    """Counts for a :class:`CacheInfo`, from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = dict.fromkeys(("hits", "near_hits", "stale_hits", "misses", "errors"), 0)

    def add(self, name: str) -> None:
        """Adds one to a count."""
        with self._lock:
            self._counts[name] += 1

    def info(self) -> CacheInfo:
        """Returns the counts."""
        with self._lock:
            return CacheInfo(**self._counts)


NAMES = {
    Outcome.HIT: ("hits",),
    Outcome.STALE: ("stale_hits",),
    Outcome.MISS: ("misses",),
    Outcome.ERROR: ("misses", "errors"),
}

_behind: set[asyncio.Task[Any]] = set()


async def computed(
    cache: Cache,
    key: str,
    compute: Callable[[], Coroutine[Any, Any, Any]],
    policy: Policy,
    counts: Counts,
    *,
    keep: Keep = always,
    copy: bool = True,
) -> Any:
    """Returns the value of a key from the cache, or computes it in this event loop.

    Args:
        cache: The cache.
        key: The key.
        compute: Gives the value.
        policy: By which rules.
        counts: Counts how it went.
        keep: Says whether a computed value is put.
        copy: Gives a value that the caller may change.
    """
    answer = await cache.here(cache.flights.begin(key, policy))
    for name in NAMES[answer.outcome]:
        counts.add(name)
    if answer.turn is None:
        assert answer.found is not None
        return answer.found.value(copy=copy)
    answer.turn.claimed = True
    flying = _fly(cache, answer.turn, compute, counts, keep, copy)
    if answer.found is None:
        return await flying
    task = asyncio.create_task(_quietly(flying))
    _behind.add(task)
    task.add_done_callback(_behind.discard)
    return answer.found.value(copy=copy)


async def _fly(
    cache: Cache, turn: Turn, compute: Callable[[], Coroutine[Any, Any, Any]], counts: Counts, keep: Keep, copy: bool
) -> Any:
    try:
        value = await compute()
        kept = keep(value)
    except BaseException as error:
        cache.call(cache.flights.fail, turn, error)
        if not _bearable(turn, error):
            raise
        counts.add("stale_hits")
        assert turn.stale is not None
        return turn.stale.value(copy=copy)
    if not await cache.here(cache.flights.finish(turn, value, keep=kept)):
        counts.add("errors")
    return value


async def _quietly(flying: Coroutine[Any, Any, Any]) -> None:
    try:
        await flying
    except Exception as error:
        log.warning("a stale value could not be computed anew", exc_info=error)


def computed_sync(
    cache: Cache,
    key: str,
    compute: Callable[[], Any],
    policy: Policy,
    counts: Counts,
    *,
    keep: Keep = always,
    copy: bool = True,
) -> Any:
    """As :func:`computed`, for a function that computes in the thread of its caller."""
    answer = cache.wait(cache.flights.begin(key, policy))
    for name in NAMES[answer.outcome]:
        counts.add(name)
    turn = answer.turn
    if turn is None:
        assert answer.found is not None
        return answer.found.value(copy=copy)
    turn.claimed = True
    if answer.found is None:
        return _fly_sync(cache, turn, compute, counts, keep, copy)

    def renew() -> None:
        try:
            _fly_sync(cache, turn, compute, counts, keep, copy)
        except Exception as error:
            log.warning("a stale value could not be computed anew", exc_info=error)

    Thread(target=renew, name=f"renew {key}"[:40], daemon=True).start()
    return answer.found.value(copy=copy)


def _fly_sync(cache: Cache, turn: Turn, compute: Callable[[], Any], counts: Counts, keep: Keep, copy: bool) -> Any:
    try:
        value = compute()
        kept = keep(value)
    except BaseException as error:
        cache.call(cache.flights.fail, turn, error)
        if not _bearable(turn, error):
            raise
        counts.add("stale_hits")
        assert turn.stale is not None
        return turn.stale.value(copy=copy)
    if not cache.wait(cache.flights.finish(turn, value, keep=kept)):
        counts.add("errors")
    return value


def _bearable(turn: Turn, error: BaseException) -> bool:
    """Returns whether a failed computation is answered with the expired value."""
    if turn.stale is None or not isinstance(error, Exception):
        return False
    return expired_seconds(turn.stale.entry) <= turn.policy.stale_if_error
