from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import psycopg
import pytest
from pydantic import ValidationError
from sutler.auth import make_token
from sutler.cache.v1 import cache_pb2
from sutler.errors import PermissionDenied
from sutler.store import open_database
from sutler.testing import (
    ServiceProcess,
    Stack,
    free_port,
    free_ports,
    is_gone,
    missing,
    postgresql_database,
    postgresql_schema,
    serve,
    wait_blocking,
    wait_until,
)

from tests.integration.libs.conftest import SECRET
from tests.integration.libs.dummy import Dummy, Settings

GET = cache_pb2.GetCacheRequest(name="caches/a")


class TestPorts:
    def test_can_be_bound(self) -> None:
        first = free_ports(5, step=10)
        for port in (free_port(), *range(first, first + 50, 10)):
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))

    def test_taken_ones_are_not_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        base = free_ports(4)
        monkeypatch.setattr("sutler.testing.ports.LOWEST", base)
        monkeypatch.setattr("sutler.testing.ports.HIGHEST", base + 4)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", base + 1))
            taken.listen()
            assert {free_ports(2) for _ in range(20)} == {base + 2}
            with pytest.raises(OSError):
                free_ports(3)


class TestWaiting:
    async def test_returns_what_the_condition_returned(self) -> None:
        answers = iter([0, "", None, [], "found"])
        assert await wait_until(lambda: next(answers)) == "found"
        assert wait_blocking(iter([0, 7]).__next__) == 7

    async def test_of_an_async_condition(self) -> None:
        answers = iter([False, True])

        async def condition() -> bool:
            return next(answers)

        assert await wait_until(condition) is True

    async def test_fails_in_time_and_shows_the_condition(self) -> None:
        with pytest.raises(AssertionError, match="never_true"):
            await wait_until(lambda: never_true(), seconds=0.05)
        with pytest.raises(AssertionError, match="never_true"):
            wait_blocking(lambda: never_true(), seconds=0.05)


def never_true() -> bool:
    return False


class TestServe:
    async def test_a_client_that_may_do_everything(self) -> None:
        async with serve(Dummy().app, Settings, auth_secret=SECRET) as (client, running):
            assert running.port > 0
            assert (await client.cache.GetCache(GET)).name == "caches/a"

    async def test_or_what_its_token_grants(self) -> None:
        token = make_token(SECRET, "user:bob", permissions=[])
        async with serve(Dummy().app, Settings, auth_secret=SECRET, token=token) as (client, _):
            with pytest.raises(PermissionDenied):
                await client.cache.GetCache(GET)

    async def test_for_a_tenant(self) -> None:
        async with serve(Dummy().app, Settings, tenant="acme") as (client, _):
            assert (await client.cache.GetCache(GET)).uid == "acme"

    async def test_settings_that_are_not_usable(self) -> None:
        with pytest.raises(ValidationError):
            async with serve(Dummy().app, Settings, transport="pigeon"):
                pass


class TestPostgresql:
    async def test_schema_is_dropped(self) -> None:
        with postgresql_schema() as url:
            async with open_database(url, name="x", migrations={}):
                pass
            name, server = url.rpartition("=")[2], url.partition("?")[0]
            assert self.schemas(server, name) == 1
        assert self.schemas(server, name) == 0

    async def test_database_is_dropped(self) -> None:
        with postgresql_database() as url:
            async with open_database(url, name="x", migrations={}):
                pass
            server, _, name = url.rpartition("/")
            assert self.databases(server, name) == 1
        assert self.databases(server, name) == 0

    def schemas(self, url: str, name: str) -> int:
        with psycopg.connect(url) as connection:
            found = connection.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", (name,))
            return len(found.fetchall())

    def databases(self, server: str, name: str) -> int:
        with psycopg.connect(f"{server}/postgres") as connection:
            return len(connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchall())

    def test_absent_skips_but_fails_in_ci(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("SUTLER_TEST_POSTGRESQL", f"postgresql://postgres@127.0.0.1:{free_port()}")
        monkeypatch.setenv("CI", "")
        with pytest.raises(pytest.skip.Exception, match="does not answer"), postgresql_schema():
            pass
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="does not answer"), postgresql_database():
            pass

    def test_anything_may_be_missing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CI", raising=False)
        with pytest.raises(pytest.skip.Exception):
            missing("Node is not installed")


