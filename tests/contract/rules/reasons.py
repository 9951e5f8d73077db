"""Error reasons: documented with code and example, and the ones that RPCs mention (AIP-193; contracts.md, Errors)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from tests.contract.descriptors import (
    SHARED,
    Contracts,
    Element,
    Enum,
    Method,
    Value,
    elements,
    enums,
    methods,
    services,
)
from tests.contract.rule import rules
from tests.contract.words import snake

PREFIX = "ERROR_REASON_"
# Environment variables are upper case too.
ENVIRONMENT = "SUTLER_"
CODES = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
]
TOKEN = r"`?[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*`?"
# `NOT_FOUND (CACHE_NOT_FOUND, ENTRY_EXPIRED)`, also with `and`/`or`, also with more words after the list.
MENTION = re.compile(rf"\b({'|'.join(CODES)})`?\s+\(({TOKEN}(?:(?:,?\s+(?:and|or)|,)\s+{TOKEN})*)\b")
# `NOT_FOUND: CACHE_NOT_FOUND if there is none, ENTRY_EXPIRED.`
LISTING = re.compile(rf"\b({'|'.join(CODES)}):\s+([^.:()]*)")
REASON = re.compile(r"\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)*\b")
UPPER_SNAKE = re.compile(r"(?<![/.$\w])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w/])")
EXAMPLE = re.compile(r"^[ \t]*Example:", re.MULTILINE)


def reason_enums(contracts: Contracts) -> Iterator[Enum]:
    """Walks the enums of error reasons."""
    return (enum for enum in enums(contracts) if enum.name == "ErrorReason")


def reason_values(contracts: Contracts) -> Iterator[Value]:
    """Walks the error reasons, without the zero values."""
    for enum in reason_enums(contracts):
        yield from (value for value in enum.values if value.number)


def reason(value: Value) -> str:
    """Returns the reason as it goes over the wire."""
    return value.name.removeprefix(PREFIX)


def description(value: Value) -> str:
    """Returns the comment of a reason without its example."""
    return EXAMPLE.split(value.comment)[0]


def example(value: Value) -> Any:
    """Returns the parsed example of a reason; raises ValueError with the cause if there is none or it is not JSON."""
    parts = EXAMPLE.split(value.comment)
    if len(parts) != 2:
        raise ValueError(f"has {len(parts) - 1} lines `Example: {{…}}`, not one")
    try:
        return json.loads(" ".join(parts[1].split()))
    except json.JSONDecodeError as error:
        raise ValueError(f"its example is not JSON: {error}") from None


def reason_has_example(value: Value, _: Contracts) -> Iterator[str]:
    """The comment of a reason has a line `Example: {"reason": …, "metadata": {…}}`, as it goes over the wire."""
    try:
        found = example(value)
    except ValueError as error:
        yield str(error)
        return
    if not isinstance(found, dict) or set(found) != {"reason", "metadata"}:
        yield "its example has not exactly reason and metadata"
    elif found["reason"] != reason(value):
        yield f"its example has the reason {found['reason']!r}, not {reason(value)!r}"
    elif not isinstance(found["metadata"], dict) or not all(isinstance(v, str) for v in found["metadata"].values()):
        yield "the metadata of its example are not texts by name"
    elif not all(re.fullmatch(r"[a-z][a-zA-Z0-9_-]{0,63}", name) for name in found["metadata"]):
        yield "the metadata of its example have names that ErrorInfo does not allow"


def reason_has_code(value: Value, _: Contracts) -> Iterator[str]:
    """The comment of a reason names the gRPC code that comes with it."""
    if not codes(value):
        yield "its comment names no gRPC code"


def codes(value: Value) -> set[str]:
    """Returns the gRPC codes that the comment of a reason names."""
    return set(re.findall(rf"\b({'|'.join(CODES)})\b", description(value)))


def reason_is_top_level(enum: Enum, _: Contracts) -> Iterator[str]:
    """The reasons of an API are a top-level enum."""
    if enum.parent:
        yield "is nested"


def reason_is_not_shared(value: Value, contracts: Contracts) -> Iterator[str]:
    """No API repeats a shared reason."""
    if value.package != SHARED and reason(value) in known(SHARED, contracts):
        yield "repeats a reason of sutler.type.v1.ErrorReason"


def reason_is_used(value: Value, contracts: Contracts) -> Iterator[str]:
    """Every reason of an API is mentioned in the comment of something that can give it."""
    if value.package == SHARED:
        return
    name = re.compile(rf"\b{reason(value)}\b")
    if not any(
        name.search(each.comment)
        for each in elements(contracts)
        if each.package == value.package and not isinstance(each, Value)
    ):
        yield "is mentioned in no comment of an RPC, message or field"


@lru_cache(maxsize=16)
def known(package: str, contracts: Contracts) -> dict[str, set[str]]:
    """Returns the reasons of a package with their codes."""
    return {reason(value): codes(value) for value in reason_values(contracts) if value.package == package}


def mentions(element: Element) -> Iterator[tuple[str, str]]:
    """Yields code and reason wherever a comment says `CODE (REASON, …)` or `CODE: REASON …`."""
    comment = " ".join(element.comment.split())
    for code, listed in [*MENTION.findall(comment), *LISTING.findall(comment)]:
        for name in REASON.findall(listed):
            yield code, name


def rpc_names_its_reasons(method: Method, contracts: Contracts) -> Iterator[str]:
    """An RPC, or its service, names the reasons that it can give, as `CODE (REASON, …)`, or an RPC that gives them."""
    service = next(each for each in services(contracts) if each.full_name == method.service)
    if not method.comment or any(mentions(method)) or any(mentions(service)):
        return
    others = [other.name for other in service.methods if other is not method]
    if not re.search(rf"\b(?:as|like|what|of)\s+(?:{'|'.join(others)})\b", method.comment):
        yield "its comment names no reason as CODE (REASON)"


def upper_case_names_exist(element: Element, contracts: Contracts) -> Iterator[str]:
    """An UPPER_CASE name in a comment is a gRPC code, a reason, or a value of an enum of the package."""
    text = EXAMPLE.split(element.comment)[0]
    names = set(UPPER_SNAKE.findall(text))
    if names:
        for name in sorted(names - upper_case_names(element.package, contracts)):
            if not name.startswith(ENVIRONMENT):
                yield f"its comment names {name}, which is no code, reason or enum value"


@lru_cache(maxsize=16)
def upper_case_names(package: str, contracts: Contracts) -> set[str]:
    """Returns all names that a comment of a package can mean, enum values with and without their prefix."""
    found = set(CODES)
    for enum in contracts.enums.values():
        if enum.package in (package, SHARED) or enum.package.startswith("google."):
            prefix = f"{snake(enum.name).upper()}_"
            found |= {value.name for value in enum.values} | {value.name.removeprefix(prefix) for value in enum.values}
    return found


def reasons_exist(element: Element, contracts: Contracts) -> Iterator[str]:
    """The reasons that a comment names as `CODE (REASON, …)` exist, and come with the code that it says."""
    reasons = known(SHARED, contracts) | known(element.package, contracts)
    for code, name in mentions(element):
        if name not in reasons:
            yield f"its comment names the reason {name}, which is in no ErrorReason"
        elif reasons[name] and code not in reasons[name]:
            yield f"its comment says {code} ({name}), but {name} comes with {' or '.join(sorted(reasons[name]))}"


RULES = [
    *rules(reason_enums, reason_is_top_level),
    *rules(reason_values, reason_has_example, reason_has_code, reason_is_not_shared, reason_is_used),
    *rules(methods, rpc_names_its_reasons),
    *rules(elements, reasons_exist, upper_case_names_exist),
]
