"""The type ``aws``: each machine is an instance of EC2."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, TypeAlias

from sutler.errors import FailedPrecondition, SutlerError, Unavailable, Violation
from sutler.provider.v1 import plugin_pb2 as pb
from sutler.provider.v1 import provider_pb2
from sutler.providers import Call, ProviderType
from sutler.providers.base import MachineState

from services.provider.adapters.aws.config import AwsConfig
from services.provider.adapters.aws.faults import told
from services.provider.adapters.aws.instances import (
    LAUNCH_TAG,
    PROVIDER_TAG,
    STATES,
    TENANT_TAG,
    machine,
    run_parameters,
    template_parameters,
    wrong,
)
from services.provider.adapters.aws.session import Sessions

M = provider_pb2.Machine
V = pb.ProvisionVerdict
Machines: TypeAlias = list[pb.PluginMachine]
GONE = "InvalidInstanceID.NotFound"
LATE_SECONDS = 300.0
"""How long AWS may take to show an instance that it has started."""

DEFAULT_IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


class AwsProvider(ProviderType[AwsConfig]):
    """Instances of EC2, found by their tags.

    Args:
        endpoint_url: A server that speaks like AWS; AWS itself if empty.
    """

    type = "aws"
    display_name = "Amazon EC2"
    description = "Instances of Amazon EC2."
    apis = (
        provider_pb2.ProviderApi(
            api="RunInstances",
            display_name="RunInstances",
            capabilities=[
                provider_pb2.CAPABILITY_START_STOP,
                provider_pb2.CAPABILITY_CLIENT_TOKEN,
                provider_pb2.CAPABILITY_SELECTIVE_RETURN,
                provider_pb2.CAPABILITY_TAGS,
                provider_pb2.CAPABILITY_USER_DATA,
                provider_pb2.CAPABILITY_IMAGE_LOOKUP,
            ],
            price_types=[provider_pb2.PRICE_TYPE_ON_DEMAND],
        ),
    )
    template_defaults = provider_pb2.Template(
        api="RunInstances",
        image=DEFAULT_IMAGE,
        machine_types=[provider_pb2.WeightedMachineType(type="t3.micro", weight=1)],
    )
    example_configs = (AwsConfig(), AwsConfig(region="eu-west-1", profile="machines"))
    example_templates = (provider_pb2.Template(provider_type="aws", api="RunInstances", image=DEFAULT_IMAGE),)

    def __init__(self, endpoint_url: str = "") -> None:
        self._sessions = Sessions(endpoint_url)
        self._young: dict[str, tuple[float, str, str, pb.PluginMachine]] = {}

    async def __aexit__(self, *error: object) -> None:
        """Ends all connections."""
        await self._sessions.close()

    def check_template(self, config: AwsConfig, template: provider_pb2.Template) -> Iterable[Violation]:
        """Returns what RunInstances cannot do of a template."""
        return wrong(config, template)

    async def check_there(self, call: Call[AwsConfig], template: provider_pb2.Template) -> Iterable[Violation]:
        """Asks EC2 whether it would start a machine of the template, without starting one."""
        try:
            await self._ec2(call, "run_instances", **template_parameters(template), MinCount=1, MaxCount=1, DryRun=True)
        except FailedPrecondition as error:
            if error.metadata.get("code") == "DryRunOperation":
                return ()
            if error.reason == "CREDENTIALS_REJECTED":
                raise
            field = "image" if error.reason == "IMAGE_NOT_FOUND" else _field(error.metadata.get("code", ""))
            return (Violation(field, error.message, error.reason),)
        return ()

    async def provision(self, call: Call[AwsConfig], wish: pb.ProvisionRequest) -> AsyncIterator[pb.ProvisionResponse]:
        """Starts instances, or finds those that the same launch has started."""
        made = await self._described(call, {f"tag:{LAUNCH_TAG}": call.key})
        made = made or [each for each in self._late(call, ()) if each.tags[LAUNCH_TAG] == call.key]
        if not made:
            answer = await self._ec2(call, "run_instances", **run_parameters(call, wish))
            made = [machine(each, call.config.region) for each in answer["Instances"]]
            self._remember(call, made)
        yield pb.ProvisionResponse(machines=made, progress_percent=min(100, 100 * len(made) // wish.count))
        running = sum(each.state == M.STATE_RUNNING for each in made)
        state = V.STATE_PARTIAL if len(made) < wish.count else V.STATE_IN_PROGRESS
        yield pb.ProvisionResponse(
            verdict=V(
                state=V.STATE_FULFILLED if running >= wish.count else state,
                target_units=wish.count,
                fulfilled_units=running,
                running_count=running,
                pending_count=len(made) - running,
            )
        )

    async def terminate(
        self, call: Call[AwsConfig], machine: pb.PluginMachineKey, *, force: bool, grace: float
    ) -> MachineState:
        """Terminates an instance."""
        return await self._moved(call, machine, "terminate_instances", "TerminatingInstances")

    async def list(self, call: Call[AwsConfig]) -> Sequence[pb.PluginMachine]:
        """Returns the instances of a provider; those that were started just now also if EC2 does not show them yet."""
        provider = call.provider.partition("/")[2]
        shown = await self._described(call, {f"tag:{PROVIDER_TAG}": provider, f"tag:{TENANT_TAG}": call.tenant})
        return [*shown, *self._late(call, shown)]

    async def start(self, call: Call[AwsConfig], machine: pb.PluginMachineKey) -> MachineState:
        """Starts an instance that is stopped, and says how far it is if that was asked before."""
        shown = await self._described(call, {"instance-id": machine.native_id})
        if shown and shown[0].state in (M.STATE_LAUNCHING, M.STATE_RUNNING):
            return shown[0].state
        return await self._moved(call, machine, "start_instances", "StartingInstances")

    async def stop(self, call: Call[AwsConfig], machine: pb.PluginMachineKey, *, force: bool) -> MachineState:
        """Stops an instance."""
        return await self._moved(call, machine, "stop_instances", "StoppingInstances", Force=force)

    async def check(self, call: Call[AwsConfig]) -> pb.CheckResponse:
        """Asks who the service is there, and whether it may see instances."""
        with told(call.config.region):
            sts = await self._sessions.client("sts", call.config)
            identity = (await sts.get_caller_identity())["Arn"]
        await self._ec2(call, "describe_instances", MaxResults=5)
        return pb.CheckResponse(state=provider_pb2.Provider.STATE_HEALTHY, identity=identity, version=self.version)

    async def _moved(
        self, call: Call[AwsConfig], key: pb.PluginMachineKey, method: str, part: str, **more: Any
    ) -> MachineState:
        try:
            answer = await self._ec2(call, method, InstanceIds=[key.native_id], **more)
        except SutlerError as error:
            if error.metadata.get("code") != GONE:
                raise
            if key.native_id in {each.native_id for each in self._late(call, ())}:
                raise Unavailable(
                    f"AWS does not show {key.native_id} yet", metadata={"dependency": "aws", "cause": GONE}
                ) from error
            return M.STATE_TERMINATED
        self._young.pop(key.native_id, None)
        return STATES.get(answer[part][0]["CurrentState"]["Name"], M.STATE_UNKNOWN)

    async def _described(self, call: Call[AwsConfig], filters: dict[str, str]) -> Machines:
        wanted = [{"Name": name, "Values": [value]} for name, value in filters.items()]
        found: Machines = []
        with told(call.config.region):
            ec2 = await self._sessions.client("ec2", call.config)
            async for page in ec2.get_paginator("describe_instances").paginate(Filters=wanted):
                for reservation in page["Reservations"]:
                    found += [machine(each, call.config.region) for each in reservation["Instances"]]
        return found

    async def _ec2(self, call: Call[AwsConfig], method: str, **parameters: Any) -> Any:
        with told(call.config.region):
            ec2 = await self._sessions.client("ec2", call.config)
            return await getattr(ec2, method)(**parameters)

    def _remember(self, call: Call[AwsConfig], made: Iterable[pb.PluginMachine]) -> None:
        now = time.monotonic()
        self._young = {id: young for id, young in self._young.items() if young[0] > now}
        for each in made:
            self._young[each.native_id] = (now + LATE_SECONDS, call.tenant, call.provider, each)

    def _late(self, call: Call[AwsConfig], shown: Iterable[pb.PluginMachine]) -> Machines:
        """Returns the instances that were started just now and that are not shown; one that was shown is known."""
        for each in shown:
            self._young.pop(each.native_id, None)
        now = time.monotonic()
        mine = (call.tenant, call.provider)
        return [each for until, *whose, each in self._young.values() if until > now and tuple(whose) == mine]


def _field(code: str) -> str:
    """Returns the field of a template that an error is about."""
    known = {"InvalidSubnet": "network.subnets", "InvalidGroup": "network.security_groups", "InvalidKeyPair": "ssh_key"}
    known |= {"InvalidInstanceType": "machine_types", "Unsupported": "machine_types"}
    return known.get(code.partition(".")[0], "image")
