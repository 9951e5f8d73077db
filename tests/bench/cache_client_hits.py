"""Hits of ``@cached`` on an array of 1 MiB, from threads of this process and from processes of their own."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from threading import Barrier
from typing import Any

import numpy as np
from sutler.cache.v1 import cache_pb2 as pb
from sutler.client.cache import NearCache, SyncCache, cached, open_sync
from sutler.testing.waiting import wait_blocking

from tests.bench.cache_load import MIB, TOKEN

THREADS = 8
PROCESSES = 4
NEAR_CALLS = 200
FAR_CALLS = 25
FAR = ("grpc", "redis")
"""The hits that ask the service, with its own metadata backend and with Redis as one."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the services are.

    Attributes:
        own: The one with its own metadata backend.
        redis: The one that has the metadata backend ``redis``.
    """

    own: str
    redis: str


Function = Callable[[], Any]


@contextmanager
def functions(at: Addresses) -> Iterator[Mapping[str, Function]]:
    """Yields cached functions by the kind of their hits, each with its result in its cache."""
    with ExitStack() as stack:

        def opened(address: str, near: NearCache | None = None, backend: str = "") -> SyncCache:
            rules = pb.Cache(max_bytes=0, metadata_backend=backend)
            return stack.enter_context(open_sync("arrays", address, near=near, rules=rules, token=TOKEN))

        near = NearCache()
        nearby = opened(at.own, near)
        wait_blocking(lambda: near.is_live)
        made = {
            "copy": cached(cache=nearby)(array),
            "shared": cached(cache=nearby, copy=False)(array),
            "grpc": cached(cache=opened(at.own))(array),
            "redis": cached(cache=opened(at.redis, backend="redis"))(array),
        }
        for function in made.values():
            wait_blocking(lambda function=function: function() is not None and counted(function) > 0)
        yield made


def array() -> Any:
    """What is kept: an array of 1 MiB."""
    return np.arange(MIB // 8, dtype="float64")


def counted(function: Any) -> int:
    """Returns how often a function had its result from a cache."""
    told = function.info()
    return int(told.hits + told.near_hits)


def timed(kind: str, function: Any, ready: Any) -> tuple[float, float, int]:
    """Calls a function again and again as soon as all others are ready; returns from when to when, and how often."""
    calls = FAR_CALLS if kind in FAR else NEAR_CALLS
    ready.wait()
    start = time.monotonic()
    for _ in range(calls):
        found = function()
        assert found.nbytes == MIB and found.flags.writeable == (kind != "shared")
    return start, time.monotonic(), calls


def rate(runs: list[tuple[float, float, int]]) -> float:
    """Returns how many calls a second all of some runs made together."""
    starts, ends, calls = zip(*runs, strict=True)
    return float(sum(calls) / (max(ends) - min(starts)))


def by_threads(kind: str, function: Function) -> float:
    """Returns how many hits a second 8 threads have."""
    ready = Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:
        return rate(list(pool.map(lambda _: timed(kind, function, ready), range(THREADS))))


@contextmanager
def processes(at: Addresses) -> Iterator[Callable[[str], float]]:
    """Starts 4 processes, and yields what tells how many hits of a kind a second they have."""
    context = get_context("spawn")
    ready = context.Barrier(PROCESSES)
    lines = [context.Pipe() for _ in range(PROCESSES)]
    workers = [context.Process(target=_work, args=(at, theirs, ready), daemon=True) for _, theirs in lines]
    for worker in workers:
        worker.start()

    def by_processes(kind: str) -> float:
        for ours, _ in lines:
            ours.send(kind)
        return rate([ours.recv() for ours, _ in lines])

    try:
        yield by_processes
    finally:
        for ours, _ in lines:
            ours.send("")
        for worker in workers:
            worker.join(30)


def _work(at: Addresses, orders: Connection, ready: Any) -> None:
    with functions(at) as made:
        while kind := orders.recv():
            orders.send(timed(kind, made[kind], ready))
