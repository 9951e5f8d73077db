import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import httpx
import pytest
from google.rpc import code_pb2
from sutler.cache.v1 import cache_pb2

from tests.e2e.gateway.answers import rest_error
from tests.e2e.gateway.calls import CACHE, channel, client
from tests.e2e.gateway.stack import Stack, wait_for

CANCELLED = "caches/slow cancelled"


def cancelled(stack: Stack) -> int:
    return len(stack.noted(CANCELLED))


def test_a_grpc_deadline_ends_the_call_on_both_sides(plain: Stack) -> None:
    before, started = cancelled(plain), time.monotonic()
    with channel(plain) as made:
        call = made.unary_unary(CACHE.method, cache_pb2.GetCacheRequest.SerializeToString, cache_pb2.Cache.FromString)
        with pytest.raises(grpc.RpcError) as caught:
            call(cache_pb2.GetCacheRequest(name="caches/slow"), timeout=0.4)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert 0.3 < time.monotonic() - started < 10
    wait_for(lambda: cancelled(plain) == before + 1, "the service gives up too")


def test_a_rest_caller_can_set_a_deadline(plain: Stack) -> None:
    before = cancelled(plain)
    with client(plain) as made:
        answer = made.get(f"{plain.url}/v1/caches/slow", headers={"grpc-timeout": "400m"})
    assert answer.status_code == 504
    assert rest_error(answer).code == code_pb2.DEADLINE_EXCEEDED
    wait_for(lambda: cancelled(plain) == before + 1, "the service gives up too")


def test_a_caller_that_goes_away_cancels_the_call(plain: Stack) -> None:
    before = cancelled(plain)
    with client(plain) as made, pytest.raises(httpx.ReadTimeout):
        made.get(f"{plain.url}/v1/caches/slow", timeout=0.4)
    wait_for(lambda: cancelled(plain) == before + 1, "the service gives up too")


def test_no_caller_can_make_the_gateway_cut_or_repeat_a_call(plain: Stack) -> None:
    hints = {"x-envoy-upstream-rq-timeout-ms": "50", "x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"}
    release = plain.folder / "release"
    with client(plain) as made, ThreadPoolExecutor(1) as pool:
        call = pool.submit(made.get, f"{plain.url}/v1/caches/held-hints", headers=hints)
        wait_for(lambda: bool(plain.noted("caches/held-hints")), "the call runs")
        time.sleep(0.2)
        release.touch()
        assert call.result().status_code == 200
        assert made.get(f"{plain.url}/v1/caches/unwell", headers=hints).status_code == 503
    release.unlink()
    assert len(plain.noted("caches/held-hints")) == len(plain.noted("caches/unwell")) == 1


def test_streams_outlive_the_usual_timeouts_without_being_cut(plain: Stack) -> None:
    """Envoy's default for a route is 15 s in all; here it is set, so that a test need not wait for it."""
    request = cache_pb2.WatchInvalidationsRequest(cache="caches/endless")
    with channel(plain) as made:
        call = made.unary_stream(
            "/sutler.cache.v1.CacheService/WatchInvalidations",
            cache_pb2.WatchInvalidationsRequest.SerializeToString,
            cache_pb2.WatchInvalidationsResponse.FromString,
        )
        stream = call(request, timeout=2)
        received: list[object] = []
        with pytest.raises(grpc.RpcError) as caught:
            received.extend(stream)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert len(received) > 10
