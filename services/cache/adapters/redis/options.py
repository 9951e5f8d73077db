"""What an operator sets for Redis."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

MAX_TIMEOUT_SECONDS = 3.0
"""Four tries, each of which may connect first, end before the sweep may take the blob of a put for an orphan."""

SCHEMES = ("redis", "rediss", "unix")


class RedisOptions(BaseModel):
    """Where Redis is, and what the cache may take of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="redis://HOST:PORT/DATABASE, rediss://… with TLS, or unix:///SOCKET; without user and password",
    )
    username: str = Field("", description="User of the access list; that without a name if empty")
    password: SecretStr | None = Field(None, description="Password")
    ca_file: Path | None = Field(None, description="Certificates to trust, for rediss; those of the system if not set")
    prefix: str = Field(
        "sutler-cache",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        description="What all keys begin with, in braces; one for each deployment that shares the server",
    )
    cluster: bool = Field(
        False, description="Whether the server is a Redis Cluster; all that is kept is in one slot of it"
    )
    timeout_seconds: float = Field(
        MAX_TIMEOUT_SECONDS, gt=0, le=MAX_TIMEOUT_SECONDS, description="How long one try of a command may take"
    )

    @field_validator("url")
    @classmethod
    def _is_complete(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in SCHEMES:
            raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in SCHEMES)}")
        if parts.username or parts.password:
            raise ValueError("must hold no user and no password: set username and password, which are never shown")
        return url
