from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.events import Event
from sutler.ids import derive, new_id

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def test_new_ids_are_random_uuids() -> None:
    ids = {new_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert {UUID(each).version for each in ids} == {4}


def test_derived_ids_never_change() -> None:
    """Work that an earlier release began is recognised by these."""
    assert derive("5f0c1c0e-7a3a-4b8e-9a53-7e2c8b1d4f90", "actions/0") == "184a86bc-5b22-57cf-b717-fa0f618e6b9d"
    assert UUID(derive("a", "b")).version == 5


@given(WORDS, WORDS, WORDS, WORDS)
def test_derived_ids_differ_where_parent_or_step_differ(a: str, b: str, c: str, d: str) -> None:
    assert (derive(a, b) == derive(c, d)) == ((a, b) == (c, d))


@pytest.mark.parametrize("seed", ["1", "2"])
def test_derived_ids_are_the_same_in_every_process(seed: str) -> None:
    program = "from sutler.ids import derive; print(derive('parent', 'step'))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == derive("parent", "step")


def test_an_event_has_a_time_with_a_zone_and_does_not_change() -> None:
    with pytest.raises(ValueError):
        Event("id", "//source", "a.b", "subject", datetime(2026, 1, 1), {}, "default")
    event = Event("id", "//source", "a.b", "subject", datetime(2026, 1, 1, tzinfo=UTC), {}, "default")
    with pytest.raises(FrozenInstanceError):
        event.id = "other"  # type: ignore[misc]
