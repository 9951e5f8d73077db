from __future__ import annotations

import os
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.cache.adapters.database.rows import given_key, stored_key

KEYS = st.text(alphabet=st.one_of(st.sampled_from("\0\x01\x02a"), st.characters(exclude_categories=["Cs"])), max_size=9)


@given(KEYS)
def test_a_stored_key_is_read_back_and_takes_no_nul(key: str) -> None:
    assert "\0" not in stored_key(key)
    assert given_key(stored_key(key)) == key


@given(KEYS, KEYS)
@settings(max_examples=300)
def test_stored_keys_keep_identity_order_and_prefixes(one: str, two: str) -> None:
    assert (stored_key(one) == stored_key(two)) == (one == two)
    assert (stored_key(one) < stored_key(two)) == (one < two)
    assert stored_key(two).startswith(stored_key(one)) == two.startswith(one)


PROGRAM = """
from services.cache.caches import Cache, Rules
from services.cache.changes import Store
from services.cache.entries import Kind, checksum
from services.cache.puts import Content, Put, put
from tests.unit.cache.views import Seen, cache
value = b"value"
wanted = Put(key="k", content=Content(Kind.BYTES, 5, checksum(value), value), seed="s", tags=("a", "b", "c"))
print(cache().etag, put(cache(), wanted).decide(Seen()).entry.etag, checksum(value))
"""


@pytest.fixture(scope="module")
def answers() -> set[str]:
    def run(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": "libs:."}
        return subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
        ).stdout

    return {run("1"), run("2")}


def test_hashes_are_the_same_in_every_process(answers: set[str]) -> None:
    [answer] = answers
    assert len(answer.split()) == 3
