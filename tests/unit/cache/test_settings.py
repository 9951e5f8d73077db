from __future__ import annotations

import base64
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from services.cache.settings import Settings


def test_large_values_are_beside_the_database() -> None:
    assert Settings().blob_folder == Path(".sutler/cache.db.blobs")
    assert Settings(data="sqlite:////var/a%20b.db").blob_folder == Path("/var/a b.db.blobs")
    assert Settings(data="sqlite:///x.db", blobs=Path("/mnt/blobs")).blob_folder == Path("/mnt/blobs")


def test_keys_are_checked_and_stay_secret() -> None:
    key = base64.b64encode(bytes(range(32))).decode()
    assert key not in repr(Settings(signing_keys=SecretStr(f"{key},{key}")))
    with pytest.raises(ValidationError) as refused:
        Settings(signing_keys=SecretStr(key[:20]))
    assert key[:20] not in str(refused.value)


@pytest.mark.parametrize("data", ["postgresql://db/cache", "sqlite:///:memory:"])
def test_without_a_file_their_place_must_be_said(data: str) -> None:
    with pytest.raises(ValidationError):
        Settings(data=data)
    assert Settings(data=data, blobs=Path("blobs")).blob_folder == Path("blobs")


def test_all_that_is_wrong_with_backends_is_told_at_once() -> None:
    with pytest.raises(ValidationError) as refused:
        Settings(
            workers=2,
            port=50052,
            metadata_backends={
                "local": {"type": "sqlite", "file": "x.db"},
                "no name": {"type": "sqlite_memory"},
                "hot": {"type": "redis", "url": "http://s3cret", "wrong": 1},
                "cold": {"type": "tape"},
            },
            blob_backends={"bucket": {"type": "s3", "access_key": "s3cret"}},
            default_blob_backend="elsewhere",
        )
    told = str(refused.value)
    for place in (
        "metadata_backends[local]: is no name",
        "metadata_backends[no name]: is no name",
        "metadata_backends[no name]: sqlite_memory is in the memory of one process",
        "metadata_backends[hot][url]",
        "metadata_backends[hot][wrong]",
        "metadata_backends[cold][type]: must be one of json, postgresql, redis, sqlite, sqlite_memory",
        "blob_backends[bucket][bucket]",
        "default_blob_backend: elsewhere is none of files, bucket",
    ):
        assert place in told
    assert "s3cret" not in told


def test_options_of_backends_stay_secret() -> None:
    settings = Settings(metadata_backends={"hot": {"type": "redis", "password": "s3cret"}})
    assert "s3cret" not in repr(settings) and "s3cret" not in str(settings)
