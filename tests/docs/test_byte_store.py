"""The byte store of the cache's README passes the tests that are shipped, and one that is wrong does not."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.snippets import ROOT, files

README = Path("services/cache/README.md")


def run(folder: Path, store: str) -> tuple[int, int]:
    """Runs the tests of the README in a folder; returns how many passed and failed."""
    written = files(README)
    (folder / "chest.py").write_text(store)
    (folder / "test_chest.py").write_text(written["test_chest.py"])
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "libs")},
        capture_output=True,
        text=True,
        check=False,
    )
    counts = {what: int(number) for number, what in re.findall(r"(\d+) (passed|failed)", done.stdout)}
    assert counts, done.stdout + done.stderr
    return counts.get("passed", 0), counts.get("failed", 0)


@pytest.mark.timeout(120)
def test_the_store_of_the_readme_passes_what_is_shipped(tmp_path: Path) -> None:
    passed, failed = run(tmp_path, files(README)["chest.py"])
    assert (passed > 15, failed) == (True, 0)


@pytest.mark.timeout(120)
def test_a_store_that_is_wrong_does_not(tmp_path: Path) -> None:
    """Its objects are seen before they are finished."""
    right = files(README)["chest.py"]
    wrong = right.replace(
        "        self.pieces.append(data)\n", "        self.pieces.append(data)\n        await self.finish()\n"
    )
    assert wrong != right
    _, failed = run(tmp_path, wrong)
    assert failed >= 2
