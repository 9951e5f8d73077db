"""Providers are checked whatever goes wrong with one of them."""

import asyncio
from collections.abc import Mapping
from typing import Any

from sutler.errors import invalid
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


class Stricter(Yard):
    """A provider type that no longer accepts what was stored."""

    def check_config(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        raise invalid("provider.config.size", "is no field any more", reason="CONFIG_INVALID")

    async def check(self, provider: Provider) -> Checkup:
        raise AssertionError("a provider whose config is wrong is not called")


async def test_a_config_that_is_not_valid_any_more_is_told() -> None:
    async with world(kind=Stricter()) as here:
        found = await Checkups(here.store, here.kinds, 60).check(TENANT, LAB)
        assert found.state is ProviderState.UNHEALTHY
        assert (found.diagnostics[0].code, found.diagnostics[0].field) == ("CONFIG_INVALID", "provider.config.size")
        stored = await here.do(lambda book: book.providers.get(TENANT, LAB))
        assert stored is not None and stored.state is ProviderState.UNHEALTHY
