"""The models of one ERP as its users see them, remembered for a while."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sutler.errors import SutlerError, Unavailable

from services.erp.connections import ConnectionSpec
from services.erp.ports import Driver
from services.erp.schemas import Model, ModelRights, ModelSchema
from services.erp.users import Ask

T = TypeVar("T")

MAX_KEPT = 2000
GONE = ("MODEL_NOT_FOUND", "FIELD_NOT_FOUND")
MODELS = "ir.model"


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """Something that was read from the ERP.

    Attributes:
        value: What was read.
        read_time: When, in epoch seconds.
        fresh: Whether it was read for this call.
        error: Why the ERP did not answer, where an older value is given instead.
    """

    value: T
    read_time: float
    fresh: bool = True
    error: Unavailable | None = None


class Catalogue:
    """Reads models, fields and rights, and remembers them for as long as records of the model are.

    Args:
        driver: Asks the ERP.
        spec: The cache policies.
    """

    def __init__(self, driver: Driver, spec: ConnectionSpec) -> None:
        self._driver = driver
        self._spec = spec
        self._kept: OrderedDict[tuple[Any, ...], tuple[Any, float]] = OrderedDict()
        self._reading: dict[tuple[Any, ...], asyncio.Task[Any]] = {}

    async def schema(self, ask: Ask, model: str) -> ModelSchema:
        """Returns a model with its fields; as it was last known while the ERP is down.

        Raises:
            NotFound: If there is none (MODEL_NOT_FOUND).
            SutlerError: Why the ERP does not tell.
        """
        return (await self.described(ask, model, allow_stale=True)).value

    async def described(
        self, ask: Ask, model: str, *, max_staleness: float | None = None, allow_stale: bool = False
    ) -> Kept[ModelSchema]:
        """Returns a model with its fields, and how old that is. Raises as :meth:`schema`."""
        return await self._get("schema", ask, model, self._driver.schema, max_staleness, allow_stale=allow_stale)

    async def rights(
        self, ask: Ask, model: str, *, max_staleness: float | None = None, allow_stale: bool = False
    ) -> Kept[ModelRights]:
        """Returns what the user may do with a model. Raises as :meth:`schema`."""
        return await self._get("rights", ask, model, self._driver.rights, max_staleness, allow_stale=allow_stale)

    async def models(
        self, ask: Ask, *, max_staleness: float | None = None, allow_stale: bool = False
    ) -> Kept[Sequence[Model]]:
        """Returns the models that the user may read. Raises as :meth:`schema`."""

        async def read(ask: Ask, model: str) -> Sequence[Model]:
            return await self._driver.models(ask)

        return await self._get("models", ask, MODELS, read, max_staleness, allow_stale=allow_stale)

    async def model(self, ask: Ask, model: str) -> Model | None:
        """Returns a model with its title; None if the ERP does not list it. Raises as :meth:`schema`."""
        return (await self._get("model", ask, model, self._driver.model, None, allow_stale=True)).value

    async def remembered(self, what: Hashable, ask: Ask, model: str, read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Returns what was read of a model, for this user and for as long as its records are remembered.

        Args:
            what: What tells this from all else that is remembered of the model.
            ask: As whom.
            model: The model.
            read: Reads it.
        """

        async def again(ask: Ask, model: str) -> T:
            return await read()

        return (await self._get(what, ask, model, again, None, allow_stale=False)).value

    @contextmanager
    def doubted(self, model: str) -> Iterator[None]:
        """Forgets a model if the ERP has it, or one of its fields, no more, so that the next call sees what is left.

        Raises:
            SutlerError: What was raised inside.
        """
        try:
            yield
        except SutlerError as error:
            if error.reason in GONE:
                told = error.metadata.get("model", model)
                for key in [key for key in self._kept if key[-1] in (model, told, MODELS)]:
                    del self._kept[key]
            raise

    async def _get(
        self,
        what: Hashable,
        ask: Ask,
        model: str,
        read: Callable[[Ask, str], Coroutine[Any, Any, T]],
        max_staleness: float | None,
        *,
        allow_stale: bool,
    ) -> Kept[T]:
        key = (what, ask.username, ask.secret, ask.context.language, model)
        ttl = self._spec.ttl(model, search=False)
        greatest_age = ttl if max_staleness is None else min(ttl, max_staleness)
        known = self._kept.get(key)
        now = time.time()
        if known is not None and now - known[1] < greatest_age:
            self._kept.move_to_end(key)
            return Kept(known[0], known[1], fresh=False)
        try:
            value = await self._once(key, lambda: read(ask, model))
        except Unavailable as error:
            if known is None or not allow_stale:
                raise
            return Kept(known[0], known[1], fresh=False, error=error)
        self._kept[key] = (value, now)
        self._kept.move_to_end(key)
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return Kept(value, now)

    async def _once(self, key: tuple[Any, ...], read: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Reads; whoever asks for the same meanwhile waits for that answer."""
        task: asyncio.Task[T] | None = self._reading.get(key)
        if task is None:
            task = self._reading[key] = asyncio.create_task(read())
            task.add_done_callback(lambda done: self._read(key, done))
        return await asyncio.shield(task)

    def _read(self, key: tuple[Any, ...], done: asyncio.Task[Any]) -> None:
        del self._reading[key]
        if not done.cancelled():
            done.exception()