class TestServiceProcess:
    async def test_one_that_ends_says_why(self, tmp_path: Path) -> None:
        with ServiceProcess("tests.integration.libs", "SUTLER_DUMMY_", folder=tmp_path, transport="pigeon") as process:
            with pytest.raises(AssertionError, match="SUTLER_DUMMY_TRANSPORT"):
                await process.serving()
            assert process.code == 2

    def test_gone(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        assert not is_gone(child.pid)
        child.kill()
        wait_blocking(lambda: is_gone(child.pid))  # a zombie by now
        child.wait()
        assert is_gone(child.pid)


class TestStack:
    """Against a stand-in for a checkout: a gateway whose health answers for every area, with the same commands."""

    MAIN = """
        import argparse, asyncio, json, os, pathlib, signal, sys
        import grpc
        from grpc_health.v1 import health, health_pb2, health_pb2_grpc

        parser = argparse.ArgumentParser()
        parser.add_argument("verb")
        for name in ("state", "gateway", "services", "sandbox", "admin"):
            parser.add_argument(f"--{name}")
        given = parser.parse_args()
        state, NAMED = pathlib.Path(given.state), {"SUPERVISOR_PROCESS_NAME": "rule"}

        async def run():
            stop = asyncio.Event()
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", "import time; time.sleep(600)", env={**os.environ, **NAMED}
            )
            (state / "supervisord.pid").write_text(str(os.getpid()))
            (state / "given.json").write_text(json.dumps(vars(given)))
            server = grpc.aio.server()
            health_pb2_grpc.add_HealthServicer_to_server(health.aio.HealthServicer(), server)
            server.add_insecure_port(f"127.0.0.1:{given.gateway}")
            await server.start()
            await stop.wait()
            child.kill()
            await child.wait()
            await server.stop(0)

        if given.verb == "run":
            if (state / "broken").exists():
                sys.exit("the stand-in is broken")
            asyncio.run(run())
        else:
            (state / "cleaned").touch()
    """

    @pytest.fixture
    def checkout(self, tmp_path: Path) -> Path:
        for folder in ("deploy/local", "services", "libs"):
            (tmp_path / "checkout" / folder).mkdir(parents=True)
        (tmp_path / "checkout/deploy/local/__main__.py").write_text(textwrap.dedent(self.MAIN))
        return tmp_path / "checkout"

    def test_runs_until_the_block_ends(self, tmp_path: Path, checkout: Path) -> None:
        state = tmp_path / "state"
        with Stack(state, checkout=checkout) as stack:
            assert stack.address == f"127.0.0.1:{stack.ports['gateway']}"
            assert len(set(stack.ports.values())) == len(stack.ports) == 8
            given = (state / "given.json").read_text()
            assert f'"services": "{stack.ports["resource"]}"' in given
            pid = stack.pid("rule")
            assert pid is not None and stack.pid("cache") is None
            stack.signal("rule", signal.SIGSTOP)
            wait_blocking(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
            stack.signal("rule")
            wait_blocking(lambda: is_gone(pid))
            with pytest.raises(AssertionError):
                stack.signal("cache")
            stack.stop()
            stack.start()
            stack.wait_ready()
        assert (state / "cleaned").exists()

    def test_one_that_does_not_come_up_says_why(self, tmp_path: Path, checkout: Path) -> None:
        (tmp_path / "broken").touch()
        with pytest.raises(AssertionError, match="the stand-in is broken"), Stack(tmp_path, checkout=checkout):
            pass
        assert (tmp_path / "cleaned").exists()


def test_the_package_needs_no_service_and_no_deployment() -> None:
    """It is part of the wheel, which holds neither."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3] / "libs")}
    program = "import sys, sutler.testing; print([m for m in sys.modules if m.split('.')[0] in ('services', 'deploy')])"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
