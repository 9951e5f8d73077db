"""The settings of RuleService."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, IPvAnyNetwork, SecretStr, field_validator, model_validator
from pydantic_settings import SettingsConfigDict
from sutler.settings import SEPARATOR, ServerSettings

from services.rule.adapters.database.retention import Ages
from services.rule.adapters.signing import SigningKey
from services.rule.adapters.targets import Target
from services.rule.sourcing import Source, overlap

OWN = "sutler."
"""What the names of this project's services begin with, which are trusted unless it is said that they are not."""


class Settings(ServerSettings):
    """RuleService: events, subjects, rules, timers."""

    model_config = SettingsConfigDict(
        env_prefix="SUTLER_RULE_", extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    port: int = Field(50054, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    data: str = Field("sqlite:///.sutler/rule.db", description="Database URL: sqlite:///FILE or postgresql://…")
    engine: Literal["database", "nats"] = Field(
        "database", description="What hands out work: the database alone, or NATS JetStream, which has all events then"
    )
    nats_url: SecretStr = Field(SecretStr(""), description="NATS servers: nats://HOST:4222, several with commas")
    nats_credentials: Path | None = Field(None, description="Credentials file of NATS")
    nats_ca: Path | None = Field(
        None, description="Certificates (PEM) of the authorities that vouch for NATS; the system's if not set"
    )
    nats_stream: str = Field(
        "SUTLER_RULE", pattern=r"^[A-Za-z0-9_-]{1,64}$", description="Stream of events, one for each installation"
    )
    nats_prefix: str = Field(
        "sutler.rule.events",
        pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
        description="What the subjects of its messages begin with",
    )
    nats_sources: list[Source] = Field(
        default_factory=list,
        description='NATS subjects with CloudEvents to accept: [{"name": "shop", "subject": "shop.>"}]; '
        "also stream and tenant",
        examples=[[{"name": "shop", "subject": "shop.>"}]],
    )
    targets: dict[str, Target] = Field(
        default_factory=dict,
        description="Services that rules may call: JSON object from full service name, or an id, to host:port, "
        "or to {address, methods, descriptors, trusted}",
    )
    allowed_urls: list[str] = Field(
        default_factory=list,
        description="Where HTTP requests of rules may go: JSON list of scheme://host:port, * allowed",
    )
    allowed_networks: list[IPvAnyNetwork] = Field(
        default_factory=list,
        description="Networks of private addresses that HTTP requests may reach: JSON list such as 10.1.0.0/16",
    )
    signing_keys: dict[str, SigningKey] = Field(
        default_factory=dict,
        description="Keys that sign HTTP requests: JSON object from id to whsec_ and the base64 of 24 to 64 bytes, "
        "or to {key, tenants, urls}",
    )
    concurrency: int = Field(200, ge=1, le=10_000, description="Executions that run at once in one process")
    lease_seconds: float = Field(
        4.0, ge=0.5, le=300, description="After how long another process takes over from one that is silent"
    )
    max_waiting: int = Field(
        100_000, ge=1, description="Executions that may wait or run before events are refused with OVERLOADED"
    )
    max_leased: int = Field(1000, ge=1, le=100_000, description="Tasks of one queue that workers may hold at once")
    max_depth: int = Field(32, ge=1, le=32, description="How deep a cascade may be")
    keep_events_days: float = Field(7, gt=0, description="How long events are kept after their cascade ended")
    keep_executions_days: float = Field(30, gt=0, description="How long executions are kept after they ended")
    keep_revisions_days: float = Field(
        90, gt=0, description="How long revisions are kept that are neither active nor in use"
    )
    keep_changes_days: float = Field(
        1, gt=0, description="How long changes of subjects are kept for watches that resume"
    )
    keep_operations_days: float = Field(30, gt=0, description="How long operations are kept after they ended")
    sweep_seconds: float = Field(600, gt=0, description="How often to look for what is too old")

    @field_validator("targets", mode="before")
    @classmethod
    def _whole(cls, targets: Any) -> Any:
        if not isinstance(targets, Mapping):
            return targets
        whole = {id_: {"address": target} if isinstance(target, str) else target for id_, target in targets.items()}
        return {
            id_: {"trusted": id_.startswith(OWN), **target} if isinstance(target, Mapping) else target
            for id_, target in whole.items()
        }

    @field_validator("allowed_urls")
    @classmethod
    def _origins(cls, urls: list[str]) -> list[str]:
        wrong = [url for url in urls if not re.fullmatch(r"https?://[^/?#@\s]+", url)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: an entry is http:// or https://, a host, and maybe a port")
        return urls

    @field_validator("nats_ca")
    @classmethod
    def _authorities(cls, path: Path | None) -> Path | None:
        try:
            ssl.create_default_context(cafile=path)
        except OSError as error:
            raise ValueError(
                f"{path} holds no certificates in PEM that can be read: {error.strerror or error}"
            ) from None
        return path

    @field_validator("signing_keys", mode="before")
    @classmethod
    def _keys(cls, keys: Any) -> Any:
        if not isinstance(keys, Mapping):
            return keys
        return {id_: {"key": key} if isinstance(key, str) else key for id_, key in keys.items()}

    @model_validator(mode="after")
    def _nats_is_whole(self) -> Self:
        problems = []
        names = [source.name for source in self.nats_sources]
        if (self.engine == "nats" or names) and not self.nats_url.get_secret_value():
            problems.append("engine nats and nats_sources need nats_url")
        if self.engine == "nats" and self.data.startswith("sqlite"):
            problems.append("engine nats needs data on PostgreSQL: postgresql://USER@HOST/DATABASE")
        if len(names) != len(set(names)):
            problems.append("two of nats_sources have the same name")
        own = f"{self.nats_prefix}.>"
        problems += [
            f"the source {source.name} has subjects below nats_prefix {self.nats_prefix}: it would read its own events"
            for source in self.nats_sources
            if self.engine == "nats" and overlap(source.subject, own)
        ]
        if problems:
            raise ValueError(SEPARATOR.join(problems))
        return self

    @property
    def ages(self) -> Ages:
        """How long things are kept."""
        return Ages(
            timedelta(days=self.keep_events_days),
            timedelta(days=self.keep_executions_days),
            timedelta(days=self.keep_revisions_days),
            timedelta(days=self.keep_changes_days),
        )
