"""What conditions and rules may be: CEL that gives a bool, as far as that can be told when they are written."""

import pytest
from sutler.errors import Invalid
from sutler.resource.v1 import resource_pb2 as pb

from tests.integration.resource.conftest import Tenant
from tests.integration.resource.test_policies import policy, rule


@pytest.mark.parametrize("never", ["'x'", "1 + 1", "[true]"])
async def test_what_is_never_a_bool_is_refused_when_it_is_written(tenant: Tenant, never: str) -> None:
    group = await tenant.group()
    with pytest.raises(Invalid) as caught:
        await policy(tenant, group, rule("no", "DENY", never))
    assert caught.value.reason == "EXPRESSION_INVALID"
    assert caught.value.violations[0].field == "resource.properties.rules[0].condition"
    kept = pb.TypeVersion(version="v1", rules=[pb.TypeRule(id="r", expression=never, message="no")])
    with pytest.raises(Invalid) as caught:
        await tenant.type(versions=[kept])
    assert caught.value.reason == "EXPRESSION_INVALID"


async def test_what_may_be_a_bool_is_taken(tenant: Tenant) -> None:
    group = await tenant.group()
    assert await policy(tenant, group, rule("flag", "AUDIT", "self.properties.flag"))
