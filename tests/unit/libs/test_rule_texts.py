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
    waiting = [each for module in modules() for each in module.DESCRIPTOR.message_types_by_name.values()]
    while waiting:
        yield (message := waiting.pop())
        waiting += message.nested_types


def patterns(rules: Message) -> Iterator[str]:
    """Yields the patterns in the rules of a field: those of the field, and of its items, keys and values."""
    for part, value in rules.ListFields():
        if part.message_type is validate_pb2.StringRules.DESCRIPTOR and value.pattern:
            yield value.pattern
        elif part.message_type is not None and not part.is_repeated:
            yield from patterns(value)


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
        ("^[^ /?#@]+:[0-9]{1,5}$", "must be a host and a port, such as rules.example.com:50054"),
    ],
)
def test_patterns_in_words(pattern: str, text: str) -> None:
    assert form(pattern) == text


def test_every_pattern_of_the_contracts_is_told_in_words() -> None:
    rules = [field.GetOptions().Extensions[validate_pb2.field] for each in messages() for field in each.fields]
    found = {pattern for each in rules for pattern in patterns(each)}
    assert len(found) > 50
    assert [pattern for pattern in sorted(found) if not form(pattern)] == []


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
