import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings
from sutler.testing import free_port as find_port

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on now."""
    return find_port()


@pytest.fixture(autouse=True)
def _logs_as_before() -> Iterator[None]:
    """Undoes what a service in this process has set: it may write to a stream that ends with the test."""
    handlers = logging.getLogger().handlers[:]
    structlog.reset_defaults()
    structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])
    yield
    structlog.reset_defaults()
    logging.getLogger().handlers[:] = handlers
