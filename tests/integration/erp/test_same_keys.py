"""Several writes under one key at the same time, also through two gateways over one store: one of them has it."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import AlreadyExists, Conflict, Invalid, SutlerError, Unavailable
from sutler.wire import duration, to_struct

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp import transactions
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.imports import CREATED, chunk, new_import_id, opening, partners, run
from tests.integration.erp.requests import create, request_id
from tests.integration.erp.servers import Proxy, Reply

Two = tuple[Sutler, Sutler]


@pytest.fixture
async def two(database: str, sandbox: SandboxProcess) -> AsyncIterator[Two]:
    """Two gateways over one store."""
    async with gateway(database) as first, gateway(database) as second:
        await connect(first, sandbox.url)
        yield first, second


def partner(name: str, key: str) -> erp_pb2.CreateRecordRequest:
    return create({"name": name, "ref": key.split(".")[-1]}, "res.partner", external_id=key, request_id=request_id())


def there(sandbox: SandboxProcess, mark: str) -> dict[int, str]:
    """The records of a mark, with their names."""
    rows = sandbox.call("res.partner", "search_read", [["ref", "=", mark]], ["name"])
    return {row["id"]: row["name"] for row in rows}


async def outcome(answer: Awaitable[Any]) -> Any:
    """The answer, or the reason of the error."""
    try:
        return await answer
    except SutlerError as error:
        return error.reason


async def test_of_creates_with_one_external_id_one_is_made(two: Two, sandbox: SandboxProcess) -> None:
    for number in range(5):
        mark = f"{new_import_id()}{number}"
        names = {f"{mark} {index}": two[index % 2] for index in range(4)}
        keys = [mark, f"__import__.{mark}"] * 2
        told = await asyncio.gather(
            *(
                outcome(client.erp.CreateRecord(partner(name, key)))
                for (name, client), key in zip(names.items(), keys, strict=True)
            )
        )
        [(name, made)] = [(name, one) for name, one in zip(names, told, strict=True) if not isinstance(one, str)]
        assert [one for one in told if isinstance(one, str)] == ["ALREADY_EXISTS"] * 3
        assert there(sandbox, mark) == {made.id: name}


async def test_rows_of_a_batch_with_one_external_id_are_refused(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark = new_import_id()
    keys = [mark, f"{mark}.other", f"__import__.{mark}"]
    rows = [erp_pb2.RecordInput(external_id=key, values=to_struct({"name": key, "ref": mark})) for key in keys]
    with pytest.raises(Invalid) as caught:
        await erp.erp.BatchCreateRecords(
            erp_pb2.BatchCreateRecordsRequest(connection=MAIN, model="res.partner", rows=rows)
        )
    assert caught.value.reason == "ROWS_INVALID"
    assert [one.field for one in caught.value.violations] == ["rows[2].external_id"]
    assert there(sandbox, mark) == {}


async def test_a_batch_takes_back_nothing_but_its_own(two: Two, sandbox: SandboxProcess) -> None:
    for number in range(5):
        mark = f"{new_import_id()}{number}"
        given = [{"name": f"{mark} batch", "ref": mark}, {"name": f"{mark} wrong", "ref": mark, "country_id": 999_999}]
        rows = [
            erp_pb2.RecordInput(external_id=f"{mark}{index or ''}", values=to_struct(values))
            for index, values in enumerate(given)
        ]
        batch = erp_pb2.BatchCreateRecordsRequest(
            connection=MAIN, model="res.partner", rows=rows, request_id=request_id()
        )
        single, refused = await asyncio.gather(
            outcome(two[0].erp.CreateRecord(partner(f"{mark} single", mark))),
            outcome(two[number % 2].erp.BatchCreateRecords(batch)),
        )
        assert refused in ("REFERENCE_MISSING", "ALREADY_EXISTS")
        assert there(sandbox, mark) == ({} if single == "ALREADY_EXISTS" else {single.id: f"{mark} single"})


async def test_of_imports_with_the_same_keys_one_makes_each_record(two: Two, sandbox: SandboxProcess) -> None:
    mark = new_import_id()
    keys = [f"{mark}.{index}" for index in range(5)]

    async def feed(client: Sutler, import_id: str) -> list[erp_pb2.RowResult]:
        rows = [{**row, "name": f"{import_id} {index}"} for index, row in enumerate(partners(mark, 0, 5))]
        answers = await run(client, opening(import_id), chunk(0, rows, keys))
        return [result for one in answers for result in one.results]

    first, second = await asyncio.gather(feed(two[0], f"{mark}a"), feed(two[1], f"{mark}b"))
    made = [one.record.id for one in [*first, *second] if one.outcome == CREATED]
    assert sorted(there(sandbox, mark)) == sorted(made) and len(made) == 5
    assert len({there(sandbox, mark)[one].split()[0] for one in made}) == 1


@pytest.mark.parametrize("key_fields", [[], ["ref"]])
async def test_of_upserts_of_a_new_record_one_creates_it(
    two: Two, sandbox: SandboxProcess, key_fields: list[str]
) -> None:
    for number in range(3):
        mark = f"{new_import_id()}{number}"
        row = erp_pb2.RecordInput(external_id=mark, values=to_struct({"name": mark, "ref": mark}))
        if key_fields:
            row.external_id = ""
        answers = await asyncio.gather(
            *(
                client.erp.UpsertRecords(
                    erp_pb2.UpsertRecordsRequest(
                        connection=MAIN, model="res.partner", rows=[row], key_fields=key_fields, request_id=request_id()
                    )
                )
                for client in (*two, *two)
            )
        )
        assert sorted(answer.results[0].outcome for answer in answers) == [CREATED] + [CREATED + 2] * 3
        assert len(there(sandbox, mark)) == 1


async def test_a_key_stays_with_a_write_until_nobody_can_be_at_it(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    server, url = proxy
    mark = new_import_id()
    async with gateway(sqlite) as client:
        quick = erp_pb2.RetryPolicy(max_attempts=1)
        await connect(client, url, retry_policy=quick, max_queue_wait=duration(0.2))
        server.replace("load", Reply(silent=True))
        lost, other = partner("lost", mark), partner("other", mark)
        with pytest.raises(Unavailable):
            await client.erp.CreateRecord(lost)
        with pytest.raises(Conflict) as busy:
            await client.erp.CreateRecord(other)
        assert busy.value.reason == "OPERATION_IN_PROGRESS" and busy.value.retry_after
        _run_out(sqlite)
        made = await client.erp.CreateRecord(other)
        for _ in range(2):
            with pytest.raises(AlreadyExists):
                await client.erp.CreateRecord(lost)
        assert there(sandbox, mark) == {made.id: "other"}


async def test_a_repeat_goes_on_with_its_key(sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess) -> None:
    server, url = proxy
    mark = new_import_id()
    async with gateway(sqlite) as client:
        await connect(client, url, retry_policy=erp_pb2.RetryPolicy(max_attempts=1))
        server.lose("load")
        request = partner("lost", mark)
        with pytest.raises(Unavailable):
            await client.erp.CreateRecord(request)
        _run_out(sqlite)
        made = await client.erp.CreateRecord(request)
        assert there(sandbox, mark) == {made.id: "lost"}
        with pytest.raises(AlreadyExists):
            await client.erp.CreateRecord(partner("other", mark))


async def test_an_import_that_goes_on_does_not_count_what_others_made(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    server, url = proxy
    mark = new_import_id()
    rows, keys = partners(mark, 0, 2), [f"{mark}.0", f"{mark}.1"]
    async with gateway(sqlite) as client:
        await connect(client, url, retry_policy=erp_pb2.RetryPolicy(max_attempts=1))
        server.replace("load", Reply(silent=True))
        with pytest.raises(Unavailable):
            await run(client, opening(mark), chunk(0, rows, keys))
        _run_out(sqlite)
        other = create({"name": "other", "ref": mark}, "res.partner", external_id=keys[0], request_id=request_id())
        made = await client.erp.CreateRecord(other)
        answers = await run(client, opening(mark), chunk(0, rows, keys))
        results = [result for one in answers for result in one.results]
        assert [one.outcome for one in results] == [0, CREATED]
        assert there(sandbox, mark) == {made.id: "other", results[1].record.id: f"{mark} 1"}


def _run_out(data: str) -> None:
    """Lets the time of all keys be over."""
    with sqlite3.connect(data.removeprefix("sqlite:///")) as store:
        assert store.execute("UPDATE keys_in_use SET expire_time = 0").rowcount > 0


async def test_a_step_whose_look_fails_after_a_lost_answer_is_not_given_up(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, server = lossy
    mark = new_import_id()
    server.lose("load")
    server.replace("search_read", Reply(silent=True), 3, after=1)
    step = transactions.create({"name": "lost", "ref": mark}, external_id=mark)
    done = await transactions.run(client, step, transactions.create({"name": "next", "ref": f"{mark}.next"}))
    assert done.state == erp_pb2.Transaction.STATE_SUCCEEDED
    assert there(sandbox, mark) == {done.steps[0].record_id: "lost"}
