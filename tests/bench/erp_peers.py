"""The peers of ``make bench-erp``: zenoo-rpc and plain httpx, in an environment that is kept between runs."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.bench.harness import ROOT, BenchError

PACKAGES = ("zenoo-rpc==0.2.4", "h2", "httpx")
HOME = ROOT / ".build" / "peers" / "erp"

PROGRAM = """
import asyncio, json, sys, time
import httpx
from zenoo_rpc import ZenooClient

async def main(url):
    async with ZenooClient(url) as zenoo, httpx.AsyncClient(timeout=120) as plain:
        await zenoo.login("demo", "admin", "admin")
        print("ready", flush=True)

        async def call(model, method, *args, **named):
            arguments = ["demo", 2, "admin", model, method, args, named]
            params = {"service": "object", "method": "execute_kw", "args": arguments}
            body = {"jsonrpc": "2.0", "id": 1, "method": "call", "params": params}
            return (await plain.post(f"{url}/jsonrpc", json=body)).json()["result"]

        async def zenoo_read(ids, fields):
            found = await asyncio.gather(*(zenoo.read("res.partner", [one], fields) for one in ids))
            assert [rows[0]["id"] for rows in found] == ids

        async def httpx_read(ids, fields):
            found = await asyncio.gather(*(call("res.partner", "read", [one], fields) for one in ids))
            assert [rows[0]["id"] for rows in found] == ids

        async def zenoo_create(rows):
            for row in rows:
                assert await zenoo.create("res.partner", row)

        async def httpx_pages(domain, fields, size):
            last, count = 0, 0
            while True:
                term = [*domain, ["id", ">", last]]
                page = await call("res.partner", "search_read", term, fields, limit=size, order="id")
                if not page:
                    return count
                last, count = page[-1]["id"], count + len(page)

        works = [zenoo_read, httpx_read, zenoo_create, httpx_pages]
        known = {work.__name__: work for work in works}
        while line := await asyncio.to_thread(sys.stdin.readline):
            name, arguments = json.loads(line)
            start = time.perf_counter()
            answer = await known[name](*arguments)
            print(json.dumps([time.perf_counter() - start, answer]), flush=True)

asyncio.run(main(sys.argv[1]))
"""


class Peers:
    """The peers, in one process that is logged in to an ERP."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def run(self, work: str, *arguments: Any) -> tuple[float, Any]:
        """Does some work, and returns how many seconds it took, and its result.

        Raises:
            BenchError: If it fails.
        """
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([work, arguments]).encode() + b"\n")
        await self._process.stdin.drain()
        line = await self._process.stdout.readline()
        if not line:
            raise BenchError(f"{work} of the peers failed")
        took, answer = json.loads(line)
        return took, answer


@asynccontextmanager
async def peers(url: str) -> AsyncIterator[Peers]:
    """Runs the peers against the ERP at an address.

    Raises:
        BenchError: If they cannot be installed.
    """
    python = await asyncio.to_thread(_installed)
    process = await asyncio.create_subprocess_exec(
        python, "-c", PROGRAM, url, stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=1 << 24
    )
    try:
        assert process.stdout
        if await process.stdout.readline() != b"ready\n":
            raise BenchError("the peers cannot log in")
        yield Peers(process)
    finally:
        assert process.stdin
        process.stdin.close()
        await asyncio.wait_for(process.wait(), 30)


def _installed() -> str:
    """Returns the Python of the environment."""
    python = HOME / "bin" / "python"
    try:
        if not (HOME / ".ready").exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(HOME)], check=True, capture_output=True)
            install = [str(python), "-m", "pip", "install", "--quiet", *PACKAGES]
            subprocess.run(install, check=True, capture_output=True, text=True)
            (HOME / ".ready").touch()
    except subprocess.CalledProcessError as error:
        raise BenchError(f"{' and '.join(PACKAGES)}: {error.stderr}") from error
    return str(python)
