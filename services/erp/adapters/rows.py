"""Rows of the tables as domain objects and back: each class has its columns in one place."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter
from sutler.filtering import Schema, after_sql, order_sql
from sutler.store import Row, Transaction

from services.erp import connections, journal
from services.erp.connections import Condition, Connection, ConnectionSpec
from services.erp.feed.model import Change, Cursor, Detection, Feed, FeedSpec, FieldChange, Observation
from services.erp.feed.model import Kind as FeedKind
from services.erp.journal import Entry
from services.erp.ports import Query
from services.erp.records import Record
from services.erp.subscriptions import Action, Subscription, SubscriptionSpec

T = TypeVar("T")

CONNECTION_SPEC = TypeAdapter(ConnectionSpec)
SUBSCRIPTION_SPEC = TypeAdapter(SubscriptionSpec)
FEED_SPEC = TypeAdapter(FeedSpec)
CURSOR = TypeAdapter(Cursor)


@dataclass(frozen=True, slots=True)
class Table(Generic[T]):
    """How one kind of object is stored.

    Attributes:
        name: The table.
        columns: Its columns, in the order of ``write`` and ``read``.
        write: Returns an object's columns.
        read: Returns the object of a row.
        key: The columns of its key.
    """

    name: str
    columns: tuple[str, ...]
    write: Callable[[T], tuple[Any, ...]]
    read: Callable[[Row], T]
    key: tuple[str, ...]

    @property
    def select(self) -> str:
        """``SELECT … FROM …``."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"

    def put(self, tx: Transaction, one: T) -> None:
        """Stores an object, in place of one of the same key."""
        self.put_with(tx, one, {})

    def put_with(self, tx: Transaction, one: T, more: Mapping[str, Any]) -> None:
        """Stores an object and further columns; those stay as they are in a row that is there."""
        names = (*self.columns, *more)
        changed = ", ".join(f"{column} = excluded.{column}" for column in self.columns if column not in self.key)
        tx.execute(
            f"INSERT INTO {self.name} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"
            f" ON CONFLICT ({', '.join(self.key)}) DO UPDATE SET {changed}",
            (*self.write(one), *more.values()),
        )

    def find(self, tx: Transaction, where: str, params: Sequence[Any]) -> T | None:
        """Returns the first object that a condition selects, or None."""
        row = tx.one(f"{self.select} WHERE {where}", params)
        return None if row is None else self.read(row)

    def page(self, tx: Transaction, where: str, params: Sequence[Any], query: Query, schema: Schema) -> list[T]:
        """Returns a page of the objects that a condition selects."""
        condition, given = query.filter.sql(tx.dialect)
        after, place = ("TRUE", ()) if query.after is None else after_sql(
            query.orders, schema, query.after, tx.dialect
        )  # fmt: skip
        order, more = order_sql(query.orders, schema, tx.dialect)
        rows = tx.all(
            f"{self.select} WHERE {where} AND {condition} AND {after} ORDER BY {order} LIMIT ?",
            [*params, *given, *place, *more, query.limit],
        )
        return [self.read(row) for row in rows]


def secrets_of(text: str) -> dict[str, bytes]:
    """Returns encrypted secrets as :func:`secrets_text` wrote them."""
    return {slot: base64.b64decode(sealed) for slot, sealed in json.loads(text).items()}


def secrets_text(secrets: Mapping[str, bytes]) -> str:
    """Returns encrypted secrets as they are stored; equal ones are equal texts."""
    return json.dumps({slot: base64.b64encode(sealed).decode() for slot, sealed in secrets.items()})


def _connection(row: Row) -> Connection:
    (tenant, _, name, uid, spec, secrets, revision, epoch, created, updated, creator, *condition) = row
    state, reason, since, version, skew = condition
    return Connection(
        tenant=tenant,
        id=name.removeprefix(connections.COLLECTION),
        uid=uid,
        spec=CONNECTION_SPEC.validate_json(spec),
        secrets=secrets_of(secrets),
        revision=revision,
        epoch=epoch,
        create_time=created,
        update_time=updated,
        creator=creator,
        condition=Condition(connections.State(state), reason, since, version, skew),
    )


CONNECTIONS: Table[Connection] = Table(
    "connections",
    ("tenant", "key", "name", "uid", "spec", "secrets", "revision", "epoch", "create_time", "update_time", "creator",
     "state", "state_reason", "state_time", "server_version", "clock_skew"),
    lambda one: (
        one.tenant, one.id.lower(), one.name, one.uid, CONNECTION_SPEC.dump_json(one.spec).decode(),
        secrets_text(one.secrets),
        one.revision, one.epoch, one.create_time, one.update_time, one.creator, str(one.condition.state),
        one.condition.reason, one.condition.since, one.condition.server_version, one.condition.clock_skew,
    ),
    _connection,
    ("tenant", "key"),
)  # fmt: skip


def _subscription(row: Row) -> Subscription:
    tenant, connection_uid, connection, _, name, uid, spec, revision, created, updated, creator, principal, count = row
    return Subscription(
        tenant=tenant,
        connection=connection,
        connection_uid=connection_uid,
        id=name.rpartition("/")[2],
        uid=uid,
        spec=SUBSCRIPTION_SPEC.validate_json(spec),
        revision=revision,
        create_time=created,
        update_time=updated,
        creator=creator,
        principal=principal,
        event_count=count,
    )


