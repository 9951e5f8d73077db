"""What pydantic models are to handlers: schemas of properties, and checks that end as violations with paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from sutler.errors import Internal, Violation
from sutler.validation import from_pydantic
from sutler.wire import to_struct

from google.protobuf.struct_pb2 import Struct  # isort: skip

M = TypeVar("M", bound=BaseModel)

Data = BaseModel | Mapping[str, Any] | None
"""What handlers give back: a model, a mapping of JSON data, or None where there is nothing to say."""


class Anything(BaseModel):
    """The model of a handler that has none: any object will do, and its members are attributes."""

    model_config = ConfigDict(extra="allow")


class FieldError(ValueError):
    """What a model's own validator raises for a rule across fields, to say at which field it is broken.

    ::

        @model_validator(mode="after")
        def _no_copies_of_basic(self) -> Self:
            if self.tier == "basic" and self.copies:
                raise FieldError("copies", "basic has none")
            return self

    Args:
        field: The path of the field below the model, such as ``records[2].value``.
        description: What is wrong and what is allowed.
        reason: A short name of the rule in UPPER_SNAKE_CASE.
    """

    def __init__(self, field: str, description: str, reason: str = "RULE_BROKEN") -> None:
        super().__init__(description)
        self.field = field
        self.reason = reason


def violations(error: ValidationError, *prefix: str) -> list[Violation]:
    """Returns the violations of a pydantic error, with paths below ``prefix``."""
    found = from_pydantic(error, prefix)
    return [_named(violation, raw) for violation, raw in zip(found, error.errors(include_url=False), strict=False)]


def _named(violation: Violation, raw: Mapping[str, Any]) -> Violation:
    cause = raw.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        below = f".{cause.field}" if violation.field and not cause.field.startswith("[") else cause.field
        return Violation(violation.field + below, str(cause), cause.reason)
    return Violation(violation.field, str(cause), violation.reason) if isinstance(cause, ValueError) else violation


def lenient(model: type[M], values: Mapping[str, Any]) -> M:
    """Returns values as a model; those that it does not accept any more arrive as they are, unchecked."""
    try:
        return model.model_validate(values)
    except ValidationError:
        return model.model_construct(**values)


def schema_of(model: type[BaseModel] | None) -> Mapping[str, Any] | None:
    """Returns the JSON Schema of a model; None for no model, or one that takes anything."""
    if model is None or model is Anything:
        return None
    return model.model_json_schema()


def dumped(data: Data) -> Mapping[str, Any] | None:
    """Returns what a handler gave back as JSON data; None for nothing."""
    return data.model_dump(mode="json") if isinstance(data, BaseModel) else data


def struct(data: Data, what: str, resource: str) -> Struct | None:
    """Returns what a handler gave back as a message; None for nothing.

    Args:
        data: What it gave.
        what: What that is, such as ``outputs``.
        resource: The name of the resource that it was called for.

    Raises:
        Internal: If it is no JSON data (HANDLER_MISBEHAVED).
    """
    values = dumped(data)
    try:
        return None if values is None else to_struct(values)
    except TypeError as error:
        cause = f"{what}: {error}"
        raise Internal(
            f"the handler of {resource} broke its contract: {cause}",
            reason="HANDLER_MISBEHAVED",
            metadata={"cause": cause},
            resource=resource,
        ) from error
