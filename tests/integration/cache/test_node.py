"""A client in Node, with generated stubs, and one in Python share entries."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client import connect
from sutler.server import running
from sutler.wire import from_struct, from_value, to_struct

from services.cache.app import app
from services.cache.settings import Settings
from tests.integration.cache.calls import Shelf
from tests.integration.node import node_modules

ROOT = Path(__file__).resolve().parents[3]
EXAMPLE = ROOT / "services/cache/examples/node_client"

pytestmark = [pytest.mark.xdist_group("node"), pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example with its packages and stubs, made as its README says."""
    folder = tmp_path_factory.mktemp("node") / "node_client"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("node_modules", "stubs"))
    (folder / "node_modules").symlink_to(node_modules(EXAMPLE))
    command = [Path(sys.executable).with_name("buf"), "generate", ROOT / ".build/sutler.binpb"]
    paths = ["--path", "sutler/cache/v1", "--path", "google/rpc"]
    done = subprocess.run([*command, *paths], cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return folder / "shelf.js"


class Node:
    """The same cache as a shelf, seen from Node."""

    def __init__(self, program: Path, address: str, cache: str) -> None:
        self._command = ["node", str(program)]
        self._environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "CACHE_ADDRESS": address, "CACHE": cache}

    async def run(self, *arguments: str, data: bytes = b"") -> Any:
        """Returns what a command prints, or the reason of its failure."""
        process = await asyncio.create_subprocess_exec(
            *self._command,
            *arguments,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        out, problem = await process.communicate(data)
        return json.loads(out) if process.returncode == 0 else problem.decode().strip()


@pytest_asyncio.fixture
async def both(sqlite_settings: Settings, program: Path) -> AsyncIterator[tuple[Shelf, Node]]:
    """A cache, seen from Python and from Node."""
    async with running(app, sqlite_settings, "cache") as server, connect(server.address) as client:
        await client.cache.CreateCache(pb.CreateCacheRequest(cache_id="c", cache=pb.Cache()))
        yield Shelf(client, "caches/c"), Node(program, server.address, "caches/c")


async def test_what_python_puts_node_reads(both: tuple[Shelf, Node]) -> None:
    python, node = both
    metadata = {"rows": 3, "names": ["ä", None, True], "deep": {"x": 0.5}}
    key = "Ключ/../🔑 \u0001"
    put = await python.put(
        key, b"\x00\xff", tags=["b", "a"], metadata=to_struct(metadata), data_type="numpy", content_type="x/y"
    )
    found = await node.run("get", key)
    assert base64.b64decode(found["inlineValue"]) == b"\x00\xff"
    assert (found["metadata"], sorted(found["tags"]), found["dataType"]) == (metadata, ["a", "b"], "numpy")
    assert (found["etag"], found["checksum"], found["contentType"]) == (put.etag, put.checksum, "x/y")
    [listed] = await node.run("list", json.dumps({"filter": 'metadata.rows = 3 AND tags:"a"'}))
    assert (listed["key"], listed["metadata"]) == (key, metadata)


async def test_what_node_puts_python_reads(both: tuple[Shelf, Node]) -> None:
    python, node = both
    metadata = {"source": "ecb", "pair": ["eur", "usd"], "rate": 1.08, "live": True, "none": None}
    entry = {"bytes": "1.08", "tags": ["fx", "день"], "metadata": metadata, "contentType": "text/plain"}
    put = await node.run("put", "eur/usd", json.dumps(entry))
    found = await python.get("eur/usd")
    assert (found.inline_value, found.content_type, sorted(found.tags)) == (b"1.08", "text/plain", ["fx", "день"])
    assert (from_struct(found.metadata), found.etag) == (metadata, put["etag"])
    assert await python.keys(filter='metadata.source = "ecb" AND metadata.rate > 1') == ["eur/usd"]


async def test_values_of_each_kind_go_both_ways(both: tuple[Shelf, Node]) -> None:
    python, node = both
    for number, value in enumerate((None, [], "", {"a": [1, "2", None]}, 0.1)):
        await node.run("put", f"json{number}", json.dumps({"json": value}))
        assert from_value((await python.get(f"json{number}")).json_value) == value
    await node.run("put", "empty", json.dumps({"bytes": ""}))
    assert (await python.get("empty")).WhichOneof("value") == "inline_value"
    await python.increment("count", delta=2**53)
    assert (await node.run("add", "count", "3"))["counterValue"] == str(2**53 + 3)
    assert (await python.increment("count", delta=1)).counter_value == 2**53 + 4


async def test_blobs_go_both_ways(both: tuple[Shelf, Node]) -> None:
    python, node = both
    value = bytes(range(256)) * 4096 * 3 + b"end"
    put = await node.run("write", "of node", json.dumps({"tags": ["t"], "dataType": "parquet"}), data=value)
    messages = await python.read("of node")
    assert b"".join(message.data for message in messages) == value
    assert (messages[0].entry.etag, messages[0].entry.data_type) == (put["etag"], "parquet")
    await python.write("of python", value[: 2**20], value[2**20 : 2**21])
    assert base64.b64decode(await node.run("read", "of python")) == value[: 2**21]


async def test_each_invalidates_what_the_other_put(both: tuple[Shelf, Node]) -> None:
    python, node = both
    await python.put("p", b"1", tags=["model:res.partner"])
    await node.run("put", "n", json.dumps({"bytes": "2", "tags": ["model:res.users"]}))
    assert await node.run("invalidate", json.dumps({"tags": ["model:res.partner"]})) == 1
    assert await python.reason("p") == "ENTRY_NOT_FOUND"
    assert await python.invalidate(tags=["model:res.users"]) == 1
    assert await node.run("get", "n") == "ENTRY_NOT_FOUND"


def test_the_lock_file_names_no_registry_and_pins_all() -> None:
    lock = json.loads((EXAMPLE / "package-lock.json").read_text())
    packages = [found for name, found in lock["packages"].items() if name]
    assert packages and all("resolved" not in found and found["integrity"] for found in packages)
    pinned = json.loads((EXAMPLE / "package.json").read_text())["dependencies"]
    assert all(lock["packages"][f"node_modules/{name}"]["version"] == version for name, version in pinned.items())
