"""Requests that cannot be read, have values that do not fit, or are too large."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from google.api import field_behavior_pb2
from google.protobuf import message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from sutler.errors import Code, SutlerError, Unimplemented

from tests.integration.faults.conftest import new_id
from tests.integration.faults.faces import Face
from tests.integration.faults.refusals import check, methods, refusal, refused

NO_MESSAGE = b"\xff\xff\xff"
NO_TEXT = b"\x0a\x02\xff\xfe"
UNKNOWN_VALUE = 99
LARGE = b"\xa2\x06\xc0\xc3\x93\x02" + bytes(4_514_240)
"""A field that no contract has, of more than 4 MiB."""


async def test_bytes_that_are_no_message(face: Face, tmp_path: Path) -> None:
    async with face.serving(tmp_path) as (s, _):
        for method in methods(face):
            first = method.input_type.fields_by_number.get(1)
            text = first is not None and first.type == first.TYPE_STRING
            for data in (NO_MESSAGE, NO_TEXT) if text else (NO_MESSAGE,):
                error = await refusal(s.channel, method, data)
                if not unread(method, error):
                    path = f"/{face.service}/{method.name}"
                    check(face, error, Code.INVALID_ARGUMENT, "FIELD_INVALID", method=path)


async def test_a_value_of_another_type(face: Face, tmp_path: Path) -> None:
    async with face.serving(tmp_path) as (s, _):
        await face.prepare(s)
        with refused(face, Code.INVALID_ARGUMENT, "FILTER_INVALID", field="filter", value="noon"):
            await face.mistyped(s)


async def test_unknown_enum_values(face: Face, tmp_path: Path) -> None:
    seen = 0
    async with face.serving(tmp_path) as (s, _):
        for method in methods(face):
            for way in enum_fields(method.input_type):
                request = with_unknown_value(method.input_type, way)
                error = await refusal(s.channel, method, request.SerializeToString())
                if not unread(method, error):
                    check(face, error, Code.INVALID_ARGUMENT, "FIELD_INVALID")
                    named = {violation.field.replace("[0]", "") for violation in error.violations}
                    assert ".".join(field.name for field in way) in named
                    seen += 1
    assert seen


async def test_a_message_over_4_mib(face: Face, tmp_path: Path) -> None:
    async with face.serving(tmp_path) as (s, _):
        await face.prepare(s)
        for method in methods(face):
            error = await refusal(s.channel, method, LARGE)
            if not unread(method, error):
                assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "TOO_LARGE"), f"{method.name}: {error!r}"
        await face.change(s, "small", new_id())
        await face.read(s, "small")


def unread(method: MethodDescriptor, error: SutlerError) -> bool:
    """Returns whether a method that this release does not offer has refused a request stream without reading it."""
    return method.client_streaming and isinstance(error, Unimplemented)


def enum_fields(message: Descriptor, above: tuple[str, ...] = ()) -> Iterator[tuple[FieldDescriptor, ...]]:
    """Yields the ways from a request to the enums that a caller sets."""
    for field in message.fields:
        behavior: Any = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]  # type: ignore[index]
        if field_behavior_pb2.OUTPUT_ONLY in behavior:
            continue
        if field.enum_type:
            yield (field,)
        below = field.message_type
        if (
            below
            and below.full_name not in above
            and below.full_name.startswith("sutler.")
            and not below.GetOptions().map_entry
        ):
            for way in enum_fields(below, (*above, below.full_name)):
                yield (field, *way)


def with_unknown_value(kind: Descriptor, way: tuple[FieldDescriptor, ...]) -> Message:
    request = message_factory.GetMessageClass(kind)()
    at = request
    for field in way[:-1]:
        at = getattr(at, field.name).add() if field.is_repeated else getattr(at, field.name)
        at.SetInParent()
    last = way[-1]
    if last.is_repeated:
        getattr(at, last.name).append(UNKNOWN_VALUE)
    else:
        setattr(at, last.name, UNKNOWN_VALUE)
    return request
