"""Reading from Tryton: users, models, records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sutler.errors import Exhausted, FailedPrecondition, PermissionDenied, SutlerError, Unimplemented
from sutler.paging import Order

from services.erp import faults
from services.erp.adapters.meanings import Place
from services.erp.adapters.shapes import id_of
from services.erp.adapters.tryton.client import Client
from services.erp.adapters.tryton.domains import like_anywhere, to_domain
from services.erp.adapters.tryton.fields import RECORD_NAME, erp_name, to_schema
from services.erp.adapters.tryton.following import follow
from services.erp.adapters.tryton.reading import CHANGED, CREATED, to_row
from services.erp.adapters.tryton.refusals import refusal
from services.erp.adapters.tryton.transport import RpcError, Transport
from services.erp.aggregates import Aggregation, Group
from services.erp.connections import Connection
from services.erp.faults import AnswerLostError
from services.erp.gate import Gate
from services.erp.records import DISPLAY_NAME, Row
from services.erp.schemas import ErpUser, FieldType, Model, ModelRights, ModelSchema
from services.erp.selecting import SchemaSource, Selector
from services.erp.users import Ask

CHUNK = 1000
STAMP = "_timestamp"
"""Where Tryton tells the version of a record, and takes it back."""


class TrytonReader:
    """The reading half of :class:`services.erp.adapters.tryton.driver.TrytonDriver`.

    Args:
        connection: Where to.
        gate: Gives each call its turn.
    """

    def __init__(self, connection: Connection, gate: Gate) -> None:
        self._known_version = connection.condition.server_version
        self._name = connection.name
        self._database = connection.spec.database
        self._transport = Transport(connection, gate)
        self._client = Client(connection, self._transport)

    @property
    def clock_skew(self) -> float | None:
        """How many seconds the server's clock is ahead."""
        return self._transport.http.clock_skew

    @property
    def server_version(self) -> str:
        """The version as the server names itself: the series only, from 8.0 on."""
        return self._transport.version or self._known_version

    async def log_in(self, ask: Ask, *, anew: bool = False) -> int:
        """Logs in, unless that is remembered."""
        return (await self._client.sessions.get(ask, anew=anew)).user

    async def version(self) -> str:
        """Returns the version; needs no login."""
        return str(await self._common(self._transport.tell_version()))

    async def databases(self) -> list[str]:
        """Returns the databases; none where the server hides them."""
        try:
            told = await self._common(self._transport.databases())
        except SutlerError:
            return []
        return [str(name)[:128] for name in told][:CHUNK] if isinstance(told, list) else []

    async def user(self, ask: Ask) -> ErpUser:
        """Returns the user that is logged in."""
        session = await self._client.sessions.get(ask)
        told = self._client.shape(await self._client.ask(ask, "res.user", "get_preferences", False), dict)
        company = told.get("company")
        return ErpUser(
            id=session.user,
            username=ask.username,
            display_name=str(told.get("name") or ""),
            language=str(told.get("language") or ""),
            time_zone=str(told.get("timezone") or ""),
            company_ids=tuple(told.get("companies") or ([company] if company else []))[:CHUNK],
        )

    async def rights(self, ask: Ask, model: str) -> ModelRights:
        """Returns what the user may do with a model."""
        told = await self._client.ask(ask, "ir.model.access", "get_access", [model])
        self._client.shape(told, dict, of=dict)
        with self._client.understood():
            allowed = told[model]
            return ModelRights(
                model=model,
                readable=bool(allowed["read"]),
                creatable=bool(allowed["create"]),
                writable=bool(allowed["write"]),
                deletable=bool(allowed["delete"]),
            )

    async def models(self, ask: Ask) -> list[Model]:
        """Returns the models that the user may read."""
        names = self._client.shape(await self._client.ask(ask, "ir.model", "list_models"), list, of=str)
        titles = self._client.shape(await self._client.ask(ask, "ir.model", "get_names"), dict, of=str)
        access = self._client.shape(await self._client.ask(ask, "ir.model.access", "get_access", names), dict, of=dict)
        modules = await self._modules(ask)
        with self._client.understood():
            return [
                Model(model=name, display_name=str(titles.get(name) or "")[:256], modules=modules.get(name, ()))
                for name in sorted(names)
                if access[name]["read"]
            ]

    async def model(self, ask: Ask, model: str) -> Model | None:
        """Returns a model with its title."""
        titles = self._client.shape(await self._client.ask(ask, "ir.model", "get_names"), dict, of=str)
        if model not in titles:
            return None
        modules = await self._modules(ask, model)
        return Model(model=model, display_name=str(titles[model])[:256], modules=modules.get(model, ()))

    async def schema(self, ask: Ask, model: str) -> ModelSchema:
        """Returns a model with its fields."""
        told = await self._client.ask(ask, model, "fields_get", [])
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
    ) -> list[Row]:
        """Finds and reads records."""
        sort = [[erp_name(one.field), "DESC" if one.descending else "ASC"] for one in order]
        context = _seeing(selector) | ({} if binaries else _sizes(schema, fields))
        columns = _columns(schema, fields)

        async def read(names: Sequence[str]) -> list[Row]:
            args = [to_domain(selector), offset, limit or None, sort or None, names]
            told = await self._client.ask(ask, schema.name, "search_read", *args, doing="search", **context)
            return self._rows(schema, told, [name for name in names if name in fields])

        try:
            return await read(columns)
        except (FailedPrecondition, PermissionDenied):
            # A relation leads to a record that does not exist, or that the user may not see: read without titles.
            plain = [name for name in columns if "." not in name]
            if plain == columns:
                raise
            return await read(plain)

    async def count(self, ask: Ask, schema: ModelSchema, selector: Selector, limit: int = 0) -> int:
        """Counts records."""
        args = [to_domain(selector), 0, limit or None]
        told = await self._client.ask(ask, schema.name, "search_count", *args, doing="search", **_seeing(selector))
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
        """Refuses: Tryton computes no figures over groups of records."""
        raise Unimplemented("Tryton computes no figures over groups", metadata={"method": "AggregateRecords"})

    async def names(self, ask: Ask, schema: ModelSchema, query: str, selector: Selector, limit: int) -> list[Row]:
        """Finds records by what people type, as Tryton's own search of titles does."""
        domain = [to_domain(selector), *([[RECORD_NAME, "ilike", like_anywhere(query)]] if query else [])]
        args = [domain, 0, limit, None, [RECORD_NAME]]
        told = await self._client.ask(ask, schema.name, "search_read", *args, doing="search", **_seeing(selector))
        return self._rows(schema, told, [RECORD_NAME])

    async def follow(self, schema: ModelSchema, domain: Sequence[Any], schemas: SchemaSource) -> None:
        """Checks a domain and asks for every model that it leads to."""
        await follow(schema, domain, schemas)

    async def stamps(self, ask: Ask, schema: ModelSchema, ids: Sequence[int]) -> Mapping[int, str]:
        """Returns what names the present versions of records."""
        args = [to_domain(Selector(ids=tuple(ids))), 0, None, None, [STAMP]]
        told = await self._client.ask(ask, schema.name, "search_read", *args, active_test=False)
        rows = self._client.shape(told, list, of=dict)
        with self._client.understood():
            return {id_of(raw["id"]): str(raw[STAMP]) for raw in rows if raw.get(STAMP)}

    async def find_external(self, ask: Ask, model: str, external_id: str) -> int | None:
        """Refuses: Tryton offers no external ids."""
        raise _no_external_ids()

    async def find_externals(self, ask: Ask, model: str, external_ids: Sequence[str]) -> dict[str, int]:
        """Refuses: Tryton offers no external ids."""
        raise _no_external_ids()

    def same_key(self, external_id: str) -> str:
        """Returns the external id: Tryton offers none, and none has two spellings."""
        return external_id

    async def external_ids(self, ask: Ask, model: str, ids: Sequence[int]) -> dict[int, str]:
        """Refuses: Tryton offers no external ids."""
        raise _no_external_ids()

    async def _read(
        self, ask: Ask, schema: ModelSchema, ids: Sequence[int], fields: Sequence[str], *, binaries: bool
    ) -> list[Row]:
        """Reads records with one call, or with several if the answer would be too large."""
        selector = Selector(ids=tuple(ids), archived=True)
        try:
            return await self.search(ask, schema, selector, fields=fields, order=(), binaries=binaries)
        except Exhausted as error:
            if not faults.too_large(error) or len(ids) == 1:
                raise
        half = len(ids) // 2
        halves = [await self._read(ask, schema, part, fields, binaries=binaries) for part in (ids[:half], ids[half:])]
        return [*halves[0], *halves[1]]

    async def _modules(self, ask: Ask, model: str = "") -> dict[str, tuple[str, ...]]:
        """Returns which module a model, or each, comes from; the field with its name changed with 7.6."""
        schema = await self.schema(ask, "ir.model")
        name = "model" if "model" in schema.fields else "name"
        domain = [[name, "=", model]] if model else []
        told = await self._client.ask(ask, "ir.model", "search_read", domain, 0, None, None, [name, "module"])
        rows = self._client.shape(told, list, of=dict)
        with self._client.understood():
            return {row[name]: (row["module"],) for row in rows if row["module"]}

    def _rows(self, schema: ModelSchema, told: Any, asked: Sequence[str]) -> list[Row]:
        """Returns records as they are, if they are ones and have what was asked for."""
        found = self._client.shape(told, list, of=dict)
        with self._client.understood():
            if not all(raw.keys() >= set(asked) for raw in found):
                raise ValueError("fields that were asked for are missing")
            return [to_row(schema, raw) for raw in found]

    async def _common(self, told: Any) -> Any:
        try:
            return await told
        except RpcError as error:
            raise refusal(Place(self._name, self._database, ""), error) from error
        except AnswerLostError as lost:
            raise lost.error from lost


def _columns(schema: ModelSchema, fields: Sequence[str]) -> list[str]:
    """Returns what to read: of relations to one also the title, which Tryton gives under ``<field>.``."""
    columns: list[str] = []
    for name in fields or [DISPLAY_NAME]:
        known = schema.fields.get(name)
        one = known is not None and known.type is FieldType.MANY_TO_ONE
        columns += [name, f"{name}.{RECORD_NAME}"] if one else [erp_name(name)]
    return list(dict.fromkeys([*columns, *(name for name in (CREATED, CHANGED) if name in schema.fields)]))


def _sizes(schema: ModelSchema, fields: Sequence[str]) -> dict[str, str]:
    """Returns the context in which Tryton tells sizes of binaries instead of their content."""
    binaries = [name for name in fields if name in schema.fields and schema.fields[name].type is FieldType.BINARY]
    return {f"{schema.name}.{name}": "size" for name in binaries}


def _seeing(selector: Selector) -> dict[str, Any]:
    return {"active_test": False} if selector.archived else {}


def _no_external_ids() -> Unimplemented:
    return Unimplemented("Tryton offers no external ids", metadata={"method": "external_id"})
