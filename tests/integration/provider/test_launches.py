"""A launch happens once: launchers that come twice, too late, or die in the middle."""

import asyncio
import marshal
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sutler.testing import is_gone, wait_blocking, wait_until

from services.provider.adapters.process import ProcessKind
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.locks import LockFile
from services.provider.adapters.process.procfs import Identity, boot_id, is_alive, lock_holders, open_pidfd
from services.provider.adapters.process.programs import Programs
from services.provider.adapters.process.spawning import INTERPRETER
from services.provider.machines import Machine, Sight
from tests.integration.provider.kinds import made, template


def order(folder: Folder, machine: Machine, *command: str) -> dict[str, Any]:
    work = folder.work(machine.id)
    work.mkdir(parents=True, exist_ok=True)
    return {
        "lock": str(folder.lock(machine.id).path),
        "launch": machine.launch,
        "program": command[0] if command else "sleep",
        "command": command or ("sleep", "1000"),
        "environment": {"PATH": os.defpath},
        "folder": str(work),
        "stdout": str(folder.output(machine.id, "stdout")),
        "stderr": str(folder.output(machine.id, "stderr")),
        "limits": {},
    }


@pytest.fixture
def launcher(folder: Folder) -> Iterator[Any]:
    """Starts launchers as a service does that dies after it: nobody waits for them."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            INTERPRETER, env={}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def tell(process: subprocess.Popen[bytes], what: dict[str, Any]) -> str:
    """Tells a launcher what to do, and returns its answer; empty if it became the program."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(marshal.dumps(what))
    process.stdin.close()
    return process.stdout.read().decode()


def alive(folder: Folder, machine: Machine) -> Identity:
    state = folder.lock(machine.id).read()
    assert state is not None and state.identity is not None and is_alive(state.identity)
    return state.identity


async def test_two_launchers_start_one_machine(folder: Folder, launcher: Any) -> None:
    machine = made()
    folder.lock(machine.id).make({})
    first, second = launcher(), launcher()
    answers = await asyncio.gather(
        *(asyncio.to_thread(tell, process, order(folder, machine)) for process in (first, second))
    )
    assert sorted(answer.split(" ")[0] for answer in answers) == ["", "busy"]
    assert alive(folder, machine).pid in (first.pid, second.pid)


async def test_a_launcher_that_comes_after_the_end_starts_nothing(folder: Folder, launcher: Any) -> None:
    machine = made()
    folder.lock(machine.id).make({})
    first = launcher()
    assert await asyncio.to_thread(tell, first, order(folder, machine, "true")) == ""
    first.wait()
    assert (await asyncio.to_thread(tell, launcher(), order(folder, machine))).startswith("over")


async def test_a_launch_that_was_called_off_starts_nothing(folder: Folder, kind: ProcessKind, launcher: Any) -> None:
    machine = made()
    late = launcher()
    assert (await kind.end(machine, template(), force=True)).sight is Sight.NOTHING
    assert (await asyncio.to_thread(tell, late, order(folder, machine))).startswith("over")
    assert (await kind.launch(machine, template(), {})).sight is Sight.ENDED


async def test_a_machine_whose_files_are_removed_is_not_started_late(folder: Folder, launcher: Any) -> None:
    machine = made()
    folder.lock(machine.id).make({})
    late = launcher()
    what = order(folder, machine)
    folder.remove(machine.id)
    assert (await asyncio.to_thread(tell, late, what)).startswith("failed")
    assert folder.machines() == []


async def test_a_launcher_whose_service_dies_before_it_has_said_all_starts_nothing(
    folder: Folder, launcher: Any
) -> None:
    machine = made()
    folder.lock(machine.id).make({})
    process = launcher()
    process.stdin.write(marshal.dumps(order(folder, machine))[:-20])
    process.stdin.close()
    assert await asyncio.to_thread(process.wait) == 0
    state = folder.lock(machine.id).read()
    assert state is not None
    assert (state.launch, state.held) == (0, False)


