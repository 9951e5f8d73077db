"""The provider type ``process``, as :class:`services.provider.ports.ProviderKind`."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sutler.errors import FailedPrecondition, Violation

from services.provider.adapters.process import outputs, spec
from services.provider.adapters.process.checkup import folder_problem
from services.provider.adapters.process.folder import Folder, answering
from services.provider.adapters.process.host import Host
from services.provider.adapters.process.inventory import running
from services.provider.adapters.process.programs import Programs
from services.provider.diagnostics import Category, Diagnostic, Kind
from services.provider.machines import Machine, Observation
from services.provider.output import Chunk, Stream
from services.provider.providers import Checkup, Provider, ProviderState
from services.provider.reconcile.findings import Found
from services.provider.templates import Output, ProcessSpec, Template

LISTED_AT_ONCE = 500

log = structlog.get_logger("sutler.provider")


class ProcessKind:
    """Machines that are processes of this host.

    Args:
        folder: Where their locks and outputs are.
        programs: The programs that templates may name.
    """

    def __init__(self, folder: Folder, programs: Programs) -> None:
        folder.make()
        self.facts = spec.facts(programs.path)
        self.place = folder.place
        self._folder = folder
        self._programs = programs
        self._host: Host | None = None

    def check_config(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a config with its defaults filled in; raises Invalid (CONFIG_INVALID)."""
        return spec.checked_config(config, self._programs).model_dump()

    def check_template(self, template: Template) -> Sequence[Violation]:
        """Returns what is wrong with a template whose defaults are filled in."""
        return list(spec.template_violations(template, self._programs))

    def max_attempts(self, config: Mapping[str, Any]) -> int:
        """Returns how often one machine request may ask."""
        return 1 + spec.read_config(config).max_retries

    def grace(self, template: Template) -> float:
        """Returns how many seconds a machine may take to end by itself."""
        return spec.grace(template)

    async def check(self, provider: Provider) -> Checkup:
        """Looks whether machines can be started here."""
        began = time.monotonic()
        problem = await asyncio.to_thread(folder_problem, self._folder)
        identity = f"user {os.getuid()} of {self._folder.host}"
        version = f"{platform.system()} {platform.release()}"
        latency = time.monotonic() - began
        if problem is None:
            return Checkup(state=ProviderState.HEALTHY, identity=identity, version=version, latency=latency)
        state, code, summary = problem
        kind = Kind.TRANSIENT if state is ProviderState.UNHEALTHY else Kind.PERMANENT
        found = Diagnostic(category=Category.INTERNAL, kind=kind, code=code, summary=summary, provider=provider.name)
        return Checkup(
            state=state, state_reason=summary, identity=identity, version=version, latency=latency, diagnostics=(found,)
        )

    async def check_there(self, template: Template, config: Mapping[str, Any]) -> Sequence[Violation]:
        """Returns what is wrong with a template on this host now."""
        read = spec.read_config(config)
        return await asyncio.to_thread(lambda: list(spec.violations_there(template, read, self._programs)))

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """Waits until this process alone looks after the folder, and does so until the block ends."""
        async with self._folder.owned():
            self._host = Host(self._folder, self._programs)
            try:
                yield
            finally:
                self._host.close()
                self._host = None

    async def launch(self, machine: Machine, template: Template, config: Mapping[str, Any]) -> Observation:
        """Launches a machine, or finds that this launch has been made; raises ProviderFailed."""
        with answering(self._folder):
            return await self._own_host().launch(machine, template.process or ProcessSpec(), spec.read_config(config))

    async def end(
        self, machine: Machine, template: Template, config: Mapping[str, Any] | None = None, *, force: bool
    ) -> Observation:
        """Asks a machine to end, or makes it; what the config says holds for starts alone."""
        with answering(self._folder):
            return await self._own_host().end(machine, template.process or ProcessSpec(), force=force)

    async def look(self, machine: Machine, config: Mapping[str, Any] | None = None) -> Observation:
        """Returns what is there of a machine, and watches it if it lives."""
        with answering(self._folder):
            return await self._own_host().look(machine)

    async def list(self, provider: Provider) -> AsyncIterator[Sequence[Found]]:
        """Yields the machines of a provider that run here."""
        with answering(self._folder):
            machines = await asyncio.to_thread(self._folder.machines)
            for start in range(0, len(machines), LISTED_AT_ONCE):
                yield await asyncio.to_thread(running, self._folder, provider, machines[start : start + LISTED_AT_ONCE])

    def endings(self) -> AsyncIterator[Observation]:
        """Yields machines as they end, for ever."""
        return self._own_host().endings()

    async def tend(self, machine: Machine, template: Template) -> None:
        """Discards old output."""
        kept = template.process.output if template.process is not None else Output()
        for stream in ("stdout", "stderr"):
            try:
                outputs.trim(self._folder.output(machine.id, stream), kept)
            except OSError as error:
                log.warning("old output cannot be discarded", machine=machine.name, error=str(error))

    async def forget(self, machine: Machine) -> None:
        """Removes the files of a machine that has ended."""
        with answering(self._folder):
            await asyncio.to_thread(self._folder.remove, machine.id)

    async def read_output(
        self, machine: Machine, stream: Stream, offset: int | None, limit: int
    ) -> AsyncIterator[Chunk]:
        """Yields the output that is there; raises OutOfRange or FailedPrecondition."""
        if machine.place and machine.place != self.place:
            raise FailedPrecondition(
                f"the output of {machine.name} is at {machine.place}; ask the service there",
                reason="OUTPUT_UNAVAILABLE",
                metadata={"machine": machine.name},
                resource=machine.name,
            )
        path = self._folder.output(machine.id, stream.name.lower())
        for chunk in outputs.read(path, offset, limit):
            yield chunk

    def _own_host(self) -> Host:
        assert self._host is not None, "only inside of owned()"
        return self._host
