"""Figures over groups of records of Odoo."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from sutler.errors import NotFound, Unimplemented

from services.erp.adapters.odoo.client import Client
from services.erp.adapters.odoo.domains import Domain
from services.erp.adapters.odoo.grouping import FORMATTED, READ_GROUP, Answer, Question
from services.erp.adapters.odoo.joining import Part, join, ordered
from services.erp.adapters.odoo.planning import Plan
from services.erp.aggregates import Aggregate, Aggregation, DatePart, Function, Group, Grouping
from services.erp.schemas import FieldType, ModelSchema
from services.erp.users import Ask

MAX_JOINED = 100_000
"""The most groups that are read to be joined here."""


class Aggregator:
    """Asks Odoo for groups.

    Args:
        client: Makes the calls.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._missing: set[str] = set()

    async def groups(
        self,
        ask: Ask,
        schema: ModelSchema,
        domain: Domain,
        context: Mapping[str, Any],
        wanted: Aggregation,
        *,
        version: str,
        offset: int,
        limit: int,
    ) -> list[Group]:
        """Returns groups in order.

        Args:
            ask: As whom.
            schema: The model.
            domain: Which records.
            context: What goes with the call besides.
            wanted: What is asked for.
            version: Odoo's version.
            offset: How many groups to leave out.
            limit: The most groups; all if 0.

        Raises:
            Unimplemented: For what Odoo cannot compute.
        """
        check(schema, wanted)
        zone = ask.context.time_zone or "UTC"
        joins = any(one.part is DatePart.WEEK for one in wanted.groupings)
        plan = Plan(schema, wanted, domain, ZoneInfo(zone), joins)
        question = plan.question(0, MAX_JOINED + 1) if joins else plan.question(offset, limit)
        answers = await self._ask(ask, schema.name, question, {**context, "tz": zone}, version)
        with self._client.understood():
            found = [plan.part(answer) for answer in answers]
        if not joins:
            return [plan.group(part) for part in found or ([] if wanted.groupings else [Part({}, domain)])]
        if len(answers) > MAX_JOINED:
            raise _cannot(schema.name, f"weeks are made of more than {MAX_JOINED} days and keys; narrow the filter")
        groups = [plan.group(part) for part in join(found)]
        return ordered(groups, wanted.order, plan.exact())[offset:][: limit or None]

    async def _ask(
        self, ask: Ask, model: str, question: Question, context: Mapping[str, Any], version: str
    ) -> list[Answer]:
        forms = [FORMATTED, READ_GROUP] if _major(version) >= 19 else [READ_GROUP, FORMATTED]
        for form in sorted(forms, key=lambda form: form.method in self._missing):
            named = form.named(question) | {"context": dict(context), "offset": question.offset}
            named |= {"limit": question.limit} if question.limit else {}
            try:
                told = await self._client.ask(ask, model, form.method, list(question.domain), doing="search", **named)
            except NotFound as error:
                if error.reason != "METHOD_NOT_FOUND":
                    raise
                self._missing.add(form.method)
            else:
                rows = self._client.shape(told, list, of=dict)
                with self._client.understood():
                    return [form.answer(question, row) for row in rows]
        raise _cannot(model, "this version has no method that makes groups")


def check(schema: ModelSchema, wanted: Aggregation) -> None:
    """Refuses what Odoo cannot compute.

    Raises:
        Unimplemented: With the field, and what to do instead.
    """
    everything: list[Grouping | Aggregate] = [*wanted.groupings, *wanted.aggregates]
    for one in everything:
        if "." in one.field:
            raise _cannot(schema.name, f"{one.field}: figures are over fields of the model itself", one.field)
        known = schema.fields.get(one.field)
        if known is not None and not known.stored:
            raise _cannot(schema.name, f"{one.field} is not stored", one.field)
        if known is not None and known.to_many:
            raise _cannot(schema.name, f"{one.field} has many values: aggregate {known.relation} instead", one.field)
    for grouping in wanted.groupings:
        moment = schema.fields[grouping.field].type is FieldType.DATETIME
        if moment and grouping.part is DatePart.UNSPECIFIED:
            raise _cannot(schema.name, f"{grouping.field} is a moment: choose a date_part", grouping.field)
    weekly = any(one.part is DatePart.WEEK for one in wanted.groupings)
    distinct = next((one for one in wanted.aggregates if one.function is Function.COUNT_DISTINCT), None)
    if weekly and distinct is not None:
        raise _cannot(schema.name, "different values are not counted by weeks: choose another part", distinct.field)


def _major(version: str) -> int:
    found = re.search(r"\d+", version)
    return int(found[0]) if found else 0


def _cannot(model: str, why: str, field: str = "") -> Unimplemented:
    named = {"method": "AggregateRecords", "model": model, "field": field}
    return Unimplemented(why, metadata={key: value for key, value in named.items() if value})