async def test_a_launcher_of_an_earlier_service_is_waited_for_and_adopted(
    folder: Folder, kind: ProcessKind, launcher: Any
) -> None:
    machine = made()
    folder.lock(machine.id).make({})
    process = launcher()
    os.kill(process.pid, signal.SIGSTOP)
    told = asyncio.create_task(asyncio.to_thread(tell, process, order(folder, machine)))
    os.kill(process.pid, signal.SIGCONT)
    seen = await kind.launch(machine, template(), {})
    await told
    assert seen.sight is Sight.ALIVE
    assert seen.attributes["pid"] == alive(folder, machine).pid


async def test_launching_again_finds_the_same_process(kind: ProcessKind) -> None:
    first = await kind.launch(made(), template(), {})
    again = await asyncio.gather(*(kind.launch(made(), template(), {}) for _ in range(3)))
    assert {seen.attributes["pid"] for seen in again} == {first.attributes["pid"]}


async def test_the_lock_is_held_by_the_program_itself(folder: Folder, kind: ProcessKind) -> None:
    seen = await kind.launch(made(), template(), {})
    state = folder.lock("m1").read()
    assert state is not None
    assert state.held
    assert str(folder.lock("m1").path) in [
        os.readlink(entry) for entry in Path(f"/proc/{seen.attributes['pid']}/fd").iterdir()
    ]


async def test_no_file_of_the_service_reaches_a_machine(kind: ProcessKind, tmp_path: Path) -> None:
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        seen = await kind.launch(made(), template(), {})
        entries = list(Path(f"/proc/{seen.attributes['pid']}/fd").iterdir())
    assert len(entries) == 4, "three standard streams and the lock"


def test_a_zombie_is_dead() -> None:
    with subprocess.Popen(["sleep", "0.05"]) as child:
        identity = Identity(child.pid, int(stat_of(child.pid)[19]), boot_id())
        assert is_alive(identity)
        wait_blocking(lambda: stat_of(child.pid)[0] == "Z")
        assert not is_alive(identity)


def stat_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


@pytest.mark.parametrize("change", [{"start": 1}, {"boot": "another"}])
def test_a_process_is_known_by_more_than_its_pid(change: dict[str, Any]) -> None:
    own = {"pid": os.getpid(), "start": int(stat_of(os.getpid())[19]), "boot": boot_id()}
    assert is_alive(Identity(**own))
    assert not is_alive(Identity(**{**own, **change}))
    assert open_pidfd(Identity(**{**own, **change})) is None


async def test_a_second_service_waits_for_the_first(folder: Folder) -> None:
    first, second = ProcessKind(folder, Programs()), ProcessKind(folder, Programs())
    entered = asyncio.Event()

    async def enter() -> None:
        async with second.owned():
            entered.set()

    async with first.owned():
        waiting = asyncio.create_task(enter())
        await asyncio.sleep(0.3)
        assert not entered.is_set()
    await waiting


async def test_what_a_kill_cannot_reach_is_ended_too(kind: ProcessKind, folder: Folder) -> None:
    script = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1000)\nelse:\n    time.sleep(1000)"
    seen = await kind.launch(made(), template(sys.executable, "-c", script), {})
    await wait_until(lambda: len(holders(folder)) == 2)
    reader = await asyncio.create_subprocess_exec("tail", "-f", str(folder.lock("m1").path))
    (child,) = set(holders(folder)) - {seen.attributes["pid"]}
    await kind.end(made(), template(), force=True)
    await wait_until(lambda: is_gone(seen.attributes["pid"]))
    await kind.end(made(), template(), force=True)
    await wait_until(lambda: is_gone(child))
    assert reader.returncode is None, "who only reads the file is let be"
    reader.kill()
    await reader.wait()


def holders(folder: Folder) -> list[int]:
    return lock_holders(str(LockFile(folder.path, "m1").path))
