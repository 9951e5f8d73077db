"""All 203 recordings are played to the drivers: each by one test, which names it in a table."""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import chain
from pathlib import Path

import httpx

from tests.integration.erp import test_replay
from tests.integration.erp.tryton_replay import RECORDINGS, replaying

CAPITALS = re.compile(r"\b[A-Z][A-Z_]{3,}\b")
README = Path(__file__).parents[3] / "services" / "erp" / "README.md"


def test_every_recording_of_odoo_is_played_by_one_test() -> None:
    played = Counter(chain.from_iterable(test_replay.PLAYED))
    assert {name: times for name, times in played.items() if times > 1} == {}
    assert played.keys() == test_replay.RECORDINGS.keys()
    assert len(played) == 152


def test_the_table_of_the_readme_has_every_recorded_error() -> None:
    table: set[tuple[str, str]] = set()
    for line in README.read_text("utf-8").splitlines():
        cells = line.split("|")
        if len(cells) == 5:
            codes, reasons = (CAPITALS.findall(cell) for cell in cells[2:4])
            table.update(zip(codes * (len(reasons) if len(codes) == 1 else 1), reasons, strict=False))
    for name, (code, reason, _) in test_replay.REFUSED.items():
        assert (code.name, reason) in table, name
    assert {*filter(None, test_replay.LOGINS.values())} <= {reason for _, reason in table}
    errors = {name for name, one in test_replay.RECORDINGS.items() if "error" in one["response"]["body"]}
    assert errors <= {*test_replay.REFUSED, *test_replay.LOGINS, *test_replay.EXPIRED, *test_replay.NO_ANSWERS}


async def test_the_replay_server_answers_as_recorded() -> None:
    async with replaying() as (replay, url), httpx.AsyncClient(base_url=url) as client:
        for name, recording in RECORDINGS.items():
            request = replay.play(name)
            answer = await client.post(request["path"], content=json.dumps(request["body"] | {"id": 4711}))
            expected = recording["response"]
            assert answer.status_code == expected["status"]
            assert answer.headers.get("content-encoding") == expected["content_encoding"]
            told = answer.json() if isinstance(expected["body"], dict) else answer.text
            assert told == (expected["body"] | {"id": 4711} if isinstance(expected["body"], dict) else expected["body"])
            assert len(replay.played) == 1
    assert len(RECORDINGS) == 51
