"""Machines that end by themselves, and services that do: what is seen, and what is found again."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
from sutler.client import Sutler
from sutler.provider.v1 import provider_pb2 as pb
from sutler.testing import is_gone, wait_until

from services.provider.adapters.process.locks import LockFile
from tests.integration.provider.conftest import (
    Serve,
    add_template,
    ask,
    give_back,
    machine,
    machines,
    pid_of,
    set_up,
)

FAILED, RUNNING = pb.Machine.STATE_FAILED, pb.Machine.STATE_RUNNING


async def in_state(client: Sutler, name: str, state: "pb.Machine.State.ValueType") -> pb.Machine:
    async def there() -> pb.Machine | None:
        found = await machine(client, name)
        return found if found.state == state else None

    found = await wait_until(there)
    assert found is not None
    return found


def id_of(found: pb.Machine) -> str:
    return found.name.partition("/")[2]


class TestWhileTheServiceRuns:
    @pytest.mark.parametrize(("end", "code"), [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", 137)])
    async def test_one_that_ends_by_itself_has_failed(self, service: Sutler, end: str, code: int) -> None:
        name = await add_template(service, "brief", command=["sh", "-c", f"sleep 0.2; {end}"])
        request = await ask(service, 1, name)
        dead = await in_state(service, request.machines[0], FAILED)
        assert dead.HasField("exit_code")
        assert dead.exit_code == code
        assert dead.diagnostics[0].code == "EXITED"
        assert dead.HasField("end_time")

    async def test_it_is_noticed_at_once(self, service: Sutler) -> None:
        request = await ask(service)
        found = await machine(service, request.machines[0])
        os.kill(pid_of(found), signal.SIGKILL)
        async with asyncio.timeout(2):
            await in_state(service, found.name, FAILED)

    @pytest.mark.parametrize("session", ["", "setsid "])
    async def test_what_it_leaves_behind_goes_with_it(self, service: Sutler, tmp_path: Path, session: str) -> None:
        child = tmp_path / "child"
        script = f"{session}sh -c 'echo $$ > {child}; exec sleep 1000' & sleep 0.3; exit 1"
        name = await add_template(service, "parent", command=["sh", "-c", script])
        request = await ask(service, 1, name)
        await in_state(service, request.machines[0], FAILED)
        await wait_until(lambda: is_gone(int(child.read_text())))

    async def test_one_that_closes_every_file_is_still_known(self, service: Sutler) -> None:
        script = "import os, time; os.closerange(3, 4096); time.sleep(1000)"
        name = await add_template(service, "closing", command=["/usr/bin/env", "python3", "-c", script])
        request = await ask(service, 1, name)
        found = await machine(service, request.machines[0])
        await wait_until(lambda: not any("lock" in link for link in links(pid_of(found))))
        await give_back(service, all=True)
        assert is_gone(pid_of(found))


def links(pid: int) -> list[str]:
    return [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]


class TestOverARestart:
    async def test_what_lives_is_found_again_and_can_be_ended(self, serving: Serve) -> None:
        async with serving() as client:
            await set_up(client)
            await ask(client, 3)
            before = await machines(client)
        assert not any(is_gone(pid_of(m)) for m in before)
        async with serving() as client:
            assert [(m.name, m.state, pid_of(m)) for m in await machines(client)] == [
                (m.name, RUNNING, pid_of(m)) for m in before
            ]
            os.kill(pid_of(before[0]), signal.SIGKILL)
            await in_state(client, before[0].name, FAILED)
            await give_back(client, all=True)
            assert all(is_gone(pid_of(m)) for m in before)

    async def test_what_died_meanwhile_has_failed_with_an_unknown_code(self, serving: Serve, place: Path) -> None:
        async with serving() as client:
            await set_up(client)
            request = await ask(client, 2)
            dead, alive = await machines(client)
        os.kill(pid_of(dead), signal.SIGKILL)
        await wait_until(lambda: is_gone(pid_of(dead)))
        async with serving() as client:
            found = await in_state(client, dead.name, FAILED)
            assert not found.HasField("exit_code")
            assert (await machine(client, alive.name)).state == RUNNING
            after = await client.providers.GetMachineRequest(pb.GetMachineRequestRequest(name=request.name))
            assert (after.running_count, after.failed_count) == (1, 1)

    async def test_a_pid_that_is_used_again_is_never_mistaken(self, serving: Serve, place: Path) -> None:
        async with serving() as client:
            await set_up(client)
            await ask(client)
            (found,) = await machines(client)
        os.kill(pid_of(found), signal.SIGKILL)
        await wait_until(lambda: is_gone(pid_of(found)))
        bystander = await asyncio.create_subprocess_exec("sleep", "1000")
        try:
            # As if the system had given the pid of the dead machine to somebody else.
            lock = place / f"{id_of(found)}.lock"
            lock.write_bytes(lock.read_bytes().replace(str(pid_of(found)).encode(), str(bystander.pid).encode(), 1))
            async with serving() as client:
                await in_state(client, found.name, FAILED)
                await give_back(client, all=True, force=True)
            assert bystander.returncode is None
        finally:
            bystander.kill()
            await bystander.wait()

    async def test_a_lock_file_that_is_gone_does_not_lose_a_machine(self, serving: Serve, place: Path) -> None:
        async with serving() as client:
            await set_up(client)
            await ask(client)
            (found,) = await machines(client)
        (place / f"{id_of(found)}.lock").unlink()
        async with serving() as client:
            assert (await machine(client, found.name)).state == RUNNING
            await give_back(client, all=True)
        assert is_gone(pid_of(found))

    async def test_files_go_with_the_record(self, serving: Serve, place: Path) -> None:
        async with serving() as client:
            await set_up(client)
            await ask(client)
            (found,) = await machines(client)
            await give_back(client, all=True)
            assert LockFile(place, id_of(found)).read() is not None
        async with serving(keep_days=1e-9) as client:

            async def none_left() -> bool:
                requests = await client.providers.ListMachineRequests(pb.ListMachineRequestsRequest())
                return not await machines(client) and not requests.machine_requests

            await wait_until(none_left)
        assert [entry.name for entry in place.iterdir()] == ["owner"]
