"""What the interceptors cost: a service with all of them against a bare echo, on both transports.

The service: token checked (and cached), permission, contract rules, deadline and ids, metrics, traces sampled at 1 %
and sent to a collector, one JSON log line per call to a file. ``make bench-chassis`` runs it.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import uvloop
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from pydantic_settings import SettingsConfigDict
from sutler.auth import make_token
from sutler.cache.v1 import cache_pb2, cache_pb2_grpc
from sutler.server import Runtime, Service, serve
from sutler.settings import ServerSettings

from tests.bench.harness import BenchError, Line, Side, measure, report, told

SECRET = "a secret of more than thirty-two bytes"
PATH = "/sutler.cache.v1.CacheService/GetCache"
BODY = cache_pb2.GetCacheRequest(name="caches/prices").SerializeToString()


class Settings(ServerSettings):
    """The benchmark's service."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_BENCH_")


class Echo(cache_pb2_grpc.CacheServiceServicer):
    """Answers with the name, and counts."""

    answers = 0

    async def GetCache(self, request: cache_pb2.GetCacheRequest, context: Any) -> cache_pb2.Cache:
        self.answers += 1
        return cache_pb2.Cache(name=request.name)


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Takes spans, and counts them."""

    spans = 0

    def Export(
        self, request: trace_service_pb2.ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        self.spans += sum(len(scope.spans) for sent in request.resource_spans for scope in sent.scope_spans)
        return trace_service_pb2.ExportTraceServiceResponse()


@contextmanager
def collecting() -> Iterator[str]:
    """Runs a collector, at the address that it yields.

    Raises:
        BenchError: If no span came: then what was measured is not what is told.
    """
    server, collector = grpc.server(ThreadPoolExecutor(1)), Collector()
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(1).wait()
    if not collector.spans:
        raise BenchError("no span reached the collector")


async def bare(transport: str, port: int) -> None:
    """Runs the echo without anything around it: one method, as generated code would register it."""
    if transport == "native":
        import pygrpc_native.aio

        server = pygrpc_native.aio.server()
    else:
        server = grpc.aio.server()
    echo = Echo()
    handler = grpc.unary_unary_rpc_method_handler(
        echo.GetCache, cache_pb2.GetCacheRequest.FromString, cache_pb2.Cache.SerializeToString
    )
    service, _, method = PATH[1:].partition("/")
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    server.add_registered_method_handlers(service, {method: handler})
    server.add_insecure_port(f"127.0.0.1:{port}")
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await server.start()
    await stop.wait()
    await server.stop(1)
    print(f"OK answers: {echo.answers}")


async def chassis(transport: str, port: int, log: Path) -> None:
    """Runs the echo as a Sutler service."""
    echo = Echo()

    @asynccontextmanager
    async def app(settings: Settings, runtime: Runtime) -> AsyncIterator[Service]:
        yield Service(
            "bench",
            {"sutler.cache.v1.CacheService": (cache_pb2_grpc.add_CacheServiceServicer_to_server, echo)},
        )

    settings = Settings.model_validate(
        {"transport": transport, "port": port, "log_file": log, "auth_secret": SECRET, "trace_ratio": 0.01}
    )
    await serve(app, settings, "bench")
    print(f"OK answers: {echo.answers}")


def main() -> int:
    """Measures and judges."""
    token = {"authorization": f"Bearer {make_token(SECRET, 'user:bench', permissions=['cache.caches.get'])}"}
    with TemporaryDirectory() as folder, told(), collecting() as collector:

        def side(kind: str, transport: str) -> Side:
            log = str(Path(folder) / f"{transport}.jsonl")
            command = [sys.executable, "-m", "tests.bench.chassis", kind, transport, "{port}", log]
            environment = {"SUTLER_BENCH_OTLP_ENDPOINT": collector}
            return Side(f"{kind}, {transport}", command, PATH, BODY, token if kind == "chassis" else {}, environment)

        sides = [side("bare", "grpcio"), side("chassis", "grpcio"), side("bare", "native"), side("chassis", "native")]
        measure(sides)
        echo, ours, _, fast = sides
        lines = [
            Line("grpcio: chassis / bare echo, by CPU", echo.cpu_us / ours.cpu_us, 0.70, "bare grpcio echo"),
            Line("native: chassis / bare grpcio echo, by CPU", echo.cpu_us / fast.cpu_us, 2.0, "bare grpcio echo"),
        ]
        return report("Chassis", sides, lines)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(main())
    kind, transport, port, log = sys.argv[1:]
    uvloop.run(bare(transport, int(port)) if kind == "bare" else chassis(transport, int(port), Path(log)))
