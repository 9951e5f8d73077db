from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sutler.cache.v1 import cache_pb2
from sutler.certs import write_certificates
from sutler.client import connect
from sutler.testing import ServiceProcess, free_ports, is_gone, wait_until

ROOT = Path(__file__).resolve().parents[3]
MODULE, PREFIX = "tests.integration.libs", "SUTLER_DUMMY_"

Starts = Callable[..., ServiceProcess]


@pytest.fixture
def starts(tmp_path: Path) -> Iterator[Starts]:
    """Starts the dummy as a real process."""
    with ExitStack() as stack:

        def start(**settings: object) -> ServiceProcess:
            settings = {"drain_pause_seconds": 0.05, **settings}
            return stack.enter_context(ServiceProcess(MODULE, PREFIX, folder=tmp_path, checkout=ROOT, **settings))

        yield start


async def refused(process: ServiceProcess, code: int) -> str:
    """Returns what a process said that refused to start."""
    assert await process.ended() == code
    assert "Traceback" not in process.output
    return process.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_drain_and_end_with_0(starts: Starts, number: signal.Signals) -> None:
    process = starts()
    await process.serving()
    os.kill(process.pid, number)
    assert await process.ended() == 0


async def test_killed_or_paused_it_comes_back_on_its_port(starts: Starts) -> None:
    process = starts()
    await process.serving()
    process.pause()
    process.resume()
    await process.serving()
    before = process.pid
    process.kill()
    assert (process.running, process.code, is_gone(before)) == (False, -signal.SIGKILL, True)
    process.start()
    await process.serving()
    assert process.pid != before


async def test_it_ends_when_work_behind_the_calls_has_ended(starts: Starts) -> None:
    process = starts()
    await process.serving()
    async with connect(process.address, attempts=1) as client:
        await client.cache.GetCache(cache_pb2.GetCacheRequest(name="caches/doomed"))
        assert await process.ended() == 1


class TestOneClearError:
    async def test_port_in_use(self, starts: Starts) -> None:
        first = starts()
        await first.serving()
        text = await refused(starts(port=first.port), 1)
        assert len(text.strip().splitlines()) == 1
        assert str(first.port) in text

    async def test_all_problems_of_the_settings_and_no_secret(self, starts: Starts) -> None:
        text = await refused(starts(drain_seconds="many", transport="pigeon", auth_secret="short but secret"), 2)
        for word in ("SUTLER_DUMMY_DRAIN_SECONDS", "SUTLER_DUMMY_TRANSPORT", "auth_secret"):
            assert word in text
        assert "short but secret" not in text

    async def test_beyond_loopback_without_tls_and_authentication(self, starts: Starts) -> None:
        text = await refused(starts(host="0.0.0.0"), 2)
        assert "tls_cert" in text
        assert "auth_secret" in text

    async def test_files_that_are_not_there(self, starts: Starts, tmp_path: Path) -> None:
        assert "log_file" in await refused(starts(log_file=tmp_path / "none" / "log"), 1)
        made = write_certificates(tmp_path / "certs", ["localhost"])
        assert "tls_key" in await refused(starts(tls_cert=made.certificate, tls_key=tmp_path / "none"), 1)

    async def test_port_of_the_metrics_in_use(self, starts: Starts) -> None:
        first = starts()
        await first.serving()
        assert "metrics_port" in await refused(starts(metrics_port=first.port), 1)


@pytest.mark.parametrize("worker_ports", ["shared", "own"])
async def test_workers_serve_and_end_together(starts: Starts, worker_ports: str) -> None:
    port = free_ports(2, step=10)
    process = starts(port=port, workers=2, worker_ports=worker_ports)
    await process.serving()
    children: list[int] = await wait_until(lambda: found if len(found := _children(process.pid)) == 2 else [])
    if worker_ports == "own":
        process.port, process.address = port + 10, f"127.0.0.1:{port + 10}"
        await process.serving()
    os.kill(children[0], signal.SIGKILL)
    assert await process.ended() == 1
    await wait_until(lambda: all(is_gone(child) for child in children))


@pytest.mark.parametrize("worker_ports", ["shared", "own"])
async def test_workers_end_with_the_process_that_started_them(starts: Starts, worker_ports: str) -> None:
    process = starts(port=free_ports(2, step=10), workers=2, worker_ports=worker_ports)
    await process.serving()
    children: list[int] = await wait_until(lambda: found if len(found := _children(process.pid)) == 2 else [])
    os.kill(process.pid, signal.SIGKILL)
    await wait_until(lambda: all(is_gone(child) for child in children))
    await process.ended()
    process.start()
    await process.serving()


async def test_help_lists_the_settings() -> None:
    answer = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", MODULE, "--help"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "libs:.", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "SUTLER_DUMMY_AUTH_SECRET" in answer.stdout


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
