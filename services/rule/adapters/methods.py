"""The methods of other services, as rules may call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from sutler.errors import Invalid, Violation
from sutler.fields import is_map
from sutler.methods import find_method

from services.rule.adapters.schemas import Schemas
from services.rule.adapters.targets import Target, target_of
from services.rule.definitions import CallMethod
from services.rule.faults import Fault
from services.rule.templates import is_template

_OWN_JSON = "google.protobuf."
"""Messages of this package have a JSON form of their own, into which the check does not look."""


class Methods:
    """Finds and checks methods. See :class:`services.rule.ports.Outside`.

    Args:
        targets: Where rules may call, by the full name of a service or an id.
        schemas: What is known of the methods there.
    """

    def __init__(self, targets: Mapping[str, Target], schemas: Schemas) -> None:
        self._targets = targets
        self._schemas = schemas

    async def check(self, do: CallMethod, field: str) -> Sequence[Violation]:
        """Returns what is wrong with a call. If a server told its methods earlier, it is asked again before."""
        service = do.method.partition("/")[0]
        if do.target and do.target not in self._targets:
            return [unknown(do, f"{field}.target", "no target of this id is configured")]
        if not do.target and service not in self._targets and self._schemas.of_contracts(service) is None:
            return [unknown(do, f"{field}.method", "no configured target has a unary method of this name")]
        target = target_of(do, self._targets)
        faults = await self._faults(do, target, field)
        if faults and self._schemas.forget(target, do.method):
            return await self._faults(do, target, field)
        return faults

    async def _faults(self, do: CallMethod, target: Target, field: str) -> list[Violation]:
        method = await self._schemas.find(target, do.method)
        if method is None:
            return [unknown(do, f"{field}.method", "no configured target has a unary method of this name")]
        faults: list[Violation] = []
        literal = _literal(method.input_type, do.request, f"{field}.request", faults)
        if not faults:
            try:
                _parsed(method, literal)
            except json_format.ParseError as error:
                faults.append(Fault(f"{field}.request", f"does not fit {do.method}: {error}", "TEMPLATE_INVALID"))
        return faults

    def permission(self, do: CallMethod) -> str:
        """Returns the permission that a call needs."""
        return find_method(f"/{do.method}", area=self._area(do)).permission

    def _area(self, do: CallMethod) -> str:
        """Returns the API at the address that is called: the one of a Sutler service there; empty if there is none."""
        address = target_of(do, self._targets).address
        services = (name.split(".") for name, place in self._targets.items() if place.address == address)
        return next((parts[1] for parts in services if parts[0] == "sutler" and len(parts) > 1), "")

    async def find(self, do: CallMethod) -> tuple[Target, MethodDescriptor]:
        """Returns where a call goes, and its method.

        Raises:
            PermissionDenied: If the operator does not allow it (METHOD_NOT_ALLOWED).
            Invalid: If there is no such method (METHOD_UNKNOWN).
            Unavailable: If its server cannot be asked (DEPENDENCY_UNAVAILABLE).
        """
        target = target_of(do, self._targets)
        method = await self._schemas.find(target, do.method)
        if method is None:
            raise Invalid(
                f"{do.method} is not a unary method at {target.address} any more; write the rule anew",
                reason="METHOD_UNKNOWN",
                metadata={"method": do.method, "target": do.target},
            )
        return target, method

    def forget(self, do: CallMethod) -> None:
        """Lets the server of a call be asked for its methods anew."""
        self._schemas.forget(target_of(do, self._targets), do.method)


def unknown(do: CallMethod, field: str, description: str) -> Fault:
    """Returns the fault of a method that cannot be called."""
    return Fault(field, description, "METHOD_UNKNOWN", {"method": do.method, "target": do.target})


def message_class(descriptor: Descriptor) -> type[Message]:
    """Returns the class of a message."""
    return message_factory.GetMessageClass(descriptor)


def parse_request(method: MethodDescriptor, request: Mapping[str, Any], key: str) -> Message:
    """Returns a request whose templates are filled in, with the idempotency key if it has a place and none is set.

    Raises:
        Invalid: If it does not fit the method (TEMPLATE_INVALID).
    """
    try:
        message = _parsed(method, dict(request))
    except json_format.ParseError as error:
        raise Invalid(
            f"the request does not fit {method.full_name}: {error}",
            reason="TEMPLATE_INVALID",
            metadata={"method": method.full_name, "cause": str(error)},
        ) from error
    if "request_id" in method.input_type.fields_by_name and not message.request_id:  # type: ignore[attr-defined]
        message.request_id = key  # type: ignore[attr-defined]
    return message


def _parsed(method: MethodDescriptor, request: Any) -> Message:
    message = message_class(method.input_type)()
    return json_format.ParseDict(request, message, descriptor_pool=method.input_type.file.pool)


def _literal(message: Descriptor, value: Any, path: str, faults: list[Violation]) -> Any:
    """Returns the part of a message's JSON that has no expressions, and notes fields that do not exist."""
    if message.full_name.startswith(_OWN_JSON) or message.full_name == "google.type.Money":
        return value if not _has_template(value) else _default(message)
    if not isinstance(value, Mapping):
        faults.append(Fault(path, f"must be an object with the fields of {message.full_name}", "TEMPLATE_INVALID"))
        return {}
    found: dict[str, Any] = {}
    fields = {name: field for field in message.fields for name in (field.name, field.json_name)}
    for key, inner in value.items():
        field = fields.get(key)
        if field is None:
            faults.append(Fault(f"{path}.{key}", f"{message.full_name} has no such field", "TEMPLATE_INVALID"))
        elif not is_template(inner):
            found[key] = _literal_field(field, inner, f"{path}.{key}", faults)
    return found


def _literal_field(field: FieldDescriptor, value: Any, path: str, faults: list[Violation]) -> Any:
    if value is None:
        return None
    if is_map(field) and field.message_type is not None and isinstance(value, Mapping):
        inner = field.message_type.fields_by_name["value"]
        return {
            key: _literal_one(inner, item, f"{path}.{key}", faults)
            for key, item in value.items()
            if not is_template(item)
        }
    if field.is_repeated and isinstance(value, list):
        return [
            _literal_one(field, item, f"{path}[{index}]", faults)
            for index, item in enumerate(value)
            if not is_template(item)
        ]
    return _literal_one(field, value, path, faults)


def _literal_one(field: FieldDescriptor, value: Any, path: str, faults: list[Violation]) -> Any:
    return value if field.message_type is None else _literal(field.message_type, value, path, faults)


def _has_template(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_has_template, value.values()))
    if isinstance(value, list):
        return any(map(_has_template, value))
    return is_template(value)


def _default(message: Descriptor) -> Any:
    """Returns the JSON of an empty message that has a JSON form of its own."""
    return json_format.MessageToDict(message_class(message)())
