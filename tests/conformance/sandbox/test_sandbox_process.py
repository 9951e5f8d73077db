"""The sandbox as a process: it keeps what it answered, does things once, queues, and starts and stops cleanly."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
import pytest

from services.erp.sandbox.settings import Settings
from tests.conformance.sandbox.processes import ROOT, Refused, SandboxProcess, log_lines, run_to_end, started

JSON = {"content-type": "application/json"}


def test_a_restart_keeps_data_users_and_numbers(tmp_path: Path) -> None:
    data = str(tmp_path / "deep" / "sandbox.db")
    with started("--data", data) as sandbox:
        order = sandbox.call("sale.order", "create", {"partner_id": 10, "note": "<p>kept</p>"})
        assert sandbox.stop() == 0

    with started(SUTLER_SANDBOX_DATA=data) as sandbox:
        [read] = sandbox.call("sale.order", "read", [order], ["name", "note"])
        assert (read["name"], read["note"]) == ("S00004", "<p>kept</p>")
        assert sandbox.call("sale.order", "read", [sandbox.call("sale.order", "copy", [order])[0]], ["name"])
        assert sandbox.call("res.partner", "search_count", [["name", "=", "Alder Hosting"]]) == 1
        assert sandbox.stop(signal.SIGINT) == 0


def test_a_kill_keeps_every_answered_write_and_logs_it_once(tmp_path: Path) -> None:
    flags = ("--data", str(tmp_path / "sandbox.db"), "--write-log", str(tmp_path / "writes.jsonl"))
    answered: list[int] = []

    def write_until_killed(sandbox: SandboxProcess, writer: int) -> None:
        for number in range(10_000):
            try:
                answered.append(sandbox.call("res.partner", "create", {"name": f"{writer}-{number}"}))
            except httpx.HTTPError:
                return
            if len(answered) == 120:
                os.kill(sandbox.process.pid, signal.SIGKILL)

    with started(*flags) as sandbox, ThreadPoolExecutor(6) as pool:
        for done in [pool.submit(write_until_killed, sandbox, writer) for writer in range(6)]:
            done.result()
        assert sandbox.process.wait(10) == -signal.SIGKILL

    with started(*flags) as sandbox:
        stored = set(sandbox.call("res.partner", "search", [["name", "=like", "%-%"]]))
        logged = [line["ids"][0] for line in log_lines(tmp_path / "writes.jsonl")]
    assert len(answered) >= 120
    assert set(answered) <= stored
    assert sorted(logged) == sorted(stored)


def test_of_twenty_parallel_confirms_one_succeeds(tmp_path: Path) -> None:
    flags = ("--data", str(tmp_path / "sandbox.db"), "--write-log", str(tmp_path / "writes.jsonl"), "--workers", "20")
    with started(*flags) as sandbox, ThreadPoolExecutor(20) as pool:
        calls = [pool.submit(sandbox.call, "sale.order", "action_confirm", [1]) for _ in range(20)]
        errors = [call.exception() for call in calls]
        state = sandbox.call("sale.order", "read", [1], ["state"])[0]["state"]

    refused = [error for error in errors if error is not None]
    assert [error.args[0] for error in refused] == ["odoo.exceptions.UserError"] * 19
    assert state == "sale"
    assert [(line["method"], line["ids"]) for line in log_lines(tmp_path / "writes.jsonl")] == [("action_confirm", [1])]


@pytest.mark.parametrize("data", ["file", ":memory:"])
def test_parallel_writers_and_readers_do_not_disturb_each_other(tmp_path: Path, data: str) -> None:
    flags = ("--data", str(tmp_path / "sandbox.db") if data == "file" else data)
    with started(*flags) as sandbox, ThreadPoolExecutor(12) as pool:
        values = {"partner_id": 10, "order_line": [[0, 0, {"product_id": 1}]]}
        orders = [pool.submit(sandbox.call, "sale.order", "create", values) for _ in range(40)]
        reads = [pool.submit(sandbox.call, "sale.order", "search_read", [], fields=["amount_total"]) for _ in range(40)]
        ids = [order.result() for order in orders]
        seen = [row["amount_total"] for read in reads for row in read.result() if row["id"] in ids]
        names = [row["name"] for row in sandbox.call("sale.order", "read", ids, ["name"])]

    assert len(set(ids)) == len(set(names)) == 40
    assert set(seen) <= {23.0}


def test_the_write_log_tells_who_changed_what(tmp_path: Path) -> None:
    path = tmp_path / "writes.jsonl"
    with started("--write-log", str(path)) as sandbox:
        one = sandbox.call("res.partner", "create", {"name": "One"})
        sandbox.call("res.partner", "write", [one], {"city": "Ghent"})
        with pytest.raises(Refused):
            sandbox.call("res.partner", "write", [one], {"nope": 1})
        sandbox.call("res.partner", "load", ["id", "name"], [["x.one", "Bad"], ["x.two", ""]])
        sandbox.call("res.partner", "unlink", [one])
        sandbox.call("sale.order", "action_cancel", [1])
        sandbox.call("res.users", "write", [6], {"password": "s3cret"})

    lines = log_lines(path)
    assert [(line["model"], line["method"], line["ids"], line["values"]) for line in lines] == [
        ("res.partner", "create", [one], {"name": "One"}),
        ("res.partner", "write", [one], {"city": "Ghent"}),
        ("res.partner", "unlink", [one], {}),
        ("sale.order", "action_cancel", [1], {}),
        ("res.users", "write", [6], {"password": "<hidden>"}),
    ]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5]
    assert {line["uid"] for line in lines} == {2} and {line["server"] for line in lines} == {"sandbox"}


def test_half_a_log_line_left_by_a_crash_is_written_again(tmp_path: Path) -> None:
    flags = ("--data", str(tmp_path / "sandbox.db"), "--write-log", str(tmp_path / "writes.jsonl"))
    with started(*flags) as sandbox:
        for name in ("One", "Two", "Three"):
            sandbox.call("res.partner", "create", {"name": name})
        sandbox.stop()
    log = tmp_path / "writes.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole[: whole.index(b"\n") + 20])

    with started(*flags) as sandbox:
        assert log.read_bytes() == whole
        sandbox.stop()
    with started("--data", str(tmp_path / "other.db"), *flags[2:]):
        assert log.read_bytes() == b""


def test_sigterm_lets_a_call_in_flight_end(tmp_path: Path) -> None:
    data = str(tmp_path / "sandbox.db")
    with started("--data", data, "--service-ms", "500") as sandbox:
        connection = http.client.HTTPConnection(sandbox.url.removeprefix("http://"))
        connection.request(
            "POST", "/jsonrpc", json.dumps(sandbox.body("res.partner", "create", {"name": "Slow"})), JSON
        )
        for _ in range(2):  # two rounds of the event loop: the call has been read by then
            httpx.get(f"{sandbox.url}/web/health")
        sandbox.process.send_signal(signal.SIGTERM)
        created = json.load(connection.getresponse())["result"]
        connection.close()
        assert sandbox.process.wait(20) == 0

    with started("--data", data) as sandbox:
        assert sandbox.call("res.partner", "read", [created], ["name"]) == [{"id": created, "name": "Slow"}]


def test_a_signal_right_after_the_start_is_not_lost() -> None:
    for _ in range(5):
        with started() as sandbox:
            assert sandbox.stop() == 0


def test_calls_beyond_the_workers_wait_but_health_does_not() -> None:
    with started("--workers", "1", "--service-ms", "150") as sandbox, ThreadPoolExecutor(3) as pool:
        began = time.monotonic()
        calls = [pool.submit(sandbox.call, "res.partner", "search_count", []) for _ in range(3)]
        health = httpx.get(f"{sandbox.url}/web/health")
        waiting = [call.done() for call in calls]
        for call in calls:
            call.result()
        took = time.monotonic() - began

    assert health.json() == {"status": "pass"} and not all(waiting)
    assert took >= 0.45


def test_rows_take_time_too() -> None:
    with started("--row-ms", "20") as sandbox:
        sandbox.call("res.partner", "read", [1], ["name"])
        began = time.monotonic()
        sandbox.call("res.partner", "create", [{"name": str(number)} for number in range(10)])

    assert time.monotonic() - began >= 0.2


def test_the_connection_closes_after_each_answer_unless_it_is_to_stay() -> None:
    with started() as sandbox:
        answer = httpx.get(f"{sandbox.url}/web/health")
    assert answer.headers["connection"] == "close"
    assert "sandbox" in answer.headers["server"]

    with started("--keep-alive") as sandbox:
        assert "connection" not in httpx.get(f"{sandbox.url}/web/health").headers


@pytest.mark.parametrize("offset", [-600, 600])
def test_its_clock_can_be_wrong(offset: int) -> None:
    with started(f"--clock-offset={offset}") as sandbox:
        partner = sandbox.call("res.partner", "create", {"name": "Later"})
        [row] = sandbox.call("res.partner", "read", [partner], ["create_date", "write_date"])
        told = parsedate_to_datetime(httpx.get(f"{sandbox.url}/web/health").headers["date"])
    for moment in (told, *(datetime.fromisoformat(f"{row[name]}+00:00") for name in ("create_date", "write_date"))):
        assert abs(moment.timestamp() - time.time() - offset) < 30


def test_many_partners_are_there_at_once(tmp_path: Path) -> None:
    flags = ("--data", str(tmp_path / "sandbox.db"), "--partners", "20000")
    for _ in range(2):
        with started(*flags) as sandbox:
            assert sandbox.call("res.partner", "search_count", [["ref", "=like", "crowd-%"]]) == 20_000
    with started(*flags) as sandbox:
        [last] = sandbox.call(
            "res.partner",
            "search_read",
            [["ref", "=", "crowd-20000"]],
            fields=["name", "display_name", "commercial_partner_id", "country_id", "active"],
        )
        named = [last["id"], "Customer 20000"]
        assert (last["display_name"], last["commercial_partner_id"]) == (named[1], named)
        assert (last["country_id"], last["active"]) == ([20, "Belgium"], True)
        assert sandbox.call("res.partner", "create", {"name": "Next"}) == last["id"] + 1


def test_it_counts_the_calls_that_it_gets() -> None:
    with started("--json2") as sandbox:
        sandbox.call("res.partner", "read", [1], ["name"])
        with pytest.raises(Refused):
            sandbox.call("res.partner", "read", [1], ["nope"])
        named = {"domain": [["id", "=", 1]]}
        httpx.post(f"{sandbox.url}/json/2/res.partner/search", json=named, headers={"authorization": "bearer admin"})
        assert httpx.get(f"{sandbox.url}/sandbox/calls").json() == {"read": 2, "search": 1}
        assert httpx.delete(f"{sandbox.url}/sandbox/calls").json() == {}
        assert httpx.get(f"{sandbox.url}/sandbox/calls").json() == {}


def test_a_port_in_use_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        ended = run_to_end("--port", port)

    assert ended.returncode == 1
    assert ended.stderr.splitlines() == [f"sandbox: cannot listen on 127.0.0.1:{port}: Address already in use"]


def test_wrong_settings_are_told_together() -> None:
    ended = run_to_end("--host", "0.0.0.0", "--workers", "0", SUTLER_SANDBOX_PORT="99999")

    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 3
    assert all(name in ended.stderr for name in ("host", "workers", "port"))


def test_a_file_that_is_not_the_sandboxs_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("These are my notes, not a database." * 100)
    ended = run_to_end("--port", "0", "--data", str(path))

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert path.read_text().startswith("These are my notes")


def test_help_says_what_it_is() -> None:
    ended = run_to_end("--help")

    assert ended.returncode == 0
    assert "sandbox" in ended.stdout and "--write-log" in ended.stdout


def test_the_readme_names_every_setting_and_its_example_works() -> None:
    readme = (ROOT / "services/erp/sandbox/README.md").read_text("utf-8")
    for name in Settings.model_fields:
        assert f"| `--{name.replace('_', '-')}` | `SUTLER_SANDBOX_{name.upper()}` |" in readme

    [example] = re.findall(r"^ {4}curl .*\n.*$", readme, re.MULTILINE)
    with started() as sandbox:
        command = example.replace("http://127.0.0.1:8069", sandbox.url)
        answer = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, timeout=30)
    assert json.loads(answer.stdout)["result"][0]["name"] == "S00003"
