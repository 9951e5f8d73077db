"""What is wrong with a rule, and where in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from sutler.errors import Invalid, Violation


@dataclass(frozen=True, slots=True)
class Fault(Violation):
    """A violation with the variables of its description.

    Attributes:
        metadata: Such as ``position``, the place in the text as ``line:column``.
    """

    metadata: Mapping[str, str] = field(default_factory=dict)


def at(position: str) -> dict[str, str]:
    """Returns the metadata of a fault at a place; none if the place is unknown."""
    return {"position": position} if position else {}


def refuse(faults: Iterable[Violation], prefix: str) -> None:
    """Raises all faults of one thing together.

    Args:
        faults: What is wrong.
        prefix: The path of the thing in the request; empty for the request itself.

    Raises:
        Invalid: With the reason of the first; nothing is raised if there are none.
    """
    found = list(faults)
    if not found:
        return

    def where(fault: Violation) -> str:
        return f"{prefix}.{fault.field}" if prefix else fault.field

    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    raise Invalid(
        f"{where(first)}: {first.description}{more}",
        reason=first.reason,
        metadata={"field": first.field, **(first.metadata if isinstance(first, Fault) else {})},
        violations=[replace(fault, field=where(fault)) for fault in found],
    )
