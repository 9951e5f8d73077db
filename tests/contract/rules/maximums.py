"""Every string, bytes, list and map has a maximum (contracts.md, Sizes)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.contract.descriptors import Contracts, Field, Message, fields, ignored, messages
from tests.contract.rule import rules

MESSAGE_BYTES = 4 * 1024 * 1024
BATCH_ROWS = 1000
WRAPPERS = {"google.protobuf.StringValue": "string", "google.protobuf.BytesValue": "bytes"}
# Formats of buf.validate that bound the length by themselves; `uri`, `email` and the like do not.
BOUNDED_FORMATS = {
    "string": frozenset({"hostname", "ip", "ipv4", "ipv6", "address", "uuid", "tuuid", "ulid", "host_and_port"}),
    "bytes": frozenset({"ip", "ipv4", "ipv6", "uuid"}),
}
LENGTHS = {"string": ("max_bytes", "max_len", "len", "len_bytes"), "bytes": ("max_len", "len")}


def text_kind(field: Field) -> str:
    """Returns `string` or `bytes` for a field of that type or its wrapper, else an empty text."""
    return WRAPPERS.get(field.type_name, field.kind if field.kind in LENGTHS else "")


def is_bounded(kind: str, rules: Any) -> bool:
    """Tells whether the buf.validate rules of a string or bytes set a maximum."""
    if rules is None or ignored(rules) == "IGNORE_ALWAYS" or not rules.HasField(kind):
        return False
    own = getattr(rules, kind)
    if any(own.HasField(name) for name in (*LENGTHS[kind], "const")) or len(getattr(own, "in")):
        return True
    chosen = own.WhichOneof("well_known")
    return chosen in BOUNDED_FORMATS[kind] and bool(getattr(own, chosen))


def text_has_maximum(field: Field, _: Contracts) -> Iterator[str]:
    """A string or bytes has a maximum, alone, in a list, and as key or value of a map."""
    if field.map_of:
        parts = active(field).map if active(field) is not None else None
        for title, part in zip(("keys", "values"), field.map_of, strict=True):
            kind = text_kind(part)
            if kind and not is_bounded(kind, getattr(parts, title) if parts is not None else None):
                yield f"has no maximum for its {title} (map.{title}.{kind})"
        return
    kind = text_kind(field)
    if not kind:
        return
    if not field.repeated:
        if not is_bounded(kind, field.rules):
            yield f"has no maximum ({kind}.{LENGTHS[kind][0]})"
    elif not is_bounded(kind, field.rules.repeated.items if active(field) is not None else None):
        yield f"has no maximum for its items (repeated.items.{kind}.{LENGTHS[kind][0]})"


def list_has_maximum(field: Field, _: Contracts) -> Iterator[str]:
    """A list has `max_items`."""
    if field.repeated and not has_rule(field, "repeated", "max_items"):
        yield "has no maximum (repeated.max_items)"


def map_has_maximum(field: Field, _: Contracts) -> Iterator[str]:
    """A map has `max_pairs`."""
    if field.map_of and not has_rule(field, "map", "max_pairs"):
        yield "has no maximum (map.max_pairs)"


def has_rule(field: Field, kind: str, name: str) -> bool:
    """Tells whether a field has the rule `kind.name`, and has not switched it off."""
    return active(field) is not None and getattr(field.rules, kind).HasField(name)


def active(field: Field) -> Any:
    """Returns the rules of a field, or None if it has none or has switched them off."""
    return None if ignored(field.rules) == "IGNORE_ALWAYS" else field.rules


def maximum_fits_a_message(field: Field, _: Contracts) -> Iterator[str]:
    """No text may be longer than a message can be."""
    kind = text_kind(field)
    if not kind or field.rules is None:
        return
    own = getattr(field.rules.repeated.items if field.repeated else field.rules, kind)
    for name in LENGTHS[kind]:
        if own.HasField(name) and getattr(own, name) > MESSAGE_BYTES:
            yield f"may be {getattr(own, name)} long, but a message is at most {MESSAGE_BYTES} bytes"


def batch_has_at_most_1000_rows(message: Message, contracts: Contracts) -> Iterator[str]:
    """The lists of a batch request hold at most 1000 rows."""
    if not any(method.name.startswith("Batch") for method in contracts.requests.get(message.full_name, ())):
        return
    for field in message.fields:
        if has_rule(field, "repeated", "max_items") and field.rules.repeated.max_items > BATCH_ROWS:
            yield f"{field.name} takes {field.rules.repeated.max_items} rows; batches have at most {BATCH_ROWS}"


RULES = [
    *rules(fields, text_has_maximum, list_has_maximum, map_has_maximum, maximum_fits_a_message),
    *rules(messages, batch_has_at_most_1000_rows),
]
