"""Every recording of the list is played to a new sandbox, whose answer must have the recorded shape."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.erp.sandbox.app import running
from services.erp.sandbox.settings import Settings
from tests.conformance.sandbox.replay import API_KEY, COVERED, LEFT_OUT, RECORDINGS, Player, RecordedClock
from tests.conformance.sandbox.shapes import Shape, differences, unequal


@pytest.fixture
async def player() -> AsyncIterator[Player]:
    with running(Settings(data=":memory:", api_key=API_KEY), RecordedClock()) as app:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client:
            yield Player(client, {})


@pytest.mark.parametrize("name", sorted(COVERED))
async def test_the_answer_has_the_recorded_shape(name: str, player: Player) -> None:
    entry = COVERED[name]
    recording = json.loads((RECORDINGS / f"{name}.json").read_text("utf-8"))
    await player.prepare(entry.get("prepare", []))

    answer = await player.play(recording["request"], entry.get("ids", {}))

    expected = recording["response"]
    assert answer.status_code == expected["status"]
    assert _plain(answer.headers["content-type"]) == _plain(expected["content_type"])
    if "json" in expected["content_type"]:
        _compare(player.with_ids(expected["body"], entry.get("ids", {})), answer.json(), entry)
    else:
        assert not entry.get("equal") or answer.text == expected["body"]


def test_every_recording_is_covered_or_left_out_with_a_reason() -> None:
    files = {path.stem for path in RECORDINGS.glob("*.json")}

    assert not COVERED.keys() & LEFT_OUT.keys()
    assert COVERED.keys() <= files <= COVERED.keys() | LEFT_OUT.keys()
    assert all(LEFT_OUT.values())


def _compare(recorded: dict[str, Any], answered: dict[str, Any], entry: dict[str, Any]) -> None:
    if "error" in recorded:
        _compare_errors(recorded["error"], answered.get("error", {}), entry)
    elif entry.get("equal"):
        assert answered == recorded
    else:
        assert list(answered) == list(recorded)
        before, after = recorded.get("result"), answered.get("result")
        found = [*differences(Shape().add(before), Shape().add(after), entry.get("fewer_keys_at", []))]
        known = tuple(f"{place}:" for place in entry.get("differs_at", {}))
        assert [text for text in found if not (known and text.startswith(known))] == []
        assert [*unequal(before, after, entry.get("equal_keys", []))] == []


def _compare_errors(recorded: dict[str, Any], answered: dict[str, Any], entry: dict[str, Any]) -> None:
    assert answered["code"] == recorded["code"]
    assert answered["message"] == recorded["message"]
    assert answered["data"]["name"] == recorded["data"]["name"]
    assert [*differences(Shape().add(recorded["data"]), Shape().add(answered["data"]), [])] == []
    if "other_text" not in entry:
        assert answered["data"]["message"] == recorded["data"]["message"]


def _plain(content_type: str) -> str:
    return content_type.replace(" ", "").lower()
