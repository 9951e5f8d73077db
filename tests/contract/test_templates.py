"""Path templates overlap exactly when some path matches both."""

from __future__ import annotations

import re
from itertools import product

import pytest

from tests.contract.templates import Template, Variable, flatten, meet, overlap, variables
from tests.contract.words import beginnings, snake, verbs, words

SEGMENTS = ("a", "b", "*", "**")
PATTERNS = [pattern for length in (1, 2, 3) for pattern in product(SEGMENTS, repeat=length)]
# `c` stands for all that no template spells out.
PATHS = ["/".join(path) for length in range(1, 7) for path in product("abc", repeat=length)]


def test_overlap_is_what_matching_all_paths_says() -> None:
    """`meet` agrees with matching both templates against every path up to six segments."""
    wild = {"*": "[^/]+", "**": "[^/]+(?:/[^/]+)*"}
    matched = {}
    for pattern in PATTERNS:
        regex = re.compile("/".join(wild.get(segment, segment) for segment in pattern))
        matched[pattern] = {path for path in PATHS if regex.fullmatch(path)}
    wrong = [
        (one, other)
        for one in PATTERNS
        for other in PATTERNS
        if meet(one, other) != bool(matched[one] & matched[other])
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/v1/{name=caches/*}", "/v1/{name=caches/*}", True),
        ("/v1/{name=caches/*}", "/v1/{name=rules/*}", False),
        ("/v1/{name=caches/*}", "/v1/caches/stats", True),
        ("/v1/{name=caches/*}:verify", "/v1/{name=caches/*}", False),
        ("/v1/{name=caches/*}:verify", "/v1/caches/{id}:verify", True),
        ("/v1/resources/{name=**}", "/v1/resources/a/b", True),
        ("/v1/resources/{name=**}", "/v1/resources", False),
        ("/v1/{name=**}:cancel", "/v1/{name=cacheOperations/*}:cancel", True),
        ("/v1/{parent=a/*}/b", "/v1/{parent=a/*}/c", False),
    ],
)
def test_overlap_of_templates(one: str, other: str, expected: bool) -> None:
    """Variables, literals, wildcards and verbs all count, in both directions."""
    assert overlap(one, other) is expected
    assert overlap(other, one) is expected


def test_template_is_read() -> None:
    """A template falls into segments, verb and variables."""
    path = "/v1/{parent=a/*/b/**}/c/{id}:go"
    assert flatten(path) == Template(("v1", "a", "*", "b", "**", "c", "*"), "go")
    assert list(variables(path)) == [Variable("parent", "a/*/b/**"), Variable("id", "*")]


def test_names_fall_into_words() -> None:
    """Camel case splits at capitals, and verbs come from the beginning or around the collection."""
    assert words("BatchGetEntries") == ["Batch", "Get", "Entries"]
    assert snake("priceTables") == "price_tables"
    assert beginnings("GetCacheStats") == ["get", "getCache", "getCacheStats"]
    assert "readOutput" in verbs("ReadMachineOutput", "machines")
    assert "start" not in verbs("StopMachines", "machines")
