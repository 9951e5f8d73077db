"""What ProviderService can be told."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints
from pydantic_settings import SettingsConfigDict
from sutler.settings import ServerSettings

PluginType = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class Settings(ServerSettings):
    """ProviderService: machines, requests, templates."""

    model_config = SettingsConfigDict(env_prefix="SUTLER_PROVIDER_")

    port: int = Field(50055, ge=0, le=65535, description="Port to listen on; 0 takes a free one")
    data: str = Field(
        "sqlite:///.sutler/provider.db",
        description="Database URL: sqlite:///FILE or postgresql://…; see libs/README.md",
    )
    machines: Path = Field(Path(".sutler/machines"), description="Folder of the locks and outputs of process machines")
    host_name: str = Field("", description="Name of this host, the same for the life of its machines; its own if empty")
    process_programs: list[str] = Field(
        ["*"], description="Patterns of the programs that templates may name, as a JSON list"
    )
    process_path: str = Field(
        os.defpath.lstrip(":"),
        min_length=1,
        max_length=4096,
        description="Where programs are looked for; providers may only say otherwise if PROCESS_PROGRAMS allows all",
    )
    plugins: tuple[str, ...] = Field(
        ("*",), description="JSON list of the types of installed packages that are loaded; * stands for anything"
    )
    plugin_addresses: dict[PluginType, str] = Field(
        {}, description="JSON object of the addresses of plug-ins by their types; no other address is called"
    )
    plugin_seconds: float = Field(30.0, ge=0.1, le=600, description="Seconds that one call of a plug-in may take")
    aws_endpoint_url: str = Field("", description="Server that speaks like AWS, for type aws; AWS itself if empty")
    rule_address: str = Field(
        "", description="Address of RuleService, which is told of machines and requests; empty tells nobody"
    )
    lease_seconds: float = Field(
        5.0, ge=0.5, le=600, description="After how long another copy of the service takes over from one that died"
    )
    max_count: int = Field(100, ge=1, le=10_000, description="Most machines that one request may ask for")
    max_machines: int = Field(1000, ge=0, description="Most machines that may live at once in all; 0 is no limit")
    max_tenant_machines: int = Field(1000, ge=0, description="Most machines of one tenant; 0 is no limit")
    launches: int = Field(32, ge=1, le=1000, description="Machines that are started or ended at once")
    check_seconds: float = Field(30.0, gt=0, le=3600, description="How often providers are checked")
    sweep_seconds: float = Field(2.0, gt=0, le=60, description="How often running machines are looked at")
    reconcile_seconds: float = Field(
        60.0, gt=0, le=86_400, description="How often what providers have is compared with the record"
    )
    orphan_policy: Literal["mark", "adopt", "remove"] = Field(
        "mark", description="What becomes of machines without a record: only told, given one, or ended"
    )
    orphan_grace_seconds: float = Field(
        300.0, ge=1, le=2_592_000, description="How old a machine without a record must be before it is touched"
    )
    keep_days: float = Field(30.0, gt=0, le=3650, description="Days that ended machines, requests and operations stay")
    keep_request_ids_days: float = Field(7.0, gt=0, le=365, description="Days that first answers are remembered")
    keep_usage_days: float = Field(
        400.0, gt=0, le=3650, description="Days that usage, and the prices of its time, are kept"
    )
    stopped_hours: float = Field(
        24.0, ge=0, le=8760, description="After how many hours a stopped machine is recommended for return"
    )
    keep_changes_hours: float = Field(24.0, gt=0, le=8760, description="Hours that a watch can be resumed")
