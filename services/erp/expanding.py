"""Follows dotted paths into related records: one call for each model on each level, never one for each record."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.erp import faults
from services.erp.coalescing import Coalescer
from services.erp.records import DISPLAY_NAME, Tree, check_level
from services.erp.schemas import ModelField, ModelSchema
from services.erp.selecting import SchemaSource
from services.erp.users import Ask

MAX_VALUES = 200_000
"""How many values an answer has behind relations at the most: paths that lead back and forth multiply."""

TURN_VALUES = 2000
"""After how many values others get their turn."""

Touched = set[tuple[str, int]]
"""The records that an answer is made of, as model and id."""


async def check_paths(tree: Tree, schema: ModelSchema, schemas: SchemaSource) -> None:
    """Checks all paths of a tree against the models that they lead through.

    Raises:
        Invalid: If a field does not exist (FIELD_NOT_FOUND).
        SutlerError: Why ``schemas`` does not give one of the models.
    """
    check_level(tree, schema)
    for name, node in tree.below.items():
        if node.below:
            await check_paths(node, await schemas(schema.fields[name].relation), schemas)


async def titled(tree: Tree, schema: ModelSchema, schemas: SchemaSource) -> set[str]:
    """Returns the models behind relations whose titles, at least, come with records. Raises as :func:`check_paths`."""
    found: set[str] = set()
    for name, node in tree.below.items():
        known = schema.fields[name]
        if known.related:
            found.add(known.relation)
        if node.below:
            found |= await titled(node, await schemas(known.relation), schemas)
    return found


async def made_of(tree: Tree, schema: ModelSchema, schemas: SchemaSource) -> set[str]:
    """Returns the models behind relations to many that values are made of. Raises as :func:`check_paths`."""
    found: set[str] = set()
    for name, node in tree.below.items():
        known = schema.fields[name]
        found |= known.made_of
        if node.below:
            found |= await made_of(node, await schemas(known.relation), schemas)
    return found


def titles(schema: ModelSchema, values: Mapping[str, Any]) -> Touched:
    """Returns the records whose titles stand in the values of a record."""
    return {
        (schema.fields[name].relation, end["id"])
        for name, value in values.items()
        if name in schema.fields and schema.fields[name].related
        for end in _ends(value)
    }


@dataclass(slots=True)
class _Way:
    """One relation of one level: where it leads, and what is asked there."""

    known: ModelField
    tree: Tree
    holders: list[dict[str, Any]]

    def ids(self) -> list[int]:
        return [one["id"] for holder in self.holders for one in _ends(holder.get(self.known.field))]

    def names(self) -> list[str]:
        """Returns the fields to read there; the title of a relation to one has come with the relation."""
        wanted = self.tree.names()
        return [DISPLAY_NAME, *wanted] if self.tree.asked and self.known.to_many else wanted


@dataclass(slots=True)
class _Made:
    """Counts the values that an answer has behind relations."""

    values: int = 0

    async def add(self, way: _Way, holder: Mapping[str, Any]) -> None:
        """Counts what one relation of a record leads to, before it is made.

        Raises:
            Exhausted: If it is too much (TOO_LARGE).
        """
        before = self.values
        self.values += len(_ends(holder.get(way.known.field))) * (1 + way.tree.asked + len(way.tree.below))
        if self.values > MAX_VALUES:
            raise faults.too_many_values(way.known.relation, way.known.field, MAX_VALUES)
        if self.values // TURN_VALUES > before // TURN_VALUES:
            await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Expander:
    """Reads what lies behind relations, along paths that :func:`check_paths` has checked.

    Attributes:
        reads: Reads records.
        ask: As whom.
        schemas: Gives the models that relations lead to.
    """

    reads: Coalescer
    ask: Ask
    schemas: SchemaSource

    async def expand(self, values: Sequence[dict[str, Any]], tree: Tree, schema: ModelSchema) -> Touched:
        """Fills the relations in the values of records, in place, and returns which records were read.

        Args:
            values: The values of each record, as a driver gives them.
            tree: What is asked of them; was checked.
            schema: Their model.

        Raises:
            Exhausted: If that is too much for one answer (TOO_LARGE).
            SutlerError: Why the ERP cannot be asked.
        """
        touched: Touched = set()
        made = _Made()
        level = self._ways(values, tree, schema)
        while level:
            by_model: dict[str, list[_Way]] = {}
            for way in level:
                by_model.setdefault(way.known.relation, []).append(way)
            below = await asyncio.gather(*(self._read(model, ways, touched, made) for model, ways in by_model.items()))
            level = [way for ways in below for way in ways]
        return touched

    def _ways(self, values: Sequence[dict[str, Any]], tree: Tree, schema: ModelSchema) -> list[_Way]:
        ways = []
        for name, node in tree.below.items():
            known = schema.fields[name]
            if known.related and (node.below or (known.to_many and node.asked)):
                ways.append(_Way(known, node, list(values)))
        return ways

    async def _read(self, model: str, ways: Sequence[_Way], touched: Touched, made: _Made) -> list[_Way]:
        """Reads one model of one level, fills the ways to it, and returns those of the next level."""
        schema = await self.schemas(model)
        names = list(dict.fromkeys(name for way in ways for name in way.names()))
        ids = list(dict.fromkeys(one for way in ways for one in way.ids()))
        rows = await self.reads.read(self.ask, schema, ids, names, binaries=False) if ids else {}
        touched.update((model, one) for one in ids)
        for row in rows.values():
            touched |= titles(schema, row.values)
        below: list[_Way] = []
        for way in ways:
            filled: list[dict[str, Any]] = []
            for holder in way.holders:
                await made.add(way, holder)
                ends = [_end(way, one, rows[one["id"]].values) if one["id"] in rows else one
                        for one in _ends(holder.get(way.known.field))]  # fmt: skip
                filled += [end for end in ends if end["id"] in rows]
                if way.known.to_many:
                    holder[way.known.field] = ends
                elif ends:
                    holder[way.known.field] = ends[0]
            below += self._ways(filled, way.tree, schema)
        return below


def _ends(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, dict) else []


def _end(way: _Way, one: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a related record with what was asked of it, and its title only if it was asked for itself."""
    end: dict[str, Any] = {"id": one["id"]}
    if way.tree.asked:
        end[DISPLAY_NAME] = one.get(DISPLAY_NAME) or found.get(DISPLAY_NAME) or ""
    return end | {name: found.get(name) for name in way.tree.below}
