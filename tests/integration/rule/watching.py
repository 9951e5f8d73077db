"""What tests of watches share."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from sutler.errors import SutlerError

from tests.integration.rule.conftest import PATIENCE_SECONDS

E = TypeVar("E", bound=SutlerError)


async def collect(watch: AsyncIterator[Any], enough: Callable[[list[Any]], bool]) -> tuple[list[Any], str]:
    """Returns the changes until there are enough, and the token after them."""
    changes: list[Any] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        async for message in watch:
            changes += message.changes
            if enough(changes):
                return changes, message.resume_token
    raise AssertionError("the watch ended")


async def first(watch: AsyncIterator[Any]) -> str:
    """Returns the token of the first message."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        message = await anext(watch)
    return str(message.resume_token)


async def refused(watch: AsyncIterator[Any], error: type[E]) -> E:
    """Returns the error with which a watch ends at once."""
    with pytest.raises(error) as caught:
        await first(watch)
    return caught.value
