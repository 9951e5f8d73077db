"""Ports that somebody else has."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sutler.errors import Unavailable

from tests.integration.faults.conftest import new_id
from tests.integration.faults.faces import Face


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield int(other.getsockname()[1])


async def test_a_port_in_use_ends_the_start(face: Face, tmp_path: Path, taken: int) -> None:
    with face.process(tmp_path, port=taken) as process:
        assert await process.ended() == 1
        [line] = process.output.splitlines()
        assert f"127.0.0.1:{taken}" in line


async def test_what_was_stored_before_outlives_a_port_in_use(face: Face, tmp_path: Path, taken: int) -> None:
    async with face.serving(tmp_path) as (s, _):
        await face.prepare(s)
        await face.change(s, "before", new_id())
    for setting in ("port", "metrics_port"):
        with pytest.raises(Unavailable) as caught:
            async with face.serving(tmp_path, **{setting: taken}):
                pass
        assert str(taken) in "".join(caught.value.metadata.values())
    async with face.serving(tmp_path) as (s, _):
        await face.read(s, "before")
