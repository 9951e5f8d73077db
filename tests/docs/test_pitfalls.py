"""The tables that say which test shows that a pitfall is avoided name tests that exist, and leave no pitfall out."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PITFALLS = (
    "async caching",
    "TTL and invalidation",
    "hash stability",
    "atomic writes",
    "lost updates",
    "idempotency",
    "circuit breaker",
    "swallowed errors",
    "order and fan-out",
    "complexity",
    "published speed",
    "registries and docs",
)
TABLES = [path for path in sorted(ROOT.glob("services/*/README.md")) if "\n## Pitfalls\n" in path.read_text()]


def rows(path: Path) -> dict[str, str]:
    """Returns the rows of the table by their first cell."""
    part = path.read_text().split("\n## Pitfalls\n")[1].split("\n## ")[0]
    cells = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return {first.strip(): rest[-1].strip() for first, *rest in cells[2:]}


@pytest.mark.parametrize("area", ["resource", "cache", "erp", "rule"])
def test_there_is_one(area: str) -> None:
    assert ROOT / f"services/{area}/README.md" in TABLES


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.parent.name)
def test_every_row_names_tests_that_exist(path: Path) -> None:
    found = rows(path)
    assert tuple(found) == PITFALLS
    for row, cell in found.items():
        named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", cell)
        assert named, row
        for file, test in named:
            assert f"def {test}(" in (ROOT / file).read_text(), f"{row}: {file}::{test}"
