"""Imports through a real server: each row has its result, and none is written twice, whatever breaks."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Conflict, FailedPrecondition, Invalid, NotFound, SutlerError, Unavailable
from sutler.status import from_status
from sutler.testing import wait_until

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.imports import (
    CREATED,
    Stream,
    chunk,
    get_import,
    in_erp,
    new_import_id,
    opening,
    partners,
    run,
)
from tests.integration.erp.requests import entries
from tests.integration.erp.servers import Proxy, Reply

Import = erp_pb2.Import
IMAGE = base64.b64encode(b"an image").decode()


async def test_rows_become_records_in_order_with_one_call_for_each_chunk(
    database: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    server, url = proxy
    mark = new_import_id()
    async with gateway(database) as client:
        await connect(client, url)
        server.calls.clear()
        answers = await run(
            client, opening(mark), chunk(0, partners(mark, 0, 300)), chunk(300, partners(mark, 300, 200))
        )
        assert in_erp(sandbox, mark) == [f"{mark} {index}" for index in range(500)]
        assert server.count("load") == 2 and server.count("search_read") == 0
        assert [len(one.results) for one in answers] == [0, 300, 200, 0, 0]
        assert [one.progress.next_index for one in answers] == [0, 300, 500, 500, 500]
        results = [result for one in answers for result in one.results]
        assert [result.index for result in results] == list(range(500))
        assert {result.outcome for result in results} == {CREATED}
        names = sandbox.call("res.partner", "read", [result.record.id for result in results], ["name"])
        assert [one["name"] for one in names] == [f"{mark} {index}" for index in range(500)]
        last = answers[-1]
        assert last.HasField("status") and last.status.code == 0
        assert not any(one.HasField("status") for one in answers[:-1])
        stored = await get_import(client, mark)
        assert stored == last.progress
        assert (stored.state, stored.created_count, stored.failed_count) == (Import.STATE_SUCCEEDED, 500, 0)
        assert stored.HasField("end_time") and stored.etag != answers[0].progress.etag
        with pytest.raises(FailedPrecondition) as ended:
            await run(client, opening(mark))
        assert ended.value.reason == "STATE_INVALID"


async def test_a_row_that_is_wrong_has_its_error_and_the_others_are_there(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark = new_import_id()
    rows: list[dict[str, Any]] = partners(mark, 0, 8)
    rows[1]["colour"] = 1
    rows[2]["color"] = "red"
    rows[4] = {"ref": mark}  # the ERP wants a name
    rows[6]["parent_id"] = {"id": 987654}
    answers = await run(erp, opening(mark), chunk(0, rows), chunk(8, partners(mark, 8, 2)))
    results = [result for one in answers for result in one.results]
    assert {one.index for one in results if one.outcome == CREATED} == {0, 3, 5, 7, 8, 9}
    failed = {one.index: from_status(one.status) for one in results if one.HasField("status")}
    assert {index: error.reason for index, error in failed.items()} == {
        1: "FIELD_NOT_FOUND",
        2: "VALUE_INVALID",
        4: failed[4].reason,
        6: "REFERENCE_MISSING",
    }
    assert failed[4].reason in ("VALUE_MISSING", "ERP_RULE_VIOLATED")
    assert failed[2].violations[0].field == "values.color"
    assert in_erp(sandbox, mark) == [f"{mark} {index}" for index in (0, 3, 5, 7, 8, 9)]
    stored = await get_import(erp, mark)
    assert (stored.state, stored.created_count, stored.failed_count) == (Import.STATE_SUCCEEDED, 6, 4)
    assert [one.index for one in stored.failed_rows] == [1, 2, 4, 6]
    assert answers[1].progress.failed_rows == []


async def test_a_broken_import_goes_on_elsewhere_and_answers_old_rows_without_writing(
    database: str, sandbox: SandboxProcess
) -> None:
    mark = new_import_id()
    async with gateway(database) as first, gateway(database) as second:
        await connect(first, sandbox.url)
        async with Stream(first, opening(mark)) as stream:
            assert (await stream.answer()).progress.state == Import.STATE_RUNNING
            rows = [*partners(mark, 0, 5), {"name": 1}]
            told = await stream.send(chunk(0, rows))
            assert (await get_import(second, mark)).state == Import.STATE_RUNNING
            with pytest.raises(Conflict) as fed:
                await run(second, opening(mark))
            assert fed.value.reason == "OPERATION_IN_PROGRESS" and fed.value.retry_after

        async def interrupted() -> bool:
            return (await get_import(second, mark)).state == Import.STATE_INTERRUPTED

        await wait_until(interrupted, 20)
        answers = await run(second, opening(mark), chunk(2, [*rows[2:], *partners(mark, 6, 4)]))
        assert answers[0].progress.next_index == 6
        assert list(answers[1].results)[:4] == list(told.results)[2:]
        assert [one.index for one in answers[1].results] == list(range(2, 10))
        assert in_erp(sandbox, mark) == [f"{mark} {index}" for index in (0, 1, 2, 3, 4, 6, 7, 8, 9)]
        stored = await get_import(first, mark)
        assert (stored.state, stored.created_count, stored.failed_count) == (Import.STATE_SUCCEEDED, 9, 1)


async def test_a_client_that_vanishes_does_not_end_its_import(erp: Sutler, sandbox: SandboxProcess) -> None:
    for _ in range(10):
        mark = new_import_id()
        async with Stream(erp, opening(mark)) as stream:
            await stream.answer()
            await stream.send(chunk(0, partners(mark, 0, 2)))

        async def free(mark: str = mark) -> bool:
            return (await get_import(erp, mark)).state != Import.STATE_RUNNING

        await wait_until(free, 10)
        assert (await get_import(erp, mark)).state == Import.STATE_INTERRUPTED
        answers = await run(erp, opening(mark), chunk(2, partners(mark, 2, 2)))
        assert answers[-1].progress.created_count == 4


@pytest.mark.parametrize("times", [1, 2])
async def test_a_lost_answer_makes_no_second_record(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess, times: int
) -> None:
    client, proxy = lossy
    mark = new_import_id()
    proxy.lose("load", times)
    answers = await run(client, opening(mark), chunk(0, partners(mark, 0, 50), [f"{mark}.a", "", f"{mark}.c"]))
    assert {one.outcome for one in answers[1].results} == {CREATED}
    assert in_erp(sandbox, mark) == [f"{mark} {index}" for index in range(50)]


async def test_an_erp_that_is_down_breaks_the_stream_and_the_rows_follow_later(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    mark = new_import_id()
    keys = [f"{mark}.{index}" for index in range(0, 20, 2)]
    sandbox.call("res.partner", "load", ["id", "name"], [[f"{mark}.taken", "another"]])
    rows, externals = partners(mark, 0, 12), [*keys, "", f"{mark}.taken"]
    proxy.lose("load")
    proxy.replace("search_read", Reply(silent=True), 3, after=1)
    with pytest.raises(Unavailable):
        await run(client, opening(mark), chunk(0, rows, externals))
    assert (await get_import(client, mark)).next_index == 0
    answers = await run(client, opening(mark), chunk(0, rows[:3], externals), chunk(3, rows[3:], externals[3:]))
    results = [result for one in answers for result in one.results]
    assert [one.outcome for one in results] == [CREATED] * 11 + [0]
    assert from_status(results[-1].status).reason == "ALREADY_EXISTS"
    assert in_erp(sandbox, mark) == [f"{mark} {index}" for index in range(11)]
    again = await run(client, opening(new_import_id()), chunk(0, rows[:2], [keys[0], keys[0]]))
    assert [from_status(one.status).reason for one in again[1].results] == ["ALREADY_EXISTS"] * 2


async def test_rows_that_carry_no_key_are_written_once_or_unknown(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess, sqlite: str
) -> None:
    client, proxy = lossy
    mark = new_import_id()
    rows = [{**row, "image_1920": IMAGE} for row in partners(mark, 0, 4)]
    rows[1] = partners(mark, 1, 1)[0]
    proxy.lose("create")
    answers = await run(client, opening(mark), chunk(0, rows), chunk(4, [{**rows[0], "name": f"{mark} 4"}]))
    results = [result for one in answers for result in one.results]
    assert [one.outcome == CREATED for one in results] == [False, True, False, False, True]
    error = from_status(results[0].status)
    assert isinstance(error, Conflict) and error.reason == "OUTCOME_UNKNOWN"
    told = await client.erp.GetTransaction(erp_pb2.GetTransactionRequest(name=error.metadata["journal"]))
    assert told.state == erp_pb2.Transaction.STATE_OUTCOME_UNKNOWN
    assert sorted(in_erp(sandbox, mark)) == [f"{mark} {index}" for index in range(5)]
    assert [state for state, _ in entries(sqlite)] == ["OUTCOME_UNKNOWN"]


async def test_an_import_ends_when_too_many_rows_failed(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark = new_import_id()
    wrong = [{"name": f"{mark} x", "colour": 1}] * 3
    with pytest.raises(Conflict) as stopped:
        await run(
            erp, opening(mark, max_failed_rows=3), chunk(0, wrong[:2]), chunk(2, wrong), chunk(5, partners(mark, 5, 1))
        )
    assert (stopped.value.reason, stopped.value.metadata["failed_rows"]) == ("IMPORT_STOPPED", "5")
    stored = await get_import(erp, mark)
    assert (stored.state, stored.next_index) == (Import.STATE_FAILED, 5)
    assert from_status(stored.error).reason == "IMPORT_STOPPED"
    assert in_erp(sandbox, mark) == []


async def test_rows_are_only_checked_if_nothing_shall_be_written(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark = new_import_id()
    rows = [*partners(mark, 0, 2), {"colour": 1}]
    answers = await run(erp, opening(mark, validate_only=True), chunk(0, rows))
    assert [one.outcome for one in answers[1].results] == [CREATED, CREATED, 0]
    assert answers[-1].progress.validate_only and in_erp(sandbox, mark) == []


async def test_what_does_not_fit_the_import_is_refused(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark = new_import_id()

    async def refused(*messages: erp_pb2.ImportRecordsRequest) -> SutlerError:
        with pytest.raises(SutlerError) as caught:
            await run(erp, *messages)
        return caught.value

    gap = await refused(opening(mark), chunk(0, partners(mark, 0, 2)), chunk(3, partners(mark, 3, 1)))
    assert (gap.reason, gap.metadata["next_index"]) == ("IMPORT_INVALID", "2")
    for other in ({"model": "res.country"}, {"mode": Import.MODE_UPSERT}, {"max_failed_rows": 1}):
        error = await refused(opening(mark, **other))  # type: ignore[arg-type]
        assert isinstance(error, Invalid) and error.reason == "IMPORT_INVALID"
    for lacking in ({"connection": ""}, {"model": ""}, {"import_id": ""}):
        first = erp_pb2.ImportRecordsRequest(
            **{"connection": MAIN, "model": "res.partner", "import_id": "x", **lacking}
        )
        error = await refused(first)
        assert (error.reason, error.metadata["field"]) == ("IMPORT_INVALID", next(iter(lacking)))
    assert (await refused(opening("a", "res.nobody"))).reason == "MODEL_NOT_FOUND"
    assert (await refused(opening("a", mode=Import.MODE_UPSERT, key_fields=["colour"]))).reason == "FIELD_NOT_FOUND"
    with pytest.raises(NotFound):
        await get_import(erp, "a")


async def test_a_connection_is_not_deleted_while_an_import_runs(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark = new_import_id()
    request = erp_pb2.DeleteConnectionRequest(name=MAIN)
    async with Stream(erp, opening(mark)) as stream:
        await stream.answer()
        with pytest.raises(Conflict) as busy:
            await erp.erp.DeleteConnection(request)
        assert (busy.value.reason, busy.value.metadata["operation"]) == (
            "OPERATION_IN_PROGRESS",
            f"{MAIN}/imports/{mark}",
        )
        await stream.send(chunk(0, partners(mark, 0, 1)))
        await stream.end()
    await erp.erp.DeleteConnection(request)
    assert (await get_import(erp, mark)).state == Import.STATE_SUCCEEDED


async def test_a_caller_who_goes_during_a_write_leaves_its_result(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    mark = new_import_id()
    proxy.slow("load", 1.0)
    async with Stream(client, opening(mark)) as stream:
        await stream.answer()
        sending = asyncio.create_task(stream.send(chunk(0, partners(mark, 0, 3))))
        await wait_until(lambda: proxy.slowed == 1, 10)
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)

    async def known() -> bool:
        found = await get_import(client, mark)
        return found.state == Import.STATE_INTERRUPTED and found.next_index == 3

    await wait_until(known, 10)
    assert len(in_erp(sandbox, mark)) == 3
