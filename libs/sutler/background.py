"""Work that goes on behind the calls: it runs as long as the service, and its end is no secret."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import structlog

log = structlog.get_logger("sutler.background")


class WorkEnded(Exception):
    """Work that should go on for ever has ended: the process ends too, for its process manager to start it again."""


@dataclass(frozen=True, slots=True)
class Background:
    """Tasks that should never end.

    Attributes:
        tasks: The tasks by what they do.
    """

    tasks: Mapping[str, asyncio.Task[Any]]

    async def check(self) -> None:
        """Returns if all go on; for ``Service.needed``.

        Raises:
            WorkEnded: If one has ended.
        """
        for name, task in self.tasks.items():
            if task.done():
                raise WorkEnded(f"the background work {name} has ended")


@asynccontextmanager
async def background(works: Mapping[str, Coroutine[Any, Any, None]]) -> AsyncIterator[Background]:
    """Runs works until the block ends.

    Args:
        works: Each by what it does.
    """
    tasks = {name: asyncio.create_task(work, name=name) for name, work in works.items()}
    for task in tasks.values():
        task.add_done_callback(_tell)
    try:
        yield Background(tasks)
    finally:
        for task in tasks.values():
            task.cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)


def _tell(task: asyncio.Task[Any]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.error("background.ended", work=task.get_name(), exc_info=task.exception())
