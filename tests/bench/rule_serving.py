"""RuleService in a process of its own, for ``make bench-rule``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from sutler.auth import make_token
from sutler.client import Sutler, connect
from sutler.testing import ServiceProcess

from tests.bench.harness import ROOT, TICKS

SECRET = "a secret of more than thirty-two bytes"
TOKEN = make_token(SECRET, "user:bench", permissions=["*.*.*"])


@dataclass(frozen=True, slots=True)
class Running:
    """A service that runs.

    Attributes:
        s: A connection to it.
        process: Its process.
    """

    s: Sutler
    process: ServiceProcess

    @property
    def cpu_us(self) -> float:
        """The processor time that it has used, in µs."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS * 1e6


@asynccontextmanager
async def service(folder: Path, **settings: object) -> AsyncIterator[Running]:
    """Runs the service on SQLite in a folder, which is made, unless ``data`` names another database."""
    folder.mkdir(parents=True)
    values = {"data": f"sqlite:///{folder}/rule.db", "auth_secret": SECRET, "log_level": "error", **settings}
    with ServiceProcess("services.rule", "SUTLER_RULE_", folder=folder, checkout=ROOT, **values) as process:
        await process.serving()
        async with connect(process.address, token=TOKEN) as s:
            yield Running(s, process)


def small(count: int) -> int:
    """Returns a count, or less in a quick trial (``SHARE=0.1``), whose figures prove nothing."""
    return max(1, int(count * float(os.environ.get("SHARE") or 1)))
