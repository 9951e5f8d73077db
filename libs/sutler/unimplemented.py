"""Answers RPCs that a servicer has not built: UNIMPLEMENTED, with the reason, like any other error."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from google.protobuf import descriptor_pool

from sutler.errors import Unimplemented


class Complete:
    """A servicer with every RPC of its service: its own, and refusals for the rest.

    Args:
        servicer: The servicer.
        service: The full name of the service.
    """

    def __init__(self, servicer: Any, service: str) -> None:
        self._servicer = servicer
        self._methods = descriptor_pool.Default().FindServiceByName(service).methods_by_name

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._servicer, name, None)
        if found is not None:
            return found
        return _refuse_stream(name) if self._methods[name].server_streaming else _refuse(name)


def _error(name: str) -> Unimplemented:
    return Unimplemented(f"{name} is not offered by this release", metadata={"method": name})


def _refuse(name: str) -> Any:
    async def refuse(request: Any, context: Any) -> Any:
        raise _error(name)

    return refuse


def _refuse_stream(name: str) -> Any:
    async def refuse(request: Any, context: Any) -> AsyncIterator[Any]:
        raise _error(name)
        yield

    return refuse
