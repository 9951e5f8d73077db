"""Launches, ends and looks at the machines of a plug-in; the same step has the same key however often it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sutler.errors import SutlerError, Unavailable
from sutler.ids import new_id
from sutler.provider.v1 import plugin_pb2 as pb
from sutler.provider.v1.provider_pb2 import Machine as Shown
from sutler.status import from_status

from services.provider.adapters.plugin.calling import PluginCalls
from services.provider.adapters.plugin.describing import Described
from services.provider.adapters.plugin.faults import FINAL, TRANSIENT, broken, diagnosed
from services.provider.adapters.plugin.flights import Flights
from services.provider.diagnostics import Category, Diagnostic, Kind, ProviderFailed
from services.provider.machines import Machine, MachineState, Observation, Sight
from services.provider.templates import Template
from services.provider.wire import plugins as wire

_ENDED = (Shown.STATE_TERMINATED, Shown.STATE_FAILED)
_COMING = (Shown.STATE_PENDING, Shown.STATE_LAUNCHING)
Config = Mapping[str, Any]


class PluginMachines:
    """The machines of one plug-in.

    Args:
        calls: Calls it.
        described: What it says it is.
    """

    def __init__(self, calls: PluginCalls, described: Described) -> None:
        self._calls = calls
        self._described = described
        self._flights = Flights(calls.seconds)

    def begin(self) -> None:
        """Forgets what was under way: another process may have driven since."""
        self._flights = Flights(self._calls.seconds)

    async def launch(self, machine: Machine, template: Template, config: Config) -> Observation:
        """Asks for a machine, or for how far it is.

        Raises:
            ProviderFailed: If it was not started, and this launch never will be.
            SutlerError: If that is not known; then the same is asked again.
        """
        try:
            if machine.launch > 1:
                return await self._start(machine, config)
            if machine.native_id:
                return await self.look(machine, config)
            self._flights.begin(machine)
            found = await self._provision(machine, template, config)
        except SutlerError as error:
            if isinstance(error, TRANSIENT) and error.reason not in FINAL:
                raise
            self._flights.landed(machine)
            raise ProviderFailed(diagnosed(error)) from error
        self._flights.landed(machine)
        return found

    async def end(self, machine: Machine, config: Config, *, force: bool) -> Observation:
        """Stops a machine that is STOPPING, ends any other; one that is on its way counts as alive."""
        if not machine.native_id:
            found = await self._by_tag(machine, config)
            if not found:
                return self._absent(machine)
            machine = replace(machine, native_id=found[0].native_id, attributes=wire.attributes(found[0]))
        stop = machine.state is MachineState.STOPPING
        method, request = self._ending(machine, config, stop=stop, force=force)
        (result,) = _results(self._calls.type, method, [machine], (await self._calls.ask(method, request)).results)
        if result.HasField("status"):
            raise from_status(result.status)
        done = result.state in _ENDED or (stop and result.state == Shown.STATE_STOPPED)
        return _observed(machine, Sight.ENDED if done else Sight.ALIVE)

    async def look(self, machine: Machine, config: Config) -> Observation:
        """Returns what is there of a machine."""
        if not machine.native_id:
            found = await self._by_tag(machine, config)
        else:
            asked = self._call(machine, new_id(), config)
            request = pb.ListRequest(call=asked, machines=[wire.key_of(machine)], page_size=wire.PAGE)
            found = list((await self._calls.ask("List", request)).machines)
        if not found:
            return self._absent(machine)
        return _seen(machine, found[0])

    async def _provision(self, machine: Machine, template: Template, config: Config) -> Observation:
        asked = self._call(machine, f"launches/{machine.launch}", config)
        told: dict[str, pb.PluginMachine] = {}
        verdict: pb.ProvisionVerdict | None = None
        async for said in self._calls.provision(wire.provision_request(asked, machine, template)):
            told.update({each.native_id: each for each in said.machines})
            verdict = said.verdict if said.HasField("verdict") else verdict
        if told:
            return _seen(machine, next(iter(told.values())))
        if verdict is None:
            raise broken(self._calls.type, "Provision", "no verdict")
        if verdict.state in (pb.ProvisionVerdict.STATE_FAILED, pb.ProvisionVerdict.STATE_PARTIAL):
            raise ProviderFailed(_shortage(verdict))
        found = await self._by_tag(machine, config)
        if not found and verdict.state == pb.ProvisionVerdict.STATE_FULFILLED:
            raise broken(self._calls.type, "Provision", "fulfilled, but no machine was told and none is listed")
        return _seen(machine, found[0]) if found else _observed(machine, Sight.COMING)

    async def _start(self, machine: Machine, config: Config) -> Observation:
        asked = self._call(machine, f"launches/{machine.launch}", config)
        request = pb.StartRequest(call=asked, machines=[wire.key_of(machine)])
        (result,) = _results(self._calls.type, "Start", [machine], (await self._calls.ask("Start", request)).results)
        if result.HasField("status"):
            raise from_status(result.status)
        return _seen(machine, pb.PluginMachine(native_id=machine.native_id, state=result.state))

    async def _by_tag(self, machine: Machine, config: Config) -> list[pb.PluginMachine]:
        """Returns what carries a machine's tag; what has ended comes last."""
        tags = {wire.MACHINE_TAG: machine.id, "sutler.dev/tenant": machine.tenant}
        request = pb.ListRequest(call=self._call(machine, new_id(), config), tags=tags, page_size=wire.PAGE)
        found = list((await self._calls.ask("List", request)).machines)
        return sorted(found, key=lambda each: each.state in _ENDED)

    def _ending(self, machine: Machine, config: Config, *, stop: bool, force: bool) -> tuple[str, Any]:
        asked = self._call(machine, f"{'stops' if stop else 'ends'}/{machine.launch}/{force}", config)
        if stop:
            return "Stop", pb.StopRequest(call=asked, machines=[wire.key_of(machine)], force=force)
        request = pb.TerminateRequest(call=asked, machines=[wire.key_of(machine)], force=force)
        request.grace_duration.FromSeconds(0 if force else int(machine.grace))
        return "Terminate", request

    def _call(self, machine: Machine, step: str, config: Config) -> pb.PluginCall:
        return wire.machine_call(machine, self._calls.type, step, config)

    def _absent(self, machine: Machine) -> Observation:
        """Returns that a machine is not there, unless it may still come."""
        if not machine.native_id:
            coming = self._flights.may_come(machine)
            return _observed(machine, Sight.ALIVE if coming else Sight.NOTHING)
        return _observed(machine, Sight.ENDED, reason="the provider has it no more")


