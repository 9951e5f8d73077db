import asyncio
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from deploy.local.demo.checking import left_running
from deploy.local.demo.following import Progress
from deploy.local.demo.orders import Order

NAME = "machines/m-1"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"]) as made:
        yield made
        made.kill()


async def none_known(names: Sequence[str]) -> list[str]:
    return []


async def all_known(names: Sequence[str]) -> list[str]:
    return list(names)


def progress(pid: int) -> Progress:
    return Progress(Order(1, "S00001", 1), 0.0, machines={NAME: pid})


async def test_a_process_that_is_just_ending_is_waited_for(process: subprocess.Popen[bytes]) -> None:
    waiting = asyncio.create_task(left_running(progress(process.pid), none_known, 20))
    done, _ = await asyncio.wait({waiting}, timeout=0.3)
    assert not done
    process.kill()
    assert await waiting == []


async def test_a_process_that_does_not_end_is_named(process: subprocess.Popen[bytes]) -> None:
    assert await left_running(progress(process.pid), none_known, 0.2) == [NAME]


async def test_a_machine_that_its_provider_calls_running_is_named(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert await left_running(progress(process.pid), all_known, 0.2) == [NAME]
