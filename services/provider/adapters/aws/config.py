"""The config of a provider of type ``aws``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class AwsConfig(BaseModel):
    """Which account and region, and as whom; secrets stay where the service runs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    region: str = Field(
        default="us-east-1", pattern=r"^[a-z0-9-]{1,63}$", description="The region of the machines; one per provider"
    )
    profile: str = Field(
        default="",
        max_length=128,
        description="A profile of the AWS files where the service runs; if empty, what AWS looks for by itself: "
        "keys in the environment, a web identity, the role of the host",
    )
    role_arn: str = Field(
        default="",
        max_length=2048,
        pattern=r"^(arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+)?$",
        description="A role to take with these credentials",
    )
    external_id: str = Field(default="", max_length=1224, description="What the role wants to be told")
    connect_seconds: float = Field(default=5.0, gt=0, le=60, description="How long to wait for a connection")
    read_seconds: float = Field(default=20.0, gt=0, le=300, description="How long to wait for an answer")
