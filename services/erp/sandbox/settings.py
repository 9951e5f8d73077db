"""Settings of the sandbox: flags, or environment variables with the prefix SUTLER_SANDBOX_."""

import ipaddress
from pathlib import Path

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """A sandbox ERP that speaks Odoo's JSON-RPC and JSON-2. It is not Odoo, and it is for tests and trials only."""

    model_config = SettingsConfigDict(
        env_prefix="SUTLER_SANDBOX_",
        cli_prog_name="python -m services.erp.sandbox",
        cli_kebab_case=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
        cli_implicit_flags=True,
        extra="forbid",
    )

    host: str = Field(default="127.0.0.1", description="Address to listen on: a loopback address, nothing else.")
    port: int = Field(default=8069, ge=0, le=65535, description="Port to listen on; 0 takes a free one and tells it.")
    data: str = Field(default=":memory:", min_length=1, description="SQLite file; :memory: forgets everything at exit.")
    workers: int = Field(default=8, ge=1, le=256, description="Requests served at the same time; the rest queue.")
    service_ms: float = Field(default=0.0, ge=0, description="Milliseconds that every request takes at least.")
    row_ms: float = Field(default=0.0, ge=0, description="Milliseconds more for every record read or written.")
    clock_offset: float = Field(default=0.0, description="Seconds that its clock is ahead; negative: behind.")
    json2: bool = Field(default=False, description="Be an Odoo 19: serve /json/2 and /web/version as well.")
    keep_alive: bool = Field(default=False, description="Keep connections open, as a server behind a proxy does.")
    partners: int = Field(default=0, ge=0, le=5_000_000, description="Customers to put into a new database.")
    write_log: Path | None = Field(default=None, description="File that gets a JSON line for every successful change.")
    api_key: SecretStr | None = Field(default=None, description="An API key that stands in for admin's password.")

    @field_validator("host")
    @classmethod
    def _only_loopback(cls, host: str) -> str:
        if host == "localhost":
            return "127.0.0.1"
        try:
            loopback = ipaddress.ip_address(host).is_loopback
        except ValueError:
            loopback = False
        if not loopback:
            raise ValueError("the sandbox has demo passwords and no TLS: it listens on loopback addresses only")
        return host
