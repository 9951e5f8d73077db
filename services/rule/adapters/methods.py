"""The methods of the contracts, as rules may call them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.message import Message
from sutler.contracts import modules
from sutler.errors import Invalid, PermissionDenied, Violation
from sutler.fields import is_map
from sutler.methods import find_method

from services.rule.definitions import CallMethod
from services.rule.faults import Fault
from services.rule.templates import is_template

_OWN_JSON = "google.protobuf."
"""Messages of this package have a JSON form of their own, into which the check does not look."""


class ContractMethods:
    """Finds and checks methods. See :class:`services.rule.ports.Methods`.

    Args:
        targets: The address of each service that rules may call, by its full name.
    """

    def __init__(self, targets: Mapping[str, str]) -> None:
        modules()
        self._targets = targets

    def check(self, do: CallMethod, field: str) -> Sequence[Violation]:
        """Returns what is wrong with a call."""
        method = self.find(do.method)
        if method is None:
            return [unknown(do, f"{field}.method", "no service of the contracts has a unary method of this name")]
        if do.target and do.target not in self._targets:
            return [unknown(do, f"{field}.target", "no target of this id is configured")]
        self.address(do)
        faults: list[Violation] = []
        literal = _literal(method.input_type, do.request, f"{field}.request", faults)
        if not faults:
            try:
                json_format.ParseDict(literal, message_class(method.input_type)())
            except json_format.ParseError as error:
                faults.append(Fault(f"{field}.request", f"does not fit {do.method}: {error}", "TEMPLATE_INVALID"))
        return faults

    def permission(self, do: CallMethod) -> str:
        """Returns the permission that a call needs."""
        return find_method(f"/{do.method}", area=self._area(do)).permission

    def _area(self, do: CallMethod) -> str:
        """Returns the API at the address that is called: the one of a Sutler service there; empty if there is none."""
        address = self.address(do)
        services = (name.split(".") for name, place in self._targets.items() if place == address)
        return next((parts[1] for parts in services if parts[0] == "sutler" and len(parts) > 1), "")

    def find(self, method: str) -> MethodDescriptor | None:
        """Returns a unary method of the contracts; None if there is none of this name."""
        service, _, name = method.partition("/")
        try:
            found: MethodDescriptor = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        except KeyError:
            return None
        return None if found.client_streaming or found.server_streaming else found

    def address(self, do: CallMethod) -> str:
        """Returns where a method is called.

        Raises:
            PermissionDenied: If the operator does not allow the service (METHOD_NOT_ALLOWED).
        """
        address = self._targets.get(do.target or do.method.partition("/")[0])
        if not address:
            raise PermissionDenied(
                f"rules may not call {do.method}: the operator must add its service to SUTLER_RULE_TARGETS",
                reason="METHOD_NOT_ALLOWED",
                metadata={"method": do.method},
            )
        return address


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
        message: Message = json_format.ParseDict(dict(request), message_class(method.input_type)())
    except json_format.ParseError as error:
        raise Invalid(
            f"the request does not fit {method.full_name}: {error}",
            reason="TEMPLATE_INVALID",
            metadata={"method": method.full_name, "cause": str(error)},
        ) from error
    if "request_id" in method.input_type.fields_by_name and not message.request_id:  # type: ignore[attr-defined]
        message.request_id = key  # type: ignore[attr-defined]
    return message


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
