"""A host that has no files left, or whose files cannot be used: what cannot be seen is not taken for gone."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sutler.errors import Unavailable
from sutler.testing import wait_until

from services.provider.adapters.process import ProcessKind
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.procfs import Identity, boot_id, holds_lock, is_alive, lock_holders, open_pidfd
from services.provider.adapters.process.programs import Programs
from services.provider.machines import Sight
from tests.integration.provider.conftest import Serve, ask, give_back, machines, set_up
from tests.integration.provider.kinds import made, template

FILES = 256


@contextmanager
def files_left(spare: int) -> Iterator[None]:
    """Leaves this process only so many files that it can open."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, before[1]))
    taken: list[int] = []
    try:
        try:
            while True:
                taken.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            for _ in range(spare):
                os.close(taken.pop())
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def told(kind: ProcessKind) -> Sight | str:
    """What is said of a machine: what is there of it, or why that cannot be seen."""
    try:
        return (await kind.look(made())).sight
    except Unavailable as error:
        return error.metadata["code"]


@pytest.mark.parametrize("spare", range(5))
async def test_a_living_machine_is_never_told_dead(folder: Folder, spare: int) -> None:
    first = ProcessKind(folder, Programs())
    async with first.owned():
        await first.launch(made(), template(), {})
    second = ProcessKind(folder, Programs())
    async with second.owned():
        with files_left(spare):
            found = await told(second)
        assert found in (Sight.ALIVE, "EMFILE")
        assert (await second.look(made())).sight is Sight.ALIVE


def test_a_process_that_cannot_be_looked_at_is_not_gone() -> None:
    own = Identity(os.getpid(), 1, boot_id())
    with files_left(0):
        for look in (is_alive, open_pidfd):
            with pytest.raises(OSError, match="Too many open files"):
                look(own)
    assert open_pidfd(own) is None, "it started at another time"


async def test_holders_that_cannot_be_looked_at_are_not_overlooked(folder: Folder, kind: ProcessKind) -> None:
    seen = await kind.launch(made(), template(), {})
    path, pid = str(folder.lock("m1").path), seen.attributes["pid"]
    with files_left(0):
        with pytest.raises(OSError, match="Too many open files"):
            lock_holders(path)
        with pytest.raises(OSError, match="Too many open files"):
            holds_lock(pid, path)
    assert lock_holders(path) == [pid]


async def test_files_that_cannot_be_removed_say_so(folder: Folder, kind: ProcessKind) -> None:
    folder.lock("m1").path.mkdir()
    with pytest.raises(Unavailable) as failed:
        await kind.forget(made())
    assert failed.value.metadata["code"] == "EISDIR"


async def test_one_machine_that_cannot_be_forgotten_keeps_no_other(serving: Serve, place: Path) -> None:
    async with serving() as client:
        await set_up(client)
        await ask(client, 3)
        stuck, *_ = [m.name for m in await machines(client)]
        await give_back(client, all=True)
        lock = Folder(place).lock(stuck.partition("/")[2]).path
        lock.unlink()
        lock.mkdir()
    async with serving(keep_days=1e-9) as client:

        async def only_one_left() -> bool:
            return [m.name for m in await machines(client)] == [stuck]

        await wait_until(only_one_left)
        assert (await ask(client)).running_count == 1
