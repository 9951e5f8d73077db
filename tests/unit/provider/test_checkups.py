"""Providers are checked whatever goes wrong with one of them."""

import asyncio

from sutler.testing import wait_until

from services.provider.checkups import Checkups
from services.provider.providers import Checkup, Provider, ProviderState
from tests.unit.provider.yard import LAB, TENANT, Yard, world


class Haunted(Yard):
    """A provider type of which one provider raises what nobody expects."""

    async def check(self, provider: Provider) -> Checkup:
        if provider.name == LAB:
            raise RuntimeError("a ghost")
        return await super().check(provider)


async def test_a_provider_that_cannot_be_checked_keeps_no_other() -> None:
    async with world(kind=Haunted()) as here:
        await here.add_provider("providers/zoo")
        checks = asyncio.create_task(Checkups(here.store, here.kinds, 0.05).run())

        async def checked() -> bool:
            found = await here.do(lambda book: book.providers.get(TENANT, "providers/zoo"))
            return found is not None and found.state is ProviderState.HEALTHY

        await wait_until(checked)
        assert not checks.done()
        checks.cancel()
        await asyncio.gather(checks, return_exceptions=True)
