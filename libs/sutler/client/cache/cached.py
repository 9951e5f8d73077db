"""``@cached``: functions whose results are kept in a cache."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Never, ParamSpec, TypeVar

from sutler.client.cache.cache import Cache
from sutler.client.cache.computing import Keep, always
from sutler.client.cache.entry_calls import Time
from sutler.client.cache.functions import CachedCoroutine, CachedFunction, CachedMethods, Source
from sutler.client.cache.keys import CallKeys, name_of
from sutler.client.cache.leases import Policy
from sutler.client.cache.sync import SyncCache

P = ParamSpec("P")
R = TypeVar("R")

API_SECONDS = 6 * 3600.0
API_STALE_SECONDS = 7 * 24 * 3600.0


@dataclass(slots=True)
class _Current:
    cache: Cache | SyncCache | None = None


_current = _Current()


def use(cache: Cache | SyncCache | None) -> None:
    """Names the cache of all functions that are cached without one of their own; None for none."""
    _current.cache = cache


class CachedDecorator:
    """The type of :data:`cached`."""

    def __call__(
        self,
        *unnamed: Never,
        cache: Source | Cache | SyncCache | None = None,
        ttl: Time | None = None,
        tags: Sequence[str] | Callable[..., Sequence[str]] = (),
        key: Callable[..., object] | None = None,
        prefix: str = "",
        ignore: Collection[str] = (),
        stale: Time = 0,
        stale_if_error: Time = 0,
        cache_if: Keep = always,
        copy: bool = True,
        required: bool = False,
        lease: Time = 10,
        wait: Time = 30,
        timeout: Time = 2,
    ) -> Callable[[Callable[P, R]], CachedMethods[P, R]]:
        """Keeps the results of a function, sync or async, also a method; None is a result, an exception is not.

        Of all who miss a result at once, in all processes, one computes it and the others wait. A cache that is down is
        left alone; the function is called then. The decorated function has ``invalidate(…)``, ``refresh(…)`` and
        ``key(…)``, which take its arguments, ``invalidate_all()`` and ``info()``; of an async function the ones that
        ask the cache are to be awaited.

        Args:
            cache: The cache, or what gives it at each call; the one that :func:`use` names if None.
            ttl: How long a result lives, in seconds or as a timedelta: as the cache says if None, without end if 0.
            tags: Its groups, or what gives them for the arguments.
            key: Gives what stands for the arguments: a text, or any value that keys can be made of.
            prefix: What keys begin with; the full name of the function if empty. Functions with one prefix share their
                results, and what a function takes from around it does not count.
            ignore: Parameters that do not count.
            stale: How long after its end a result is still given while another one is computed behind the call. The
                cache must keep it so long: ``stale_retention``; else a warning says so.
            stale_if_error: How long after its end a result is still given if the function raises.
            cache_if: Says whether a result is kept.
            copy: Gives every caller a result that it may change; else all share one, with arrays read-only.
            required: Raises if the cache does not serve, rather than calling the function.
            lease: After how long others compute if this process dies while it does.
            wait: How long a call waits for a result that another one computes; then it computes itself.
            timeout: How long the cache may take for a call.

        Raises:
            TypeError: If it is a generator, which gives its values only once, or an option is of another type.
            ValueError: If ``ignore`` names no parameter, the prefix is too long or needed, or a time is negative.
        """
        if unnamed:
            raise TypeError("the options of cached have names: @cached(), @cached(ttl=60)")
        if key is not None and not callable(key):
            raise TypeError(f"key is {key!r}: give a function of the arguments, or prefix= for a fixed text")
        if isinstance(ignore, str):
            raise TypeError(f"ignore is one text: give a list, such as ignore=[{ignore!r}]")
        policy = Policy.of(
            ttl=ttl,
            tags=() if callable(tags) else tags,
            stale=stale,
            stale_if_error=stale_if_error,
            lease=lease,
            wait=wait,
            timeout=timeout,
            required=required,
        )

        def decorate(function: Callable[P, R]) -> CachedMethods[P, R]:
            if isinstance(function, staticmethod | classmethod | property):
                raise TypeError(f"put @cached below @{type(function).__name__}")
            if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
                raise TypeError(f"{name_of(function)} is a generator, which cannot be cached: return a list")
            kind = CachedCoroutine if inspect.iscoroutinefunction(function) else CachedFunction
            return kind(
                function,
                source=_source(cache, function),
                keys=CallKeys(function, prefix=prefix, key=key, ignore=ignore),
                policy=policy,
                tags=tags if callable(tags) else None,
                keep=cache_if,
                copy=copy,
            )

        return decorate

    def for_api(self, *unnamed: Never, **options: Any) -> Callable[[Callable[P, R]], CachedMethods[P, R]]:
        """As ``cached``, with defaults for calls of an API: 6 hours, and for a week after that if the API fails."""
        return self(*unnamed, **{"ttl": API_SECONDS, "stale_if_error": API_STALE_SECONDS, **options})


cached = CachedDecorator()
"""Decorates functions; see :meth:`CachedDecorator.__call__`."""


def _source(cache: Source | Cache | SyncCache | None, function: Callable[..., Any]) -> Source:
    def source() -> Cache:
        found = cache() if callable(cache) else cache if cache is not None else _current.cache
        if found is None:
            raise RuntimeError(
                f"{name_of(function)} has no cache: name an open one with sutler.client.cache.use, or give cache="
            )
        return found.cache if isinstance(found, SyncCache) else found

    return source
