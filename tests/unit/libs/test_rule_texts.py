from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from buf.validate import validate_pb2
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from sutler.cache.v1 import cache_pb2
from sutler.contracts import modules
from sutler.errors import Invalid
from sutler.rule_texts import form
from sutler.validation import validate_message

ENTRY = cache_pb2.Entry(inline_value=b"1")


def messages() -> Iterator[Descriptor]:
    for module in modules():
        yield from module.DESCRIPTOR.message_types_by_name.values()


def patterns(*fields: str) -> set[str]:
    """Returns the patterns of all fields of these names in the contracts."""
    found = [
        field.GetOptions().Extensions[validate_pb2.field].string.pattern
        for message in messages()
        for field in message.fields
        if field.name in fields
    ]
    return {pattern for pattern in found if pattern}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("^[A-Za-z][A-Za-z0-9._-]{0,62}$", "must be a letter, then up to 62 letters, digits, '.', '_' or '-'"),
        ("^[a-z][a-z0-9_]*$", "must be a lower-case letter, then any number of lower-case letters, digits or '_'"),
        ("^[A-Za-z_][A-Za-z0-9]*$", "must be a letter or '_', then any number of letters or digits"),
        (
            "^a/[A-Z][0-9]{0,7}/b/[0-9]{1,18}$",
            "must be a/{id}/b/{number}, where an id is a capital letter, then up to 7 digits",
        ),
        ("^(a|b)$", ""),
        ("^[0-9a-f]{64}$", "must be 64 lower-case hexadecimal digits"),
        ("^[0-9a-f]{63}$", ""),
        ("^queues/(-|[A-Za-z][A-Za-z0-9._-]{0,62})$", ""),
    ],
)
def test_patterns_in_words(pattern: str, text: str) -> None:
    assert form(pattern) == text


def test_names_and_ids_of_all_contracts_are_told_in_words() -> None:
    found = patterns("name", "names", "type", "resource_id", "connection_id", "model", "content_type", "sha256")
    assert len(found) > 20
    assert [pattern for pattern in sorted(found) if not form(pattern)] == ["^[A-Za-z0-9_.*-]+$"]


@pytest.mark.parametrize(
    ("message", "field", "text"),
    [
        (
            cache_pb2.PutEntryRequest(cache="caches/a", key="k", entry=ENTRY, condition=cache_pb2.PutCondition()),
            "condition.condition",
            "must have one of absent, etag, lease_token",
        ),
        (
            cache_pb2.Cache(eviction=cast(Any, 77)),
            "eviction",
            "must be one of EVICTION_LRU, EVICTION_LFU, EVICTION_NONE",
        ),
    ],
)
def test_choices_are_told_by_name(message: Message, field: str, text: str) -> None:
    with pytest.raises(Invalid) as caught:
        validate_message(message)
    assert [(violation.field, violation.description) for violation in caught.value.violations] == [(field, text)]
