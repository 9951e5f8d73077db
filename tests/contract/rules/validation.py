"""The buf.validate rules of each message compile, and resources may be sparse (contracts.md, Field rules)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import protovalidate
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message as ProtoMessage

from tests.contract.descriptors import Contracts, Message, messages, resources
from tests.contract.rule import rules

BROKEN = (protovalidate.CompilationError, protovalidate.EvaluationError, ValueError)
# How deep `fill` goes; recursive messages end there.
DEPTH = 3
_ASKS_TIME = re.compile(r"\b(gt_now|lt_now|within|now)\b(?=[^\n]*\n)")


@lru_cache(maxsize=1)
def validator(contracts: Contracts) -> protovalidate.Validator:
    """Returns one validator for a set of contracts; it remembers what it has compiled."""
    return protovalidate.Validator()


def rules_compile(message: Message, contracts: Contracts) -> Iterator[str]:
    """protovalidate compiles the rules of each message and evaluates them on an empty and on a filled one.

    The filled one matters: patterns compile when first used, and CEL's `||` hides an error of the side not needed.
    """
    for value in (contracts.classes[message.full_name](), filled(contracts.classes[message.full_name])):
        try:
            validator(contracts).collect_violations(value)
        except BROKEN as error:
            yield f"its rules do not compile or run: {error}"
            return


def filled(cls: type[ProtoMessage]) -> ProtoMessage:
    """Returns a message of this class with something in every field, the last one of each oneof."""
    value = cls()
    fill(value, DEPTH)
    return value


def fill(message: Any, depth: int) -> None:
    """Sets every field of a message, down to `depth`."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None:
            sample = sample_of(field)
            if field.is_repeated:
                getattr(message, field.name).append(sample)
            else:
                setattr(message, field.name, sample)
        elif field.message_type.GetOptions().map_entry:
            fill_map(getattr(message, field.name), field, depth)
        elif depth:
            target = getattr(message, field.name)
            inner = target.add() if field.is_repeated else target
            inner.SetInParent()
            fill(inner, depth - 1)


def fill_map(target: Any, field: Any, depth: int) -> None:
    """Puts one pair into a map."""
    key, value = field.message_type.fields
    if value.message_type is None:
        target[sample_of(key)] = sample_of(value)
    elif depth:
        fill(target[sample_of(key)], depth - 1)


def sample_of(field: FieldDescriptor) -> object:
    """Returns a value that a scalar field can have and that is not its default."""
    samples: dict[int, object] = {
        FieldDescriptor.CPPTYPE_STRING: b"a" if field.type == FieldDescriptor.TYPE_BYTES else "a",
        FieldDescriptor.CPPTYPE_BOOL: True,
        FieldDescriptor.CPPTYPE_DOUBLE: 1.0,
        FieldDescriptor.CPPTYPE_FLOAT: 1.0,
    }
    return samples.get(field.cpp_type, 1)


def rules_do_not_ask_the_time(message: Message, contracts: Contracts) -> Iterator[str]:
    """No rule depends on the moment, so that a request which was valid once may be known as valid."""
    descriptor = contracts.classes[message.full_name].DESCRIPTOR
    for element in (descriptor, *descriptor.fields):
        if _ASKS_TIME.search(str(element.GetOptions())):
            yield f"a rule of {element.name} depends on the time; check it where the request is handled"


def resource_may_be_sparse(message: Message, contracts: Contracts) -> Iterator[str]:
    """The rules of a resource ignore unset fields, so that an Update can send only some."""
    try:
        found = validator(contracts).collect_violations(contracts.classes[message.full_name]())
    except BROKEN:
        return
    for each in found:
        path = ".".join(element.field_name for element in each.proto.field.elements) if each.proto.field else ""
        yield f"an empty one breaks {each.proto.rule_id} of {path or 'the message'}; add IGNORE_IF_ZERO_VALUE"


RULES = [*rules(messages, rules_compile, rules_do_not_ask_the_time), *rules(resources, resource_may_be_sparse)]
