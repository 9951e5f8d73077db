"""Rules and their revisions in the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sutler.auth import decode_principal, encode_principal
from sutler.context import Principal
from sutler.errors import etag_mismatch, not_found
from sutler.etags import check_etag
from sutler.idempotency import Once
from sutler.ids import new_id
from sutler.store import Database, Transaction
from sutler.store.requests import remember

from services.rule.adapters.database.cancelling import cancel_some, cancelling
from services.rule.adapters.database.indexes import changed
from services.rule.definitions import dump, load
from services.rule.rules import Revision, RevisionState, Rule, Writing, taken

RULE = (
    "name, tenant, uid, definition, display_name, description, enabled, version, create_time, update_time, active, "
    "latest, principal"
)
REVISION = (
    "v.name, v.number, v.uid, r.name, v.rule_uid, v.tenant, v.create_time, v.update_time, v.state, v.author, "
    "v.definition, v.display_name, v.description"
)
REVISIONS = "rule_revisions AS v JOIN rules AS r ON r.uid = v.rule_uid"


def rule_from(row: Sequence[Any]) -> Rule:
    """Returns the rule in a row of :data:`RULE`."""
    values = (*row[:3], load(row[3]), *row[4:6], bool(row[6]), *row[7:])
    return Rule(*values)


def revision_from(row: Sequence[Any]) -> Revision:
    """Returns the revision in a row of :data:`REVISION`."""
    values = (*row[:8], RevisionState(row[8]), decode_principal(row[9]).subject, load(row[10]), *row[11:])
    return Revision(*values)


def find(tx: Transaction, tenant: str, name: str) -> Rule:
    """Returns a rule, whatever the letter case of its name. Raises NotFound."""
    row = tx.one(f"SELECT {RULE} FROM rules WHERE tenant = ? AND key = ?", (tenant, name.lower()))
    if row is None:
        raise not_found(name)
    return rule_from(row)


class DatabaseRules:
    """Stores rules. See :class:`services.rule.rules.RuleStore`.

    Args:
        database: Where they are stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, tenant: str, name: str) -> Rule:
        """Returns a rule."""
        return await self._database.read(lambda tx: find(tx, tenant, name))

    async def revision(self, tenant: str, name: str) -> Revision:
        """Returns a revision."""
        return await self._database.read(lambda tx: _revision(tx, tenant, name))

    async def create(self, writing: Writing, once: Once | None) -> Rule:
        """Stores a new rule."""
        rule = writing.rule

        def change(tx: Transaction) -> Rule:
            stored = replace(rule, create_time=tx.now, update_time=tx.now)
            added = tx.execute(
                f"INSERT INTO rules ({RULE}, key, active_revision, latest_revision) VALUES ({', '.join('?' * 16)})"
                " ON CONFLICT (tenant, key) DO NOTHING",
                (*_row(stored), rule.name.lower(), *_revisions(stored)),
            )
            if not added:
                raise taken(rule.name)
            _add_revision(tx, stored, writing)
            changed(tx, rule.tenant, rule.uid)
            remember(tx, once, stored)
            return stored

        return await self._database.write(change)

    async def update(self, writing: Writing, once: Once | None) -> Rule:
        """Stores a changed rule."""

        def change(tx: Transaction) -> Rule:
            before = find(tx, writing.rule.tenant, writing.rule.name)
            if (before.uid, before.version) != (writing.rule.uid, writing.rule.version):
                raise etag_mismatch(before.name)
            stored = replace(writing.rule, version=before.version + 1, update_time=tx.now)
            if stored == replace(before, version=stored.version, update_time=tx.now):
                stored = before
            else:
                _save(tx, stored)
                if writing.revised is not None:
                    _add_revision(tx, stored, writing)
                if stored.active != before.active and before.active:
                    _retire(tx, before)
            remember(tx, once, stored)
            return stored

        return await self._database.write(change)

    async def activate(self, revision: Revision, author: Principal, etag: str, once: Once | None) -> Rule:
        """Makes a revision the active one."""

        def change(tx: Transaction) -> Rule:
            rule = find(tx, revision.tenant, revision.rule)
            if rule.uid != revision.rule_uid:
                raise not_found(revision.name)
            check_etag(etag, rule.etag, rule.name)
            if rule.active != revision.number:
                if rule.active:
                    _retire(tx, rule)
                rule = replace(
                    rule,
                    version=rule.version + 1,
                    update_time=tx.now,
                    active=revision.number,
                    definition=revision.definition,
                    principal=author.subject,
                )
                _save(tx, rule)
                tx.execute(
                    "UPDATE rule_revisions SET state = ?, activated = 1, author = ?, retire_time = NULL, "
                    "update_time = ? WHERE rule_uid = ? AND number = ?",
                    (
                        *(int(RevisionState.ACTIVE), encode_principal(author), tx.now),
                        *(revision.rule_uid, revision.number),
                    ),
                )
            remember(tx, once, rule)
            return rule

        return await self._database.write(change)

    async def delete(self, tenant: str, name: str, etag: str, once: Once | None, *, force: bool) -> None:
        """Deletes a rule; its revisions stay as long as executions use them."""

        def change(tx: Transaction) -> str:
            rule = find(tx, tenant, name)
            check_etag(etag, rule.etag, rule.name)
            tx.execute("DELETE FROM rules WHERE uid = ?", (rule.uid,))
            tx.execute(
                "UPDATE rule_revisions SET deleted = 1, cancelled = ?, retire_time = ? WHERE rule_uid = ?",
                (int(force), tx.now, rule.uid),
            )
            tx.execute("DELETE FROM breakers WHERE tenant = ? AND rule_uid = ?", (tenant, rule.uid))
            changed(tx, tenant, rule.uid)
            remember(tx, once, None)
            return rule.uid

        uid = await self._database.write(change)
        while force and await self._database.read(lambda tx: cancelling(tx, uid)):
            await self._database.write(lambda tx: cancel_some(tx, uid))

    async def deleted_already(self, once: Once | None) -> None:
        """Remembers the answer to a deletion of a rule that does not exist."""
        if once is not None:
            await self._database.write(lambda tx: remember(tx, once, None))


