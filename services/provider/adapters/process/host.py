"""Launches, ends and watches the machines of one folder, each launch once, whatever died when."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import signal
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog

from services.provider.adapters.process.faults import broken, not_allowed, start_failed, too_slow, unreadable
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.locks import LockFile, LockState
from services.provider.adapters.process.procfs import Identity, identify
from services.provider.adapters.process.programs import Programs
from services.provider.adapters.process.sightings import about, alive, ended, observed
from services.provider.adapters.process.signals import kill_holders
from services.provider.adapters.process.spawning import Spawned, spawn
from services.provider.adapters.process.spec import ProcessConfig, signal_number
from services.provider.adapters.process.watching import UNSEEN, Ended, Watcher, collect, has_ended
from services.provider.diagnostics import Diagnostic, ProviderFailed
from services.provider.machines import Machine, Observation, Sight
from services.provider.templates import ProcessSpec

log = structlog.get_logger("sutler.provider")

LAUNCHES_AT_ONCE = 8
LOOK_SECONDS = 0.02
LEFTOVER_SECONDS = 1.0
"""How long a lock may be held by nobody who is written down, until its holders are taken for leftovers."""

FILES = resource.getrlimit(resource.RLIMIT_NOFILE)
"""How many files this process may have open, softly and at most, as it was started; the machines get the same."""

CALLED_OFF = Ended(None, "it was called off before it started")
UNREADABLE = Ended(None, "the record of its launch cannot be read, so its exit code is unknown")


class Host:
    """The machines of one folder. Belongs to one event loop, in the one process that owns the folder.

    Args:
        folder: The folder.
        programs: What the operator allows them to run.
    """

    def __init__(self, folder: Folder, programs: Programs) -> None:
        self._folder = folder
        self._programs = programs
        self._watcher = Watcher(self._on_end)
        self._watched: dict[str, Machine] = {}
        self._endings: asyncio.Queue[Observation] = asyncio.Queue()
        self._clearing: set[asyncio.Task[None]] = set()
        self._threads = ThreadPoolExecutor(LAUNCHES_AT_ONCE, thread_name_prefix="launch")
        resource.setrlimit(resource.RLIMIT_NOFILE, (FILES[1], FILES[1]))  # one for each machine

    async def launch(self, machine: Machine, spec: ProcessSpec, config: ProcessConfig) -> Observation:
        """Launches a machine, or finds that this launch has been made, and watches it.

        Raises:
            ProviderFailed: If it was not started, and this launch never will be.
        """
        lock = self._folder.lock(machine.id)
        ends = time.monotonic() + config.timeout
        held_since: float | None = None
        while time.monotonic() < ends:
            state = lock.read()
            if state is not None and max(state.launch, state.closed) >= machine.launch:
                return await self._found(machine, lock, state)
            if state is not None and not state.readable and not state.held:
                raise _given_up(lock, machine, unreadable())
            if state is None or not state.held:
                held_since = None
                started = await self._start(machine, spec, config, lock, ends - time.monotonic())
                if started is not None:
                    return started
                continue
            held_since = held_since or time.monotonic()
            if time.monotonic() - held_since > LEFTOVER_SECONDS:
                await asyncio.to_thread(kill_holders, str(lock.path))
            await asyncio.sleep(LOOK_SECONDS)
        raise _given_up(lock, machine, too_slow(config.timeout))

    async def end(self, machine: Machine, spec: ProcessSpec, *, force: bool) -> Observation:
        """Asks a machine to end, or makes it; one that was never launched never will be."""
        lock = self._folder.lock(machine.id)
        ends = time.monotonic() + 2 * LEFTOVER_SECONDS
        while time.monotonic() < ends:
            state = lock.read()
            identity = _identity(machine, state)
            if identity is not None and self._adopt(machine, identity):
                self._ask(machine.id, spec, force=force)
                return alive(machine, identity, self._folder.host)
            if state is None:
                lock.make(about(machine))
            if lock.close(machine.launch):
                return await self._found(machine, lock, state)
            if identity is not None or ends - time.monotonic() < LEFTOVER_SECONDS:
                await asyncio.to_thread(kill_holders, str(lock.path))
            await asyncio.sleep(LOOK_SECONDS)
        return observed(machine, Sight.ALIVE)

    async def look(self, machine: Machine) -> Observation:
        """Returns what is there of a machine now, and watches it if it lives."""
        lock = self._folder.lock(machine.id)
        return await self._found(machine, lock, lock.read())

    async def endings(self) -> AsyncIterator[Observation]:
        """Yields machines as they end, for ever."""
        while True:
            yield await self._endings.get()

    def close(self) -> None:
        """Watches nothing any more; the machines go on."""
        self._watcher.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _start(
        self, machine: Machine, spec: ProcessSpec, config: ProcessConfig, lock: LockFile, seconds: float
    ) -> Observation | None:
        """Starts a launcher; returns None if another one was first, and what has become of it must be looked at."""
        for violation in self._programs.violations(spec):
            raise _given_up(lock, machine, not_allowed(violation))
        program = self._programs.find(spec.command[0])
        if program is None:
            raise _given_up(lock, machine, start_failed(errno.ENOENT, "process.command"))
        try:
            order = self._order(machine, spec, config, program)
            lock.make(about(machine))
            loop = asyncio.get_running_loop()
            spawned = await loop.run_in_executor(self._threads, spawn, order, seconds)
        except OSError as error:
            raise _given_up(lock, machine, start_failed(error.errno or 0, "")) from error
        if spawned.answer is None:
            return await self._started(machine, lock, spawned)
        await asyncio.to_thread(_reap, spawned)
        answer = spawned.answer
        if answer.result in ("busy", "over"):
            return None
        if answer.result == "failed":
            raise _given_up(lock, machine, start_failed(answer.errno, answer.field))
        log.error("launcher failed", machine=machine.name, result=answer.result, said=answer.field)
        raise _given_up(lock, machine, too_slow(config.timeout) if answer.result == "late" else broken())

    async def _started(self, machine: Machine, lock: LockFile, spawned: Spawned) -> Observation | None:
        """Watches what a launcher became; returns None if it was killed before it wrote down that it launches."""
        try:
            state = lock.read()
            identity = identify(spawned.pid)  # not what the record says: the machine may have written that by now
        except OSError:
            os.close(spawned.pidfd)
            raise
        written = state is not None and (state.launch >= machine.launch or not state.readable)
        if identity is None or (not written and has_ended(spawned.pidfd)):
            await asyncio.to_thread(_reap, spawned)
            return None
        self._watched[machine.id] = machine
        self._watcher.watch(machine.id, identity, spawned.pidfd)
        return alive(machine, identity, self._folder.host)

    async def _found(self, machine: Machine, lock: LockFile, state: LockState | None) -> Observation:
        """Returns what is there of a machine, and kills what an earlier end has left behind."""
        identity = _identity(machine, state)
        if identity is not None and self._adopt(machine, identity):
            return alive(machine, identity, self._folder.host)
        if state is not None and not state.readable:
            return await self._guessed(machine, lock, state, known=identity is not None)
        if state is None or state.launch < machine.launch:
            called_off = state is not None and state.closed >= machine.launch
            return ended(machine, CALLED_OFF) if called_off else observed(machine, Sight.NOTHING)
        if state.launch > machine.launch:
            return ended(machine, UNSEEN)  # whatever holds the lock is a later launch
        if state.held:
            await asyncio.to_thread(kill_holders, str(lock.path))
        state = lock.read() or state
        if state.error:
            return ended(machine, UNSEEN, start_failed(state.error, state.field))
        known = Ended(state.exit_code, f"it exited with {state.exit_code}")
        return ended(machine, UNSEEN if state.exit_code is None else known)

    async def _guessed(self, machine: Machine, lock: LockFile, state: LockState, *, known: bool) -> Observation:
        """Returns what the lock alone tells of a machine whose record cannot be read.

        Args:
            machine: The machine.
            lock: Its lock.
            state: What that says.
            known: Whether the service stored who the machine was, which is dead then.
        """
        log.warning("the record of a launch cannot be read", machine=machine.name, held=state.held)
        if not state.held:
            return ended(machine, UNREADABLE)
        if not known:
            return observed(machine, Sight.ALIVE)
        await asyncio.to_thread(kill_holders, str(lock.path))
        return ended(machine, UNREADABLE)

    def _adopt(self, machine: Machine, identity: Identity) -> bool:
        if not self._watcher.adopt(machine.id, identity):
            return False
        self._watched[machine.id] = machine
        return True

    def _ask(self, key: str, spec: ProcessSpec, *, force: bool) -> None:
        if force:
            self._watcher.kill(key)
        else:
            self._watcher.send(key, signal_number(spec.stop_signal) or signal.SIGTERM)

    def _on_end(self, key: str, how: Ended) -> None:
        machine = self._watched.pop(key, None)
        if machine is None:
            return
        lock = self._folder.lock(key)
        if how.exit_code is not None:
            lock.note_exit(machine.launch, how.exit_code)
        state = lock.read()
        if state is None or not state.held:
            self._endings.put_nowait(ended(machine, how))
            return
        task = asyncio.get_running_loop().create_task(self._clear(machine, lock, how))
        self._clearing.add(task)
        task.add_done_callback(self._clearing.discard)

    async def _clear(self, machine: Machine, lock: LockFile, how: Ended) -> None:
        """Kills what a machine has left behind, and only then tells that it has ended: it may be launched again."""
        try:
            await asyncio.to_thread(kill_holders, str(lock.path))
        except OSError as error:  # the next sweep tries again
            log.warning("what a machine left behind cannot be seen", machine=machine.name, error=str(error))
            return
        self._endings.put_nowait(ended(machine, how))

    def _order(self, machine: Machine, spec: ProcessSpec, config: ProcessConfig, program: str) -> Mapping[str, Any]:
        work = self._folder.work(machine.id)
        work.mkdir(mode=0o700, parents=True, exist_ok=True)
        limits = {"RLIMIT_NOFILE": FILES}
        if spec.open_files:
            limits["RLIMIT_NOFILE"] = (spec.open_files, spec.open_files)
        if spec.memory_bytes:
            limits["RLIMIT_AS"] = (spec.memory_bytes, spec.memory_bytes)
        own = {
            "PATH": self._programs.path_for(config.path),
            "SUTLER_MACHINE": machine.name,
            "SUTLER_MACHINE_REQUEST": machine.machine_request,
            "SUTLER_TEMPLATE": machine.template,
        }
        return {
            "lock": str(self._folder.lock(machine.id).path),
            "launch": machine.launch,
            "program": program,
            "command": spec.command,
            "environment": {**spec.environment, **own},
            "folder": spec.working_directory or str(work),
            "stdout": str(self._folder.output(machine.id, "stdout")),
            "stderr": str(self._folder.output(machine.id, "stderr")),
            "limits": limits,
        }


def _identity(machine: Machine, state: LockState | None) -> Identity | None:
    """Returns who this launch of a machine is; what the service stored goes before what the machine could write."""
    told = machine.attributes
    if {"pid", "start_ticks", "boot_id"} <= told.keys():
        return Identity(int(told["pid"]), int(told["start_ticks"]), str(told["boot_id"]))
    return state.identity if state is not None and state.launch >= machine.launch else None


def _given_up(lock: LockFile, machine: Machine, diagnostic: Diagnostic) -> ProviderFailed:
    """Calls a launch off, so that nothing late can make it, and returns the error for it."""
    lock.close(machine.launch)
    return ProviderFailed(diagnostic)


def _reap(spawned: Spawned) -> None:
    """Waits for a launcher that has answered, which ends then."""
    deadline = time.monotonic() + 5
    while collect(spawned.pidfd) is UNSEEN and time.monotonic() < deadline:
        time.sleep(0.005)
    os.close(spawned.pidfd)
