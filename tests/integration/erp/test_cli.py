"""``sutler erp`` in a process of its own, against a real gateway and the sandbox."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import signal
import sys
import time
import uuid
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sutler.client
from pyarrow import parquet
from ruamel.yaml import YAML
from sutler.cli.development import make_token
from sutler.cli.erp.columns import Column
from sutler.cli.erp.files import to_parquet
from sutler.erp.v1 import erp_pb2
from sutler.errors import Unavailable
from sutler.testing import free_port, serve, wait_until
from sutler.wire import duration

from services.erp.app import app
from services.erp.settings import Settings
from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import KEY, connect
from tests.integration.erp.servers import Proxy, Reply

MAIN = "from sutler.cli import main; main()"
NO_PYARROW = f"import sys; sys.modules['pyarrow'] = None; {MAIN}"


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Cli:
    """Runs commands in a folder."""

    address: str
    folder: Path
    proxy: Proxy
    url: str

    async def __call__(self, *words: object, program: str = MAIN, **environment: str) -> Ended:
        return await self.end(await self.start(*words, program=program, **environment))

    async def end(self, process: Process) -> Ended:
        out, err = await process.communicate()
        return Ended(process.returncode or 0, out.decode(), err.decode())

    async def start(self, *words: object, program: str = MAIN, **environment: str) -> Process:
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SUTLER_")}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", program, "erp", *map(str, words)),
            cwd=self.folder,
            env={**clean, "SUTLER_ADDRESS": self.address, "PYTHONPATH": os.path.abspath("libs"), **environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@pytest.fixture
async def cli(sqlite: str, proxy: tuple[Proxy, str], tmp_path: Path) -> AsyncIterator[Cli]:
    server, url = proxy
    async with serve(app, Settings, data=sqlite, secret_keys=KEY) as (client, running):
        never = erp_pb2.BreakerPolicy(failure_limit=1000)
        once = erp_pb2.RetryPolicy(max_attempts=1, initial_backoff=duration(0.01))
        await connect(client, url, breaker_policy=never, retry_policy=once)
        folder = tmp_path / "work"
        folder.mkdir()
        yield Cli(running.address, folder, server, url)


@pytest.fixture
def made(sandbox: SandboxProcess) -> tuple[str, list[int]]:
    """A mark and the ids of the partners that have it."""
    mark = f"cli-{uuid.uuid4().hex[:8]}"
    rows = [{"name": f"{mark} {number}", "ref": mark, "parent_id": 10, "city": 'a "city", é'} for number in range(250)]
    return mark, sandbox.call("res.partner", "create", rows)


async def test_models_fields_and_records_are_shown(cli: Cli, made: tuple[str, list[int]]) -> None:
    mark, ids = made
    listed = await cli("models", "--filter", 'model = "sale.*"')
    assert listed.code == 0 and [line.split()[0] for line in listed.out.splitlines()][:2] == ["MODEL", "sale.order"]
    described = await cli("describe", "sale.order", SUTLER_CONNECTION="connections/main")
    rows = {line.split()[0]: line.split()[1:3] for line in described.out.splitlines()}
    assert rows["partner_id"] == ["many_to_one", "res.partner"] and rows["amount_total"][0] == "monetary"
    where = ("--filter", f'ref = "{mark}"', "--limit", 3)
    found = await cli("search", "res.partner", *where, "--fields", "name,parent_id", "--order-by", "id desc")
    assert [line.split()[:3] for line in found.out.splitlines()[1:]] == [
        [str(ids[249 - one]), mark, str(249 - one)] for one in range(3)
    ]
    assert "Alder Hosting" in found.out
    as_json = await cli("search", "res.partner", "--domain", f'[["ref","=","{mark}"]]', "--limit", 200, "-o", "json")
    assert [one["id"] for one in json.loads(as_json.out)] == ids[:200]
    shown = await cli("get", "res.partner", ids[1], ids[0], "--fields", "name,parent_id.city")
    told = list(YAML(typ="safe").load_all(shown.out))
    assert [(one["id"], one["name"]) for one in told] == [(ids[1], f"{mark} 1"), (ids[0], f"{mark} 0")]
    missing = await cli("get", "res.partner", 987654, ids[1], 987655, ids[0], "--fields", "name")
    assert missing.code == 1 and "no res.partner 987654, 987655" in missing.err and "[NOT_FOUND]" in missing.err
    assert [one["id"] for one in YAML(typ="safe").load_all(missing.out)] == [ids[1], ids[0]]
    nothing = await cli("get", "res.partner", 987654, "-o", "table")
    assert (nothing.code, nothing.out) == (1, "") and "[NOT_FOUND]" in nothing.err


async def test_a_search_tells_whether_it_is_cut(cli: Cli, made: tuple[str, list[int]]) -> None:
    mark, ids = made
    where = ("search", "res.partner", "-o", "json", "--filter", f'ref = "{mark}"', "--limit")
    cut, whole = await asyncio.gather(cli(*where, 249), cli(*where, 250))
    assert [one["id"] for one in json.loads(cut.out)] == ids[:249]
    assert cut.code == 0 and "only the first 249" in cut.err and "--limit" in cut.err
    assert len(json.loads(whole.out)) == 250 and whole.err == ""


async def test_an_open_breaker_is_told_at_once(cli: Cli) -> None:
    await break_connection(cli, pause=25.0)
    started = time.monotonic()
    refused = await cli("search", "res.partner", "-c", "broken")
    assert refused.code == 1 and "[BREAKER_OPEN]" in refused.err and re.search(r"try again in \d\d s", refused.err)
    assert time.monotonic() - started < 12


async def test_an_export_waits_for_a_breaker_and_says_so(
    cli: Cli, made: tuple[str, list[int]], sandbox: SandboxProcess
) -> None:
    mark, ids = made
    await break_connection(cli, pause=4.0)
    words = ("res.partner", "-c", "broken", "--filter", f'ref = "{mark}"', "--fields", "name")
    process = await cli.start("export", *words)
    assert process.stderr is not None
    told = (await process.stderr.readline()).decode()
    assert re.search(r"\[BREAKER_OPEN\]; goes on in \d s", told), told
    cli.proxy.target = sandbox.url
    ended = await cli.end(process)
    assert ended.code == 0 and [json.loads(line)["id"] for line in ended.out.splitlines()] == ids, ended.err


async def test_what_each_command_needs_is_what_it_says(sqlite: str, sandbox: SandboxProcess, tmp_path: Path) -> None:
    secret = "a secret of more than thirty-two bytes"
    async with serve(app, Settings, data=sqlite, secret_keys=KEY, auth_secret=secret) as (admin, running):
        await connect(admin, sandbox.url)
        cli = Cli(running.address, tmp_path, Proxy(""), "")
        for command, *words in (
            ("models",),
            ("describe", "res.partner"),
            ("search", "res.partner", "--fields", "parent_id.name"),
            ("get", "res.partner", 10),
            ("export", "res.partner"),
        ):
            told = await cli(command, "--help", COLUMNS="100")
            named = set(re.findall(r"erp\.\w+\.\w+", told.out))
            for left_out in ("", *named):
                granted = sorted(named - {left_out}) or ["cache.caches.get"]
                token = make_token(secret, "user:anna", granted, tenant="default", hours=1, service=False)
                ended = await cli(command, *words, SUTLER_TOKEN=token)
                assert (ended.code == 0) is not left_out, (command, left_out, ended.err)
                assert left_out in ended.err


async def break_connection(cli: Cli, pause: float) -> None:
    """Makes a connection ``broken`` whose ERP is away and whose breaker is open; the fields of partners are known."""
    name = "connections/broken"
    async with sutler.client.connect(cli.address, attempts=1) as client:
        policy = erp_pb2.BreakerPolicy(failure_limit=1, open_duration=duration(pause))
        await connect(client, cli.url, "broken", breaker_policy=policy)
        await client.erp.DescribeModel(erp_pb2.DescribeModelRequest(connection=name, model="res.partner"))
        cli.proxy.target = f"http://127.0.0.1:{free_port()}"
        reason = ""
        while reason != "BREAKER_OPEN":
            with pytest.raises(Unavailable) as caught:
                await client.erp.GetRecord(erp_pb2.GetRecordRequest(connection=name, model="res.partner", id=10))
            reason = caught.value.reason


async def test_records_are_exported_in_each_form(cli: Cli, made: tuple[str, list[int]]) -> None:
    mark, ids = made
    words = ("export", "res.partner", "--filter", f'ref = "{mark}"', "--fields", "name,city,parent_id,parent_id.name")
    for file in ("partners.csv", "partners.jsonl", "partners.parquet"):
        ended = await cli(*words, file)
        assert ended.code == 0 and "exported 250 records" in ended.err and ended.out == ""
    plain = await cli(*words)
    assert sorted(path.name for path in cli.folder.iterdir()) == [
        "partners.csv",
        "partners.jsonl",
        "partners.parquet",
    ]
    with (cli.folder / "partners.csv").open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert [int(row["id"]) for row in rows] == ids
    assert list(rows[7].items()) == [
        ("id", str(ids[7])),
        ("name", f"{mark} 7"),
        ("city", 'a "city", é'),
        ("parent_id", "10"),
        ("parent_id.name", "Alder Hosting"),
    ]
    written = (cli.folder / "partners.jsonl").read_text("utf-8")
    assert written.splitlines() == plain.out.splitlines()
    assert [json.loads(line)["parent_id"]["id"] for line in written.splitlines()] == [10] * 250
    table = parquet.read_table(cli.folder / "partners.parquet")
    assert table.column_names == ["id", "name", "city", "parent_id", "parent_id.name"]
    assert table["id"].to_pylist() == ids and set(table["parent_id"].to_pylist()) == {10}


async def test_parquet_has_the_types_of_the_fields(cli: Cli, sandbox: SandboxProcess) -> None:
    line = [0, 0, {"product_id": 1, "product_uom_qty": 2.5}]
    values = {"partner_id": 10, "validity_date": "2027-01-31", "order_line": [line]}
    [order] = sandbox.call("sale.order", "create", [values])
    words = ("export", "sale.order", "-o", "parquet", "orders", "--filter", f"id = {order}")
    assert (await cli(*words)).code == 0
    [row] = parquet.read_table(cli.folder / "orders").to_pylist()
    assert row["validity_date"] == date(2027, 1, 31) and row["date_order"].tzinfo is not None
    assert isinstance(row["amount_total"], Decimal) and row["amount_total"] > 0
    assert len(row["order_line"]) == 1 and isinstance(row["order_line"][0], int)
    lines = ("export", "sale.order", "lines.parquet", "--filter", f"id = {order}")
    assert (await cli(*lines, "--fields", "order_line.product_uom_qty")).code == 0
    [row] = parquet.read_table(cli.folder / "lines.parquet").to_pylist()
    assert json.loads(row["order_line.product_uom_qty"]) == [2.5]


async def test_parquet_has_large_amounts_exactly(cli: Cli, sandbox: SandboxProcess) -> None:
    lines = [[0, 0, {"product_id": 1, "product_uom_qty": 1, "price_unit": 12_345_678_901.12}]]
    [order] = sandbox.call("sale.order", "create", [{"partner_id": 10, "order_line": lines}])
    told = sandbox.call("sale.order", "read", [order], ["amount_untaxed"])[0]["amount_untaxed"]
    words = ("export", "sale.order", "large.parquet", "--filter", f"id = {order}", "--fields", "amount_untaxed")
    ended = await cli(*words)
    assert ended.code == 0, ended.err
    [row] = parquet.read_table(cli.folder / "large.parquet").to_pylist()
    assert row["amount_untaxed"] == Decimal(str(told)) and told > 1e10


@pytest.mark.parametrize("wide", ["1" * 21, "1e-19", "NaN"])
def test_what_no_decimal_of_parquet_holds_is_text(tmp_path: Path, wide: str) -> None:
    columns = [Column(name, erp_pb2.ModelField.TYPE_DECIMAL) for name in ("wide", "narrow")]
    rows: list[dict[str, Any]] = [{"wide": wide, "narrow": "9" * 20}, {"wide": "1.5", "narrow": None}]
    source = io.StringIO("".join(f"{json.dumps(row)}\n" for row in rows))
    to_parquet(source, tmp_path / "file", columns)
    found = parquet.read_table(tmp_path / "file").to_pylist()
    assert found == [{"wide": wide, "narrow": Decimal("9" * 20)}, {"wide": "1.5", "narrow": None}]


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_what_broke_off_goes_on_where_it_was(cli: Cli, made: tuple[str, list[int]], form: str) -> None:
    mark, _ = made
    words = ("export", "res.partner", "--filter", f'ref = "{mark}"', "--fields", "name,city")
    assert (await cli(*words, f"whole.{form}")).code == 0
    cli.proxy.calls.clear()
    cli.proxy.replace("search_read", Reply(silent=True), 100, after=1)
    broken = await cli(*words, f"file.{form}")
    assert broken.code == 1 and "goes on" in broken.err and "[ERP_ANSWER_INVALID]" in broken.err
    assert not (cli.folder / f"file.{form}").exists()
    with (cli.folder / f"file.{form}.part").open("ab") as part:
        part.write(b"half a li")  # as a crash leaves it
    cli.proxy.instead.clear()
    cli.proxy.calls.clear()
    again = await cli(*words, f"file.{form}")
    assert again.code == 0 and "going on" in again.err and "exported 250 records" in again.err
    assert sum(len(call.args[0]) > 1 for call in cli.proxy.calls if call.method == "search_read") == 3
    assert (cli.folder / f"file.{form}").read_bytes() == (cli.folder / f"whole.{form}").read_bytes()
    assert len(list(cli.folder.iterdir())) == 2


async def test_a_file_is_of_one_export_at_a_time(cli: Cli, made: tuple[str, list[int]]) -> None:
    mark, ids = made
    words = ("export", "res.partner", "two.csv", "--filter", f'ref = "{mark}"', "--fields")
    await cli("describe", "res.partner")
    cli.proxy.slow("search_read", 2)
    first = await cli.start(*words, "name,city")
    await wait_until((cli.folder / "two.csv.part").exists)
    first.send_signal(signal.SIGSTOP)
    try:
        for second in await asyncio.gather(cli(*words, "name,phone"), cli(*words, "name,city")):
            assert second.code == 1 and "another export writes two.csv" in second.err
    finally:
        first.send_signal(signal.SIGCONT)
        ended = await cli.end(first)
    assert ended.code == 0, ended.err
    assert [path.name for path in cli.folder.iterdir()] == ["two.csv"]
    with (cli.folder / "two.csv").open(encoding="utf-8", newline="") as text:
        rows = list(csv.DictReader(text))
    assert list(rows[0]) == ["id", "name", "city"] and [int(row["id"]) for row in rows] == ids


async def test_what_is_dropped_or_replaced_is_told(cli: Cli, made: tuple[str, list[int]]) -> None:
    mark, _ = made
    words = ("export", "res.partner", "file.csv", "--filter", f'ref = "{mark}"', "--fields")
    await cli("describe", "res.partner")
    cli.proxy.replace("search_read", Reply(silent=True), 100, after=1)
    assert "goes on" in (await cli(*words, "name,city")).err
    cli.proxy.instead.clear()
    other = await cli(*words, "name")
    assert other.code == 0 and "file.csv.part is of another export" in other.err and "replaced" not in other.err
    again = await cli(*words, "name")
    assert again.code == 0 and "file.csv is there already" in again.err and "another export" not in again.err


async def test_an_export_without_a_record_leaves_nothing(cli: Cli, made: tuple[str, list[int]]) -> None:
    mark, _ = made
    await cli("describe", "res.partner")
    cli.proxy.replace("search_read", Reply(silent=True), 100)
    ended = await cli("export", "res.partner", "file.csv", "--filter", f'ref = "{mark}"', "--fields", "name")
    assert ended.code == 1 and "goes on from" not in ended.err and list(cli.folder.iterdir()) == []


async def test_a_short_outage_is_waited_out(cli: Cli, made: tuple[str, list[int]]) -> None:
    mark, ids = made
    cli.proxy.replace("search_read", Reply(silent=True), 2, after=1)
    words = ("export", "res.partner", "--filter", f'ref = "{mark}"', "--fields", "name")
    ended = await cli(*words, TTY_COMPATIBLE="1", COLUMNS="100")
    assert ended.code == 0 and [json.loads(line)["id"] for line in ended.out.splitlines()] == ids
    assert "250/250" in ended.err


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("export", "res.partner", "file.xls"), 2, "-o parquet|csv|jsonl"),
        (("export", "res.partner", "-o", "parquet"), 2, "standard output"),
        (("export", "res.nobody", "x.csv"), 1, "[MODEL_NOT_FOUND]"),
        (("export", "res.partner", "x.csv", "--fields", "colour"), 1, "sutler erp describe res.partner"),
        (("export", "res.partner", "nowhere/x.csv"), 1, "No such file"),
        (("export", "res.partner", "..", "-o", "csv"), 2, "is a folder"),
        (("search", "res.partner", "--domain", "{"), 2, "--domain is no JSON"),
        (("search", "res.partner", "--domain", "{}"), 2, "JSON list"),
        (("models", "-c", "other"), 1, "[NOT_FOUND]"),
    ],
)
async def test_what_is_wrong_is_told(cli: Cli, words: tuple[Any, ...], code: int, told: str) -> None:
    ended = await cli(*words, COLUMNS="200")
    assert (ended.code, ended.out) == (code, "") and told in ended.err
    assert list(cli.folder.iterdir()) == []


async def test_without_pyarrow_it_is_named(cli: Cli) -> None:
    ended = await cli("export", "res.partner", "x.parquet", program=NO_PYARROW)
    assert ended.code == 1 and "pip install 'sutler[data]'" in ended.err
    assert (await cli("export", "res.country", "x.csv", program=NO_PYARROW)).code == 0


async def test_each_command_explains_itself(cli: Cli) -> None:
    commands = ("models", "describe", "search", "get", "export")
    for told in await asyncio.gather(*(cli(command, "--help", COLUMNS="100") for command in commands)):
        assert told.code == 0 and "--connection" in told.out
