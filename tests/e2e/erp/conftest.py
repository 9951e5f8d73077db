from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.e2e.gateway.stack import service_behind


@dataclass(frozen=True)
class Up:
    """What runs: the gateway's address, and the ERP behind it."""

    address: str
    sandbox: SandboxProcess


@pytest.fixture(scope="package")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """An ErpGateway on SQLite behind Envoy, and a sandbox ERP behind that."""
    folder = tmp_path_factory.mktemp("erp")
    settings = {"data": f"sqlite:///{folder}/erp.db", "poll_interval_seconds": 0.1, "lease_seconds": 2}
    with started() as sandbox, service_behind(folder, "erp", **settings) as behind:
        yield Up(behind.address, sandbox)
