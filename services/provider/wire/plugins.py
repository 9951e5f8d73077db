"""What is said to plug-ins, and what they answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.json_format import MessageToDict
from sutler.context import current
from sutler.errors import Violation
from sutler.ids import derive
from sutler.provider.v1 import plugin_pb2, provider_pb2
from sutler.wire import duration, from_struct, to_struct

from services.provider.diagnostics import Diagnostic
from services.provider.machines import Machine, MachineState
from services.provider.providers import ApiFacts, Capability, Checkup, ProviderState, TypeFacts, TypeSource
from services.provider.reconcile.findings import Found
from services.provider.templates import Template
from services.provider.wire import diagnostics, templates
from services.provider.wire.times import length

M = provider_pb2.Machine
MACHINE_TAG = "sutler.dev/machine"
PAGE = 500

OPEN_FIELDS = frozenset({"image", "machine_types", "network", "user_data", "ssh_key", "role", "native_spec"})
"""The fields of templates that plug-ins take beside those that every type takes; they judge them themselves."""

_TOLD = ("group_id", "zone", "image", "type", "addresses")
"""What a plug-in tells of a machine that becomes part of its attributes."""


def call(type: str, key: str, config: Mapping[str, Any] | None = None, **more: str) -> plugin_pb2.PluginCall:
    """Returns what every call carries.

    Args:
        type: The type that is meant.
        key: The call's key: a UUID.
        config: The config of the provider, with defaults; None if only the type is meant.
        **more: Fields such as ``provider``, ``region`` and ``tenant``.
    """
    return plugin_pb2.PluginCall(
        idempotency_key=key,
        attempt=1,
        provider_type=type,
        config=to_struct(config) if config is not None else None,
        correlation_id=more.pop("correlation_id", current().correlation_id),
        **more,
    )


def machine_call(machine: Machine, type: str, step: str, config: Mapping[str, Any]) -> plugin_pb2.PluginCall:
    """Returns what a call about a machine carries; its key follows from the machine and the step."""
    return call(
        type,
        derive(machine.uid, step),
        config,
        provider=machine.provider,
        region=machine.region,
        tenant=machine.tenant,
        principal=machine.creator,
        correlation_id=machine.correlation_id,
    )


def tags(machine: Machine) -> dict[str, str]:
    """Returns the tags that a machine gets: its own, and those that it is found by."""
    return {
        **machine.tags,
        MACHINE_TAG: machine.id,
        "sutler.dev/machine-request": machine.machine_request.partition("/")[2],
        "sutler.dev/template": machine.template.partition("/")[2],
        "sutler.dev/provider": machine.provider.partition("/")[2],
        "sutler.dev/tenant": machine.tenant,
    }


def provision_request(
    asked: plugin_pb2.PluginCall, machine: Machine, template: Template
) -> plugin_pb2.ProvisionRequest:
    """Returns the request for one machine."""
    request = plugin_pb2.ProvisionRequest(
        call=asked,
        template=templates.to_message(template),
        count=1,
        machine_request=machine.machine_request,
        tags=tags(machine),
    )
    if machine.lease_duration is not None:
        request.lease_duration.CopyFrom(duration(machine.lease_duration))
    return request


def key_of(machine: Machine) -> plugin_pb2.PluginMachineKey:
    """Returns what says which machine is meant; its id is known."""
    group = str(machine.attributes.get("group_id", ""))
    return plugin_pb2.PluginMachineKey(native_id=machine.native_id, group_id=group, region=machine.region)


def attributes(found: plugin_pb2.PluginMachine) -> Mapping[str, Any]:
    """Returns what a plug-in tells of a machine beside its state."""
    told = MessageToDict(found, preserving_proto_field_name=True)
    return {**from_struct(found.attributes), **{name: told[name] for name in _TOLD if name in told}}


def found(machine: plugin_pb2.PluginMachine) -> Found | None:
    """Returns a machine that a plug-in shows, named by its tags; None if it has ended or has no name of ours."""
    state = MachineState(machine.state)
    if state.ended or not machine.tags.get(MACHINE_TAG):
        return None
    return Found(
        machine=f"machines/{machine.tags[MACHINE_TAG]}",
        machine_request=_named("machineRequests", machine.tags.get("sutler.dev/machine-request", "")),
        template=_named("templates", machine.tags.get("sutler.dev/template", "")),
        state=state,
        launch=0,
        native_id=machine.native_id,
        region=machine.region,
        attributes=attributes(machine),
        start_time=machine.launch_time.ToNanoseconds() / 1e9,
    )


def _named(collection: str, id: str) -> str:
    return f"{collection}/{id}" if id else ""


def worst(found: Sequence[provider_pb2.Diagnostic]) -> Diagnostic | None:
    """Returns the worst of what went wrong; None if nothing did."""
    return min(map(diagnostics.from_message, found), key=lambda each: each.category, default=None)


def checkup(answer: plugin_pb2.CheckResponse, latency: float, provider: str) -> Checkup:
    """Returns what a check found."""
    for each in answer.diagnostics:
        each.provider = provider
    return Checkup(
        state=ProviderState(answer.state),
        state_reason=answer.state_reason,
        identity=answer.identity,
        version=answer.version,
        latency=latency,
        diagnostics=tuple(map(diagnostics.from_message, answer.diagnostics)),
    )


def violations(answer: plugin_pb2.ValidateResponse) -> list[Violation]:
    """Returns what is wrong with a template, with fields below it; what is wrong with the config, as it is named."""
    found = (Violation(v.field.removeprefix("template."), v.description, v.reason) for v in answer.violations)
    return list(found)


def facts(answer: plugin_pb2.DescribeResponse, source: TypeSource) -> TypeFacts:
    """Returns what a type says of itself."""
    told = answer.provider_type
    return TypeFacts(
        type=told.type,
        display_name=told.display_name or told.type,
        description=told.description,
        version=told.version,
        config_schema=from_struct(told.config_schema),
        apis=tuple(_api(api) for api in told.apis),
        capabilities=_capabilities(told.capabilities),
        regions=tuple(told.regions),
        template_defaults=templates.from_message(told.template_defaults, ""),
        example_configs=tuple(map(from_struct, told.example_configs)),
        example_templates=tuple(templates.from_message(each, "") for each in told.example_templates),
        source=source,
        takes=OPEN_FIELDS,
    )


def retry_seconds(verdict: plugin_pb2.ProvisionVerdict) -> float:
    """Returns how long the provider wants to be left alone; 0 if it does not say."""
    return length(verdict, "retry_delay") or 0.0


def _api(told: provider_pb2.ProviderApi) -> ApiFacts:
    return ApiFacts(
        api=told.api,
        display_name=told.display_name or told.api,
        description=told.description,
        capabilities=_capabilities(told.capabilities),
        max_count=told.max_count,
    )


def _capabilities(told: Iterable[int]) -> tuple[Capability, ...]:
    """Returns the capabilities that this service makes use of."""
    known = {int(each) for each in Capability}
    return tuple(Capability(each) for each in told if each in known)
