"""The command that ends every machine of a folder."""

import asyncio
import os
import signal
import sys
from pathlib import Path

from sutler.testing import is_gone, wait_until

from tests.integration.provider.conftest import Serve, add_template, ask, machines, pid_of, set_up, users

FORKING = "import os, time\nif os.fork() == 0: os.setsid()\ntime.sleep(1000)"


async def clean(folder: Path, *options: str) -> tuple[int, str]:
    """Runs the command, and returns its exit code and what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "services.provider.adapters.process.cleanup",
        str(folder),
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": "libs:."},
    )
    said, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


async def test_it_ends_what_runs_the_deaf_too(serving: Serve, place: Path) -> None:
    async with serving() as client:
        await set_up(client)
        deaf = await add_template(client, "deaf", command=["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"])
        forking = await add_template(client, "forking", command=[sys.executable, "-c", FORKING])
        await ask(client, 3)
        await ask(client, 1, deaf)
        parent = (await ask(client, 1, forking)).machines[0]
        found = await machines(client)
        (orphaned,) = [pid_of(m) for m in found if m.name == parent]
        pids = [pid_of(m) for m in found if m.name != parent]
        await wait_until(lambda: len(users(place)) == 6)
        code, _ = await clean(place, "--patience", "0.5")
        assert code == 1, "not while a service looks after them"
        assert not any(is_gone(pid) for pid in pids)
    os.kill(orphaned, signal.SIGKILL)  # and its child, in a session of its own, lives on
    code, said = await clean(place, "--grace", "0.5")
    assert (code, said.split()[0]) == (0, "4")
    assert all(is_gone(pid) for pid in pids)
    assert users(place) == []


async def test_a_folder_that_holds_none(tmp_path: Path) -> None:
    code, _ = await clean(tmp_path)
    assert code == 0
    assert list(tmp_path.iterdir()) == []
