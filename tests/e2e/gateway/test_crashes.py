"""Two workers of one service, each a process of its own; the other services are down."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from google.rpc import code_pb2
from sutler.cache.v1 import cache_pb2

from tests.e2e.gateway.answers import Answer
from tests.e2e.gateway.calls import CACHE, GETS, WAYS, Way, by_grpc, by_rest, channel, client
from tests.e2e.gateway.stack import AREAS, Stack, StandInProcess, free_ports, gateway, serves, wait_for

LOST = code_pb2.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE", "gateway.sutler.dev"
ERP = GETS[2]

gateway_alone = pytest.mark.parametrize("running", ["grpcio"], indirect=True)
"""What is about the gateway alone need not be tried with both transports."""


class Pair:
    def __init__(self, stack: Stack, workers: list[StandInProcess]) -> None:
        self.stack = stack
        self.workers = workers

    def whole(self) -> None:
        """Starts what is not there and waits until both get calls."""
        for worker in self.workers:
            if worker.popen is None or worker.popen.poll() is not None:
                worker.start()
        wait_for(lambda: self.stack.healthy("cache") == 2, "both workers are healthy")

    def worker(self, pid: int) -> StandInProcess:
        return next(worker for worker in self.workers if worker.pid == pid)


@pytest.fixture(scope="module", params=["grpcio", "native"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp(f"pair-{request.param}")
    settings = {"transport": request.param, "drain_pause_seconds": "0.6"}
    first, second, nobody = free_ports(3)
    workers = [StandInProcess({"cache": port}, folder / "journal", settings) for port in (first, second)]
    endpoints = {area: [nobody] for area in AREAS} | {"cache": [first, second]}
    try:
        for worker in workers:
            worker.start()
        wait_for(lambda: serves(first) and serves(second), "the workers")
        with gateway(folder, endpoints) as up:
            yield Pair(up, workers)
    finally:
        for worker in workers:
            worker.end()


@pytest.fixture
def pair(running: Pair) -> Pair:
    running.whole()
    return running


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_service_that_is_down_is_unavailable_at_once(pair: Pair, way: Way) -> None:
    started = time.monotonic()
    answer = way(pair.stack, ERP, "c", {})
    assert answer.reason() == LOST
    assert "has not run" in answer.status.message
    assert time.monotonic() - started < 5


def test_two_workers_share_the_calls(pair: Pair) -> None:
    served = Counter(by_grpc(pair.stack, CACHE, "a", {}).message.uid for _ in range(40))
    assert set(served) == {str(worker.pid) for worker in pair.workers}
    assert min(served.values()) >= 8


def test_killed_during_calls_none_runs_twice_and_all_are_told(pair: Pair) -> None:
    stack, release = pair.stack, pair.stack.folder / "release"
    ids = [f"held-{time.monotonic_ns()}-{i}" for i in range(20)]
    with ThreadPoolExecutor(len(ids)) as pool:
        calls = {pool.submit(by_grpc if i % 2 else by_rest, stack, CACHE, each, {}): each for i, each in enumerate(ids)}
        wait_for(lambda: all(stack.noted(f"caches/{each}") for each in ids), "all calls run")
        victim = stack.noted(f"caches/{ids[0]}")[0]
        pair.worker(victim).kill()
        release.touch()
    release.unlink()
    for call, each in calls.items():
        answer, ran = call.result(), stack.noted(f"caches/{each}")
        assert len(ran) == 1, "a call that had begun was repeated"
        if ran[0] == victim:
            assert answer.reason() == LOST
            assert "may or may not have run" in answer.status.message
        else:
            assert answer.status.code == code_pb2.OK


@gateway_alone
def test_after_a_kill_the_other_worker_takes_all_and_the_first_comes_back(pair: Pair) -> None:
    victim, survivor = pair.workers
    victim.kill()
    assert {by_rest(pair.stack, CACHE, "a", {}).message.uid for _ in range(20)} == {str(survivor.pid)}
    started = time.monotonic()
    pair.whole()
    wait_for(lambda: by_rest(pair.stack, CACHE, "a", {}).message.uid == str(victim.pid), "the first gets calls")
    assert time.monotonic() - started < 10


@gateway_alone
def test_killed_alone_it_is_unavailable_until_it_is_back(pair: Pair) -> None:
    for worker in pair.workers:
        worker.kill()
    for way in WAYS.values():
        assert way(pair.stack, CACHE, "a", {}).reason() == LOST
    pair.whole()
    assert by_rest(pair.stack, CACHE, "a", {}).status.code == code_pb2.OK


@gateway_alone
def test_a_stream_that_loses_its_worker_ends_with_an_error_and_can_begin_anew(pair: Pair) -> None:
    beat = cache_pb2.WatchInvalidationsRequest(cache="caches/endless")
    with channel(pair.stack) as made:
        watch = made.unary_stream(
            "/sutler.cache.v1.CacheService/WatchInvalidations",
            cache_pb2.WatchInvalidationsRequest.SerializeToString,
            cache_pb2.WatchInvalidationsResponse.FromString,
        )
        stream = iter(watch(beat, timeout=20))
        assert [next(stream).resume_token for _ in range(2)] == ["first", "0"]
        pair.worker(pair.stack.noted("caches/endless")[-1]).kill()
        with pytest.raises(grpc.RpcError) as caught:
            list(stream)
        # Envoy can only reset a stream that has begun, which gRPC takes for INTERNAL.
        assert caught.value.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNAVAILABLE)
        assert next(iter(watch(beat, timeout=20))).resume_token == "first"


@gateway_alone
def test_a_rest_stream_that_loses_its_worker_does_not_look_complete(pair: Pair) -> None:
    with client(pair.stack) as made:
        url = f"{pair.stack.url}/v1/caches/endless/invalidations:watch"
        with made.stream("GET", url) as answer:
            lines = answer.iter_lines()
            assert ["first" in next(lines), "0" in next(lines)] == [True, True]
            pair.worker(pair.stack.noted("caches/endless")[-1]).kill()
            with pytest.raises(httpx.RemoteProtocolError):
                list(lines)


def test_a_worker_that_is_restarted_loses_no_call(pair: Pair) -> None:
    stop, failed, made = threading.Event(), list[Answer](), Counter[str]()

    def load() -> None:
        while not stop.is_set():
            answer = by_grpc(pair.stack, CACHE, "a", {})
            if answer.status.code:
                failed.append(answer)
            else:
                made[answer.message.uid] += 1

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(load)
        try:
            wait_for(lambda: made.total() > 50, "calls run")
            pair.workers[0].end()
            pair.whole()
            fresh = str(pair.workers[0].pid)
            wait_for(lambda: made[fresh] > 5, "the new process gets calls")
        finally:
            stop.set()
    assert not failed


@gateway_alone
def test_a_frozen_worker_gets_no_calls(pair: Pair) -> None:
    frozen, other = pair.workers
    os.kill(frozen.pid, signal.SIGSTOP)
    try:
        wait_for(lambda: pair.stack.healthy("cache") == 1, "the gateway notices")
        assert {by_rest(pair.stack, CACHE, "a", {}).message.uid for _ in range(10)} == {str(other.pid)}
    finally:
        os.kill(frozen.pid, signal.SIGCONT)
    wait_for(lambda: pair.stack.healthy("cache") == 2, "the gateway notices")


@gateway_alone
def test_honest_outages_of_what_is_behind_do_not_close_the_service(pair: Pair) -> None:
    for _ in range(20):
        assert by_grpc(pair.stack, CACHE, "unwell", {}).info().metadata == {"dependency": "erp"}
    time.sleep(1.1)  # Envoy looks for outliers each second; nothing tells when it has looked and done nothing
    assert pair.stack.healthy("cache") == 2
    assert by_grpc(pair.stack, CACHE, "a", {}).status.code == code_pb2.OK
