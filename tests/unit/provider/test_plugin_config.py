"""Configs of plug-ins against the schema of their type, and their errors in our words."""

from typing import Any

import pytest
from pydantic import BaseModel, Field
from sutler.errors import (
    Conflict,
    DeadlineExceeded,
    Exhausted,
    FailedPrecondition,
    Internal,
    Invalid,
    PermissionDenied,
    SutlerError,
    Unavailable,
)

from services.provider.adapters.plugin.config import ConfigSchema
from services.provider.adapters.plugin.faults import broken, diagnosed
from services.provider.diagnostics import Category as C
from services.provider.diagnostics import Kind as K


class Disk(BaseModel):
    size: int = 10


class Config(BaseModel):
    region: str
    enabled: bool = True
    disk: Disk = Disk(size=20)
    disks: list[Disk] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("given", "whole"),
    [
        ({"region": "a"}, {"region": "a", "enabled": True, "disk": {"size": 20}}),
        ({"region": "a", "enabled": False}, {"region": "a", "enabled": False, "disk": {"size": 20}}),
        ({"region": "a", "disk": {}}, {"region": "a", "enabled": True, "disk": {"size": 10}}),
        (
            {"region": "a", "disks": [{}, {"size": 1}]},
            {"region": "a", "enabled": True, "disk": {"size": 20}, "disks": [{"size": 10}, {"size": 1}]},
        ),
    ],
)
def test_defaults_always_hold(given: dict[str, Any], whole: dict[str, Any]) -> None:
    schema = ConfigSchema("acme", Config.model_json_schema())
    assert schema.checked(given) == whole
    assert schema.checked(whole) == whole and not schema.has_secrets


def test_all_that_is_wrong_is_told() -> None:
    with pytest.raises(Invalid) as caught:
        ConfigSchema("acme", Config.model_json_schema()).checked({"enabled": "maybe", "disk": {"size": "big"}})
    assert caught.value.reason == "CONFIG_INVALID"
    fields = {violation.field for violation in caught.value.violations}
    assert fields == {"provider.config.region", "provider.config.enabled", "provider.config.disk.size"}


def test_a_schema_must_be_one_and_secrets_are_seen() -> None:
    with pytest.raises(ValueError):
        ConfigSchema("acme", {"type": "no such type"})
    assert ConfigSchema("acme", {"properties": {"a": {"properties": {"token": {"writeOnly": True}}}}}).has_secrets
    loop = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}
    assert ConfigSchema("acme", loop).filled({"a": 1}) == {"a": 1}


@pytest.mark.parametrize(
    ("error", "category", "kind"),
    [
        (PermissionDenied("no"), C.AUTH, K.PERMANENT),
        (Invalid("no", reason="TEMPLATE_INVALID"), C.VALIDATION, K.PERMANENT),
        (FailedPrecondition("no", reason="IMAGE_NOT_FOUND"), C.VALIDATION, K.PERMANENT),
        (FailedPrecondition("no"), C.UNKNOWN, K.PERMANENT),
        (Exhausted("no", reason="CAPACITY_MISSING"), C.CAPACITY, K.CAPACITY),
        (Exhausted("no", reason="THROTTLED"), C.RATE_LIMIT, K.TRANSIENT),
        (DeadlineExceeded("no"), C.DEADLINE, K.TRANSIENT),
        (Unavailable("no"), C.INTERNAL, K.TRANSIENT),
        (Conflict("no", reason="OUTCOME_UNKNOWN"), C.UNKNOWN, K.UNKNOWN),
        (Internal("no"), C.INTERNAL, K.PERMANENT),
        (broken("acme", "List", "x"), C.INTERNAL, K.PERMANENT),
    ],
)
def test_errors_are_sorted(error: SutlerError, category: C, kind: K) -> None:
    found = diagnosed(error)
    assert (found.category, found.kind, found.code) == (category, kind, error.reason)
