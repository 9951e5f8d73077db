"""A subject whose ttl has passed is told of, also if its name is taken again before anybody has looked."""

from sutler.store import open_database

from services.rule.adapters.database.accepting import Acceptor
from services.rule.adapters.database.indexes import Indexes
from services.rule.adapters.database.migrations import COMPONENT, MIGRATIONS
from services.rule.adapters.database.subject_store import DatabaseSubjects
from services.rule.events import Cause
from services.rule.outcomes import Claim
from services.rule.subject_updates import Facts, Updating
from services.rule.writing import compile_writes


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_an_expired_subject_is_told_of_before_its_name_is_used_again() -> None:
    clock = Clock()
    tables = {COMPONENT: MIGRATIONS}
    async with open_database("sqlite:///:memory:", name="rule", migrations=tables, clock=clock) as database:
        store = DatabaseSubjects(database, Acceptor(Indexes(), 32))

        def setting(value: int) -> Updating:
            facts = Facts({"x": value}, {}, 10.0)
            return Updating("t", "s", Cause("", ""), lambda _: facts, (), compile_writes(()), allow_missing=True)

        first, _ = await store.update(setting(1), Claim(), None)
        clock.now += 9
        kept, _ = await store.update(setting(1), Claim(), None)
        assert (kept.subject.uid, kept.subject.expire_time) == (first.subject.uid, 1019.0)
        clock.now += 10
        again, _ = await store.update(setting(1), Claim(), None)
        assert (again.subject.uid != first.subject.uid, again.subject.revision) == (True, 1)
        rows = await database.read(lambda tx: tx.all("SELECT type, data FROM events ORDER BY seq"))
        assert [row[0] for row in rows] == [
            "subject.property.changed",
            "subject.deleted",
            "subject.property.changed",
        ]
        assert '"cause":"EXPIRED"' in rows[1][1]
        clock.now += 10
        assert await store.expire() is False
        rows = await database.read(lambda tx: tx.all("SELECT type FROM events ORDER BY seq"))
        assert rows[-1] == ("subject.deleted",)
        assert await database.read(lambda tx: tx.all("SELECT id FROM subjects")) == []
