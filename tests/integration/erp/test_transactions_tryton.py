"""Transactions and upserts on a real Tryton, which takes no keys and archives by a field of its own."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import SutlerError
from sutler.wire import from_struct, to_struct

from tests.conformance.tryton.installing import DATABASE, PASSWORD
from tests.conformance.tryton.processes import TrytonProcess, started
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.transactions import State, create, delete, get, run, states, update

PARTY = "party.party"


def values(tryton: TrytonProcess, record_id: int, *names: str) -> list[Any]:
    [found] = tryton.call(PARTY, "read", [record_id], list(names))
    return [found[name] for name in names]


async def created(client: Sutler) -> int:
    request = erp_pb2.CreateRecordRequest(connection=MAIN, model=PARTY, values=to_struct({"name": "kept"}))
    return (await client.erp.CreateRecord(request)).id


@pytest.mark.timeout(300)
async def test_a_transaction_is_taken_or_undone(sqlite: str, tmp_path: Path) -> None:
    with started("8.2", tmp_path) as tryton:
        async with gateway(sqlite) as client:
            more = {"driver": "tryton", "database": DATABASE, "username": "admin", "secret": PASSWORD}
            await connect(client, tryton.url, **more)
            one, two = await created(client), await created(client)
            name = uuid.uuid4().hex
            old = values(tryton, one, "name")
            steps = [
                create({"name": "new"}, PARTY, "party"),
                create({"party": "${steps.party.id}", "city": "Ghent"}, "party.address"),
                update(one, {"name": name}, PARTY),
                delete(two, PARTY),
            ]
            wrong = update(one, {"code": "X"}, PARTY)  # which Tryton numbers itself
            with pytest.raises(SutlerError) as caught:
                await run(client, *steps, wrong)
            assert caught.value.metadata["step"] == "5", caught.value
            undone = await get(client, caught.value.metadata["transaction"])
            assert (undone.state, states(undone)[:4]) == (State.STATE_UNDONE, ["UNDONE"] * 4)
            assert values(tryton, one, "name") == old
            assert values(tryton, two, "active") == [True]

            done = await run(client, *steps)
            assert done.state == State.STATE_SUCCEEDED
            assert values(tryton, one, "name") == [name]
            assert not values(tryton, two, "active")[0]

            rows = [erp_pb2.RecordInput(values=to_struct({"name": each})) for each in (name, f"{name}-2")]
            request = erp_pb2.UpsertRecordsRequest(
                connection=MAIN, model=PARTY, rows=rows, key_fields=["name"], fields=["name"]
            )
            told = await client.erp.UpsertRecords(request)
            assert [each.outcome for each in told.results] == [
                erp_pb2.RowResult.OUTCOME_UNCHANGED,
                erp_pb2.RowResult.OUTCOME_CREATED,
            ]
            assert [from_struct(each.record.values)["name"] for each in told.results] == [name, f"{name}-2"]
            await client.erp.BatchDeleteRecords(
                erp_pb2.BatchDeleteRecordsRequest(connection=MAIN, model=PARTY, ids=[told.results[1].record.id])
            )
