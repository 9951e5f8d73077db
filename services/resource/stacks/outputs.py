"""What a stack gives as its result: values of its own and of its members."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sutler.errors import invalid
from sutler.open_data import too_deep, too_large

from services.resource.ports import View
from services.resource.stacks.references import Lookup, Resolution
from services.resource.stacks.resolving import OUTPUT_VALUES, lookup_in
from services.resource.stacks.stack import Stack

MAX_BYTES = 512 * 1024


def outputs(view: View, stack: Stack) -> dict[str, Any]:
    """Returns the outputs of a stack whose members are all as declared.

    Raises:
        Invalid: If a reference leads nowhere (REFERENCE_UNRESOLVED), or they are too large or deep (TOO_LARGE).
    """
    names = {state.member: state.resource for state in stack.member_states if not state.left}

    def of_member(id: str) -> Mapping[str, Any]:
        resource = view.resource(names[id])
        return resource.outputs if resource is not None else {}

    return given(stack.template.output_values, lookup_in(stack.template, names, of_member))


def given(values: Mapping[str, Any], lookup: Lookup) -> dict[str, Any]:
    """Returns the output values of a stack with their references replaced; raises as :func:`outputs`."""
    resolution = Resolution(lookup)
    found: dict[str, Any] = resolution.data(dict(values), OUTPUT_VALUES)
    resolution.end()
    if resolution.complete and (too_deep(found) or too_large(found, MAX_BYTES)):
        description = f"is deeper than open data may be, or larger than {MAX_BYTES} bytes"
        raise invalid(OUTPUT_VALUES, description, reason="TOO_LARGE")
    return found
