"""The settings of CacheService."""

from __future__ import annotations

from pathlib import Path
from typing import Self
from urllib.parse import unquote

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict
from sutler.settings import ServerSettings

SQLITE = "sqlite:///"


class Settings(ServerSettings):
    """CacheService: values under keys, kept for a time."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_CACHE_")

    port: int = Field(50052, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    data: str = Field("sqlite:///.sutler/cache.db", description="Database URL: sqlite:///FILE or postgresql://…")
    blobs: Path | None = Field(
        None,
        description="Folder of large values; FILE.blobs beside a SQLite file if not set. With PostgreSQL it must be "
        "set, to a folder that every replica mounts",
    )
    blob_threads: int = Field(8, ge=1, le=256, description="How many blobs are read and written at once")
    blob_grace_seconds: float = Field(
        10.0, ge=0, le=3600, description="How long a file stays that no entry refers to any more, for reads that begin"
    )
    access_flush_seconds: float = Field(
        1.0, ge=0.05, le=1.0, description="How late hit counts, access times and renewed lives may be stored"
    )
    sweep_seconds: float = Field(10.0, ge=0.05, le=3600, description="Pause between two sweeps of what has expired")
    orphan_sweep_seconds: float = Field(
        600.0, ge=0.05, le=86_400, description="Pause between two searches for files that no entry refers to"
    )
    request_retention_days: float = Field(7.0, gt=0, description="How long answers to request ids are remembered")

    @property
    def blob_folder(self) -> Path:
        """Where large values are."""
        return self.blobs or Path(unquote(self.data.removeprefix(SQLITE)) + ".blobs")

    @model_validator(mode="after")
    def _blobs_have_a_place(self) -> Self:
        if self.blobs is None and (not self.data.startswith(SQLITE) or self.data == f"{SQLITE}:memory:"):
            raise ValueError("blobs must be set where data is no SQLite file")
        return self
