from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.cache.settings import Settings


def test_large_values_are_beside_the_database() -> None:
    assert Settings().blob_folder == Path(".sutler/cache.db.blobs")
    assert Settings(data="sqlite:////var/a%20b.db").blob_folder == Path("/var/a b.db.blobs")
    assert Settings(data="sqlite:///x.db", blobs=Path("/mnt/blobs")).blob_folder == Path("/mnt/blobs")


@pytest.mark.parametrize("data", ["postgresql://db/cache", "sqlite:///:memory:"])
def test_without_a_file_their_place_must_be_said(data: str) -> None:
    with pytest.raises(ValidationError):
        Settings(data=data)
    assert Settings(data=data, blobs=Path("blobs")).blob_folder == Path("blobs")
