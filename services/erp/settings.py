"""The settings of the gateway: environment variables with the prefix SUTLER_ERP_."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import SettingsConfigDict
from sutler.secret_box import SecretKeys
from sutler.settings import ServerSettings


class Settings(ServerSettings):
    """ErpGateway: reads, writes and watches the records of ERP systems."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_ERP_")

    port: int = Field(50053, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    data: str = Field("sqlite:///.sutler/erp.db", description="Database URL: sqlite:///FILE or postgresql://…")
    rule_address: str = Field("", description="RuleService that events go to, host:port; empty: events wait here")
    cache_address: str = Field("", description="CacheService to read through, host:port; empty: none")
    cache_name: str = Field(
        "caches/erp", pattern=r"^caches/[A-Za-z][A-Za-z0-9._-]{0,62}$", description="The cache for answers of ERPs"
    )
    near_cache_mb: int = Field(
        64, ge=0, le=65_536, description="MiB of answers in memory, for each tenant that uses a CacheService; 0: none"
    )
    alone: bool = Field(
        False, description="No other gateway works on this database: without a CacheService, answers are kept in memory"
    )
    allowed_urls: list[str] = Field(
        default=["http://127.0.0.1:*", "http://localhost:*"],
        description="Addresses of ERPs that connections may name (JSON list, * allowed)",
    )
    allow_skip_certificate_check: bool = Field(False, description="Whether connections may accept any certificate")
    secret_keys: SecretKeys = Field(
        SecretStr(""),
        description="Keys for secrets at rest: base64 of 32 bytes, comma-separated, the first encrypts; "
        "empty: erp.key beside the SQLite file",
    )
    poll_interval_seconds: float = Field(
        1.0, ge=0.05, le=3600, description="Pause between two polls of a model, where a connection says nothing else"
    )
    lease_seconds: float = Field(
        4.0, ge=1, le=60, description="After how long another process takes over feeds and events from a dead one"
    )
    max_watches: int = Field(
        100, ge=1, description="How many different watches a caller may have of a connection, resting ones included"
    )
    watch_idle_seconds: float = Field(
        3600.0, ge=1, le=604_800, description="How long a watch can be resumed after its last reader left"
    )
    mass_delete_hold_seconds: float = Field(
        3600.0, ge=0, description="How long records that are missing all at once are not told as deleted"
    )
    request_retention_days: float = Field(7.0, gt=0, description="How long answers to request ids are remembered")
    journal_retention_days: float = Field(30.0, gt=0, description="How long ended transactions are kept")
    change_retention_days: float = Field(7.0, gt=0, description="How long changes are kept for watches to resume")
    away_retention_days: float = Field(
        90.0, gt=0, description="How long a feed remembers a record that is gone or out of view, in case it comes back"
    )
    event_retention_days: float = Field(
        7.0, gt=0, description="How long events wait for a RuleService to be configured; with one, until it took them"
    )
    etag_retention_days: float = Field(
        30.0, gt=0, description="How long it is known which fields a record's etag covers, after its last use"
    )

    @field_validator("allowed_urls")
    @classmethod
    def _addresses(cls, urls: list[str]) -> list[str]:
        wrong = [url for url in urls if "://" not in url]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: an address begins with http:// or https://")
        return urls
