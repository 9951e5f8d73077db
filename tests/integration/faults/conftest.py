"""Every test of this folder runs against each of the five services."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.faults.disks import small_disk
from tests.integration.faults.faces import FACES, Face


@pytest.fixture(params=FACES, ids=lambda face: face.area)
def face(request: pytest.FixtureRequest) -> Face:
    found: Face = request.param
    return found


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system."""
    with small_disk(tmp_path / "disk") as folder:
        yield folder


def new_id() -> str:
    return str(uuid.uuid4())
