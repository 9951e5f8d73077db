"""The index of each tenant's rules, kept true to what a change of the database sees."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import orjson
from sutler.ids import new_id
from sutler.store import Transaction
from sutler.store.sequences import draw

from services.rule.matching import Entry, RuleIndex

MAX_TENANTS = 1000
KEEP_CHANGES = 10_000
"""How many changes of rules are remembered; an index that is further behind is made anew."""

_ENTRY = "SELECT uid, name, active, definition FROM rules"


@dataclass(slots=True)
class _Known:
    seq: int
    token: str
    index: RuleIndex = field(default_factory=RuleIndex)


class Indexes:
    """Gives the index of a tenant as of a transaction. Belongs to the writer's thread.

    Each change of a rule leaves a row with a token that never comes again. A row that was seen and is gone was rolled
    back, and what was made from it is made anew.
    """

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def of(self, tx: Transaction, tenant: str) -> RuleIndex:
        """Returns the rules of a tenant that events may fire."""
        known = self._known.get(tenant)
        last = tx.one("SELECT seq, token FROM rule_changes WHERE tenant = ? ORDER BY seq DESC LIMIT 1", (tenant,))
        if known is None or last is None or (known.seq, known.token) != last:
            known = self._update(tx, tenant, known, *(last or (0, "")))
        self._known.move_to_end(tenant)
        return known.index

    def _update(self, tx: Transaction, tenant: str, known: _Known | None, seq: int, token: str) -> _Known:
        if known is not None and known.seq < seq and _stored(tx, known):
            changed = tx.all(
                "SELECT DISTINCT rule_uid FROM rule_changes WHERE tenant = ? AND seq > ?", (tenant, known.seq)
            )
            for (uid,) in changed:
                known.index.remove(uid)
                for entry in entries(tx, "WHERE uid = ? AND enabled = 1 AND active > 0", uid):
                    known.index.put(entry)
        else:
            known = _Known(seq, token)
            for entry in entries(tx, "WHERE tenant = ? AND enabled = 1 AND active > 0", tenant):
                known.index.put(entry)
        known.seq, known.token = seq, token
        self._known[tenant] = known
        if len(self._known) > MAX_TENANTS:
            self._known.popitem(last=False)
        return known


def changed(tx: Transaction, tenant: str, rule_uid: str) -> None:
    """Notes that a rule was written or deleted."""
    seq = draw(tx, "rule_changes")
    tx.execute("INSERT INTO rule_changes VALUES (?, ?, ?, ?)", (seq, tenant, new_id(), rule_uid))
    tx.execute("DELETE FROM rule_changes WHERE tenant = ? AND seq < ?", (tenant, seq - KEEP_CHANGES))


def _stored(tx: Transaction, known: _Known) -> bool:
    return tx.one("SELECT 1 FROM rule_changes WHERE seq = ? AND token = ?", (known.seq, known.token)) is not None


def entries(tx: Transaction, where: str, value: str) -> list[Entry]:
    """Returns what matching needs to know of some rules, by a condition in SQL that we wrote, with one value."""
    found = []
    for uid, name, active, definition in tx.all(f"{_ENTRY} {where}", (value,)):
        text = orjson.loads(definition)
        found.append(Entry(uid, name, active, text["priority"], tuple(text["on"]), text["subject"]))
    return found
