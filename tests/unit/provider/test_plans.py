"""What is read with every change of a machine is found by a key, however many machines there are."""

from services.provider.adapters.stored.spans import JOINED
from tests.unit.provider.yard import TENANT, world


async def test_the_times_of_a_machine() -> None:
    async with world() as here:
        plan = await here.store.database.read(
            lambda tx: tx.all(f"EXPLAIN QUERY PLAN {JOINED} WHERE s.tenant = ?", (TENANT,))
        )
        assert any("SEARCH m" in step and "id_key=?" in step for *_, step in plan), plan
