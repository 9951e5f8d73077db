"""Names and settings of NATS."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from services.rule.adapters.nats.stream import MAX_TOKEN, Place
from services.rule.events import Cause, Content, Event, EventState
from services.rule.settings import Settings
from services.rule.sourcing import Source, overlap

PLACE = Place("LOG", "log", timedelta(days=1))


def subject(tenant: str, type: str) -> str:
    content = Content("1", "/shop", type)
    return PLACE.subject(Event("events/1", 1, tenant, content, Cause("p", "c"), 0, 0, EventState.SUCCEEDED))


def test_each_tenant_and_type_has_a_subject_of_its_own_that_nats_takes() -> None:
    assert subject("default", "order.confirmed") == "log.default.order.confirmed"
    odd = [
        ("a.b", "x"),
        ("a", "b.x"),
        ("a%2Eb", "x"),
        ("a", "x..y"),
        ("a", "x.>"),
        ("a", "*"),
        ("a b", "é"),
        ("t" * 5000, "x"),
    ]
    found = [subject(*each) for each in odd]
    assert len(set(found)) == len(odd)
    for name in found:
        assert all(name.split(".")), name
        assert not set(name) & set("*> \t"), name
        assert len(name) < 2 * MAX_TOKEN
        assert name.isascii()


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a.>", "a.b.c", True),
        ("a.*", "a.b", True),
        ("a.*", "a.b.c", False),
        ("a.b", "a.c", False),
        ("a.*.c", "a.b.>", True),
        (">", "a", True),
        ("a", "a.>", False),
    ],
)
def test_overlap(one: str, other: str, expected: bool) -> None:
    assert overlap(one, other) == overlap(other, one) == expected


@pytest.mark.parametrize("wrong", ["", "a..b", "a.>.b", "a b", "a.b*", ".a"])
def test_what_is_no_subject_is_refused(wrong: str) -> None:
    with pytest.raises(ValidationError):
        Source(name="shop", subject=wrong)


def test_settings_that_cannot_work_are_refused_together() -> None:
    sources = [{"name": "a", "subject": "sutler.>"}, {"name": "a", "subject": "x"}]
    with pytest.raises(ValidationError) as caught:
        Settings(engine="nats", nats_sources=sources)  # type: ignore[arg-type]
    message = str(caught.value)
    for part in ("nats_url", "PostgreSQL", "same name", "its own events"):
        assert part in message
    # What another installation carries is a source like any other.
    Settings(nats_url="nats://127.0.0.1:1", nats_sources=sources[:1])  # type: ignore[arg-type]
    assert "pass" not in repr(Settings(nats_url="nats://user:pass@127.0.0.1:1"))  # type: ignore[arg-type]
