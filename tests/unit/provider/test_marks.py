"""How far retention has come is known for each tenant and collection: the deletions of others end no watch."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest_asyncio
from sutler.ids import new_id
from sutler.operations import records
from sutler.store import open_database
from sutler.store.retention import sweep_now

from services.provider.adapters.stored import COMPONENT, MIGRATIONS, listings, sweeps
from services.provider.adapters.stored.listing import Listings
from services.provider.requests import MachineRequest, RequestKind
from services.provider.wire.shapes import ContractShapes
from tests.unit.provider.yard import TENANT, World, world

HOUR = timedelta(hours=1)
QUIET, NEW = "quiet", "new"


@pytest_asyncio.fixture
async def here() -> AsyncIterator[World]:
    async with world() as found:
        yield found


def logs(here: World) -> Listings:
    return listings(here.store.database, ContractShapes())


async def sweep(here: World) -> int:
    (changes,) = (sweep for sweep in sweeps(HOUR, HOUR, HOUR) if sweep.table == "changes")
    return await sweep_now(here.store.database, changes)


async def ask(here: World, tenant: str) -> None:
    request = MachineRequest(tenant=tenant, name="machineRequests/r", uid=new_id(), kind=RequestKind.ACQUIRE, count=1)
    await here.do(lambda book: book.requests.insert(request))


async def test_only_what_is_deleted_of_a_tenant_makes_its_tokens_too_old(here: World) -> None:
    of_quiet, of_new = (logs(here).requests.log(tenant, "") for tenant in (QUIET, NEW))
    await ask(here, QUIET)
    _, seen = await of_quiet.bounds()
    here.later(7200)
    await ask(here, NEW)
    _, newest = await of_new.bounds()
    assert await sweep(here) == 1
    assert await of_quiet.bounds() == (seen, newest), "what it has seen is no loss"
    assert await of_new.bounds() == (0, newest), "nothing of its own was deleted"
    here.later(7200)
    assert await sweep(here) == 1
    assert await of_quiet.bounds() == (seen, newest)
    assert await of_new.bounds() == (newest, newest), "nothing is kept"
    assert await logs(here).machines.log(NEW, "").bounds() == (0, newest), "nor was anything of this collection"


async def test_what_was_deleted_before_there_were_marks_counts_for_all(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/provider.db"
    earlier = {records.COMPONENT: records.MIGRATIONS, COMPONENT: [m for m in MIGRATIONS if m.number < 7]}
    for kept in (0, 1):
        async with open_database(f"{url}{kept}", name="provider", migrations=earlier) as database:
            await database.write(lambda tx: tx.draw("changes", 9))
            if kept:
                row = (8, "machines", TENANT, 1.0)
                await database.write(
                    lambda tx, row=row: tx.insert("changes", "seq, collection, tenant, change_time", row)
                )  # type: ignore[misc]
        now = {records.COMPONENT: records.MIGRATIONS, COMPONENT: MIGRATIONS}
        async with open_database(f"{url}{kept}", name="provider", migrations=now) as database:
            found = listings(database, ContractShapes()).machines.log(QUIET, "")
            assert await found.bounds() == ((7, 9) if kept else (9, 9))
