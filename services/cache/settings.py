"""The settings of CacheService."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self
from urllib.parse import unquote

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict
from sutler.backends import BackendKind
from sutler.secret_box import SecretKeys
from sutler.settings import SEPARATOR, ServerSettings

from services.cache.adapters import FILES, LOCAL, registry
from services.cache.adapters.configuring import problems

SQLITE = "sqlite:///"
BACKEND_NAME = re.compile("[A-Za-z][A-Za-z0-9._-]{0,62}")


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
        1.0,
        ge=0.05,
        le=1.0,
        description="How late renewed lives may be stored; hit counts and access times ten times as late",
    )
    recent_bytes: int = Field(
        64 << 20,
        ge=0,
        description="Memory for answers of the last second, given again while nothing changes; 0 is none",
    )
    sweep_seconds: float = Field(10.0, ge=0.05, le=3600, description="Pause between two sweeps of what has expired")
    orphan_sweep_seconds: float = Field(
        600.0, ge=0.05, le=86_400, description="Pause between two searches for files that no entry refers to"
    )
    signing_keys: SecretKeys = Field(
        SecretStr(""),
        description="Keys that sign entries, where a cache wants that: base64 of 32 bytes, comma-separated, the first "
        "signs, all verify",
    )
    rule_address: str = Field(
        "", description="Address of RuleService, for events of caches that publish them; empty tells nobody"
    )
    operation_retention_days: float = Field(30.0, gt=0, description="How long operations are kept after their end")
    metadata_backends: dict[str, dict[str, Any]] = Field(
        {},
        repr=False,
        description='Further metadata backends: {"NAME": {"type": "redis", "url": "redis://HOST:6379/0"}}; '
        "ListBackends tells types and options",
        examples=[{"hot": {"type": "redis", "url": "redis://127.0.0.1:6379/0"}}],
    )
    blob_backends: dict[str, dict[str, Any]] = Field(
        {},
        repr=False,
        description='Further blob backends: {"NAME": {"type": "s3", "bucket": "BUCKET"}}',
        examples=[{"bucket": {"type": "s3", "bucket": "team-cache"}}],
    )
    default_metadata_backend: str = Field("local", description="What caches get that name no metadata backend")
    default_blob_backend: str = Field("files", description="What caches get that name no blob backend")
    request_retention_days: float = Field(7.0, gt=0, description="How long answers to request ids are remembered")

    @property
    def blob_folder(self) -> Path:
        """Where large values are."""
        return self.blobs or Path(unquote(self.data.removeprefix(SQLITE)) + ".blobs")

    @model_validator(mode="after")
    def _backends_are_usable(self) -> Self:
        types, found = registry(), list[str]()
        for name, kind, given, own, default in (
            ("metadata_backends", BackendKind.METADATA, self.metadata_backends, LOCAL, self.default_metadata_backend),
            ("blob_backends", BackendKind.BLOB, self.blob_backends, FILES, self.default_blob_backend),
        ):
            found += [
                f"{name}[{each}]: is no name: letters, digits, - _ ., first a letter, and not {own}"
                for each in given
                if each == own or not BACKEND_NAME.fullmatch(each)
            ]
            found += [f"{name}{problem}" for problem in problems(types, kind, given, workers=self.workers)]
            if default not in (own, *given):
                found.append(f"default_{name[:-1]}: {default} is none of {', '.join((own, *given))}")
        if found:
            raise ValueError(SEPARATOR.join(found))
        return self

    @model_validator(mode="after")
    def _blobs_have_a_place(self) -> Self:
        if self.blobs is None and (not self.data.startswith(SQLITE) or self.data == f"{SQLITE}:memory:"):
            raise ValueError("blobs must be set where data is no SQLite file")
        return self
