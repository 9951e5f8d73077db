"""Reading from Odoo: users, models, records."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from sutler.errors import Exhausted, NotFound, SutlerError
from sutler.paging import Order

from services.erp import faults
from services.erp.adapters.meanings import Place
from services.erp.adapters.odoo.aggregating import Aggregator
from services.erp.adapters.odoo.client import Client
from services.erp.adapters.odoo.domains import named_external_ids, to_domain
from services.erp.adapters.odoo.exchange import Exchange, RpcError
from services.erp.adapters.odoo.fields import ATTRIBUTES, to_schema
from services.erp.adapters.odoo.following import follow
from services.erp.adapters.odoo.reading import CHANGED, CREATED, Rows
from services.erp.adapters.odoo.refusals import refusal
from services.erp.adapters.shapes import id_of
from services.erp.aggregates import Aggregation, Group
from services.erp.connections import Connection
from services.erp.faults import AnswerLostError
from services.erp.ports import DriverInfo
from services.erp.records import DISPLAY_NAME, Row
from services.erp.schemas import ErpUser, Model, ModelRights, ModelSchema
from services.erp.selecting import SchemaSource, Selector
from services.erp.users import Ask

DEFAULT_MODULE = "__import__"
"""Where Odoo keeps external ids that name no module."""

CHUNK = 1000


class OdooReader:
    """The reading half of :class:`services.erp.adapters.odoo.driver.OdooDriver`.

    Args:
        connection: Where to.
        exchange: Makes the calls.
        info: What the driver says of itself.
    """

    def __init__(self, connection: Connection, exchange: Exchange, info: DriverInfo) -> None:
        self.info = info
        self.server_version = connection.condition.server_version
        self._name = connection.name
        self._database = connection.spec.database
        self._exchange = exchange
        self._has_access = False
        self._client = Client(connection, exchange)
        self._aggregator = Aggregator(self._client)

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead."""
        return self._exchange.clock_skew

    async def log_in(self, ask: Ask, *, anew: bool = False) -> int:
        """Logs in, unless that is remembered."""
        return await self._client.sessions.uid(ask, anew=anew)

    async def version(self) -> str:
        """Returns the version; needs no login."""
        told = await self._common(self._exchange.version())
        self.server_version = str(self._client.shape(told, str))[:128]
        return self.server_version

    async def databases(self) -> list[str]:
        """Returns the databases; none where the server hides them."""
        try:
            told = await self._common(self._exchange.databases())
        except SutlerError:  # most servers on the internet hide them
            return []
        return [str(name)[:128] for name in told][:CHUNK] if isinstance(told, list) else []

    async def user(self, ask: Ask) -> ErpUser:
        """Returns the user that is logged in."""
        uid = await self._client.sessions.uid(ask)
        fields = ["login", "name", "lang", "tz", "company_ids"]
        known = await self._ask(ask, "res.users", "fields_get", fields, attributes=["type"])
        self._client.shape(known, dict)
        rows = await self._ask(ask, "res.users", "read", ids=[uid], fields=[name for name in fields if name in known])
        told = rows[0] if self._client.shape(rows, list, of=dict) else {}
        with self._client.understood():
            return ErpUser(
                id=uid,
                username=str(told.get("login") or ask.username),
                display_name=str(told.get("name") or ""),
                language=str(told.get("lang") or ""),
                time_zone=str(told.get("tz") or ""),
                company_ids=tuple(id_of(one) for one in told.get("company_ids") or ())[:CHUNK],
            )

    async def rights(self, ask: Ask, model: str) -> ModelRights:
        """Returns what the user may do with a model."""
        allowed = [await self._allowed(ask, model, verb) for verb in ("read", "create", "write", "unlink")]
        return ModelRights(
            model=model, readable=allowed[0], creatable=allowed[1], writable=allowed[2], deletable=allowed[3]
        )

    async def models(self, ask: Ask) -> list[Model]:
        """Returns the models that the user may read. Odoo 17 and later do not say which temporary ones: all then."""
        rows = await self._listed(ask, [])
        names = await self._readable(ask)
        if names is None:
            readable = await asyncio.gather(*(self._allowed(ask, row["model"], "read") for row in rows))
            return [_model(row) for row, seen in zip(rows, readable, strict=True) if seen]
        told = any(row["transient"] and row["model"] in names for row in rows)
        return [_model(row) for row in rows if row["model"] in names or (row["transient"] and not told)]

    async def model(self, ask: Ask, model: str) -> Model | None:
        """Returns a model with its title."""
        return next((_model(row) for row in await self._listed(ask, [["model", "=", model]])), None)

    async def schema(self, ask: Ask, model: str) -> ModelSchema:
        """Returns a model with its fields."""
        told = await self._ask(ask, model, "fields_get", attributes=list(ATTRIBUTES))
        self._client.shape(told, dict, of=dict)
        with self._client.understood():
            return to_schema(model, told)

    async def read(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], fields: Sequence[str], *, binaries: bool = False
    ) -> list[Row]:
        """Reads records by id, archived ones too."""
        rows: list[Row] = []
        for start in range(0, len(ids), CHUNK):
            rows += await self._read(ask, schema, ids[start : start + CHUNK], fields, binaries=binaries)
        return rows

    async def search(
        self,
        ask: Ask,
        schema: ModelSchema,
        selector: Selector,
        *,
        fields: Sequence[str] = (),
        order: Sequence[Order] = (Order("id"),),
        offset: int = 0,
        limit: int = 0,
        binaries: bool = False,
    ) -> Sequence[Row]:
        """Finds and reads records."""
        domain = await self._domain(ask, schema, selector)
        named: dict[str, Any] = {
            "fields": _columns(schema, fields),
            "order": ", ".join(f"{one.field} {'desc' if one.descending else 'asc'}" for one in order),
            "context": _seeing(selector) | {"bin_size": not binaries},
        }
        named |= {"offset": offset} if offset else {}
        named |= {"limit": limit} if limit else {}
        told = await self._ask(ask, schema.name, "search_read", domain, doing="search", **named)
        return self._rows(schema, told, fields, binaries=binaries)

    async def count(self, ask: Ask, schema: ModelSchema, selector: Selector, limit: int = 0) -> int:
        """Counts records."""
        domain = await self._domain(ask, schema, selector)
        named: dict[str, Any] = {"context": _seeing(selector)} | ({"limit": limit} if limit else {})
        told = await self._ask(ask, schema.name, "search_count", domain, doing="search", **named)
        return int(self._client.shape(told, int))

    async def aggregate(
        self,
        ask: Ask,
        schema: ModelSchema,
        selector: Selector,
        wanted: Aggregation,
        *,
        offset: int = 0,
        limit: int = 0,
    ) -> list[Group]:
        """Computes figures over groups of records."""
        domain = await self._domain(ask, schema, selector)
        version = self.server_version or self.info.erp_versions
        return await self._aggregator.groups(
            ask, schema, domain, _seeing(selector), wanted, version=version, offset=offset, limit=limit
        )

    async def names(self, ask: Ask, schema: ModelSchema, query: str, selector: Selector, limit: int) -> list[Row]:
        """Finds records by what people type."""
        domain = await self._domain(ask, schema, selector)
        named = {"args": domain, "operator": "ilike", "limit": limit, "context": _seeing(selector)}
        told = await self._ask(ask, schema.name, "name_search", name=query, doing="search", **named)
        pairs = self._client.shape(told, list, of=list)
        with self._client.understood():
            return [Row(id=id_of(one), values={}, display_name=str(name)) for one, name in pairs]

    async def follow(self, schema: ModelSchema, domain: Sequence[Any], schemas: SchemaSource) -> None:
        """Asks for every model that a domain leads to."""
        await follow(schema, domain, schemas)

    async def find_external(self, ask: Ask, model: str, external_id: str) -> int | None:
        """Returns the record behind an external id."""
        module, name = split_external_id(external_id)
        domain = [["module", "=", module], ["name", "=", name], ["model", "=", model]]
        rows = await self._ask(ask, "ir.model.data", "search_read", domain, fields=["res_id"], limit=1)
        self._client.shape(rows, list, of=dict)
        with self._client.understood():
            return id_of(rows[0]["res_id"]) if rows and rows[0]["res_id"] else None

    async def find_externals(self, ask: Ask, model: str, external_ids: Sequence[str]) -> dict[str, int]:
        """Returns the records behind external ids, with one call for each module that they name."""
        given: dict[str, dict[str, str]] = {}
        for one in external_ids:
            module, name = split_external_id(one)
            given.setdefault(module, {})[name] = one
        found: dict[str, int] = {}
        for module, names in given.items():
            domain = [["module", "=", module], ["name", "in", list(names)], ["model", "=", model]]
            rows = await self._ask(ask, "ir.model.data", "search_read", domain, fields=["name", "res_id"])
            self._client.shape(rows, list, of=dict)
            with self._client.understood():
                found |= {names[row["name"]]: id_of(row["res_id"]) for row in rows if row["res_id"]}
        return found

    def same_key(self, external_id: str) -> str:
        """Returns an external id with its module."""
        return ".".join(split_external_id(external_id))

    async def external_ids(self, ask: Ask, model: str, ids: Sequence[int]) -> dict[int, str]:
        """Returns the external ids of records."""
        domain = [["model", "=", model], ["res_id", "in", list(ids)]]
        rows = await self._ask(
            ask, "ir.model.data", "search_read", domain, fields=["res_id", "module", "name"], order="id desc"
        )
        self._client.shape(rows, list, of=dict)
        with self._client.understood():
            return {
                id_of(row["res_id"]): row["name"]
                if row["module"] == DEFAULT_MODULE
                else f"{row['module']}.{row['name']}"
                for row in rows
            }

    async def _read(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], fields: Sequence[str], *, binaries: bool
    ) -> list[Row]:
        """Reads records with one call, or with several if the answer would be too large."""
        named = {"fields": _columns(schema, fields), "context": {"bin_size": not binaries, "active_test": False}}
        try:
            told = await self._ask(ask, schema.name, "read", ids=ids, **named)
        except Exhausted as error:
            if not faults.too_large(error) or len(ids) == 1:
                raise
            half = len(ids) // 2
            halves = [
                await self._read(ask, schema, part, fields, binaries=binaries) for part in (ids[:half], ids[half:])
            ]
            return [*halves[0], *halves[1]]
        return list(self._rows(schema, told, fields, binaries=binaries))

    async def _listed(self, ask: Ask, domain: list[Any]) -> list[dict[str, Any]]:
        fields = ["model", "name", "transient", "modules"]
        told = await self._ask(ask, "ir.model", "search_read", domain, fields=fields, order="model")
        return list(self._client.shape(told, list, of=dict))

    async def _readable(self, ask: Ask) -> set[str] | None:
        """Returns the names of the models that an internal user may read; None where Odoo (before 16) does not tell."""
        try:
            told = await self._ask(ask, "ir.model", "get_available_models", takes_context=False, doing="call")
        except NotFound as error:
            if error.reason != "METHOD_NOT_FOUND":
                raise
            return None
        return {str(row["model"]) for row in self._client.shape(told, list, of=dict)} or None

    async def _allowed(self, ask: Ask, model: str, verb: str) -> bool:
        try:
            if not self._has_access:
                try:
                    named = {"raise_exception": False, "takes_context": False}
                    return bool(await self._ask(ask, model, "check_access_rights", verb, doing="call", **named))
                except NotFound as error:
                    if error.reason != "METHOD_NOT_FOUND":
                        raise
                    self._has_access = True  # that method went with Odoo 19
            return bool(await self._ask(ask, model, "has_access", verb, ids=[], takes_context=False, doing="call"))
        except NotFound:
            return False  # a model that is listed and not installed

    async def _ask(self, ask: Ask, model: str, method: str, *args: Any, **named: Any) -> Any:
        return await self._client.ask(ask, model, method, *args, **named)

    def _rows(self, schema: ModelSchema, told: Any, fields: Sequence[str], *, binaries: bool) -> Rows:
        return Rows(self._name, schema, self._client.shape(told, list, of=dict), frozenset(fields), binaries=binaries)

    async def _common(self, asked: Awaitable[Any]) -> Any:
        try:
            return await asked
        except RpcError as error:
            raise refusal(Place(self._name, self._database, ""), error.data) from error
        except AnswerLostError as lost:
            raise lost.error from lost

    async def _domain(self, ask: Ask, schema: ModelSchema, selector: Selector) -> list[Any]:
        names = named_external_ids(selector.filter.root) if selector.filter else []
        external = {name: await self.find_external(ask, schema.name, name) for name in names}
        return to_domain(schema.name, selector, external)


def _model(row: Mapping[str, Any]) -> Model:
    return Model(
        model=row["model"],
        display_name=str(row["name"] or "")[:256],
        temporary=bool(row["transient"]),
        modules=tuple(part.strip() for part in str(row["modules"] or "").split(",") if part.strip()),
    )


def _columns(schema: ModelSchema, fields: Sequence[str]) -> list[str]:
    times = [name for name in (CREATED, CHANGED) if name in schema.fields]
    return list(dict.fromkeys([*(fields or [DISPLAY_NAME]), *times]))


def _seeing(selector: Selector) -> dict[str, Any]:
    return {"active_test": False} if selector.archived else {}


def split_external_id(external_id: str) -> tuple[str, str]:
    """Returns module and name of an external id."""
    module, dot, name = external_id.partition(".")
    return (module, name) if dot else (DEFAULT_MODULE, external_id)
