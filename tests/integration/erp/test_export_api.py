"""Exports through a real server: each record once, whatever happens meanwhile, in bounded memory."""

from __future__ import annotations

import asyncio
import base64
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Exhausted, Invalid, NotFound, SutlerError, Unavailable
from sutler.testing import wait_until
from sutler.wire import duration, from_struct, to_value

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN, connect, gateway
from tests.integration.erp.servers import Proxy, Reply


def partners(sandbox: SandboxProcess, count: int, **values: Any) -> tuple[str, list[int]]:
    """Makes partners that nobody else knows, and returns what they have in common and their ids."""
    mark = f"export-{uuid.uuid4().hex[:8]}"
    rows = [{"name": f"{mark} {number}", "ref": mark, **values} for number in range(count)]
    made = [
        one
        for start in range(0, count, 500)
        for one in sandbox.call("res.partner", "create", rows[start : start + 500])
    ]
    return mark, made


def export(mark: str, **more: Any) -> erp_pb2.ExportRecordsRequest:
    given: dict[str, Any] = {"filter": f'ref = "{mark}"', "fields": ["name"], **more}
    return erp_pb2.ExportRecordsRequest(connection=MAIN, model="res.partner", **given)


async def collect(client: Sutler, request: erp_pb2.ExportRecordsRequest) -> list[erp_pb2.ExportRecordsResponse]:
    return [one async for one in client.erp.ExportRecords(request)]


async def broken(
    client: Sutler, request: erp_pb2.ExportRecordsRequest
) -> tuple[list[erp_pb2.ExportRecordsResponse], SutlerError | None]:
    """Returns what an export gave before it failed, and how it failed."""
    chunks = []
    try:
        async for chunk in client.erp.ExportRecords(request):
            chunks.append(chunk)
    except SutlerError as error:
        return chunks, error
    return chunks, None


def ids(chunks: list[erp_pb2.ExportRecordsResponse]) -> list[int]:
    return [one.id for chunk in chunks for one in chunk.records]


async def test_every_record_comes_once_by_id_in_chunks_of_the_asked_size(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark, made = partners(sandbox, 730, parent_id=10)
    sandbox.call("res.partner", "write", made[:5], {"active": False})
    fields = ["name", "parent_id", "parent_id.country_id.code"]
    chunks = await collect(erp, export(mark, fields=fields, chunk_size=200))
    assert ids(chunks) == made[5:]
    assert max(len(chunk.records) for chunk in chunks) == 200
    assert [chunk.HasField("status") for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].status.code == 0
    assert {chunk.total_size for chunk in chunks} == {725} and chunks[-1].exported_count == 725
    first = chunks[0].records[0]
    assert first.etag and from_struct(first.values)["parent_id"]["country_id"]["code"]
    assert ids(await collect(erp, export(mark, show_archived=True))) == made
    domain = erp_pb2.ExportRecordsRequest(connection=MAIN, model="res.partner", fields=["name"])
    domain.domain.CopyFrom(to_value([["ref", "=", mark], ["name", "=like", "%1"]]).list_value)
    assert ids(await collect(erp, domain)) == made[11::10]
    assert [one.exported_count for one in await collect(erp, export("nobody"))] == [0]


async def test_what_stays_comes_once_while_others_come_go_and_change(erp: Sutler, sandbox: SandboxProcess) -> None:
    mark, made = partners(sandbox, 900)
    seen: list[int] = []
    gone, changed, new = set(made[10:900:10]), made[5:900:10], list[int]()
    async with aclosing(erp.erp.ExportRecords(export(mark, chunk_size=50))) as chunks:
        async for chunk in chunks:
            if not seen:
                sandbox.call("res.partner", "unlink", sorted(gone))
                sandbox.call("res.partner", "write", changed, {"comment": "changed"})
                new = sandbox.call("res.partner", "create", [{"name": "new", "ref": mark}] * 20)
            seen += [one.id for one in chunk.records]
    assert seen == sorted(set(seen))
    assert set(made) - gone <= set(seen) <= set(made) | set(new)


async def test_a_broken_export_goes_on_where_it_was_on_another_replica(database: str, sandbox: SandboxProcess) -> None:
    mark, made = partners(sandbox, 500)
    request = export(mark, chunk_size=70)
    seen: list[int] = []
    async with gateway(database) as first, gateway(database) as second:
        await connect(first, sandbox.url)
        async with aclosing(first.erp.ExportRecords(request)) as chunks:
            async for chunk in chunks:
                seen += [one.id for one in chunk.records]
                request.resume_token = chunk.resume_token
                if len(seen) >= 140:
                    break
        rest = await collect(second, request)
        assert seen + ids(rest) == made
        assert (rest[-1].exported_count, rest[-1].total_size, rest[-1].status.code) == (500, 500, 0)
        request.resume_token = rest[-1].resume_token
        assert ids(await collect(second, request)) == []
        for other in ({"filter": ""}, {"fields": ["name", "email"]}, {"show_archived": True}, {"resume_token": "x"}):
            wrong = export(mark, **{"resume_token": request.resume_token, **other})
            with pytest.raises(Invalid) as refused:
                await collect(second, wrong)
            assert refused.value.reason == "RESUME_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("more", "kind", "reason"),
    [
        ({"model": "res.nobody", "filter": ""}, NotFound, "MODEL_NOT_FOUND"),
        ({"connection": "connections/other"}, NotFound, "NOT_FOUND"),
        ({"fields": ["colour"]}, Invalid, "FIELD_NOT_FOUND"),
        ({"fields": ["parent_id.colour"]}, Invalid, "FIELD_NOT_FOUND"),
        ({"filter": "colour = 1"}, Invalid, "FILTER_INVALID"),
    ],
)
async def test_what_is_wrong_is_told_before_anything_is_sent(
    erp: Sutler, more: dict[str, Any], kind: type[SutlerError], reason: str
) -> None:
    given = {"connection": MAIN, "model": "res.partner", **more}
    with pytest.raises(kind) as refused:
        await collect(erp, erp_pb2.ExportRecordsRequest(**given))
    assert refused.value.reason == reason


