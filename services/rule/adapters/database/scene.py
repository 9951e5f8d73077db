"""What is stored, for simulations."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sutler.auth import decode_principal
from sutler.context import Principal
from sutler.filtering import parse
from sutler.store import Database, Transaction

from services.rule.adapters.database import breakers, schemas, subjects
from services.rule.adapters.database.indexes import entries
from services.rule.adapters.database.inserting import busy_lanes, chunks
from services.rule.adapters.database.rows import columns
from services.rule.adapters.database.rules import RULE, rule_from
from services.rule.breakers import breaker_name
from services.rule.matching import Entry
from services.rule.rules import Rule
from services.rule.simulations import Setting
from services.rule.subjects import Subject

MAX_TYPES = 20_000
"""How many types of stored events are looked at."""

_WIDTH = len(RULE.split(", "))


class DatabaseScene:
    """Reads for simulations. See :class:`services.rule.simulations.Scene`.

    Args:
        database: Where everything is stored.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def entries(self, tenant: str) -> Sequence[Entry]:
        """Returns what matching needs to know of all rules."""
        return await self._database.scan(lambda tx: entries(tx, "WHERE tenant = ?", tenant))

    async def rules(self, tenant: str, uids: Collection[str]) -> Mapping[str, tuple[Rule, Principal]]:
        """Returns rules by their uids, each with the principal in whose name it acts."""

        def read(tx: Transaction) -> dict[str, tuple[Rule, Principal]]:
            found: dict[str, tuple[Rule, Principal]] = {}
            for chunk in chunks(list(uids)):
                marks = ", ".join("?" * len(chunk))
                rows = tx.all(
                    f"SELECT {columns(RULE, 'r')}, v.author FROM rules AS r JOIN rule_revisions AS v "
                    "ON v.rule_uid = r.uid AND v.number = CASE WHEN r.active > 0 THEN r.active ELSE r.latest END "
                    f"WHERE r.tenant = ? AND r.uid IN ({marks})",
                    (tenant, *chunk),
                )
                for row in rows:
                    rule = rule_from(row[:_WIDTH])
                    found[rule.uid] = (rule, decode_principal(row[_WIDTH]))
            return found

        return await self._database.scan(read)

    async def survey(self, tenant: str, filter_: str) -> tuple[Sequence[Rule], Sequence[str]]:
        """Returns the rules that match a filter, and the types of all events that no rule emitted.

        Raises:
            Invalid: If the filter is wrong (FILTER_INVALID).
        """

        def read(tx: Transaction) -> tuple[Sequence[Rule], Sequence[str]]:
            wanted, values = parse(filter_, schemas.RULES).sql(tx.dialect)
            rules = tx.all(f"SELECT {RULE} FROM rules WHERE tenant = ? AND ({wanted}) ORDER BY name", (tenant, *values))
            types = tx.all(
                "SELECT DISTINCT type FROM events WHERE tenant = ? AND parent_execution = '' ORDER BY type LIMIT ?",
                (tenant, MAX_TYPES),
            )
            return [rule_from(row) for row in rules], [type_ for (type_,) in types]

        return await self._database.scan(read)

    async def setting(self, tenant: str, uids: Collection[str], subject: str) -> Setting:
        """Returns what may keep rules waiting with an event of a subject."""

        def read(tx: Transaction) -> Setting:
            found = {uid: breakers.find(tx, tenant, breaker_name(tenant, uid, subject)) for uid in uids}
            busy = busy_lanes(tx, [(uid, subject) for uid in uids]) if subject else ()
            known = {uid: breaker for uid, breaker in found.items() if breaker is not None}
            return Setting(known, frozenset(uid for uid, _ in busy))

        return await self._database.scan(read)

    async def subjects(self, tenant: str, ids: Collection[str]) -> Mapping[str, Subject]:
        """Returns those of some subjects that exist."""

        def read(tx: Transaction) -> dict[str, Subject]:
            found = {id_: subjects.find(tx, tenant, id_) for id_ in ids}
            return {id_: subject for id_, subject in found.items() if subject is not None}

        return await self._database.scan(read)
