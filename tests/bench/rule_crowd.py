"""Eight processes that increment one property at the same time, for ``make bench-rule``.

Run as a program it is one of them: it prints ``ready``, waits for a line, increments, and prints ``done``.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Sequence

from sutler.client import connect
from sutler.rule.v1 import rule_pb2 as pb

from tests.bench.harness import ROOT, BenchError
from tests.bench.rule_serving import TOKEN

PROCESSES = 8
AT_ONCE = 4
UPDATE = "/sutler.rule.v1.RuleService/UpdateSubject"
SUBJECT = "subjects/bench/counter"
PROPERTY = "count"


async def crowd(command: Sequence[str]) -> float:
    """Runs a program in eight processes at the same time, and returns how many seconds their work takes.

    Raises:
        BenchError: If one fails.
    """
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, **pipes) for _ in range(PROCESSES)]

    async def told(line: bytes) -> None:
        for process in processes:
            assert process.stdout
            if await asyncio.wait_for(process.stdout.readline(), 300) != line:
                raise BenchError(f"one of {PROCESSES} processes failed: {' '.join(command)[:200]}")

    try:
        await told(b"ready\n")
        start = time.perf_counter()
        for process in processes:
            assert process.stdin
            process.stdin.write(b"\n")
        await told(b"done\n")
        return time.perf_counter() - start
    finally:
        for process in processes:
            if process.returncode is None:
                process.kill()
            await process.wait()


def incrementing(address: str, count: int) -> list[str]:
    """Returns the command of a process that increments so often."""
    return [sys.executable, "-m", "tests.bench.rule_crowd", address, str(count)]


async def increment(address: str, count: int) -> None:
    """Increments so often, four calls at once, as serialised messages."""
    request = pb.UpdateSubjectRequest(subject=pb.Subject(name=SUBJECT), allow_missing=True)
    request.writes.add(property=PROPERTY, increment=1)
    body, metadata = request.SerializeToString(), (("authorization", f"Bearer {TOKEN}"),)
    async with connect(address, token=TOKEN) as s:
        await s.channel.channel_ready()
        call, left = s.channel.unary_unary(UPDATE), iter(range(count))
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

        async def one_after_the_other() -> None:
            for _ in left:
                await call(body, metadata=metadata)

        await asyncio.gather(*(one_after_the_other() for _ in range(AT_ONCE)))
        print("done", flush=True)


if __name__ == "__main__":
    asyncio.run(increment(sys.argv[1], int(sys.argv[2])))
