"""Drives requests and machines: does what is stored to be done, so that after a crash it simply goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import structlog
from sutler.errors import SutlerError, Unavailable

from services.provider import driving
from services.provider.diagnostics import ProviderFailed
from services.provider.driving import Due, Task
from services.provider.machines import MachineState, Observation, Sight
from services.provider.patience import FIRST_SECONDS, LONGEST_SECONDS, Patience
from services.provider.ports import Kinds, ProviderKind, Store

log = structlog.get_logger("sutler.provider")

POLL_SECONDS = 0.25
"""How late a time that is due may be noticed; changes are noticed at once."""

PAGE = 200
REQUESTS_AT_ONCE = 10
"""How many requests are begun in one transaction: each may have many machines, and others want to write too."""

ENDINGS_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Pace:
    """How much a driver does, and how often.

    Attributes:
        at_once: How many machines are launched or ended at once.
        sweep: Seconds between two looks at the machines that live.
        clean: Seconds between two removals of what was kept long enough.
        keep: How long what has ended is kept.
    """

    at_once: int = 32
    sweep: float = 2.0
    clean: float = 60.0
    keep: timedelta = timedelta(days=30)


class Driver:
    """Looks after the machines of one type at one place, in the one process that owns the place.

    Args:
        store: What is stored.
        kinds: The types of provider.
        kind: The type that it drives.
        pace: How much it does, and how often.
        beside: What else runs for ever in the process that owns the place.
    """

    def __init__(
        self,
        store: Store,
        kinds: Kinds,
        kind: ProviderKind,
        pace: Pace,
        beside: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        self._store = store
        self._kinds = kinds
        self._kind = kind
        self._pace = pace
        self._beside = beside
        self._in_hand: dict[str, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._later = Patience()

    async def run(self) -> None:
        """Drives until it is cancelled; machines go on then."""
        async with self._kind.owned():
            loops = [
                asyncio.create_task(self._again(loop, pause))
                for loop, pause in (
                    (self._work, 0.0),
                    (self._sweep, self._pace.sweep),
                    (self._clean, self._pace.clean),
                    *((work, 0.0) for work in self._beside),
                )
            ]
            loops.append(asyncio.create_task(self._watch()))
            try:
                await asyncio.gather(*loops)
            finally:
                everything = [*loops, *self._in_hand.values(), *self._ending]
                for task in everything:
                    task.cancel()
                await asyncio.gather(*everything, return_exceptions=True)

    async def _again(self, step: Callable[[], Awaitable[None]], pause: float) -> None:
        """Repeats a step for ever; whatever fails is waited for, longer and longer."""
        name = step.__name__
        while True:
            try:
                await step()
                self._later.done(name)
            except Exception as error:
                _tell("driver interrupted", error, step=name)
                await asyncio.sleep(self._later.failed(name))
            await asyncio.sleep(pause)

    async def _work(self) -> None:
        """Does everything that is due, then waits for a change."""
        seen = self._store.seen()
        later = self._later.waiting()
        matters = await self._store.read(partial(driving.due, limit=REQUESTS_AT_ONCE, later=later))
        if matters:
            await self._advance(matters)
        room = self._pace.at_once - len(self._in_hand)
        if room > 0:
            limit = room + len(self._in_hand) + len(later)
            for task in await self._store.read(lambda book: driving.due_tasks(book, self._kind.place, limit)):
                self._take(task)
        await self._store.wait(POLL_SECONDS, seen)

    async def _advance(self, matters: Sequence[Due]) -> None:
        """Does what is due in one transaction or, if that fails, each in its own: one fault keeps no other."""
        try:
            await self._store.change(lambda book: driving.advance_all(book, self._kinds, matters))
            for matter in matters:
                self._later.done(matter.key)
        except Unavailable:
            raise
        except Exception:
            for matter in matters:
                async with self._trying(matter.key):
                    await self._store.change(partial(driving.advance, kinds=self._kinds, matter=matter))

    def _take(self, task: Task) -> None:
        name = task.machine.name
        if name in self._in_hand or self._later.waits(name) or len(self._in_hand) >= self._pace.at_once:
            return
        self._in_hand[name] = asyncio.create_task(self._handle(task), name=name)
        self._in_hand[name].add_done_callback(lambda _: self._in_hand.pop(name, None))

    @asynccontextmanager
    async def _trying(self, name: str) -> AsyncIterator[None]:
        """Keeps what goes wrong with one thing from all others: it is told, and tried again later."""
        try:
            yield
            self._later.done(name)
        except Exception as error:
            pause = self._later.failed(name)
            _tell("not done yet", error, what=name, again_in=pause)

    async def _handle(self, task: Task) -> None:
        """Launches or ends one machine, and stores what came of it."""
        async with self._trying(task.machine.name):
            if task.machine.state is MachineState.LAUNCHING:
                await self._launch(task)
            else:
                await self._ask(task)

    async def _launch(self, task: Task) -> None:
        try:
            observation = await self._kind.launch(task.machine, task.template, task.config)
        except ProviderFailed as failure:
            diagnostic = failure.diagnostic
            await self._store.change(lambda book: driving.note_failed(book, task.machine, diagnostic))
        else:
            await self._note(observation)

    async def _ask(self, task: Task) -> None:
        """Asks a machine to end, or makes it if its time is up."""
        kill_time = task.machine.kill_time
        force = kill_time is not None and await self._store.read(lambda book: kill_time <= book.now)
        observation = await self._kind.end(task.machine, task.template, task.config, force=force)
        if observation.sight is Sight.ALIVE:
            await self._store.change(lambda book: driving.note_asked(book, task.machine))
        else:
            await self._note(observation)

    async def _watch(self) -> None:
        """Stores machines as they end."""
        async for observation in self._kind.endings():
            while len(self._ending) >= ENDINGS_AT_ONCE:
                await asyncio.wait(self._ending, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._end(observation))
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    async def _end(self, observation: Observation) -> None:
        """Stores that a machine has ended, after what is being done with it is stored."""
        in_hand = self._in_hand.get(observation.machine)
        if in_hand is not None:
            await asyncio.wait([in_hand])
        pause = FIRST_SECONDS
        while True:
            try:
                await self._note(observation)
                return
            except Unavailable as error:
                _tell("ending not stored yet", error, what=observation.machine, again_in=pause)
            except Exception as error:
                _tell("ending not stored; the next sweep sees it", error, what=observation.machine)
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_SECONDS)

    async def _sweep(self) -> None:
        """Looks at every machine that should live: what was missed while nobody watched is noticed here."""
        last = ""
        while True:
            page = await self._store.scan(partial(driving.place_tasks, place=self._kind.place, after=last, limit=PAGE))
            for task in page:
                if task.machine.name not in self._in_hand and task.machine.state is not MachineState.LAUNCHING:
                    await self._look(task)
                    await asyncio.sleep(0)
            if len(page) < PAGE:
                return
            last = page[-1].machine.name

    async def _look(self, task: Task) -> None:
        key = f"look/{task.machine.name}"
        if self._later.waits(key):
            return
        async with self._trying(key):
            observation = await self._kind.look(task.machine, task.config)
            if observation.sight is Sight.ALIVE:
                await self._kind.tend(task.machine, task.template)
            if driving.is_news(task.machine, observation):
                await self._note(observation)

    async def _note(self, observation: Observation) -> None:
        await self._store.change(lambda book: driving.note_seen(book, observation))

    async def _clean(self) -> None:
        """Removes machines and requests that have ended long ago, with their files."""
        keep = self._pace.keep.total_seconds()
        seen = (0.0, "")
        while True:
            machines = await self._store.scan(
                partial(driving.ended_machines, place=self._kind.place, keep=keep, after=seen, limit=PAGE)
            )
            forgotten = []
            for machine in machines:
                async with self._trying(f"forget/{machine.name}"):
                    await self._kind.forget(machine)
                    forgotten.append(machine)
            remove = partial(driving.remove_ended, machines=forgotten, keep=keep, limit=PAGE)
            if not await self._store.change(remove) and not machines:
                return
            if machines:
                seen = (machines[-1].end_time or 0.0, machines[-1].name)


def _tell(event: str, error: Exception, **what: Any) -> None:
    """Logs what went wrong: an outage in one line, a fault with all that is known of it."""
    if isinstance(error, SutlerError):
        log.warning(event, reason=error.reason, error=error.message, **what)
    else:
        log.error(event, exc_info=error, **what)
