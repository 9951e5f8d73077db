"""What ErpGateway does for an ERP, beside zenoo-rpc and plain httpx: ``make bench-erp`` runs it.

The ERP is the sandbox with the service time that was recorded from a real one. Sides take turns and their medians are
compared; the ratio to a bare grpc.aio echo is by the server's CPU time per call. Times of a change feed are not scaled.

``PART=hot`` (or cold, customers, creates, export, feed) measures one part; ``SHARE=0.1`` makes less of it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import Unimplemented

from tests.bench import chassis
from tests.bench.erp_feed import feed
from tests.bench.erp_load import FIELDS, GET, PARTNER, cold, creates, customers, export
from tests.bench.erp_serving import MAIN, TOKEN, erp, services, small
from tests.bench.harness import Line, Side, measure, report, told

PARTS: Mapping[str, Callable[[Path], Awaitable[list[Line]]]] = {
    "cold": cold,
    "customers": customers,
    "creates": creates,
    "export": export,
    "feed": feed,
}
PART = os.environ.get("PART") or ""
"""The part that is measured; all if empty."""


async def hot(folder: Path) -> tuple[list[Side], list[Line]]:
    """Reads a record that the gateway has, on both transports, beside the bare echo."""
    request = pb.GetRecordRequest(connection=MAIN, model=PARTNER, id=10, fields=FIELDS)
    token = {"authorization": f"Bearer {TOKEN}"}
    bare = [sys.executable, "-m", "tests.bench.chassis", "bare", "grpcio", "{port}", str(folder / "bare.jsonl")]
    sides = [Side("bare echo, grpcio", bare, chassis.PATH, chassis.BODY)]
    with erp() as server:
        async with services(folder, server.url) as running:
            running.gateway.kill()
            for transport in ("grpcio", "native"):
                command = [sys.executable, "-m", "tests.bench.erp_service", transport, "{port}", str(folder)]
                body = request.SerializeToString()
                sides.append(Side(f"GetRecord hot, {transport}", [*command, running.cache], GET, body, token))
            await asyncio.to_thread(lambda: measure(sides, calls=small(10_000)))
            calls = server.counts()
    echo, grpcio, native = sides
    beside = f"{calls.get('read', 0)} reads of the ERP in all"
    return sides, [
        Line("grpcio: GetRecord hot / bare echo, by CPU", echo.cpu_us / grpcio.cpu_us, 0.5, beside),
        Line("native: GetRecord hot / bare grpcio echo, by CPU", echo.cpu_us / native.cpu_us, None, "shown only"),
    ]


async def measured(part: str, folder: Path) -> list[Line]:
    """Measures a part; one whose RPC this release does not offer falls short."""
    try:
        return await PARTS[part](folder)
    except Unimplemented as error:
        return [Line(part, float("nan"), 1, f"not there: {error.message}")]


def main() -> int:
    """Measures and judges."""
    if PART not in ("", "hot", *PARTS):
        raise SystemExit(f"PART={PART}: there are the parts hot, {', '.join(PARTS)}")
    sides, lines = list[Side](), list[Line]()
    with TemporaryDirectory() as name, told():
        for part in ("hot", *PARTS):
            folder = Path(name) / part
            folder.mkdir()
            if part == "hot" and PART in ("", part):
                sides, lines = asyncio.run(hot(folder))
            elif PART in ("", part):
                lines += asyncio.run(measured(part, folder))
        return report("ErpGateway", sides, lines)


if __name__ == "__main__":
    sys.exit(main())
