"""Update masks: which fields of a resource an Update changes, and to what (AIP-134, AIP-161, AIP-203, RFC 7396).

The paths of a mask are relative to the resource.

* Omitted or empty: the fields that the update populates change. A message is entered, so that only what is populated
  in it changes; a list or map is replaced as a whole.
* ``*``: every field is replaced; what the update does not populate is cleared.
* Paths: each field named is replaced, and cleared if the update does not populate it. A path ends at a list, a map, an
  open field, or a value such as a Timestamp; one that goes further or names no field is refused.
* An open field (Struct, Value) is merged as RFC 7396 says, so that null removes a key, where the mask is omitted or
  names that very field. With ``*``, or within a message that the mask names, it is replaced.
* OUTPUT_ONLY fields and the resource's ``etag`` do not change, and do not fail. In a list of messages an element keeps
  them if the caller sends it back unchanged; another element is a new one and has none.
* An IMMUTABLE or IDENTIFIER field that would change fails. Sending its own value is no change, nor is leaving it out
  where no path names it, nor setting it in a message that was not there before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from sutler.diffs import FieldDiff, changes
from sutler.errors import Invalid, invalid
from sutler.field_values import clear_output_only, copy_field, copy_of, entered, is_populated, only
from sutler.fields import descriptor_of, is_immutable, is_map, is_message, is_open, is_output_only, message_of
from sutler.merge_patch import patch_struct, patch_value

__all__ = ["FieldDiff", "changes", "clear_output_only", "merge", "resolve"]

M = TypeVar("M", bound=Message)

_MAX_SHOWN = 80


def merge(stored: M, update: M, mask: FieldMask | None, *, below: str = "") -> M:
    """Returns a resource as an Update makes it; the arguments stay as they are.

    Args:
        stored: The resource as it is.
        update: The resource in the request.
        mask: The request's ``update_mask``; None if it has none.
        below: Where the resource stands in the request, such as ``rule``; errors about its fields say so.

    Raises:
        Invalid: If a path of the mask leads nowhere (UPDATE_MASK_INVALID, with ``path`` in the metadata), or a field
            that cannot change would (FIELD_IMMUTABLE, with ``field``).
    """
    result = copy_of(stored)
    prefix = f"{below}." if below else ""
    paths = list(dict.fromkeys(mask.paths)) if mask is not None else []
    if not paths:
        _merge_populated(result, update, prefix, fresh=False)
    elif paths == ["*"]:
        _replace_fields(result, update, prefix, fresh=False)
    else:
        for fields in [resolve(descriptor_of(stored), path) for path in paths]:
            if not any(is_output_only(field) for field in fields):
                _replace_path(result, update, fields, prefix, fresh=False)
    etag = descriptor_of(stored).fields_by_name.get("etag")
    if etag is not None:
        copy_field(result, stored, etag)
    return result


def resolve(
    descriptor: Descriptor, path: str, *, mask: str = "update_mask", reason: str = "UPDATE_MASK_INVALID"
) -> list[FieldDescriptor]:
    """Returns the fields that a path leads through.

    Args:
        descriptor: The message to which it is relative.
        path: The path.
        mask: The field of the request in which it stands.
        reason: That of the error.

    Raises:
        Invalid: If it leads nowhere (``reason``, with ``path`` in the metadata).
    """

    def leads_nowhere(why: str) -> Invalid:
        shown = path if len(path) <= _MAX_SHOWN else f"{path[:_MAX_SHOWN]}…"
        return invalid(mask, f"{shown!r} {why}", reason=reason, metadata={"path": shown})

    if path == "*":
        raise leads_nowhere("means all fields, so it must be the only path")
    fields: list[FieldDescriptor] = []
    inner: Descriptor | None = descriptor
    for segment in path.split("."):
        if inner is None:
            raise leads_nowhere(f"goes below {fields[-1].name}, which can only be named as a whole")
        field = inner.fields_by_name.get(segment)
        if field is None:
            raise leads_nowhere("names no field")
        fields.append(field)
        inner = message_of(field) if is_message(field) else None
    return fields


def _merge_populated(target: Message, source: Message, prefix: str, *, fresh: bool) -> None:
    """Takes over what is populated. ``fresh``: the target was not there before, so nothing in it is immutable yet."""
    for field, _ in source.ListFields():
        if is_output_only(field):
            continue
        if is_message(field):
            _merge_message(target, source, field, prefix + field.name, fresh=fresh)
        else:
            _replace_field(target, source, field, prefix + field.name, fresh=fresh, merge_open=True)


def _merge_message(target: Message, source: Message, field: FieldDescriptor, where: str, *, fresh: bool) -> None:
    absent = not target.HasField(field.name)

    def merge_below() -> None:
        _merge_populated(entered(target, field), getattr(source, field.name), f"{where}.", fresh=absent)

    _unless_immutable(target, field, where, merge_below, fresh=fresh)


def _replace_path(
    target: Message, source: Message, fields: Sequence[FieldDescriptor], prefix: str, *, fresh: bool
) -> None:
    """Replaces the field at the end of a path."""
    field, *rest = fields
    where = prefix + field.name
    if not rest:
        _replace_field(target, source, field, where, fresh=fresh, merge_open=True)
        return
    absent = not target.HasField(field.name)
    if absent and not source.HasField(field.name):
        return

    def replace_below() -> None:
        _replace_path(entered(target, field), getattr(source, field.name), rest, f"{where}.", fresh=absent)

    _unless_immutable(target, field, where, replace_below, fresh=fresh)


def _replace_fields(target: Message, source: Message, prefix: str, *, fresh: bool) -> None:
    """Replaces all fields that a caller may set."""
    for field in descriptor_of(target).fields:
        if is_output_only(field) or (is_immutable(field) and not is_populated(source, field)):
            continue
        _replace_field(target, source, field, prefix + field.name, fresh=fresh, merge_open=False)


def _replace_field(
    target: Message, source: Message, field: FieldDescriptor, where: str, *, fresh: bool, merge_open: bool
) -> None:
    """Replaces one field, or merges it if it is open."""

    def replace() -> None:
        if merge_open and is_open(field) and source.HasField(field.name):
            _patch(entered(target, field), getattr(source, field.name))
        elif message_of(field) is None:
            copy_field(target, source, field)
        elif is_map(field):
            _replace_map(getattr(target, field.name), getattr(source, field.name), where)
        elif field.is_repeated:
            _replace_list(getattr(target, field.name), getattr(source, field.name), where)
        elif source.HasField(field.name):
            absent = not target.HasField(field.name)
            _replace_fields(entered(target, field), getattr(source, field.name), f"{where}.", fresh=absent)
        else:
            target.ClearField(field.name)

    _unless_immutable(target, field, where, replace, fresh=fresh)


def _replace_list(target: Any, source: Any, where: str) -> None:
    """Replaces a list of messages; those that are otherwise equal to one that was there keep its OUTPUT_ONLY fields."""
    before: dict[bytes, list[Message]] = {}
    for child in target:
        bare = copy_of(child)
        clear_output_only(bare)
        before.setdefault(bare.SerializeToString(deterministic=True), []).append(copy_of(child))
    after = []
    for child in source:
        new = type(child)()
        _replace_fields(new, child, f"{where}.", fresh=True)
        same = before.get(new.SerializeToString(deterministic=True))
        after.append(same.pop(0) if same else new)
    del target[:]
    target.extend(after)


def _replace_map(target: Any, source: Any, where: str) -> None:
    """Replaces a map of messages; those whose key stays keep their OUTPUT_ONLY fields."""
    for key in [key for key in target if key not in source]:
        del target[key]
    for key, value in source.items():
        absent = key not in target
        _replace_fields(target[key], value, f"{where}.{key}.", fresh=absent)


def _unless_immutable(
    target: Message, field: FieldDescriptor, where: str, change: Callable[[], None], *, fresh: bool
) -> None:
    """Makes a change to a field, and refuses it if the field must keep its value."""
    if fresh or not is_immutable(field):
        change()
        return
    before = only(target, field)
    change()
    if only(target, field) != before:
        raise invalid(where, "cannot change after creation", reason="FIELD_IMMUTABLE")


def _patch(target: Any, patch: Any) -> None:
    merge_into = patch_struct if patch.DESCRIPTOR.full_name == "google.protobuf.Struct" else patch_value
    merge_into(target, patch)
