"""Provider types that speak ``ProviderPlugin``, as :class:`services.provider.ports.ProviderKind`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from sutler.errors import FailedPrecondition, SutlerError, Unavailable, Violation
from sutler.ids import new_id
from sutler.provider.v1 import plugin_pb2 as pb

from services.provider.adapters.plugin.calling import PluginCalls
from services.provider.adapters.plugin.describing import Described
from services.provider.adapters.plugin.driving import PluginMachines
from services.provider.adapters.plugin.faults import TRANSIENT, diagnosed
from services.provider.machines import Machine, Observation
from services.provider.output import Chunk, Stream
from services.provider.providers import Checkup, Provider, ProviderState, TypeFacts, TypeSource
from services.provider.reconcile.findings import Found
from services.provider.templates import Template
from services.provider.wire import plugins as wire
from services.provider.wire import templates

DEFAULT_GRACE_SECONDS = 10.0
MAX_ATTEMPTS = 4
DESCRIBE_SECONDS = 300.0
DESCRIBE_AGAIN_SECONDS = 2.0


class PluginKind:
    """Machines of a provider that a plug-in knows.

    Args:
        calls: Calls the plug-in.
        source: Where the type comes from.
        who: How to name it in errors, such as its address.
    """

    def __init__(self, calls: PluginCalls, source: TypeSource, who: str) -> None:
        self.place = f"plugin:{calls.type}"
        self._calls = calls
        self._described = Described(calls, source, who)
        self._machines = PluginMachines(calls, self._described)

    @property
    def facts(self) -> TypeFacts:
        """What it is and can do, as it said last."""
        return self._described.facts

    async def describe(self) -> None:
        """Asks the plug-in what it is."""
        await self._described.ask()

    async def keep_described(self) -> None:
        """Asks the plug-in what it is from time to time, until it is cancelled; soon again while it cannot be asked."""
        while True:
            await asyncio.sleep(DESCRIBE_SECONDS if self.facts.error is None else DESCRIBE_AGAIN_SECONDS)
            await self.describe()

    def check_config(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a config with its defaults filled in; raises Invalid (CONFIG_INVALID)."""
        return self._described.checked(config)

    def check_template(self, template: Template) -> Sequence[Violation]:
        """Returns what is wrong with a template; the plug-in itself is not asked."""
        types = template.more.get("machine_types", [])
        return [
            Violation(f"machine_types[{index}].weight", "is more than 1: units are machines here", "CAPABILITY_MISSING")
            for index, each in enumerate(types)
            if each.get("weight", 1) > 1
        ]

    def max_attempts(self, config: Mapping[str, Any]) -> int:
        """Returns how often one machine request may ask."""
        return MAX_ATTEMPTS

    def grace(self, template: Template) -> float:
        """Returns how many seconds a machine may take to end by itself."""
        return DEFAULT_GRACE_SECONDS

    async def check(self, provider: Provider) -> Checkup:
        """Asks the plug-in how a provider is; that it does not answer is an answer too."""
        began = time.monotonic()
        config = self._described.filled(provider.config)
        asked = wire.call(self._calls.type, new_id(), config, provider=provider.name, tenant=provider.tenant)
        try:
            answer = await self._calls.ask("Check", pb.CheckRequest(call=asked), attempts=1)
        except SutlerError as error:
            found = diagnosed(error)
            return Checkup(
                state=ProviderState.UNHEALTHY,
                state_reason=found.summary,
                latency=time.monotonic() - began,
                diagnostics=(found,),
            )
        return wire.checkup(answer, time.monotonic() - began, provider.name)

    async def check_there(self, template: Template, config: Mapping[str, Any]) -> Sequence[Violation]:
        """Returns what the plug-in finds wrong with a template; raises Unavailable if it cannot be asked."""
        asked = wire.call(
            self._calls.type,
            new_id(),
            self._described.filled(config),
            provider=template.provider,
            tenant=template.tenant,
        )
        request = pb.ValidateRequest(call=asked, template=templates.to_message(template), online=True)
        try:
            return wire.violations(await self._calls.ask("Validate", request))
        except TRANSIENT as error:
            raise Unavailable(
                f"the plug-in of type {self._calls.type} could not check the template: {error.message}",
                metadata={"dependency": self._calls.type, "cause": error.reason},
                retry_after=error.retry_after,
            ) from error

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """Begins at once: a lease around the driver sees to it that one process drives."""
        self._machines.begin()
        yield

    async def launch(self, machine: Machine, template: Template, config: Mapping[str, Any]) -> Observation:
        """Launches a machine, or finds that this launch has been made; raises ProviderFailed."""
        return await self._machines.launch(machine, template, self._described.filled(config))

    async def end(self, machine: Machine, template: Template, config: Mapping[str, Any], *, force: bool) -> Observation:
        """Stops a machine, or ends it for good, as its state says."""
        return await self._machines.end(machine, self._described.filled(config), force=force)

    async def look(self, machine: Machine, config: Mapping[str, Any]) -> Observation:
        """Returns what is there of a machine."""
        return await self._machines.look(machine, self._described.filled(config))

    async def list(self, provider: Provider) -> AsyncIterator[Sequence[Found]]:
        """Yields all machines of a provider that are there now and are Sutler's, in pages.

        Raises:
            SutlerError: If they cannot be seen: then nothing is known of any of them.
        """
        config = self._described.filled(provider.config)
        tags = {"sutler.dev/provider": provider.name.partition("/")[2], "sutler.dev/tenant": provider.tenant}
        asked = wire.call(self._calls.type, new_id(), config, provider=provider.name, tenant=provider.tenant)
        request = pb.ListRequest(call=asked, tags=tags, page_size=wire.PAGE)
        while True:
            page = await self._calls.ask("List", request)
            yield [found for each in page.machines if (found := wire.found(each)) is not None]
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token
            request.call.idempotency_key = new_id()

    async def endings(self) -> AsyncIterator[Observation]:
        """Yields nothing, for ever: a plug-in is looked at, and does not tell."""
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    async def tend(self, machine: Machine, template: Template) -> None:
        """Does nothing: what is there of a machine is the plug-in's."""

    async def forget(self, machine: Machine) -> None:
        """Does nothing: a plug-in keeps nothing of a machine that has ended."""

    async def read_output(
        self, machine: Machine, stream: Stream, offset: int | None, limit: int
    ) -> AsyncIterator[Chunk]:
        """Yields nothing: plug-ins do not give outputs.

        Raises:
            FailedPrecondition: Always (OUTPUT_UNAVAILABLE).
        """
        raise FailedPrecondition(
            f"the output of {machine.name} is not captured: its type has none",
            reason="OUTPUT_UNAVAILABLE",
            metadata={"machine": machine.name},
            resource=machine.name,
        )
        yield
