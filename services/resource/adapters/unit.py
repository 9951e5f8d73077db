"""One change of what a tenant has, as SQL makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sutler.errors import Conflict
from sutler.events import Event
from sutler.idempotency import Once
from sutler.operations import records
from sutler.operations.model import Operation, State
from sutler.store import Transaction, outbox, requests, sequences

from services.resource import quotas, type_documents
from services.resource.adapters import encoding
from services.resource.adapters.governing import Facts, Knowledge, Learned, always_governs, begin_epoch
from services.resource.adapters.stacks import StacksUnit
from services.resource.adapters.view import TenantView
from services.resource.counting import count
from services.resource.documents import document
from services.resource.history import Entry
from services.resource.lifecycle import check, check_leaving
from services.resource.linking import group_of
from services.resource.names import key, parse, root_of
from services.resource.ports import Result, SecretBox
from services.resource.problems import Problem
from services.resource.quotas import parse_quota
from services.resource.resource import Resource
from services.resource.resource_type import ResourceType
from services.resource.wire.outcomes import packed

FENCES = "handler_calls"
MAX_STEP_BYTES = 1024

_COLUMNS = (
    *("name", "uid", "type", "type_key", "parent_key", "root_key", "group_key", "state", "lock_level", "operation"),
    *(
        "revision",
        "create_time",
        "update_time",
        "expire_time",
        "tags",
        "stack",
        "document",
        "applied",
        "sealed",
        "shown",
    ),
)
_INSERTED = f"tenant, key, {', '.join(_COLUMNS)}"
_UPDATE = (
    f"UPDATE resources SET {', '.join(f'{column} = ?' for column in _COLUMNS)}"
    " WHERE tenant = ? AND key = ? AND revision = ?"
)
_FIRST_REVISION = (
    "tenant, revision, resource_key, resource, uid, type_key, root_key, kind, actor, cause, origin, method, request_id,"
    " operation, correlation_id, create_time, superseded_time, shown_after"
)
_NEXT_REVISION = (
    f"INSERT INTO revisions ({_FIRST_REVISION}, shown_before) VALUES ({'?, ' * 18}"
    "(SELECT shown FROM resources WHERE tenant = ? AND key = ?))"
)
_KEYS = "tenant, key, name, name_key, type_key"
_LINKS = "tenant, source_key, target_key, source, target, is_reference"


class TenantUnit(StacksUnit, TenantView):
    """Implements :class:`services.resource.ports.Unit`.

    Args:
        tx: The change.
        tenant: Whose data are changed.
        facts: Keeps what governs resources.
        box: Encrypts secrets.
        remembered: How long answers to requests are remembered.
    """

    def __init__(self, tx: Transaction, tenant: str, facts: Facts, box: SecretBox, remembered: timedelta) -> None:
        super().__init__(tx, tenant, facts, box)
        self._remembered = remembered
        self._shown: tuple[int, bytes] = (0, b"")

    def put(self, before: Resource | None, after: Resource, entry: Entry) -> Resource:
        """Stores a resource with its revision, and returns it as stored. The name of a new one is free."""
        after = replace(after, revision=self._next_revision(), update_time=self.now)
        if key(after.type) == key(quotas.TYPE):
            quota = parse_quota(after)
            after = replace(after, outputs={"used": self.total(quota, quota.scope)})
        row = _row(after, self._box)
        self._shown = after.revision, row[-1]
        if before is None:
            self._tx.insert("resources", _INSERTED, (self.tenant, key(after.name), *row))
            self._log(after, entry, None, row[-1], fresh=True)
        else:
            check(after.name, before.state, after.state)
            self._log(after, entry, None, row[-1])
            if not self._tx.execute(_UPDATE, (*row, self.tenant, key(after.name), before.revision)):
                raise Conflict(f"{after.name} has changed meanwhile; try again", resource=after.name)
            self._supersede(before)
        self._link(before, after)
        self._govern(before, after.type)
        count(self, before, after)
        return after

    def remove(self, before: Resource, last: Resource, entry: Entry) -> None:
        """Removes a resource, its keys and references, and stores its last revision."""
        check_leaving(last.name, last.state)
        self._log(replace(last, revision=self._next_revision()), entry, self.now, None)
        self._supersede(before)
        place = (self.tenant, key(before.name))
        self._tx.send("DELETE FROM resources WHERE tenant = ? AND key = ?", place)
        self._tx.send("DELETE FROM unique_keys WHERE tenant = ? AND name_key = ?", place)
        self._tx.send("DELETE FROM links WHERE tenant = ? AND source_key = ?", place)
        self._govern(before, before.type)
        count(self, before, None)

    def hold_keys(self, keys: Mapping[str, bytes]) -> None:
        """Has resources hold these uniqueness keys, which are free; by name."""
        rows = ((self.tenant, unique, name, key(name), key(parse(name).type)) for name, unique in keys.items())
        self._tx.insert("unique_keys", _KEYS, *rows)

    def change_keys(self, keys: Mapping[str, bytes]) -> None:
        """Has resources hold these keys, which are free, instead of those that they held; by name."""
        self._tx.many(
            "DELETE FROM unique_keys WHERE tenant = ? AND name_key = ?", [(self.tenant, key(name)) for name in keys]
        )
        self.hold_keys(keys)

    def drop_keys_of_type(self, type: str) -> None:
        """Frees the uniqueness keys that all resources of a type hold."""
        self._tx.send("DELETE FROM unique_keys WHERE tenant = ? AND type_key = ?", (self.tenant, key(type)))

    def set_used(self, quota: str, used: float) -> None:
        """Stores how much of a quota is used, which is no change of the quota."""
        stored = self.resource(quota)
        assert stored is not None  # it was found in the same change
        told = replace(stored, outputs={"used": used})
        self._tx.send(
            "UPDATE resources SET document = ?, shown = ? WHERE tenant = ? AND key = ?",
            (encoding.json(document(told)), encoding.shown(told), self.tenant, key(quota)),
        )

    def put_type(self, before: ResourceType | None, after: ResourceType) -> ResourceType | None:
        """Stores a type and returns it as stored; None if ``before`` is None and the name is taken."""
        self._begin_epoch()
        text = encoding.json(type_documents.document(after))
        if before is None:
            row = (after.tenant, after.key, after.name, after.uid, after.revision, text)
            stored = self._tx.execute(
                "INSERT INTO types (tenant, key, name, uid, revision, document) VALUES (?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (tenant, key) DO NOTHING",
                row,
            )
            return after if stored else None
        self._tx.send(
            "UPDATE types SET revision = ?, document = ? WHERE tenant = ? AND key = ?",
            (after.revision, text, after.tenant, after.key),
        )
        return after

    def remove_type(self, type: ResourceType) -> None:
        """Removes a type."""
        self._begin_epoch()
        self._tx.send("DELETE FROM types WHERE tenant = ? AND key = ?", (type.tenant, type.key))

    def add_operation(self, operation: Operation, result: Result) -> Operation:
        """Stores an operation; the runner takes it up unless it has ended. A result is what it answers then."""
        response = self._packed(result) if operation.state.ended else b""
        return records.insert(self._tx, replace(operation, response=response))

    def end_operation(
        self, name: str, fence: int | None, state: State, *, result: Result, error: Problem | None
    ) -> Operation:
        """Ends an operation: with an error, or with a result, which is empty if the resource is gone."""
        operation = records.get(self._tx, self.tenant, name)
        changes: dict[str, Any] = {"error": encoding.error(error, operation.correlation_id)}
        if state is State.SUCCEEDED:
            changes |= {"response": self._packed(result), "progress": 100, "step": ""}
        ended = records.move(self._tx, name, fence, state, **changes)
        if run := operation.work.get("run"):
            records.wake(self._tx, run)
        return ended

    def _packed(self, result: Result) -> bytes:
        revision, shown = self._shown
        known = isinstance(result, Resource) and result.revision == revision
        return packed(result, shown if known else None)

    def request_cancel(self, name: str) -> None:
        """Asks for the end of an operation; one that has ended stays as it is."""
        records.request_cancel(self._tx, self.tenant, name)

    def tell_progress(self, name: str, fence: int, percent: int, step: str) -> None:
        """Stores how far an operation is."""
        operation = records.get(self._tx, self.tenant, name)
        state = State.CANCELLING if operation.state is State.CANCELLING else State.RUNNING
        text = step.encode()[:MAX_STEP_BYTES].decode(errors="ignore")
        records.move(self._tx, name, fence, state, progress=percent, step=text)

    def postpone(self, name: str, fence: int, until: float, error: Problem) -> None:
        """Gives an operation back until a time."""
        operation = records.get(self._tx, self.tenant, name)
        records.postpone(self._tx, name, fence, until, encoding.error(error, operation.correlation_id))

    def set_work(self, name: str, fence: int, work: Mapping[str, Any]) -> None:
        """Stores what is known of the work of an operation."""
        records.set_work(self._tx, name, fence, work)

    def check_held(self, name: str, fence: int) -> None:
        """Checks that the caller still holds an operation."""
        records.check(self._tx, name, fence)

    def draw_fence(self) -> int:
        """Returns a number larger than all that were drawn before, for handlers to tell late callers by."""
        return sequences.draw(self._tx, FENCES)

    def announce(self, *events: Event) -> None:
        """Stores events to be told."""
        outbox.append(self._tx, *events)

    def remember(self, once: Once | None, result: Any) -> None:
        """Remembers the answer to a request."""
        requests.remember(self._tx, once, result, self._remembered)

    def _next_revision(self) -> int:
        return sequences.draw(self._tx, f"revisions/{self.tenant}")

    def _log(
        self, resource: Resource, entry: Entry, superseded: float | None, shown: bytes | None, *, fresh: bool = False
    ) -> None:
        """Writes a revision. What is stored is the resource before, so this comes before the change itself."""
        about = (key(resource.name), resource.name, resource.uid, key(resource.type), root_of(resource.name))
        why = (entry.kind.name, entry.actor, entry.cause.name, entry.origin, entry.method, entry.request_id)
        ids = (entry.operation, entry.correlation_id)
        row = (self.tenant, resource.revision, *about, *why, *ids, self.now, superseded, shown)
        if fresh:
            self._tx.insert("revisions", _FIRST_REVISION, row)
        else:
            self._tx.send(_NEXT_REVISION, (*row, self.tenant, key(resource.name)))

    def _supersede(self, before: Resource) -> None:
        self._tx.send(
            "UPDATE revisions SET superseded_time = ? WHERE tenant = ? AND revision = ?",
            (self.now, self.tenant, before.revision),
        )

    def _govern(self, before: Resource | None, type: str) -> None:
        """Has what is kept forgotten if a change concerns what governs other resources."""
        if always_governs(type) or (before is not None and self.child_type(type) is not None):
            self._begin_epoch()

    def learned(self) -> Learned | None:
        """Returns what this change and those before it have found, to be kept once it is committed."""
        known = self._known
        return (known.epochs, dict(known.found)) if known and known.found else None

    def _know(self) -> Knowledge:
        return self._facts.within(self._tx, self.tenant)

    def _begin_epoch(self) -> None:
        begin_epoch(self._tx, self.tenant)
        self._known = None

    def _link(self, before: Resource | None, after: Resource) -> None:
        links, old = _links(after), [] if before is None else _links(before)
        if links == old:
            return
        source = key(after.name)
        if old:
            self._tx.send("DELETE FROM links WHERE tenant = ? AND source_key = ?", (self.tenant, source))
        rows = {
            (key(target), own): (self.tenant, source, key(target), after.name, target, int(own))
            for target, own in reversed(links)
        }
        if rows:
            self._tx.insert("links", _LINKS, *rows.values())


def _row(resource: Resource, box: SecretBox) -> tuple[Any, ...]:
    name = parse(resource.name)
    found = document(resource)
    return (
        *(resource.name, resource.uid, resource.type, key(resource.type), key(name.parent), root_of(resource.name)),
        *(key(group_of(resource.type, resource.declared)), resource.state.name, int(resource.declared.lock)),
        *(resource.operation, resource.revision, resource.create_time, resource.update_time),
        *(resource.declared.expire_time, encoding.json(resource.declared.tags), resource.stack, encoding.json(found)),
        *(encoding.applied(resource), encoding.sealed(resource, box), encoding.shown(resource)),
    )


def _links(resource: Resource) -> list[tuple[str, bool]]:
    """Returns what a resource needs to exist, and whether it says so itself with ``references``."""
    declared = resource.declared
    others = (declared.location, group_of(resource.type, declared))
    return [*((target, True) for target in declared.references), *((target, False) for target in others if target)]
