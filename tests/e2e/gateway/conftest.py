from collections.abc import Iterator

import pytest

from tests.e2e.gateway.stack import Stack, stack


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A gateway on loopback, without TLS and tokens, and the five stand-ins."""
    with stack(tmp_path_factory.mktemp("gateway")) as up:
        yield up


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests that share a stack in one worker of pytest-xdist."""
    for item in items:
        if "tests/e2e/gateway" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("gateway"))
