"""Machines as messages."""

from __future__ import annotations

import base64

from sutler.provider.v1 import provider_pb2 as pb
from sutler.status import to_status
from sutler.wire import to_struct

from services.provider.cost.bills import Bill
from services.provider.declaring import etag
from services.provider.leasing import Extension
from services.provider.machines import Machine
from services.provider.output import Chunk, Stream
from services.provider.ports import Noticed
from services.provider.reading import Wanted
from services.provider.switches import SwitchResult
from services.provider.wire import diagnostics
from services.provider.wire.amounts import amount
from services.provider.wire.times import length, stamp

DOMAIN = "provider.sutler.dev"


def to_message(machine: Machine, bill: Bill) -> pb.Machine:
    """Returns a machine as the API shows it, with what it costs."""
    return pb.Machine(
        name=machine.name,
        uid=machine.uid,
        create_time=stamp(machine.create_time),
        update_time=stamp(machine.update_time),
        etag=etag(machine),
        provider=machine.provider,
        machine_request=machine.machine_request,
        return_request=machine.return_request,
        template=machine.template,
        state=int(machine.state),  # type: ignore[arg-type]
        state_reason=machine.state_reason[:1024],
        native_id=machine.native_id,
        type=machine.type,
        price_type=int(machine.price_type),  # type: ignore[arg-type]
        region=machine.region,
        zone=machine.zone,
        weight=1,
        lease_expire_time=stamp(machine.lease_expire_time),
        hourly_price=amount(bill.hourly_price),
        cost=amount(bill.cost),
        launch_time=stamp(machine.launch_time),
        ready_time=stamp(machine.ready_time),
        end_time=stamp(machine.end_time),
        lost_time=stamp(machine.lost_time),
        adopt_time=stamp(machine.adopt_time),
        observe_time=stamp(machine.observe_time),
        tags=machine.tags,
        attributes=to_struct(machine.attributes) if machine.attributes else None,
        exit_code=machine.exit_code,
        diagnostics=[diagnostics.to_message(diagnostic) for diagnostic in machine.diagnostics],
        owner=machine.owner,
    )


def extension(message: pb.ExtendLeaseRequest, tenant: str) -> Extension:
    """Returns how a lease is to be extended."""
    return Extension(tenant=tenant, machine=message.name, duration=length(message, "lease_duration"), etag=message.etag)


def result_message(result: SwitchResult) -> pb.MachineResult:
    """Returns what became of one machine as the API shows it."""
    message = pb.MachineResult(
        name=result.name, machine=to_message(result.machine, result.bill) if result.machine is not None else None
    )
    if result.refused:
        message.status.ParseFromString(base64.b64decode(result.refused))
    elif result.error is not None:
        message.status.CopyFrom(to_status(result.error, DOMAIN))
    return message


def change_message(noticed: Noticed[Machine], bill: Bill) -> pb.MachineChange:
    """Returns a change of a machine as a watch shows it."""
    assert noticed.kind is not None and noticed.item is not None
    return pb.MachineChange(
        kind=int(noticed.kind),  # type: ignore[arg-type]
        machine=to_message(noticed.item, bill),
        change_time=stamp(noticed.time),
    )


def output_request(message: pb.ReadMachineOutputRequest, tenant: str) -> Wanted:
    """Returns which output is wanted."""
    return Wanted(
        tenant=tenant,
        machine=message.name,
        stream=Stream(message.stream or Stream.STDOUT),
        offset=message.offset if message.HasField("offset") else None,
        limit=message.limit,
        follow=message.follow,
    )


def chunk_message(chunk: Chunk) -> pb.ReadMachineOutputResponse:
    """Returns a piece of output as the API shows it."""
    return pb.ReadMachineOutputResponse(data=chunk.data, offset=chunk.offset)
