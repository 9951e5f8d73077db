"""SIGKILL during imports: every row becomes one record, whatever was under way."""

from __future__ import annotations

import asyncio
import base64
import os
import random
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sutler.client
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Cancelled, Conflict, FailedPrecondition, SutlerError, Unavailable
from sutler.status import from_status
from sutler.testing import ServiceProcess, postgresql_schema

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import KEY, connect
from tests.integration.erp.imports import chunk, get_import, in_erp, new_import_id, opening, partners

SEED = 20261122
ROWS = 400
EVERY = 7
"""Each of so many rows has a key of the caller's own."""

IMAGE = base64.b64encode(b"an image").decode()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_a_killed_import_makes_each_record_once(engine: str, tmp_path: Path) -> None:
    await kill_imports(engine, 4, random.Random(SEED), tmp_path)


@pytest.mark.crash
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("engine", ["sqlite", "postgresql"])
async def test_imports_that_are_killed_many_times_make_each_record_once(engine: str, tmp_path: Path) -> None:
    seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    print(f"SEED={seed}")
    await kill_imports(engine, int(os.environ.get("KILLS") or 50), random.Random(seed), tmp_path)


async def kill_imports(engine: str, kills: int, chance: random.Random, folder: Path) -> None:
    """Runs imports one after the other until the gateway was killed so often, and checks each at its end."""
    with started("--service-ms", "5") as sandbox:
        if engine == "sqlite":
            await _kill_imports(f"sqlite:///{folder}/erp.db", kills, chance, folder, sandbox)
            return
        with postgresql_schema() as url:
            await _kill_imports(url, kills, chance, folder, sandbox)


async def _kill_imports(data: str, kills: int, chance: random.Random, folder: Path, sandbox: SandboxProcess) -> None:
    settings = {"secret_keys": KEY, "lease_seconds": 1.5, "log_level": "warning"}
    process = ServiceProcess("services.erp", "SUTLER_ERP_", folder=folder, data=data, **settings)
    left = kills
    with process as gateway:
        await gateway.serving()
        async with sutler.client.connect(gateway.address) as client:
            await connect(client, sandbox.url)
            while left > 0:
                import_id = new_import_id()
                rows = _rows(import_id, chance)
                told: dict[int, erp_pb2.RowResult] = {}
                work = asyncio.create_task(_feed(client, import_id, rows, told, chance.randint(10, 90)))
                while left > 0 and not work.done():
                    await asyncio.wait([work], timeout=chance.uniform(0.02, 0.5))  # the moment of the kill
                    if not work.done():
                        gateway.kill()
                        gateway.start()
                        await gateway.serving()
                        left -= 1
                await work
                await _check(client, sandbox, import_id, rows, told)


def _rows(import_id: str, chance: random.Random) -> list[dict[str, Any]]:
    """Returns rows of which some carry no key, some an external id, and some are wrong."""
    rows: list[dict[str, Any]] = partners(import_id, 0, ROWS)
    special = chance.sample([index for index in range(ROWS) if index % EVERY], 40)
    for index in special[:30]:
        rows[index]["image_1920"] = IMAGE
    for index in special[30:]:
        rows[index]["parent_id"] = {"id": 987654}
    return rows


async def _feed(
    client: Sutler, import_id: str, rows: list[dict[str, Any]], told: dict[int, erp_pb2.RowResult], size: int
) -> None:
    """Feeds an import, again and again from where it stands, until it has ended."""
    while True:
        with suppress(Unavailable, Cancelled):
            try:
                found = await get_import(client, import_id)
                start = found.next_index
                if found.state == erp_pb2.Import.STATE_SUCCEEDED:
                    return
            except SutlerError as error:
                if error.reason != "NOT_FOUND":
                    raise
                start = 0
            messages = [chunk(at, rows[at : at + size], _keys(import_id, at, size)) for at in range(start, ROWS, size)]

            async def sent(messages: list[erp_pb2.ImportRecordsRequest] = messages) -> Any:
                yield opening(import_id)
                for message in messages:
                    yield message

            try:
                async for answer in client.erp.ImportRecords(sent()):
                    for result in answer.results:
                        assert told.setdefault(result.index, result) == result
            except (Conflict, FailedPrecondition) as error:
                if error.reason not in ("OPERATION_IN_PROGRESS", "STATE_INVALID"):
                    raise
        await asyncio.sleep(0.05)


def _keys(import_id: str, first: int, count: int) -> list[str]:
    return [f"{import_id}.{index}" if not index % EVERY else "" for index in range(first, first + count)]


async def _check(
    client: Sutler,
    sandbox: SandboxProcess,
    import_id: str,
    rows: list[dict[str, Any]],
    told: dict[int, erp_pb2.RowResult],
) -> None:
    """Every row is there once; of those without a key some may be unknown, and say so."""
    there = Counter(in_erp(sandbox, import_id))
    assert set(there.values()) <= {1}
    stored = await get_import(client, import_id)
    assert stored.state == erp_pb2.Import.STATE_SUCCEEDED and stored.next_index == ROWS
    failed = {one.index: from_status(one.status).reason for one in stored.failed_rows}
    wrong = {index for index, row in enumerate(rows) if "parent_id" in row}
    unknown = {index for index, reason in failed.items() if reason == "OUTCOME_UNKNOWN"}
    assert failed == dict.fromkeys(wrong, "REFERENCE_MISSING") | dict.fromkeys(unknown, "OUTCOME_UNKNOWN")
    assert unknown <= {index for index, row in enumerate(rows) if "image_1920" in row}
    names = [f"{import_id} {index}" for index in range(ROWS)]
    assert {names[index] for index in range(ROWS) if index not in failed} <= set(there)
    assert not {names[index] for index in wrong} & set(there)
    assert {index for index, result in told.items() if result.HasField("status")} <= set(failed)
    print(f"{import_id}: {len(told)} rows told, {len(unknown)} unknown")
