"""Zones of a name server: each resource is a zone file (RFC 1035) in the folder that ``ZONE_FILES`` names.

What has to be remembered of a zone (serial, key of the last change, fencing token) stands in the file itself, so that
the file and the memory of it cannot differ.
"""

from __future__ import annotations

import asyncio
import os
import re
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator
from sutler.handlers import ActionCall, Call, FieldError, Found, Handler, action

LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")


class Record(BaseModel):
    """One record of a zone."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field("@", pattern=r"^(@|[a-z0-9_*-]+(\.[a-z0-9_-]+)*)$", description="@ for the domain itself")
    type: Literal["A", "AAAA", "CNAME", "MX", "TXT"]
    value: str = Field(max_length=255, pattern="^[ -~]+$")

    @field_validator("value")
    @classmethod
    def _fits_the_type(cls, value: str, info: ValidationInfo) -> str:
        kind = {"A": IPv4Address, "AAAA": IPv6Address}.get(info.data.get("type", ""))
        if not value.isprintable() or '"' in value:
            raise ValueError("must be printable, without quotes")
        return value if kind is None else str(kind(value))


class Zone(BaseModel):
    """The properties of a zone."""

    model_config = ConfigDict(extra="forbid")

    domain: str = Field(max_length=253, description="The domain, such as example.org")
    tier: Literal["basic", "premium"] = "basic"
    ttl: int = Field(3600, ge=60, le=604800, description="Seconds that answers may be kept")
    records: list[Record] = Field(default_factory=list, max_length=1000)

    @field_validator("domain")
    @classmethod
    def _is_a_domain(cls, domain: str) -> str:
        labels = domain.lower().rstrip(".").split(".")
        if len(labels) < 2 or not all(map(LABEL.fullmatch, labels)):
            raise ValueError("must be a domain of two labels or more, such as example.org")
        return ".".join(labels)

    @model_validator(mode="after")
    def _basic_is_slow(self) -> Self:
        if self.tier == "basic" and self.ttl < 300:
            raise FieldError("ttl", "is at least 300 in the tier basic", "TIER")
        return self

    @model_validator(mode="after")
    def _an_alias_stands_alone(self) -> Self:
        names = [record.name for record in self.records]
        for index, record in enumerate(self.records):
            if record.type == "CNAME" and names.count(record.name) > 1:
                raise FieldError(f"records[{index}].name", "an alias can have no other record", "ALIAS")
        return self


class Memory(BaseModel):
    """What a file remembers of the last change: its number, its key, and who made it."""

    serial: int = 0
    key: str = ""
    fence: int = 0


class Zones(Handler[Zone]):
    """Writes zone files."""

    def __init__(self) -> None:
        self.folder = Path(os.environ.get("ZONE_FILES", "zones"))

    async def validate(self, call: Call[Zone]) -> None:
        """Refuses another domain for a zone that exists."""
        if call.previous is not None and call.previous.domain != call.properties.domain:
            call.reject("properties.domain", "cannot change; make another zone instead", "IMMUTABLE")
        call.plan("UPDATE" if call.previous else "CREATE", f"{call.properties.domain}.zone")

    async def apply(self, call: Call[Zone]) -> dict[str, object]:
        """Writes the file, with a new serial; once for each key."""
        await call.progress(50, f"writing {call.properties.domain}")
        return await asyncio.to_thread(self._write, call)

    async def delete(self, call: Call[Zone]) -> None:
        """Removes the file."""
        memory, _ = await asyncio.to_thread(self._stored, call)
        call.check_fence(memory.fence)
        await asyncio.to_thread(self._file(call).unlink, missing_ok=True)

    async def read(self, call: Call[Zone]) -> Found:
        """Compares the file with what is declared, and with what was declared before."""
        memory, text = await asyncio.to_thread(self._stored, call)
        outputs = {"file": self._file(call).name, "serial": memory.serial}
        if text == _text(call.properties, memory):
            return Found("WHOLE", outputs)
        unchanged = not text or (call.previous is not None and text == _text(call.previous, memory))
        return Found("ABSENT" if unchanged else "PARTIAL", outputs, f"another zone, serial {memory.serial}")

    @action()
    async def touch(self, call: ActionCall[Zone, BaseModel]) -> dict[str, object]:
        """Writes the zone again with a new serial, so that secondaries fetch it."""
        outputs = await asyncio.to_thread(self._write, call)
        await call.progress(90, "written", outputs)
        return {"serial": outputs["serial"]}

    def _file(self, call: Call[Zone]) -> Path:
        return self.folder / f"{call.resource.uid}.zone"

    def _stored(self, call: Call[Zone]) -> tuple[Memory, str]:
        try:
            text = self._file(call).read_text()
        except FileNotFoundError:
            return Memory(), ""
        return Memory.model_validate_json(text.partition("\n")[0].removeprefix("; ")), text

    def _write(self, call: Call[Zone]) -> dict[str, object]:
        memory, _ = self._stored(call)
        call.check_fence(memory.fence)
        if memory.key != call.idempotency_key:  # else an earlier attempt has written it
            memory = Memory(serial=memory.serial + 1, key=call.idempotency_key, fence=call.fencing_token)
            self.folder.mkdir(parents=True, exist_ok=True)
            new = self._file(call).with_suffix(f".{call.fencing_token}")
            new.write_text(_text(call.properties, memory))
            new.replace(self._file(call))
        return {"file": self._file(call).name, "serial": memory.serial}


def _text(zone: Zone, memory: Memory) -> str:
    soa = f"@ SOA ns.{zone.domain}. hostmaster.{zone.domain}. {memory.serial} 3600 600 86400 {zone.ttl}"
    lines = [f"; {memory.model_dump_json()}", f"$ORIGIN {zone.domain}.", f"$TTL {zone.ttl}", soa]
    for record in zone.records:
        value = f'"{record.value}"' if record.type == "TXT" else record.value
        lines.append(f"{record.name} {record.type} {value}")
    return "\n".join(lines) + "\n"
