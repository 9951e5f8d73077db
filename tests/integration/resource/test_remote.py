"""Handlers that do not speak the contract at all."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from sutler.client import connect
from sutler.errors import Internal, Unavailable

from services.resource.adapters.calling import CalledHandlers
from services.resource.adapters.plugins import PluginHandlers
from services.resource.adapters.remote import RemoteHandlers
from services.resource.handling import HandlerCall, Refused
from services.resource.resource import Declared, Resource
from services.resource.resource_type import Handler
from tests.integration.resource.machines import babbling

RESOURCE = Resource("t", "subscriptions/shop", "uid", "Custom.Org/machines", Declared())


@pytest_asyncio.fixture(loop_scope="session")
async def call() -> AsyncIterator[tuple[CalledHandlers, HandlerCall]]:
    async with babbling() as address, AsyncExitStack() as stack:
        handler = Handler(address=address)
        yield (
            CalledHandlers(RemoteHandlers(connect, [address], stack), PluginHandlers({}, {})),
            HandlerCall("t", handler, "user:anna", "", "c", "", "", time.time() + 20),
        )


async def test_answers_that_cannot_be_read_break_the_contract(call: tuple[CalledHandlers, HandlerCall]) -> None:
    handlers, told = call
    for said in (handlers.apply(told, RESOURCE, None), handlers.delete(told, RESOURCE, None)):
        (answer,) = [answer async for answer in said]
        assert isinstance(answer, Refused)
        assert answer.problem.reason == "HANDLER_MISBEHAVED"
    with pytest.raises(Internal) as caught:
        await handlers.find(told, RESOURCE, None)
    assert caught.value.reason == "HANDLER_MISBEHAVED"
    with pytest.raises(Unavailable) as unasked:
        await handlers.validate(told, RESOURCE, None)
    assert unasked.value.metadata["cause"] == "HANDLER_MISBEHAVED"
