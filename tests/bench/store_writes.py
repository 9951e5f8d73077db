"""Measures the store: ``python tests/bench/store_writes.py [URL …]`` prints durable writes and point reads a second.

Without a URL it uses a SQLite file in the working directory and removes it. With one it leaves its tables there.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import sys
import tempfile
import time

import structlog
from sutler.store import Database, Migration, Transaction, open_database

TASKS = 32
SECONDS = 3.0
MIGRATIONS = (Migration(1, "bench", ("CREATE TABLE bench (key BIGINT NOT NULL PRIMARY KEY, value TEXT NOT NULL)",)),)


async def writes(db: Database, keys: itertools.count[int]) -> None:
    end = time.perf_counter() + SECONDS
    done = 0

    def insert(tx: Transaction) -> int:
        return tx.execute("INSERT INTO bench (key, value) VALUES (?, ?)", (next(keys), "x" * 100))

    async def task() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await db.write(insert)
            done += 1

    before = db.statistics().commits
    start = time.perf_counter()
    await asyncio.gather(*(task() for _ in range(TASKS)))
    took = time.perf_counter() - start
    commits = db.statistics().commits - before
    print(f"{db.dialect:11} writes {done / took:9,.0f}/s  {TASKS} tasks, {done / commits:.1f} in a commit")


async def reads(db: Database, count: int) -> None:
    end = time.perf_counter() + SECONDS
    done = 0

    async def task() -> None:
        nonlocal done
        while time.perf_counter() < end:
            for _ in range(100):
                key = done * 7919 % count
                await db.read(lambda tx, key=key: tx.one("SELECT value FROM bench WHERE key = ?", (key,)))  # type: ignore[misc]
                done += 1
            await asyncio.sleep(0)

    start = time.perf_counter()
    await asyncio.gather(*(task() for _ in range(TASKS)))
    print(f"{db.dialect:11} reads  {done / (time.perf_counter() - start):9,.0f}/s  {TASKS} tasks, by key of {count:,}")


async def main(urls: list[str]) -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory(dir=".") as folder:
        for url in urls or [f"sqlite:///{folder}/bench.db"]:
            keys = itertools.count()
            async with open_database(url, name="bench", migrations={"bench": MIGRATIONS}) as db:
                await db.write(lambda tx: tx.execute("DELETE FROM bench"))
                await writes(db, keys)
                await reads(db, next(keys))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
