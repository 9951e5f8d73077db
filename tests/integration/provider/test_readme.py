"""The README names what there is, its table is the code's, and its example runs."""

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest
from sutler.provider.v1 import provider_pb2
from sutler.settings import ServerSettings

from services.provider.fulfilment import MOVES, Event, Share
from services.provider.requests import RequestState
from services.provider.settings import Settings
from tests.integration.provider.conftest import Serve, machines

README = Path("services/provider/README.md").read_text()


def test_every_rpc_and_setting_is_named() -> None:
    rpcs = provider_pb2.DESCRIPTOR.services_by_name["ProviderService"].methods_by_name
    own = {
        name
        for name, field in Settings.model_fields.items()
        if name not in ServerSettings.model_fields or field.default != ServerSettings.model_fields[name].default
    }
    missing = [name for name in rpcs if not re.search(rf"\b{name}\b", README)]
    missing += [name for name in own if f"`{name.upper()}`" not in README]
    assert not missing


@pytest.mark.parametrize("state", [s for s in RequestState if not s.ended])
def test_the_table_of_states_is_the_one_of_the_code(state: RequestState) -> None:
    (row,) = re.findall(rf"^\| {state.name} \|(.*)\|$", README, re.MULTILINE)
    for event, cell in zip(Event, row.split("|"), strict=True):
        for much in Share:
            found = re.search(rf"{much.value}: ([A-Z_–]+)", cell)
            told = found[1] if found else cell.strip()
            expected = MOVES.get((state, event, much))
            assert told == (expected.name if expected is not None else "–"), (state, event, much)


async def test_the_examples_run(serving: Serve, tmp_path: Path, free_port: int) -> None:
    first, following, prices, reconciling, plugins = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    async with serving(port=free_port) as client:
        await run(first, tmp_path, free_port)
        assert len(await machines(client, "state = STATE_TERMINATED")) == 3
        await run(following, tmp_path, free_port)
        assert len(await machines(client, "state = STATE_TERMINATED")) == 4
        assert "templates/heartbeat 0:00" in await run(prices, tmp_path, free_port)
        assert "0 machines, 0 as recorded\nTrue" in await run(reconciling, tmp_path, free_port)
    said = await run(plugins, tmp_path, free_port)
    assert 'key: "enabled"' in said and "fulfilled: 2" in said and said.strip().endswith("2")


async def run(example: str, folder: Path, port: int) -> str:
    """Returns what an example says."""
    script = folder / "example.py"
    script.write_text(example.replace("127.0.0.1:50055", f"127.0.0.1:{port}"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        env={**os.environ, "PYTHONPATH": "libs:."},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    return said.decode()
