"""ERPs to be tested: how to reach each through its driver, and what it calls the same things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.erp.connections import Connection, ConnectionSpec, ErpContext, RetryPolicy
from services.erp.drivers import DriverRegistry
from services.erp.gate import Gate
from services.erp.ports import Driver, Prepared
from services.erp.schemas import ModelSchema
from services.erp.selecting import Selector, select
from services.erp.users import Ask


@dataclass(frozen=True, kw_only=True)
class Names:
    """What one ERP calls what all have; behaviour is the same, but for what stands at the end.

    Attributes:
        customer: The model of customers.
        name: Their name.
        text: A text of theirs that may be empty; the name itself where that may be.
        tags: Leads to many tags.
        tag: The model of tags, which have a ``name``.
        parts: Leads to many records that are the customer's own.
        part_text: A text of those.
        part: What those need besides.
        user: The model of users, who have a ``login`` and created all records.
        samples: Models with values to write and to read again the same; ``@customer`` stands for a customer's id.
        wrong: A model with values that do not fit their fields, by field.
        selection: A model, a selection in it, and one of its options.
        unique: A model, and values of which a second record is refused.
        hidden: A model that the limited user must not create.
        required: A model, and a field without which the ERP refuses to create a record of it.
        copy: A method that any record has; it answers the new record's id, or a list of it.
        follows_all: Whether filters can say that none of many records fits.
        atomic: Whether a write can be made to fail if the record has changed.
        words: Texts for filters; in small letters, as some databases ignore case in patterns.
        checks_references: Whether it refuses references to records that do not exist.
    """

    customer: str
    name: str = "name"
    text: str
    tags: str
    tag: str
    parts: str
    part_text: str = "city"
    part: Mapping[str, Any] = field(default_factory=dict)
    user: str
    samples: Sequence[tuple[str, Mapping[str, Any]]]
    wrong: tuple[str, Mapping[str, Any]]
    selection: tuple[str, str, str]
    unique: tuple[str, Mapping[str, Any]]
    hidden: str
    required: tuple[str, str]
    copy: str = "copy"
    follows_all: bool = False
    atomic: bool = False
    words: Sequence[str] = ("anna", "berta%", "c_d", "e\\f", "anna berta", "zoe 9")
    checks_references: bool = True


ODOO = Names(
    customer="res.partner",
    text="ref",
    tags="category_id",
    tag="res.partner.category",
    parts="child_ids",
    part={"name": "p"},
    user="res.users",
    samples=(
        ("res.partner", {"name": "Äöü ✓ <b>\\%_", "is_company": True, "active": False, "comment": None}),
        (
            "sale.order",
            {"partner_id": "@customer", "date_order": "2026-11-21T09:30:00Z", "validity_date": "2026-12-24"},
        ),
        ("product.product", {"name": "Machine", "lst_price": 12.5}),
    ),
    wrong=("sale.order", {"partner_id": "x", "date_order": "soon", "validity_date": "2026-13-01", "nope": 1}),
    selection=("sale.order", "state", "draft"),
    unique=("res.country", {"name": "Nowhere", "code": "QX"}),
    hidden="res.country",
    required=("res.partner", "name"),
)
TRYTON = Names(
    customer="party.party",
    text="name",
    tags="categories",
    tag="party.category",
    parts="addresses",
    user="res.user",
    samples=(
        ("party.party", {"name": "Äöü ✓ <b>\\%_", "active": True}),
        ("currency.currency", {"name": "Shell", "symbol": "S", "code": "SHL", "digits": 2, "rounding": "0.01"}),
        ("sale.sale", {"party": "@customer", "sale_date": "2026-12-24", "description": None}),
        (
            "ir.attachment",
            {"name": "note", "data": "aGVsbG8=", "resource": {"model": "party.party", "id": "@customer"}},
        ),
    ),
    wrong=("sale.sale", {"party": "x", "sale_date": "2026-13-01", "state": "flying", "nope": 1}),
    selection=("sale.sale", "state", "draft"),
    unique=("party.category", {"name": "only one"}),
    hidden="party.category",
    required=("party.address", "party"),
    follows_all=True,
    atomic=True,
    checks_references=False,
)


OLD_TRYTON = replace(TRYTON, words=("anna", "berta", "c d", "anna berta", "zoe 9"))
"""Tryton 7.0, which on SQLite cannot search for the signs that have a meaning in patterns."""


@dataclass(frozen=True)
class Place:
    """One ERP that runs, reached through its driver.

    Attributes:
        kind: The driver's name, and the version where there are several.
        url: Where it is.
        secret: The administrator's.
        limited: A user who may write little, and the secret.
        names: What it calls things.
        options: The connection's options for the driver.
        contexts: What the driver is asked in.
    """

    kind: str
    url: str
    secret: str
    limited: tuple[str, str]
    names: Names
    options: Mapping[str, Any] = field(default_factory=dict)
    contexts: ErpContext = field(default_factory=ErpContext)

    @property
    def admin(self) -> Ask:
        return Ask("admin", self.secret, self.contexts)

    def driver(self, registry: DriverRegistry, **more: Any) -> Driver:
        """Makes the driver of a connection to it."""
        name = self.kind.partition("@")[0]
        given = {"url": self.url, "database": "demo", "username": "admin", "timeout": 20.0, **more}
        quick = RetryPolicy(max_attempts=1)
        spec = ConnectionSpec(driver=name, driver_options=self.options, **{"retry_policy": quick, **given})
        connection = Connection(tenant="default", id="main", uid="u1", spec=spec)
        gate = Gate(connection.name, spec, lambda error, opened: None)
        return registry.make(connection, gate)


@dataclass(frozen=True)
class Desk:
    """A driver with what tests do with it all the time, as the administrator.

    Attributes:
        place: The ERP.
        driver: The driver.
        ask: As whom.
    """

    place: Place
    driver: Driver
    ask: Ask

    @property
    def names(self) -> Names:
        return self.place.names

    def limited(self) -> Desk:
        """The same as the user who may write little."""
        username, secret = self.place.limited
        return replace(self, ask=Ask(username, secret, self.place.contexts))

    async def schema(self, model: str) -> ModelSchema:
        return await self.driver.schema(self.ask, model)

    async def prepare(self, model: str, values: Mapping[str, Any]) -> Prepared:
        return await self.driver.prepare(self.ask, await self.schema(model), values, self.schema)

    async def create(self, model: str, *rows: Mapping[str, Any]) -> list[int]:
        prepared = [await self.prepare(model, row) for row in rows]
        return await self.driver.create(self.ask, await self.schema(model), prepared)

    async def write(self, model: str, record_id: int, values: Mapping[str, Any], **more: Any) -> None:
        prepared = await self.prepare(model, values)
        await self.driver.write(self.ask, await self.schema(model), [record_id], prepared, **more)

    async def delete(self, model: str, *ids: int) -> None:
        await self.driver.delete(self.ask, await self.schema(model), ids)

    async def read(self, model: str, ids: list[int], *fields: str, **more: Any) -> dict[int, dict[str, Any]]:
        rows = await self.driver.read(self.ask, await self.schema(model), ids, fields, **more)
        return {row.id: row.values for row in rows}

    async def selector(self, model: str, filter: str, **more: Any) -> Selector:
        selector = await select(await self.schema(model), self.schema, filter=filter)
        return replace(selector, **more)

    async def find(self, model: str, filter: str, **more: Any) -> list[int]:
        """The ids of records, in their order."""
        selector = await self.selector(model, filter, **more)
        schema = await self.schema(model)
        rows = await self.driver.search(self.ask, schema, selector, fields=["id"])
        assert await self.driver.count(self.ask, schema, selector) == len(rows)
        return [row.id for row in rows]