def _results(
    type: str, method: str, machines: Sequence[Machine], results: Sequence[pb.PluginMachineResult]
) -> Sequence[pb.PluginMachineResult]:
    if [machine.native_id for machine in machines] != [result.native_id for result in results]:
        raise broken(type, method, "the results are not those of the machines asked, in order")
    return results


def _seen(machine: Machine, found: pb.PluginMachine) -> Observation:
    """Returns what a plug-in's machine means for ours.

    Raises:
        Unavailable: If the plug-in cannot tell its state.
    """
    if found.state == Shown.STATE_UNKNOWN:
        raise Unavailable(
            f"the provider cannot tell the state of {machine.name} now", metadata={"dependency": machine.provider}
        )
    if found.state in _ENDED:
        exit_code = found.exit_code if found.HasField("exit_code") else None
        diagnostic = wire.worst(found.diagnostics)
        reason = found.state_reason or (diagnostic.summary if diagnostic else "the provider says that it has ended")
        return replace(_observed(machine, Sight.ENDED, reason=reason), exit_code=exit_code, diagnostic=diagnostic)
    stopped = found.state == Shown.STATE_STOPPED and machine.state is MachineState.STOPPING
    coming = found.state in _COMING and machine.state is MachineState.LAUNCHING
    sight = Sight.ENDED if stopped else Sight.COMING if coming else Sight.ALIVE
    told = wire.attributes(found) or machine.attributes
    return replace(_observed(machine, sight), native_id=found.native_id, attributes=told)


def _observed(machine: Machine, sight: Sight, reason: str = "") -> Observation:
    return Observation(
        tenant=machine.tenant,
        machine=machine.name,
        launch=machine.launch,
        sight=sight,
        native_id=machine.native_id,
        attributes=machine.attributes,
        reason=reason,
    )


def _shortage(verdict: pb.ProvisionVerdict) -> Diagnostic:
    """Returns why nothing was started."""
    found = wire.worst(verdict.diagnostics) or Diagnostic(
        category=Category.UNKNOWN,
        kind=Kind.PERMANENT,
        code="",
        summary="the provider gave nothing and does not say why",
    )
    if verdict.final:
        return replace(found, kind=Kind.PERMANENT)
    return replace(found, retry_seconds=max(found.retry_seconds, wire.retry_seconds(verdict)))
