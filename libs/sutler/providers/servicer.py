"""Types of provider as ``sutler.provider.v1.ProviderPlugin``: within ProviderService, or behind a port of their own."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Any

import pydantic
from google.rpc.error_details_pb2 import BadRequest

from sutler.context import current
from sutler.errors import Invalid, Violation, invalid
from sutler.incidents import known
from sutler.provider.v1 import plugin_pb2 as pb
from sutler.provider.v1 import provider_pb2
from sutler.providers.base import Call, MachineState, ProviderType
from sutler.status import to_status
from sutler.validation import from_pydantic
from sutler.wire import from_struct, seconds, to_struct

DOMAIN = "provider.sutler.dev"
PAGE = 50
MAX_PAGE = 1000
MAX_VIOLATIONS = 1000


class ProviderPluginServicer:
    """Implements the contract with types of provider; it needs no context of gRPC.

    Args:
        types: The types, which have begun their lives.
    """

    def __init__(self, types: Iterable[ProviderType[Any]]) -> None:
        self._types = {each.type: each for each in types}

    async def Describe(self, request: pb.DescribeRequest, context: Any) -> pb.DescribeResponse:
        """Says what a type is and can do."""
        one = self._type(request.call)
        if request.infrastructure:
            raise one.cannot("DISCOVERY")
        if request.prices:
            raise one.cannot("PRICES")
        if request.call.HasField("config"):
            checked(one, request.call)
        return pb.DescribeResponse(provider_type=described(one))

    async def Validate(self, request: pb.ValidateRequest, context: Any) -> pb.ValidateResponse:
        """Checks a config and a template."""
        one = self._type(request.call)
        try:
            call = checked(one, request.call)
        except Invalid as error:
            return pb.ValidateResponse(violations=_violations("", error.violations))
        if not request.HasField("template"):
            return pb.ValidateResponse()
        found = list(one.check_template(call.config, request.template))
        if request.online and not found:
            found = list(await one.check_there(call, request.template))
        return pb.ValidateResponse(violations=_violations("template.", found), effective_template=request.template)

    async def Provision(self, request: pb.ProvisionRequest, context: Any) -> AsyncIterator[pb.ProvisionResponse]:
        """Starts machines."""
        one = self._type(request.call)
        call = checked(one, request.call)
        wrong = list(one.check_template(call.config, request.template))
        if wrong:
            raise Invalid(
                f"template.{wrong[0].field}: {wrong[0].description}",
                reason="TEMPLATE_INVALID",
                metadata={"field": f"template.{wrong[0].field}"},
                violations=[Violation(f"template.{v.field}", v.description, v.reason) for v in wrong],
            )
        async with aclosing(one.provision(call, request)) as said:  # type: ignore[type-var]
            async for each in said:
                yield each

    async def Terminate(self, request: pb.TerminateRequest, context: Any) -> pb.TerminateResponse:
        """Ends machines for good."""
        one, call = self._asked(request.call)
        grace = seconds(request.grace_duration)
        results = await _each(request.machines, lambda key: one.terminate(call, key, force=request.force, grace=grace))
        return pb.TerminateResponse(results=results)

    async def List(self, request: pb.ListRequest, context: Any) -> pb.ListResponse:
        """Lists machines, by native id."""
        one, call = self._asked(request.call)
        wanted = {key.native_id for key in request.machines}
        after = _position(request.page_token)
        found = [
            machine
            for machine in sorted(await one.list(call), key=lambda machine: machine.native_id)
            if machine.native_id > after
            and (not wanted or machine.native_id in wanted)
            and request.tags.items() <= machine.tags.items()
        ]
        size = min(request.page_size or PAGE, MAX_PAGE)
        token = base64.urlsafe_b64encode(found[size - 1].native_id.encode()).decode() if len(found) > size else ""
        return pb.ListResponse(machines=found[:size], next_page_token=token)

    async def Start(self, request: pb.StartRequest, context: Any) -> pb.StartResponse:
        """Starts machines that are stopped."""
        one, call = self._asked(request.call)
        return pb.StartResponse(results=await _each(request.machines, lambda key: one.start(call, key)))

    async def Stop(self, request: pb.StopRequest, context: Any) -> pb.StopResponse:
        """Stops machines."""
        one, call = self._asked(request.call)
        results = await _each(request.machines, lambda key: one.stop(call, key, force=request.force))
        return pb.StopResponse(results=results)

    async def Check(self, request: pb.CheckRequest, context: Any) -> pb.CheckResponse:
        """Says how a provider is."""
        one, call = self._asked(request.call)
        return await one.check(call)

    def _asked(self, call: pb.PluginCall) -> tuple[ProviderType[Any], Call[Any]]:
        one = self._type(call)
        return one, checked(one, call)

    def _type(self, call: pb.PluginCall) -> ProviderType[Any]:
        found = self._types.get(call.provider_type)
        if found is None:
            names = ", ".join(sorted(self._types))
            raise invalid(
                "call.provider_type",
                f"{call.provider_type!r} is no type of this plug-in; it has {names}",
                reason="PROVIDER_TYPE_UNKNOWN",
                metadata={"type": call.provider_type, "known": names},
            )
        return found


def described(one: ProviderType[Any]) -> provider_pb2.ProviderType:
    """Returns what a type says of itself."""
    return provider_pb2.ProviderType(
        type=one.type,
        display_name=one.display_name or one.type,
        description=one.description,
        version=one.version,
        config_schema=to_struct(one.Config.model_json_schema()),
        apis=one.apis,
        capabilities=one.capabilities,
        regions=one.regions,
        template_defaults=one.template_defaults,
        example_configs=[to_struct(config.model_dump(mode="json")) for config in one.example_configs],
        example_templates=one.example_templates,
    )


def checked(one: ProviderType[Any], call: pb.PluginCall) -> Call[Any]:
    """Returns a call with the config as its model.

    Raises:
        Invalid: If the config breaks the model (CONFIG_INVALID), with all violations.
    """
    try:
        config = one.Config.model_validate(from_struct(call.config))
    except pydantic.ValidationError as error:
        violations = from_pydantic(error, ["config"])
        raise Invalid(
            f"{violations[0].field}: {violations[0].description}",
            reason="CONFIG_INVALID",
            metadata={"type": one.type, "field": violations[0].field},
            violations=violations,
        ) from error
    return Call(
        key=call.idempotency_key,
        attempt=call.attempt,
        config=config,
        provider=call.provider,
        region=call.region,
        tenant=call.tenant,
        principal=call.principal,
    )


async def _each(
    machines: Sequence[pb.PluginMachineKey], change: Callable[[pb.PluginMachineKey], Awaitable[MachineState]]
) -> list[pb.PluginMachineResult]:
    """Returns what became of each machine, in the order asked: one that fails keeps no other."""
    results = []
    for machine in machines:
        try:
            results.append(pb.PluginMachineResult(native_id=machine.native_id, state=await change(machine)))
        except Exception as error:
            status = to_status(known(error, current()), DOMAIN)
            unknown = provider_pb2.Machine.STATE_UNKNOWN
            results.append(pb.PluginMachineResult(native_id=machine.native_id, state=unknown, status=status))
    return results


def _violations(prefix: str, found: Iterable[Violation]) -> list[BadRequest.FieldViolation]:
    return [
        BadRequest.FieldViolation(field=f"{prefix}{each.field}", description=each.description, reason=each.reason)
        for each in list(found)[:MAX_VIOLATIONS]
    ]


def _position(token: str) -> str:
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid("page_token", "is not one that List gave", reason="PAGE_TOKEN_INVALID") from error
