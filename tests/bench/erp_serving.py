"""What ``make bench-erp`` runs: an ERP that takes its time, CacheService, RuleService and the gateway."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from sutler.auth import make_token
from sutler.client import Sutler, connect
from sutler.erp.v1 import erp_pb2 as pb
from sutler.testing import ServiceProcess

from tests.bench.erp_service import SECRET
from tests.bench.harness import ROOT
from tests.conformance.sandbox.processes import SandboxProcess, started

RECORDED = ("--workers", "1", "--service-ms", "5", "--row-ms", "0.04")
"""The service time that was recorded from a real server: 32 reads of one record each, at once, took 0.15 s there."""

LOGIN = ("version", "authenticate", "login")
TOKEN = make_token(SECRET, "user:bench", permissions=["*.*.*"])
MAIN = "connections/main"


class Erp(SandboxProcess):
    """A sandbox with the service time of a real server."""

    _http = httpx.Client()
    """One for all: to make one takes 15 ms of this process, and leaves it garbage to collect while it measures."""

    def counts(self) -> Mapping[str, int]:
        """Returns how often each method was called since the last time, without logins: those are made once."""
        found: dict[str, int] = self._http.get(f"{self.url}/sandbox/calls").raise_for_status().json()
        self._http.delete(f"{self.url}/sandbox/calls").raise_for_status()
        return {method: count for method, count in found.items() if method not in LOGIN}

    def total(self) -> int:
        """Returns how many calls there were since the last time."""
        return sum(self.counts().values())


@contextmanager
def erp(*flags: str) -> Iterator[Erp]:
    """Runs a sandbox."""
    with started(*RECORDED, *flags) as process:
        yield Erp(process.process, process.url)


@dataclass(frozen=True, slots=True)
class Running:
    """Services that run.

    Attributes:
        s: A connection to the gateway, which has the connection ``main`` to the ERP.
        gateway: The gateway's process.
        rules: A connection to RuleService.
        cache: The address of CacheService.
    """

    s: Sutler
    gateway: ServiceProcess
    rules: Sutler
    cache: str


@asynccontextmanager
async def services(folder: Path, url: str, **settings: object) -> AsyncIterator[Running]:
    """Runs the three services, and makes the connection."""
    async with AsyncExitStack() as stack:

        async def start(area: str, **more: object) -> ServiceProcess:
            values = {"data": f"sqlite:///{folder}/{area}.db", "auth_secret": SECRET, "log_level": "error", **more}
            prefix = f"SUTLER_{area.upper()}_"
            process = ServiceProcess(f"services.{area}", prefix, folder=folder, checkout=ROOT, **values)
            stack.enter_context(process)
            await process.serving()
            return process

        cache, rule = await start("cache"), await start("rule")
        gateway = await start("erp", **{"cache_address": cache.address, "rule_address": rule.address, **settings})
        s = await stack.enter_async_context(connect(gateway.address, token=TOKEN))
        rules = await stack.enter_async_context(connect(rule.address, token=TOKEN))
        connection = pb.Connection(
            name=MAIN, driver="odoo-jsonrpc", url=url, database="demo", username="admin", secret="admin"
        )
        await s.erp.UpdateConnection(pb.UpdateConnectionRequest(connection=connection, allow_missing=True))
        await s.erp.CheckConnection(pb.CheckConnectionRequest(name=MAIN))
        yield Running(s, gateway, rules, cache.address)


def small(count: int) -> int:
    """Returns a count, or less in a quick trial (``SHARE=0.1``), whose figures prove nothing."""
    return max(1, int(count * float(os.environ.get("SHARE") or 1)))
