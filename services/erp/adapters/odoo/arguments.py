"""Arguments by name, for the protocol of Odoo that knows no others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sutler.errors import Invalid, invalid

NAMES: Mapping[str, tuple[str, ...]] = {
    "check_access_rights": ("operation", "raise_exception"),
    "context_get": (),
    "copy": ("default",),
    "create": ("vals_list",),
    "default_get": ("fields",),
    "export_data": ("fields_to_export",),
    "fields_get": ("allfields", "attributes"),
    "formatted_read_group": ("domain", "groupby", "aggregates", "having", "offset", "limit", "order"),
    "has_access": ("operation",),
    "load": ("fields", "data"),
    "name_create": ("name",),
    "name_search": ("name", "domain", "operator", "limit"),
    "read": ("fields", "load"),
    "read_group": ("domain", "fields", "groupby", "offset", "limit", "orderby", "lazy"),
    "search": ("domain", "offset", "limit", "order"),
    "search_count": ("domain", "limit"),
    "search_read": ("domain", "fields", "offset", "limit", "order"),
    "unlink": (),
    "write": ("vals",),
}
"""The arguments, after the ids, of methods that every model of Odoo 19 has."""

RENAMED = {("name_search", "args"): "domain"}
"""What Odoo 19 calls otherwise than the versions before."""

IDS = "ids"


def by_name(model: str, method: str, args: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all arguments of a call by name.

    Args:
        model: The model.
        method: The method.
        args: Arguments by position, after the ids.
        named: Arguments by name.

    Raises:
        Invalid: If one has no name that is known here, or is given twice (ARGUMENTS_INVALID).
    """
    if IDS in named:
        raise _refused(model, method, "named.ids", "is what JSON-2 calls the records: give them as record_ids")
    names = NAMES.get(method)
    if args and names is None:
        raise _refused(model, method, "positional", "JSON-2 knows arguments by name only: give them in named")
    if names is not None and len(args) > len(names):
        raise _refused(model, method, "positional", f"{method} takes {len(names)} arguments after the ids")
    result = {RENAMED.get((method, name), name): value for name, value in named.items()}
    for name, value in zip(names or (), args, strict=False):
        if name in result:
            raise _refused(model, method, f"named.{name}", "is given by position too: give it once")
        result[name] = value
    return result


def _refused(model: str, method: str, field: str, description: str) -> Invalid:
    return invalid(field, description, reason="ARGUMENTS_INVALID", metadata={"model": model, "method": method})
