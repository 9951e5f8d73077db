"""One RuleService behind a real Envoy, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.gateway.stack import service_behind

SECONDS = 60


@pytest.fixture(scope="package")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("rule")
    with (
        service_behind(folder, "rule", data=f"sqlite:///{folder}/rule.db") as up,
        httpx.Client(base_url=f"http://{up.address}", timeout=SECONDS) as client,
    ):
        yield client
