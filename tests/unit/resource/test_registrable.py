"""What is wrong with a type by itself is told at once."""

from dataclasses import replace

import pytest
from sutler.errors import Invalid

from services.resource.registrable import check_registrable
from services.resource.resource_type import Action, Handler, ResourceType, Version
from services.resource.scopes import Scope

TYPE = "Custom.Org/servers/disks"
ACTION = Action("act", parameter_schema={"type": 1}, result_schema={"type": 2})
WRONG = ResourceType(
    tenant="t",
    type="Custom.Org/others",
    versions=(Version("v1", schema={"type": 1}), Version("v2", retired=True, immutable_fields=("uid",))),
    default_version="v2",
    allowed_scopes=(Scope.SUBSCRIPTION,),
    handler=Handler(min_backoff=9, max_backoff=1),
    actions=(ACTION, ACTION),
)


def told(wanted: ResourceType) -> list[str]:
    """Returns the fields that are wrong, in the order in which they are told, without their common beginning."""
    with pytest.raises(Invalid) as caught:
        check_registrable(TYPE, wanted, new=True)
    assert caught.value.message.endswith(f" (and {len(caught.value.violations) - 1} more)")
    return [violation.field.removeprefix("resource_type.") for violation in caught.value.violations]


def test_all_that_is_wrong_is_told() -> None:
    schemas = ["versions[0].schema", "versions[1].immutable_fields[0]"]
    actions = ["actions[0].parameter_schema", "actions[0].result_schema", "actions[1].id"]
    actions += ["actions[1].parameter_schema", "actions[1].result_schema"]
    rest = ["type", "default_version", "allowed_scopes", "handler.min_backoff"]
    assert told(WRONG) == [*rest, *schemas, "actions", *actions]
    rest[1] = "versions"
    assert told(replace(WRONG, versions=())) == [*rest, "actions", *actions]
