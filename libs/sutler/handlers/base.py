"""The base class of handlers that are written in Python."""

from __future__ import annotations

import typing
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Generic, Literal, Self, TypeVar

from pydantic import BaseModel

from sutler.handlers.actions import Action, actions_of
from sutler.handlers.cache import TtlCache
from sutler.handlers.calls import ActionCall, Call, P
from sutler.handlers.models import Anything, Data

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """What is really there of a resource.

    Attributes:
        presence: ``ABSENT``, ``PARTIAL`` or ``WHOLE``; where an earlier state is there unchanged, that is ``ABSENT``.
        outputs: The outputs as they are now; needed if all is there and the type has an output schema.
        description: For people, such as ``2 of 5 disks``.
    """

    presence: Literal["ABSENT", "PARTIAL", "WHOLE"]
    outputs: Data = None
    description: str = ""


class Handler(ABC, Generic[P]):
    """Makes resources of a type real: ``class Zones(Handler[Zone])`` with a pydantic model ``Zone`` of the properties.

    One object serves all tenants, types and calls, many at once. It is a context manager: :meth:`__aenter__` and
    :meth:`__aexit__` hold what lives as long as the service. It runs in the service's event loop: what blocks belongs
    into ``asyncio.to_thread``.

    Errors are those of :mod:`sutler.errors`. ``Unavailable``, ``DeadlineExceeded``, ``Exhausted``, ``Conflict`` and any
    error with ``retry_after`` are tried again, all others are final. Any other exception is a bug: callers learn no
    more than where the log has it, and the call is tried again.

    Attributes:
        Properties: The model; that of ``Handler[…]`` if the class does not say.
        Outputs: The model of what :meth:`apply` returns; None if that is open.
        cache_ttl: Seconds that the cache keeps what it is given.
        cache_entries: How many things it keeps.
        actions: The actions that methods declare, by their ids.
    """

    Properties: ClassVar[type[BaseModel]] = Anything
    Outputs: ClassVar[type[BaseModel] | None] = None
    cache_ttl: ClassVar[float] = 300.0
    cache_entries: ClassVar[int] = 1024
    actions: ClassVar[Mapping[str, Action]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for base in vars(cls).get("__orig_bases__", ()):
            origin = typing.get_origin(base)
            if isinstance(origin, type) and issubclass(origin, Handler) and "Properties" not in vars(cls):
                model = typing.get_args(base)[0]
                if isinstance(model, type) and issubclass(model, BaseModel):
                    cls.Properties = model
        cls.actions = actions_of(cls)

    async def __aenter__(self) -> Self:
        """Begins the handler's life. Must not wait for what may be down: that would leave the handler out."""
        return self

    async def __aexit__(self, *error: object) -> None:
        """Ends it, when no call is open any more."""

    async def validate(self, call: Call[P]) -> None:
        """Checks a change that the model accepts, before it is stored, and has no effect.

        Tells what is wrong with ``call.reject`` or ``Invalid``. Any other error means that it cannot tell now, and so
        does an answer that takes more than 10 s.
        """

    async def validate_action(self, call: ActionCall[P, Any]) -> None:
        """Checks an action, as :meth:`validate` does a change; paths begin with ``parameters.``."""

    @abstractmethod
    async def apply(self, call: Call[P]) -> Data:
        """Makes the real thing what is wished, whether it exists or not, and returns its outputs.

        What exists already from an earlier attempt is taken up. Returns only when all is there.
        """

    @abstractmethod
    async def delete(self, call: Call[P]) -> None:
        """Removes the real thing, also one that was made by half. What is not there counts as removed.

        Properties that the model does not accept any more arrive unchecked, so that nothing old stays for ever.
        """

    @abstractmethod
    async def read(self, call: Call[P]) -> Found:
        """Says what is really there, and has no effect; asked after a cancel. An outage is ``Unavailable``."""

    async def before_apply(self, call: Call[P]) -> None:
        """Runs before :meth:`apply`, in each attempt; an error stops the operation as one of ``apply`` would."""

    async def after_apply(self, call: Call[P], outputs: Mapping[str, Any]) -> None:
        """Runs after :meth:`apply`; an error, or more than 30 s, becomes a finding and changes nothing."""

    async def before_delete(self, call: Call[P]) -> None:
        """Runs before :meth:`delete`, as :meth:`before_apply`."""

    async def after_delete(self, call: Call[P]) -> None:
        """Runs after :meth:`delete`, as :meth:`after_apply`."""

    async def before_action(self, call: ActionCall[P, Any]) -> None:
        """Runs before an action, as :meth:`before_apply`."""

    async def after_action(self, call: ActionCall[P, Any], result: Mapping[str, Any]) -> None:
        """Runs after an action, as :meth:`after_apply`."""

    @cached_property
    def cache(self) -> TtlCache[Any]:
        """What was looked up, in one group for each resource: see :meth:`look_up`."""
        return TtlCache(self.cache_ttl, self.cache_entries)

    async def look_up(self, call: Call[P], key: str, make: Callable[[], Awaitable[T]]) -> T:
        """Returns something about a resource from the cache, or makes it.

        An apply, a delete or an action of the resource drops it, in this process; others see it until its time is over.

        Args:
            call: The call that needs it.
            key: What it is.
            make: Looks it up, such as ``lambda: self.read(call)``.
        """
        found: T = await self.cache.get(self._group(call), key, make)
        return found

    def invalidate(self, call: Call[P]) -> None:
        """Drops what the cache has about a resource; ``cache.invalidate_all()`` drops everything."""
        self.cache.invalidate(self._group(call))

    @staticmethod
    def _group(call: Call[P]) -> tuple[str, str]:
        return call.tenant, call.name.lower()
