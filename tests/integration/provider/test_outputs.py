"""What machines write: captured, bounded, read and followed."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from sutler.client import Sutler
from sutler.errors import NotFound, OutOfRange
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import wait_until

from services.provider.adapters.process import outputs
from services.provider.templates import Output
from tests.integration.provider.conftest import add_template, ask, machine


async def chunks(client: Sutler, name: str, **how: Any) -> list[pb.ReadMachineOutputResponse]:
    answers = client.providers.ReadMachineOutput(pb.ReadMachineOutputRequest(name=name, **how))
    return [answer async for answer in answers]


async def text(client: Sutler, name: str, **how: Any) -> bytes:
    return b"".join(chunk.data for chunk in await chunks(client, name, **how))


async def written(client: Sutler, script: str, **process: Any) -> str:
    """A machine that has written something and goes on."""
    name = await add_template(client, "writer", command=["sh", "-c", script], **process)
    return str((await ask(client, 1, name)).machines[0])


async def test_both_outputs(service: Sutler) -> None:
    name = await written(service, "echo out; echo err >&2; sleep 1000")

    async def there() -> bool:
        return await text(service, name) == b"out\n"

    await wait_until(there)
    assert await text(service, name, stream=pb.OUTPUT_STREAM_STDERR) == b"err\n"
    assert await text(service, name, offset=1, limit=2) == b"ut"
    assert await text(service, name, offset=-2) == b"t\n"
    with pytest.raises(OutOfRange) as past:
        await text(service, name, offset=5)
    assert past.value.reason == "OUTPUT_DISCARDED"
    assert past.value.metadata == {"oldest": "0", "end": "4"}
    with pytest.raises(NotFound):
        await text(service, "machines/none")


async def test_it_is_there_after_the_end(service: Sutler) -> None:
    name = await written(service, "echo last words")

    async def ended() -> bool:
        return (await machine(service, name)).state == pb.Machine.STATE_FAILED

    await wait_until(ended)
    assert await text(service, name) == b"last words\n"


async def test_following_ends_with_the_machine(service: Sutler) -> None:
    name = await written(service, "for n in 1 2 3; do echo $n; sleep 0.1; done")
    async with asyncio.timeout(10):
        found = await chunks(service, name, follow=True)
    assert b"".join(chunk.data for chunk in found) == b"1\n2\n3\n"
    assert [chunk.offset for chunk in found if chunk.data] == sorted(chunk.offset for chunk in found if chunk.data)


async def test_no_more_is_kept_than_the_template_says(service: Sutler, place: Path) -> None:
    line = "x" * 63
    script = f"i=0; while [ $i -lt 4096 ]; do echo {line}; i=$((i+1)); done; sleep 1000"
    name = await written(service, script, output=pb.OutputRetention(max_file_bytes=16384, max_files=2))
    file = place / name.partition("/")[2] / "stdout"
    size = 4096 * 64
    await wait_until(lambda: file.exists() and file.stat().st_size == size)
    await wait_until(lambda: file.stat().st_blocks * 512 <= 2 * 16384)
    with pytest.raises(OutOfRange) as discarded:
        await text(service, name, offset=0)
    oldest = int(discarded.value.metadata["oldest"])
    assert size - 2 * 16384 <= oldest < size
    kept = await chunks(service, name)
    assert kept[0].offset == oldest
    assert sum(len(chunk.data) for chunk in kept) == size - oldest


@pytest.mark.parametrize("size", [0, 1, 8192, 16384, 16385, 40_000, 100_000])
def test_trimming_keeps_whole_steps(tmp_path: Path, size: int) -> None:
    file = tmp_path / "output"
    file.write_bytes(os.urandom(size))
    content = file.read_bytes()
    outputs.trim(file, Output(8192, 2))
    kept = b"".join(chunk.data for chunk in outputs.read(file, None, 0))
    assert content.endswith(kept)
    assert len(kept) <= max(2 * 8192, 0) or size <= 2 * 8192
    assert len(kept) >= min(size, 8192)
    outputs.trim(file, Output(8192, 2))
    assert b"".join(chunk.data for chunk in outputs.read(file, None, 0)) == kept


def test_what_was_never_written_is_empty(tmp_path: Path) -> None:
    assert list(outputs.read(tmp_path / "none", None, 0)) == []
    outputs.trim(tmp_path / "none", Output())
