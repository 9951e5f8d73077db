"""The settings of RuleService."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from sutler.settings import ServerSettings

from services.rule.adapters.database.retention import Ages


class Settings(ServerSettings):
    """RuleService: events, subjects, rules, timers."""

    model_config = SettingsConfigDict(
        env_prefix="SUTLER_RULE_", extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    port: int = Field(50054, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    data: str = Field("sqlite:///.sutler/rule.db", description="Database URL: sqlite:///FILE or postgresql://…")
    targets: dict[str, str] = Field(
        default_factory=dict,
        description="Services that rules may call: JSON object from full service name to host:port",
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

    @property
    def ages(self) -> Ages:
        """How long things are kept."""
        return Ages(
            timedelta(days=self.keep_events_days),
            timedelta(days=self.keep_executions_days),
            timedelta(days=self.keep_revisions_days),
            timedelta(days=self.keep_changes_days),
        )
