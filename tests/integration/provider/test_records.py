"""What a machine can do to the record of its launch, and what that does to others: nothing."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from sutler.client import Sutler
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import is_gone, wait_until

from services.provider.adapters.process import ProcessKind
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.launcher import RECORD_BYTES
from services.provider.adapters.process.procfs import boot_id, identify
from services.provider.adapters.process.programs import Programs
from services.provider.diagnostics import ProviderFailed
from services.provider.machines import Sight
from tests.integration.provider.conftest import Serve, ask, give_back, machine, machines, pid_of, set_up
from tests.integration.provider.kinds import made, template
from tests.integration.provider.test_deaths import FAILED, RUNNING, id_of, in_state

GARBAGE = (
    b"garbage",
    b"\xff\xfe",
    b"launch=1",
    b"launch=x",
    b"launch=1 pid=-1 start=1 boot=b",
    b"launch=1 pid=99999999999999999999 start=1 boot=b",
    b"launch=1 pid=7 start=1 boot=b exit=99999999999",
)


def overwrite(lock: Path, record: bytes) -> None:
    with lock.open("r+b") as file:
        file.write(record.ljust(RECORD_BYTES))


@pytest_asyncio.fixture
async def bystander() -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that is no machine."""
    process = await asyncio.create_subprocess_exec("sleep", "1000", start_new_session=True)
    yield process
    assert process.returncode is None, "it was ended instead of a machine"
    process.kill()
    await process.wait()


async def test_a_machine_cannot_write_through_the_descriptor_that_it_inherits(
    folder: Folder, kind: ProcessKind
) -> None:
    script = (
        "import os, time\n"
        "(lock,) = [int(n) for n in os.listdir('/proc/self/fd') if int(n) > 2 and"
        " os.path.exists(f'/proc/self/fd/{n}') and os.readlink(f'/proc/self/fd/{n}').endswith('.lock')]\n"
        "try:\n    os.pwrite(lock, b'garbage', 0)\nexcept OSError as error:\n    print(error.errno, flush=True)\n"
        "time.sleep(1000)"
    )
    await kind.launch(made(), template(sys.executable, "-c", script), {})
    output = folder.output("m1", "stdout")
    await wait_until(lambda: output.exists() and output.read_text() == "9\n")
    state = folder.lock("m1").read()
    assert state is not None
    assert state.held


@pytest.mark.parametrize("record", GARBAGE)
async def test_a_record_that_nobody_can_read_concerns_its_machine_alone(
    serving: Serve, place: Path, record: bytes
) -> None:
    async with serving(sweep_seconds=0.1) as client:
        await set_up(client)
        await ask(client, 2)
        broken, other = await machines(client)
        overwrite(place / f"{id_of(broken)}.lock", record)
        await works(client)
    async with serving(sweep_seconds=0.1) as client:
        await works(client)
        for name in (broken.name, other.name):
            assert (await machine(client, name)).state == RUNNING
        await give_back(client, names=[broken.name])
        assert is_gone(pid_of(broken))
        assert not is_gone(pid_of(other))


async def works(client: Sutler) -> None:
    """Machines are started, looked at and ended."""
    request = await ask(client)
    found = await machine(client, request.machines[0])
    os.kill(pid_of(found), 9)
    await in_state(client, found.name, FAILED)


@pytest.mark.parametrize("dead", [False, True])
async def test_a_record_that_names_another_process_is_not_believed(
    serving: Serve, place: Path, bystander: asyncio.subprocess.Process, dead: bool
) -> None:
    async with serving() as client:
        await set_up(client)
        await ask(client)
        (found,) = await machines(client)
    if dead:
        os.kill(pid_of(found), 9)
        await wait_until(lambda: is_gone(pid_of(found)))
    identity = identify(bystander.pid)
    assert identity is not None
    told = f"launch=1 pid={identity.pid} start={identity.start} boot={boot_id()} closed=0"
    overwrite(place / f"{id_of(found)}.lock", told.encode())
    async with serving() as client:
        if dead:
            await in_state(client, found.name, FAILED)
        else:
            assert (await machine(client, found.name)).state == RUNNING
            assert pid_of(await machine(client, found.name)) == pid_of(found)
        await give_back(client, all=True, force=True)
        assert is_gone(pid_of(found))


async def test_a_machine_that_starts_again_is_known_by_its_new_process(serving: Serve) -> None:
    async with serving() as client:
        await set_up(client)
        await ask(client)
        (first,) = await machines(client)
        await client.wait(await client.providers.StopMachines(pb.StopMachinesRequest(names=[first.name])))
        await client.wait(await client.providers.StartMachines(pb.StartMachinesRequest(names=[first.name])))
        again = await machine(client, first.name)
        assert pid_of(again) != pid_of(first)
    async with serving() as client:
        assert (await machine(client, first.name)).state == RUNNING
        await give_back(client, all=True)
    assert is_gone(pid_of(again))


class TestALaunchOfWhichNothingElseIsKnown:
    async def test_it_is_not_made_again(self, folder: Folder, kind: ProcessKind) -> None:
        folder.lock("m1").make({})
        overwrite(folder.lock("m1").path, b"garbage")
        with pytest.raises(ProviderFailed) as failed:
            await kind.launch(made(), template(), {})
        assert failed.value.diagnostic.code == "RECORD"
        assert (await kind.look(made())).sight is Sight.ENDED
        assert (await kind.launch(made(launch=2), template(), {})).sight is Sight.ALIVE

    async def test_what_holds_its_lock_is_ended_first(self, folder: Folder) -> None:
        first = ProcessKind(folder, Programs())
        async with first.owned():
            seen = await first.launch(made(), template(), {})
        overwrite(folder.lock("m1").path, b"garbage")
        second = ProcessKind(folder, Programs())
        async with second.owned():
            assert (await second.look(made())).sight is Sight.ALIVE
            with pytest.raises(ProviderFailed) as failed:
                await second.launch(made(), template(), {})
        assert failed.value.diagnostic.code == "RECORD"
        assert is_gone(seen.attributes["pid"])

    async def test_it_can_be_ended(self, folder: Folder) -> None:
        first = ProcessKind(folder, Programs())
        async with first.owned():
            seen = await first.launch(made(), template(), {})
        overwrite(folder.lock("m1").path, b"garbage")
        second = ProcessKind(folder, Programs())
        async with second.owned():
            assert (await second.end(made(), template(), force=False)).sight is Sight.ENDED
        assert is_gone(seen.attributes["pid"])


async def test_a_look_at_an_earlier_launch_leaves_the_later_one_alone(kind: ProcessKind) -> None:
    before = await kind.launch(made(), template("true"), {})
    await wait_until(lambda: is_gone(before.attributes["pid"]))
    later = await kind.launch(made(launch=2), template(), {})
    stale = replace(made(), attributes=before.attributes)
    assert (await kind.look(stale)).sight is Sight.ENDED
    assert not is_gone(later.attributes["pid"])
