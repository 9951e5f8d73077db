"""Functions whose results are kept: what ``@cached`` makes of a function."""

from __future__ import annotations

import asyncio
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, ParamSpec, TypeVar

from sutler.client.cache.arguments import checked_texts
from sutler.client.cache.cache import Cache
from sutler.client.cache.computing import CacheInfo, Counts, Keep, computed, computed_sync
from sutler.client.cache.encoding import WouldBlock
from sutler.client.cache.keys import CallKeys
from sutler.client.cache.leases import Policy
from sutler.client.cache.near import MISSING

P = ParamSpec("P")
R = TypeVar("R")
Source = Callable[[], Any]
"""Gives the cache of a call."""


class CachedMethods(ABC, Generic[P, R]):
    """A function whose results are kept. Of a method, each object has its own, by the object's key.

    Args:
        function: The function.
        source: Gives its cache.
        keys: Makes its keys.
        policy: By which rules results are kept.
        tags: Gives the tags for the arguments; those of the policy if None.
        keep: Says whether a result is kept.
        copy: Gives every caller a result of its own.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        source: Callable[[], Cache],
        keys: CallKeys,
        policy: Policy,
        tags: Callable[..., Sequence[str]] | None,
        keep: Keep,
        copy: bool,
    ) -> None:
        functools.update_wrapper(self, function)
        self._function: Callable[..., Any] = function
        self._source = source
        self._keys = keys
        self._policy = policy
        self._tags = tags
        self._keep = keep
        self._copy = copy
        self._counts = Counts()
        self._before: tuple[Any, ...] = ()

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        bound = object.__new__(type(self))
        vars(bound).update(vars(self))
        bound._before = (instance,)
        return bound

    def __reduce__(self) -> Any:
        """Lets processes send it to each other by its name, as any function."""
        if self._before:
            return getattr, (self._before[0], self._function.__name__)
        return self._function.__qualname__

    @abstractmethod
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Returns the result, from the cache or of the function."""

    @abstractmethod
    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function, puts the result in place of what is there, and returns it."""

    def info(self) -> CacheInfo:
        """Returns how often results were found, in this process."""
        return self._counts.info()

    def key(self, *args: Any, **kwargs: Any) -> str:
        """Returns the key of a call.

        Raises:
            TypeError: If no key can be made of an argument.
        """
        return self._keys.of((*self._before, *args), kwargs)

    def _rules(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Policy:
        return (
            self._policy
            if self._tags is None
            else replace(self._policy, tags=checked_texts("tags", self._tags(*args, **kwargs)))
        )

    def _put(self, cache: Cache, key: str, value: Any, policy: Policy) -> Any:
        return cache.put(key, value, ttl=policy.ttl, tags=policy.tags)

    def invalidate(self, *args: Any, **kwargs: Any) -> Any:
        """Removes the result of one call; returns whether there was one."""
        key = self.key(*args, **kwargs)
        return self._ask(lambda cache: cache.delete(key))

    def invalidate_all(self) -> Any:
        """Removes all results of the function; returns how many there were."""
        return self._ask(lambda cache: cache.invalidate(prefix=f"{self._keys.prefix}:"))

    @abstractmethod
    def _ask(self, question: Callable[[Cache], Any]) -> Any:
        """Returns what the cache answers, or what gives it when it is awaited."""


class CachedFunction(CachedMethods[P, R]):
    """A sync function. It runs in the thread of its caller."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Returns the result, from the cache or of the function."""
        given = (*self._before, *args) if self._before else args
        cache = self._source()
        key = self._keys.of(given, kwargs)
        held = cache.held(key, copy=self._copy)
        if held is not MISSING:
            self._counts.add("near_hits")
            return held  # type: ignore[no-any-return]
        return computed_sync(  # type: ignore[no-any-return]
            cache,
            key,
            functools.partial(self._function, *given, **kwargs),
            self._rules(given, kwargs),
            self._counts,
            keep=self._keep,
            copy=self._copy,
        )

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Calls the function, puts the result in place of what is there, and returns it."""
        given = (*self._before, *args)
        value = self._function(*given, **kwargs)
        cache = self._source()
        cache.wait(self._put(cache, self._keys.of(given, kwargs), value, self._rules(given, kwargs)))
        return value  # type: ignore[no-any-return]

    def _ask(self, question: Callable[[Cache], Any]) -> Any:
        cache = self._source()
        return cache.wait(question(cache))


class CachedCoroutine(CachedMethods[P, R]):
    """An async function. It runs in the event loop of its caller."""

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:  # type: ignore[override]
        """Returns the result, from the cache or of the function."""
        given = (*self._before, *args)
        cache = self._source()
        key = await self._key(given, kwargs)
        held = cache.held(key, copy=self._copy)
        if held is not MISSING:
            self._counts.add("near_hits")
            return held
        return await computed(
            cache,
            key,
            functools.partial(self._function, *given, **kwargs),
            self._rules(given, kwargs),
            self._counts,
            keep=self._keep,
            copy=self._copy,
        )

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> Any:  # type: ignore[override]
        """Calls the function, puts the result in place of what is there, and returns it."""
        given = (*self._before, *args)
        value = await self._function(*given, **kwargs)
        cache = self._source()
        key = await self._key(given, kwargs)
        await cache.here(self._put(cache, key, value, self._rules(given, kwargs)))
        return value

    async def _key(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
        try:
            return self._keys.of(args, kwargs, blocking=False)
        except WouldBlock:
            return await asyncio.to_thread(self._keys.of, args, kwargs)

    def _ask(self, question: Callable[[Cache], Any]) -> Any:
        cache = self._source()
        return cache.here(question(cache))
