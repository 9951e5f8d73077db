"""Workers of a tenant of its own for each test, beside the servers of the tests of RuleService."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from sutler.client import rules
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import duration

from tests.integration.rule.conftest import Tenant, pytest_generate_tests, server, t

__all__ = ["pytest_generate_tests", "server", "t"]

SOON = pb.RetryPolicy(initial_backoff=duration(0.001), max_backoff=duration(0.002))
ONCE = pb.RetryPolicy(max_attempts=1)


@pytest.fixture
def shop() -> rules.Handlers:
    return rules.Handlers("shop")


async def emit(t: Tenant, type: str, payload: Any = None, subject: str = "o/1", **extra: Any) -> pb.Cascade:
    """Publishes an event, and returns its cascade when that has ended."""
    event = await rules.emit(t.s, type, payload, subject, wait=30, **extra)
    cascade = await t.cascade(event)
    assert cascade.complete, cascade
    return cascade


def types(cascade: pb.Cascade) -> Sequence[str]:
    return [event.type for event in cascade.events]
