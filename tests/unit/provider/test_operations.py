"""What the operations of requests and switches keep of their callers."""

from sutler.auth import encode_principal
from sutler.context import Call, Principal, current, set_current
from sutler.operations.model import Operation

from services.provider import switching
from services.provider.switches import STOP, Switch
from tests.unit.provider.driven import machines, running
from tests.unit.provider.yard import TENANT, World, world

ANNA = Principal("user:anna", "home", ("provider.*.*",))


async def operations(here: World) -> list[Operation]:
    """Asks for a machine and stops it; returns the operations of both."""
    request = await running(here, 1)
    (machine,) = await machines(here, request)
    switch = Switch(tenant=TENANT, method=STOP, names=(machine.name,))
    stopping = await here.do(lambda book: switching.accept(book, here.kinds, switch))
    names = (request.operation, stopping.name)
    return await here.do(lambda book: [book.operations.get(TENANT, name) for name in names])


async def test_they_keep_the_one_whose_will_is_done_in_the_tenant_of_the_work() -> None:
    before = current()
    service = Principal("service:rule", "home", ("*.*.*",), on_behalf_of=ANNA)
    try:
        async with world() as here:
            for principal in (ANNA, service):
                set_current(Call("/a.B/C", principal, TENANT))
                will = encode_principal(Principal(ANNA.subject, TENANT, ANNA.grants))
                assert [o.principal for o in await operations(here)] == [will, will]
    finally:
        set_current(before)
