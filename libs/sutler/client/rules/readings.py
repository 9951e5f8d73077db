"""What reads give: something to await, and to do nothing else with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Generic, NoReturn, TypeVar

T = TypeVar("T")


class Reading(Awaitable[T], Generic[T]):
    """What a read gives when it is awaited. To compare it before that is a mistake, and an error."""

    __hash__ = object.__hash__

    def __init__(self, read: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._read = read

    def __await__(self) -> Generator[Any, None, T]:
        return self._read().__await__()

    def _refuse(self, *_: object) -> NoReturn:
        raise TypeError("this is not the value yet: await it, in an async function")

    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = _refuse
