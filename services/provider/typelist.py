"""The types of provider as a list that can be filtered and ordered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sutler.filtering import Field, Kind, Schema, parse, position
from sutler.paging import Order, parse_order_by

from services.provider.ports import Kinds, Listed
from services.provider.providers import TypeFacts

SCHEMA = Schema(
    {
        **{path: Field(Kind.STRING, path) for path in ("type", "display_name", "description", "version")},
        "source": Field(Kind.ENUM, "source", values={"SOURCE_BUILT_IN": 1, "SOURCE_PACKAGE": 2, "SOURCE_PLUGIN": 3}),
        "regions": Field(Kind.STRING_LIST, "regions"),
    }
)


@dataclass(frozen=True, slots=True)
class TypeList:
    """The types of provider; they are few, so they are sorted in memory.

    Attributes:
        facts: The types.
    """

    facts: Sequence[TypeFacts]

    async def find(
        self, tenant: str, filter: str, order_by: str, after: Sequence[Any] | None, limit: int
    ) -> Sequence[Listed[TypeFacts]]:
        """Returns types that pass a filter, in order, after a position; see :class:`services.provider.ports.Pages`."""
        orders = parse_order_by(order_by, SCHEMA.orderable, (Order("type"),))
        passes = parse(filter, SCHEMA).predicate()
        found = [facts for facts in self.facts if passes(_item(facts))]
        for order in reversed(orders):
            found.sort(key=lambda facts, order=order: _item(facts)[order.field], reverse=order.descending)  # type: ignore[misc]
        listed = [Listed(facts, position(_item(facts), orders, SCHEMA)) for facts in found]
        positions = [list(one.position) for one in listed]
        start = positions.index(list(after)) + 1 if after is not None and list(after) in positions else 0
        return listed[start : start + limit]


def list_types(kinds: Kinds) -> TypeList:
    """Returns the types of this deployment as a list."""
    return TypeList([kind.facts for kind in kinds.values()])


def _item(facts: TypeFacts) -> Mapping[str, Any]:
    return {
        "type": facts.type,
        "display_name": facts.display_name,
        "description": facts.description,
        "version": facts.version,
        "source": int(facts.source),
        "regions": list(facts.regions),
    }
