"""Templates as messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest
from sutler.masks import merge
from sutler.provider.v1 import provider_pb2 as pb
from sutler.wire import timestamp

from services.provider.declaring import Update, etag
from services.provider.templates import Output, ProcessSpec, Template
from services.provider.validating import Validation
from services.provider.wire.amounts import amount, from_amount
from services.provider.wire.times import length, span

_SERVER_FIELDS = frozenset({"name", "uid", "create_time", "update_time", "etag"})
_TAKEN = frozenset(
    {
        *("display_name", "description", "provider", "provider_type", "api", "regions"),
        *("max_machines", "max_count", "max_price", "max_total_price", "tags", "process"),
        *("lease_duration", "max_lease_duration"),
    }
)
_TAKEN_OF_PROCESS = frozenset(
    {"command", "working_directory", "environment", "limits", "output", "stop_signal", "stop_grace_duration"}
)
_TAKEN_OF_LIMITS = frozenset({"memory_bytes", "open_files"})


def from_message(message: pb.Template, tenant: str, name: str = "", uid: str = "") -> Template:
    """Returns a template as a caller wrote it; ``foreign`` names what no type here takes."""
    return Template(
        tenant=tenant,
        name=name,
        uid=uid,
        display_name=message.display_name,
        description=message.description,
        provider=message.provider,
        provider_type=message.provider_type,
        api=message.api,
        regions=tuple(message.regions),
        max_machines=message.max_machines,
        max_count=message.max_count,
        max_price=from_amount(message.max_price) if message.HasField("max_price") else None,
        max_total_price=from_amount(message.max_total_price) if message.HasField("max_total_price") else None,
        tags=dict(message.tags),
        process=_process(message.process) if message.HasField("process") else None,
        lease_duration=length(message, "lease_duration"),
        max_lease_duration=length(message, "max_lease_duration"),
        more=_more(message),
        foreign=tuple(_foreign(message)),
    )


def merged(stored: Template | None, wanted: pb.Template, mask: FieldMask | None, how: Update, uid: str) -> Template:
    """Returns a template as an update makes it, or creates it; ``uid`` is that of a new one."""
    if stored is None:
        return from_message(wanted, how.tenant, how.name, uid)
    changed = from_message(merge(to_message(stored), wanted, mask, below="template"), how.tenant, how.name, stored.uid)
    return replace(changed, create_time=stored.create_time, revision=stored.revision)


def to_message(template: Template) -> pb.Template:
    """Returns a template as the API shows it; of defaults, which have no name, only what they say."""
    message = pb.Template(
        display_name=template.display_name,
        description=template.description,
        provider=template.provider,
        provider_type=template.provider_type,
        api=template.api,
        regions=template.regions,
        max_machines=template.max_machines,
        max_count=template.max_count,
        max_price=amount(template.max_price),
        max_total_price=amount(template.max_total_price),
        tags=template.tags,
        process=_process_message(template.process) if template.process is not None else None,
        lease_duration=span(template.lease_duration),
        max_lease_duration=span(template.max_lease_duration),
    )
    if template.more:
        ParseDict(dict(template.more), message)
    if template.name:
        message.name = template.name
    if template.revision:
        message.uid = template.uid
        message.etag = etag(template)
        message.create_time.CopyFrom(timestamp(template.create_time))
        message.update_time.CopyFrom(timestamp(template.update_time))
    return message


def _more(message: pb.Template) -> Mapping[str, Any]:
    """Returns the fields that only some types take, as JSON."""
    rest = pb.Template()
    rest.CopyFrom(message)
    for name in _TAKEN | _SERVER_FIELDS:
        rest.ClearField(name)  # type: ignore[arg-type]
    return MessageToDict(rest, preserving_proto_field_name=True)


def _process(message: pb.ProcessSpec) -> ProcessSpec:
    return ProcessSpec(
        command=tuple(message.command),
        working_directory=message.working_directory,
        environment=dict(message.environment),
        memory_bytes=message.limits.memory_bytes,
        open_files=message.limits.open_files,
        output=Output(message.output.max_file_bytes, message.output.max_files),
        stop_signal=message.stop_signal,
        stop_grace=length(message, "stop_grace_duration"),
    )


def _process_message(spec: ProcessSpec) -> pb.ProcessSpec:
    message = pb.ProcessSpec(
        command=spec.command,
        working_directory=spec.working_directory,
        environment=spec.environment,
        stop_signal=spec.stop_signal,
        stop_grace_duration=span(spec.stop_grace),
    )
    if spec.memory_bytes or spec.open_files:
        message.limits.CopyFrom(pb.ProcessLimits(memory_bytes=spec.memory_bytes, open_files=spec.open_files))
    if spec.output != Output():
        kept = spec.output
        message.output.CopyFrom(pb.OutputRetention(max_file_bytes=kept.max_file_bytes, max_files=kept.max_files))
    return message


def _foreign(message: pb.Template) -> Iterator[str]:
    yield from _others(message, _TAKEN | _SERVER_FIELDS, "")
    yield from _others(message.process, _TAKEN_OF_PROCESS, "process.")
    yield from _others(message.process.limits, _TAKEN_OF_LIMITS, "process.limits.")


def _others(message: Message, taken: frozenset[str], prefix: str) -> Iterator[str]:
    for field, _ in message.ListFields():
        if field.name not in taken:
            yield f"{prefix}{field.name}"


def validation_message(found: Validation) -> pb.ValidateTemplateResponse:
    """Returns what a validation found as the API shows it."""
    return pb.ValidateTemplateResponse(
        valid=not found.violations,
        violations=[
            BadRequest.FieldViolation(field=v.field, description=v.description, reason=v.reason)
            for v in found.violations[:1000]
        ],
        effective_template=to_message(found.effective),
    )
