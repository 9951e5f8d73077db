"""What ResourceService can be told."""

from __future__ import annotations

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict
from sutler.secret_box import SecretKeys
from sutler.settings import ServerSettings


class Settings(ServerSettings):
    """The settings of ResourceService."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_RESOURCE_")

    port: int = Field(50051, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    data: str = Field("sqlite:///.sutler/resource.db", description="Database URL: sqlite:///FILE or postgresql://…")
    rule_address: str = Field("", description="Address of RuleService for events; they wait in the outbox if empty")
    handler_addresses: tuple[str, ...] = Field(
        (), description="JSON list of the addresses at which types may name a ResourceHandler"
    )
    plugins: tuple[str, ...] = Field(
        ("*",), description="JSON list of the installed plug-ins that are loaded; * in a name stands for anything"
    )
    secret_keys: SecretKeys = Field(
        SecretStr(""),
        description="Keys for secrets at rest: base64 of 32 bytes, comma-separated, the first encrypts; "
        "empty: resource.key beside the SQLite file, made when the first type with secrets is registered",
    )
    wait_seconds: float = Field(0.0, ge=0, le=60, description="How long a call waits for a handler before it answers")
    concurrency: int = Field(64, ge=1, le=1000, description="Operations that this process works on at once")
    lease_seconds: float = Field(
        15.0, ge=1, le=600, description="After how long another process takes over the operations of one that died"
    )
    policies_per_scope: int = Field(100, ge=1, le=10_000, description="How many policies may stand in one scope")
    quotas_per_scope: int = Field(100, ge=1, le=10_000, description="How many quotas may stand in one scope")
    expiry_seconds: float = Field(1.0, ge=0.05, le=3600, description="How often resources are looked for that expired")
    request_retention_days: float = Field(7.0, gt=0, description="How long answers to request ids are remembered")
    operation_retention_days: float = Field(30.0, gt=0, description="How long operations are kept after their end")
    revision_retention_days: float = Field(90.0, gt=0, description="How long superseded revisions are kept")
    event_retention_days: float = Field(
        7.0, gt=0, description="How long events wait where rule_address is empty; with an address they wait for it"
    )
    sweep_seconds: float = Field(600.0, ge=0.05, le=86400, description="How often what is over its time is deleted")