SUBSCRIPTIONS: Table[Subscription] = Table(
    "subscriptions",
    ("tenant", "connection_uid", "connection", "key", "name", "uid", "spec", "revision", "create_time", "update_time",
     "creator", "principal", "event_count"),
    lambda one: (
        one.tenant, one.connection_uid, one.connection, one.id.lower(), one.name, one.uid,
        SUBSCRIPTION_SPEC.dump_json(one.spec).decode(), one.revision, one.create_time, one.update_time, one.creator,
        one.principal, one.event_count,
    ),
    _subscription,
    ("connection_uid", "key"),
)  # fmt: skip


def _feed(row: Row) -> Feed:
    uid, tenant, connection, connection_uid, kind, _, spec, principal, revision, epoch, cursor, polled, *more = row
    error, creator, rests, expires, count = more
    return Feed(
        uid=uid,
        tenant=tenant,
        connection=connection,
        connection_uid=connection_uid,
        kind=FeedKind(kind),
        spec=FEED_SPEC.validate_json(spec),
        principal=principal,
        revision=revision,
        epoch=epoch,
        cursor=CURSOR.validate_json(cursor),
        poll_time=polled,
        error=error,
        creator=creator,
        rest_time=rests,
        expire_time=expires,
        record_count=count,
    )


FEEDS: Table[Feed] = Table(
    "feeds",
    ("uid", "tenant", "connection", "connection_uid", "kind", "model", "spec", "principal", "revision", "epoch",
     "position", "poll_time", "error", "creator", "rest_time", "expire_time", "record_count"),
    lambda one: (
        one.uid, one.tenant, one.connection, one.connection_uid, str(one.kind), one.spec.model,
        FEED_SPEC.dump_json(one.spec).decode(), one.principal, one.revision, one.epoch,
        CURSOR.dump_json(one.cursor).decode(), one.poll_time, one.error, one.creator, one.rest_time,
        one.expire_time, one.record_count,
    ),
    _feed,
    ("uid",),
)  # fmt: skip


def _entry(row: Row) -> Entry:
    fields = dict(zip(ENTRIES.columns, row, strict=True))
    named = fields.pop("name").rpartition("/")[2]
    fields |= {
        "id": "" if named == fields["uid"] else named,
        "kind": journal.Kind(fields["kind"]),
        "state": journal.State(fields["state"]),
        "record_ids": tuple(json.loads(fields["record_ids"])),
        "payload": json.loads(fields["payload"]),
        "keys": tuple(json.loads(fields["keys"])),
        "repeatable": bool(fields["repeatable"]),
    }
    return Entry(**fields)


ENTRIES: Table[Entry] = Table(
    "journal",
    ("uid", "tenant", "connection", "connection_uid", "name", "kind", "model", "record_ids", "payload", "keys",
     "repeatable", "method", "request_id", "digest", "creator", "username", "correlation_id", "owner", "lease_time",
     "state", "create_time", "update_time", "end_time", "error", "revision"),
    lambda one: (
        one.uid, one.tenant, one.connection, one.connection_uid, one.name, str(one.kind), one.model,
        json.dumps(one.record_ids), json.dumps(one.payload), json.dumps(one.keys), int(one.repeatable), one.method,
        one.request_id.lower(), one.digest, one.creator, one.username, one.correlation_id, one.owner, one.lease_time,
        str(one.state), one.create_time, one.update_time, one.end_time, one.error, one.revision,
    ),
    _entry,
    ("uid",),
)  # fmt: skip

OBSERVED = ("record_id", "update_time", "hash", "turn", "seen", "display_name", "generation", "away_time")


def observation(row: Row) -> Observation:
    """Returns the observation of a row of :data:`OBSERVED`."""
    record_id, updated, hash_, turn, seen, name, generation, away = row
    return Observation(
        record_id=record_id,
        update_time=updated,
        hash=hash_,
        turn=turn,
        values=json.loads(seen),
        display_name=name,
        generation=generation,
        away_time=away,
    )


def observed(one: Observation) -> tuple[Any, ...]:
    """Returns an observation as columns in the order of :data:`OBSERVED`."""
    seen = json.dumps(dict(one.values), separators=(",", ":"))
    return one.record_id, one.update_time, one.hash, one.turn, seen, one.display_name, one.generation, one.away_time


def change_to_json(one: Change) -> str:
    """Returns a change as JSON in ASCII, for the log of a watch."""
    return json.dumps(asdict(replace(one, record=replace(one.record, source=None))), separators=(",", ":"))


def change_from_json(text: str) -> Change:
    """Returns the change that :func:`change_to_json` wrote."""
    fields = json.loads(text)
    return Change(
        **fields
        | {
            "action": Action(fields["action"]),
            "detection": Detection(fields["detection"]),
            "record": Record(**fields["record"]),
            "changes": tuple(FieldChange(**one) for one in fields["changes"]),
        }
    )
