"""What an operator says about a bucket."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, SecretStr, field_validator, model_validator


class S3Options(BaseModel, extra="forbid", hide_input_in_errors=True):
    """What an operator says about a bucket of blobs."""

    bucket: str = Field(min_length=3, max_length=63, description="The bucket, which must be there")
    prefix: str = Field(
        "", max_length=500, pattern="^[0-9A-Za-z!_.*'()/-]*$", description="What the keys of all objects begin with"
    )
    endpoint_url: str | None = Field(
        None, pattern="^https?://", description="Where another store than Amazon's answers: http[s]://HOST[:PORT]"
    )
    region: str = Field("us-east-1", min_length=1, description="The region of the bucket")
    access_key: str | None = Field(
        None, description="The id of the key; without it the environment, the shared files or the machine's role decide"
    )
    secret_key: SecretStr | None = Field(None, description="The key that belongs to access_key")
    session_token: SecretStr | None = Field(None, description="The token of temporary keys")
    addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="Where the bucket's name stands; auto: in the path if endpoint_url is set"
    )
    connections: int = Field(64, ge=2, le=1000, description="How many requests and running reads there are at once")
    connect_seconds: float = Field(5.0, gt=0, le=60, description="How long a connection may take")
    read_seconds: float = Field(20.0, gt=0, le=60, description="How long the store may be silent")
    upload_seconds: float = Field(
        21_600.0,
        ge=60,
        description="How long one upload in several parts may take. Older ones are abandoned, and an object that came "
        "in parts counts as an orphan no sooner than this",
    )

    @field_validator("prefix")
    @classmethod
    def _ends_with_a_slash(cls, prefix: str) -> str:
        return f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    @model_validator(mode="after")
    def _keys_are_pairs(self) -> Self:
        if (self.access_key is None) != (self.secret_key is None):
            raise ValueError("access_key and secret_key go together: set both or none")
        if self.session_token is not None and self.access_key is None:
            raise ValueError("session_token needs access_key and secret_key")
        return self
