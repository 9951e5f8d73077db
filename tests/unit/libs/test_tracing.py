from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from sutler.context import Call
from sutler.tracing import start

TRACER = TracerProvider().get_tracer("test")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-"


@pytest.mark.parametrize(
    ("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True), ("xx", False)]
)
def test_the_caller_decides_by_one_bit(flags: str, sampled: bool) -> None:
    call = Call("/a/B", headers={"traceparent": PARENT + flags})
    assert (start(TRACER, call, "B", ratio=1.0) is not None) is sampled


@pytest.mark.parametrize(("ratio", "sampled"), [(0.0, False), (1.0, True)])
def test_chance_decides_where_the_caller_did_not(ratio: float, sampled: bool) -> None:
    assert (start(TRACER, Call("/a/B"), "B", ratio=ratio) is not None) is sampled
