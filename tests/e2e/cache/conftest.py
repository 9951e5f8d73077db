from collections.abc import Iterator

import pytest

from tests.e2e.gateway.stack import service_behind


@pytest.fixture(scope="package")
def gateway_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A CacheService on SQLite and files behind Envoy."""
    folder = tmp_path_factory.mktemp("cache")
    settings = {"data": f"sqlite:///{folder}/cache.db", "access_flush_seconds": 0.05}
    with service_behind(folder, "cache", **settings) as up:
        yield up.address
