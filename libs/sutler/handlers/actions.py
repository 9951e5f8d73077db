"""What a handler can do with a resource besides making it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

F = TypeVar("F", bound=Callable[..., Any])

ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_MARK = "__sutler_action__"


@dataclass(frozen=True, slots=True)
class Action:
    """An action of a handler.

    Attributes:
        id: How callers name it.
        parameters: The model of what it is given; None if it takes nothing.
        result: The model of what it gives back; None if that is open.
        description: What it does, for people.
        method: The name of the method that carries it out.
    """

    id: str
    parameters: type[BaseModel] | None
    result: type[BaseModel] | None
    description: str
    method: str


def action(
    id: str = "", *, parameters: type[BaseModel] | None = None, result: type[BaseModel] | None = None
) -> Callable[[F], F]:
    """Declares a method of a handler as an action: ``async def restart(self, call: ActionCall[…]) -> Data``.

    Args:
        id: How callers name it; the name of the method if empty.
        parameters: The model of what it is given; None if it takes nothing.
        result: The model of what it gives back; None for anything. The description is the first line of the docstring.

    Raises:
        TypeError: If it is no coroutine function, or the id is none.
    """

    def declare(method: F) -> F:
        name = id or method.__name__
        if not inspect.iscoroutinefunction(method) or not ID.fullmatch(name):
            raise TypeError(f"{name!r} cannot be an action: it needs an async method and an id like restart")
        text = (inspect.getdoc(method) or "").partition("\n")[0]
        setattr(method, _MARK, Action(name, parameters, result, text, method.__name__))
        return method

    return declare


def actions_of(handler: type) -> Mapping[str, Action]:
    """Returns the actions of a class by their ids, those of its bases included.

    Raises:
        TypeError: If two methods have one id.
    """
    found: dict[str, Action] = {}
    for name in dir(handler):
        declared = getattr(inspect.getattr_static(handler, name), _MARK, None)
        if declared is None:
            continue
        if declared.id in found:
            raise TypeError(f"{handler.__qualname__} has two actions {declared.id}")
        found[declared.id] = declared
    return found
