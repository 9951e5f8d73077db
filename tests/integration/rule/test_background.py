"""Work behind the calls that ends is not hidden: the server is told, and ends."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.trace import NoOpTracerProvider
from sutler.background import WorkEnded
from sutler.server import Runtime

from services.rule import app as composed
from tests.integration.rule.conftest import eventually, settings_for


async def broken(*_: Any) -> None:
    raise KeyError("a bug")


async def test_work_that_breaks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composed, "count", broken)
    runtime: Any = Runtime(asyncio.Event(), Instruments())  # type: ignore[arg-type]
    async with composed.app(settings_for(f"sqlite:///{tmp_path}/rule.db"), runtime) as service:

        async def told() -> bool:
            try:
                await service.needed["work"]()
            except WorkEnded:
                return True
            return False

        assert await eventually(told)


class Instruments:
    """Telemetry that goes nowhere."""

    meter = NoOpMeterProvider().get_meter("t")
    tracer = NoOpTracerProvider().get_tracer("t")
