"""Events of resources keep to the limits of event data, whatever the resources hold."""

from typing import Any

import pytest
from sutler.events import Event
from sutler.open_data import too_deep
from sutler.operations.model import Operation
from sutler.publishing import to_message
from sutler.validation import validate_open_data

from services.resource.announcing import Origin, event
from services.resource.resource import Declared, Resource


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def told(properties: dict[str, Any], outputs: dict[str, Any]) -> Event:
    declared = Declared(properties=properties, tags={"a": "b"})
    resource = Resource("t", "subscriptions/shop", "uid", "Sutler.Resource/subscriptions", declared, outputs=outputs)
    operation = Operation(
        name="resourceOperations/1", tenant="t", target=resource.name, method="m", creator="c", correlation_id="x"
    )
    return event("succeeded", resource, operation, Origin(), 1.0)


@pytest.mark.parametrize(
    ("properties", "outputs", "whole"),
    [
        ({"a": nested(17)}, {"a": nested(17)}, True),
        ({"a": nested(19)}, {}, False),
        ({}, {"a": nested(18)}, False),
        ({"a": [1] * 60_000}, {}, True),
        ({"a": [1] * 90_000}, {"a": [1] * 90_000}, False),
    ],
)
def test_what_an_event_cannot_hold_is_left_out(properties: Any, outputs: Any, whole: bool) -> None:
    data = told(properties, outputs).data
    assert data.get("truncated", False) is not whole
    assert ("properties" in data["resource"], "outputs" in data["resource"]) == (whole, whole)
    assert data["resource"]["tags"] == {"a": "b"}
    assert not too_deep(data)
    validate_open_data(to_message(told(properties, outputs)))
