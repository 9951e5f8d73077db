"""Instances of EC2 as machines, and templates as the parameters of RunInstances."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any

from sutler.errors import Violation
from sutler.provider.v1 import plugin_pb2 as pb
from sutler.provider.v1 import provider_pb2
from sutler.providers import Call
from sutler.providers.base import MachineState
from sutler.wire import timestamp

from services.provider.adapters.aws.config import AwsConfig

M = provider_pb2.Machine
LAUNCH_TAG = "sutler.dev/launch"
PROVIDER_TAG = "sutler.dev/provider"
TENANT_TAG = "sutler.dev/tenant"
MAX_USER_DATA = 16384

STATES: Mapping[str, MachineState] = {
    "pending": M.STATE_LAUNCHING,
    "running": M.STATE_RUNNING,
    "shutting-down": M.STATE_SHUTTING_DOWN,
    "terminated": M.STATE_TERMINATED,
    "stopping": M.STATE_STOPPING,
    "stopped": M.STATE_STOPPED,
}
"""The states of instances."""


def wrong(config: AwsConfig, template: provider_pb2.Template) -> Iterator[Violation]:
    """Yields what RunInstances cannot do of a template."""
    for index, region in enumerate(template.regions):
        if region != config.region:
            yield Violation(f"regions[{index}]", f"the provider is in {config.region}", "REGION_UNKNOWN")
    if not template.image:
        yield Violation("image", "is needed: an AMI, or resolve:ssm: and the path of a parameter", "REQUIRED")
    if not template.machine_types:
        yield Violation("machine_types", "is needed, such as t3.micro", "REQUIRED")
    if len(template.machine_types) > 1:
        yield Violation("machine_types[1]", "RunInstances takes one type", "CAPABILITY_MISSING")
    if len(template.network.subnets) > 1:
        yield Violation("network.subnets[1]", "RunInstances takes one subnet", "CAPABILITY_MISSING")
    if len(template.network.zones) > 1:
        yield Violation("network.zones[1]", "RunInstances takes one zone", "CAPABILITY_MISSING")
    if len(template.user_data.encode()) > MAX_USER_DATA:
        yield Violation("user_data", f"is longer than {MAX_USER_DATA} bytes", "TOO_LONG")
    if template.HasField("native_spec"):
        yield Violation("native_spec", "is not taken yet", "CAPABILITY_MISSING")


def run_parameters(call: Call[AwsConfig], wish: pb.ProvisionRequest) -> dict[str, Any]:
    """Returns the parameters of RunInstances; the client token is the key of the launch."""
    tags = {**wish.tags, LAUNCH_TAG: call.key}
    tagged = [{"Key": key, "Value": value} for key, value in sorted(tags.items())]
    kinds = ("instance", "volume")
    return {
        **template_parameters(wish.template),
        "MinCount": 1,
        "MaxCount": wish.count,
        "ClientToken": call.key,
        "TagSpecifications": [{"ResourceType": kind, "Tags": tagged} for kind in kinds],
    }


def template_parameters(template: provider_pb2.Template) -> dict[str, Any]:
    """Returns what a template says of the machine."""
    found: dict[str, Any] = {"ImageId": template.image, "InstanceType": template.machine_types[0].type}
    network = template.network
    if network.HasField("public_address"):
        found["NetworkInterfaces"] = [
            {
                "DeviceIndex": 0,
                "AssociatePublicIpAddress": network.public_address,
                **({"SubnetId": network.subnets[0]} if network.subnets else {}),
                **({"Groups": list(network.security_groups)} if network.security_groups else {}),
            }
        ]
    else:
        if network.subnets:
            found["SubnetId"] = network.subnets[0]
        if network.security_groups:
            found["SecurityGroupIds"] = list(network.security_groups)
    if network.zones:
        found["Placement"] = {"AvailabilityZone": network.zones[0]}
    if template.user_data:
        found["UserData"] = base64.b64encode(template.user_data.encode()).decode()
    if template.ssh_key:
        found["KeyName"] = template.ssh_key
    if template.role:
        found["IamInstanceProfile"] = {"Arn" if template.role.startswith("arn:") else "Name": template.role}
    return found


def machine(instance: Mapping[str, Any], region: str) -> pb.PluginMachine:
    """Returns an instance as a machine."""
    found = pb.PluginMachine(
        native_id=instance["InstanceId"],
        state=STATES.get(instance["State"]["Name"], M.STATE_UNKNOWN),
        state_reason=str(instance.get("StateReason", {}).get("Code", "")),
        type=instance.get("InstanceType", ""),
        price_type=provider_pb2.PRICE_TYPE_ON_DEMAND,
        region=region,
        zone=instance.get("Placement", {}).get("AvailabilityZone", ""),
        image=instance.get("ImageId", ""),
        tags={tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])},
    )
    if "LaunchTime" in instance:
        found.launch_time.CopyFrom(timestamp(instance["LaunchTime"].timestamp()))
    for kind, address, host in (("PRIVATE", "PrivateIpAddress", "PrivateDnsName"), ("PUBLIC", "PublicIpAddress", "")):
        if instance.get(address):
            which = provider_pb2.MachineAddress.Kind.Value(f"KIND_{kind}")
            found.addresses.add(kind=which, address=instance[address], host=instance.get(host, ""))
    return found