def _revision(tx: Transaction, tenant: str, name: str) -> Revision:
    rule, _, number = name.partition("/revisions/")
    row = tx.one(
        f"SELECT {REVISION} FROM {REVISIONS} WHERE r.tenant = ? AND r.key = ? AND v.number = ?",
        (tenant, rule.lower(), int(number)),
    )
    if row is None:
        raise not_found(name)
    return revision_from(row)


def _save(tx: Transaction, rule: Rule) -> None:
    tx.execute(
        "UPDATE rules SET definition = ?, display_name = ?, description = ?, enabled = ?, version = ?, "
        "update_time = ?, active = ?, latest = ?, principal = ?, active_revision = ?, latest_revision = ? "
        "WHERE uid = ?",
        (
            *(dump(rule.definition), rule.display_name, rule.description, int(rule.enabled), rule.version),
            *(rule.update_time, rule.active, rule.latest, rule.principal, *_revisions(rule), rule.uid),
        ),
    )
    changed(tx, rule.tenant, rule.uid)


def _add_revision(tx: Transaction, rule: Rule, writing: Writing) -> None:
    assert writing.revised is not None
    active = rule.active == rule.latest
    tx.execute(
        f"INSERT INTO rule_revisions VALUES ({', '.join('?' * 16)})",
        (
            *(rule.uid, rule.latest, rule.tenant, f"{rule.name}/revisions/{rule.latest}", new_id(), tx.now, tx.now),
            *(int(active), int(RevisionState.ACTIVE if active else RevisionState.STAGED), writing.author),
            *(dump(writing.revised), rule.display_name, rule.description, None if active else tx.now, 0, 0),
        ),
    )


def _retire(tx: Transaction, rule: Rule) -> None:
    tx.execute(
        "UPDATE rule_revisions SET state = ?, retire_time = ?, update_time = ? WHERE rule_uid = ? AND number = ?",
        (int(RevisionState.RETIRED), tx.now, tx.now, rule.uid, rule.active),
    )


def _row(rule: Rule) -> tuple[Any, ...]:
    return (
        *(rule.name, rule.tenant, rule.uid, dump(rule.definition), rule.display_name, rule.description),
        *(int(rule.enabled), rule.version, rule.create_time, rule.update_time, rule.active, rule.latest),
        rule.principal,
    )


def _revisions(rule: Rule) -> tuple[str, str]:
    active, latest = (f"{rule.name}/revisions/{number}" if number else "" for number in (rule.active, rule.latest))
    return active, latest