async def test_dotted_fields_take_one_call_for_each_level_and_page(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    mark, _ = partners(sandbox, 400, parent_id=10)
    await collect(client, export(mark, fields=["name"]))
    proxy.calls.clear()
    fields = ["name", "parent_id.name", "parent_id.country_id.code", "category_id.name"]
    await collect(client, export(mark, fields=fields))
    assert proxy.count("search_read") == 3  # 100, 300, and nothing more
    assert [call.model for call in proxy.calls if call.method == "read"].count("res.partner") == 2
    assert [call.model for call in proxy.calls if call.method == "read"].count("res.country") == 2


async def test_nothing_more_is_read_for_a_reader_who_has_gone(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    mark, _ = partners(sandbox, 300, comment="x" * 60_000)
    call = client.erp.ExportRecords(export(mark, fields=["comment"]))
    async with aclosing(call) as chunks:
        async for _ in chunks:
            break

    async def quiet() -> bool:
        before = len(proxy.calls)
        await asyncio.sleep(0.3)  # longer than a page takes
        return proxy.open == 0 and len(proxy.calls) == before

    await wait_until(quiet, 10)
    assert proxy.count("search_read") <= 3


async def test_a_slow_reader_slows_the_reading_of_the_erp(lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess) -> None:
    client, proxy = lossy
    mark, made = partners(sandbox, 1000, comment="x" * 60_000)
    seen: list[int] = []
    async with aclosing(client.erp.ExportRecords(export(mark, fields=["comment"]))) as chunks:
        async for chunk in chunks:
            if not seen:
                before = -1
                while proxy.count("search_read") != before:
                    before = proxy.count("search_read")
                    await asyncio.sleep(0.5)  # longer than a page takes
                assert before <= 6
            assert chunk.ByteSize() < 1.1 * 1024 * 1024
            seen += [one.id for one in chunk.records]
    assert seen == made
    assert proxy.count("search_read") > 12


async def test_a_record_above_a_mebibyte_ends_the_export(erp: Sutler, sandbox: SandboxProcess) -> None:
    small, large = (base64.b64encode(bytes(size)).decode() for size in (1000, 900_000))
    mark, made = partners(sandbox, 6, image_1920=small)
    sandbox.call("res.partner", "write", made[-1:], {"image_1920": large})
    request = export(mark, fields=["image_1920"], include_binaries=True)
    chunks, error = await broken(erp, request)
    assert isinstance(error, Exhausted) and error.reason == "TOO_LARGE"
    assert ids(chunks) == made[:4]
    assert {from_struct(one.values)["image_1920"] for chunk in chunks for one in chunk.records} == {small}
    request.include_binaries = False
    assert ids(await collect(erp, request)) == made


async def test_an_erp_that_breaks_off_is_unavailable_and_never_the_end(
    lossy: tuple[Sutler, Proxy], sandbox: SandboxProcess
) -> None:
    client, proxy = lossy
    mark, made = partners(sandbox, 600)
    request = export(mark, chunk_size=100)
    proxy.replace("search_read", Reply(silent=True), 3, after=2)
    chunks, error = await broken(client, request)
    assert isinstance(error, Unavailable) and error.reason == "ERP_ANSWER_INVALID"
    assert chunks[-1].status.code == 14 and 0 < len(ids(chunks)) < 600
    request.resume_token = chunks[-2].resume_token
    assert ids(chunks) + ids(await collect(client, request)) == made


@asynccontextmanager
async def impatient(data: str, url: str) -> AsyncIterator[Sutler]:
    async with gateway(data) as client:
        once = erp_pb2.RetryPolicy(max_attempts=1)
        await connect(client, url, timeout=duration(1), retry_policy=once)
        yield client


async def test_pages_shrink_for_an_erp_that_takes_too_long(
    sqlite: str, proxy: tuple[Proxy, str], sandbox: SandboxProcess
) -> None:
    server, url = proxy
    mark, made = partners(sandbox, 150)
    async with impatient(sqlite, url) as client:
        server.slow("search_read", 2.0)
        assert ids(await collect(client, export(mark))) == made
    limits = [call.named["limit"] for call in server.calls if call.method == "search_read"]
    assert limits[:2] == [100, 6]
