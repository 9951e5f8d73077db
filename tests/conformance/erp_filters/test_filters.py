"""Filters through a real gateway and a real ERP select what they mean, in plain Python over the same rows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2
from sutler.errors import Invalid

from tests.conformance.erp_filters.rows import ORDER, PARTNER, fill, tree
from tests.conformance.erp_filters.trees import Tables, Tree, written
from tests.conformance.sandbox.processes import SandboxProcess, started
from tests.integration.erp.conftest import MAIN, connect, gateway

EXAMPLES = 300


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[SandboxProcess, Tables]]:
    with started() as sandbox:
        yield sandbox, fill(sandbox, Random(20261122))


@pytest.fixture
async def client(filled: tuple[SandboxProcess, Tables], sqlite: str) -> AsyncIterator[Sutler]:
    async with gateway(sqlite) as client:
        await connect(client, filled[0].url)
        yield client


@pytest.mark.parametrize("model", [PARTNER, ORDER])
async def test_a_filter_selects_what_it_means(
    client: Sutler, filled: tuple[SandboxProcess, Tables], model: str
) -> None:
    loop, tables = asyncio.get_running_loop(), filled[1]
    met = set()

    @settings(max_examples=EXAMPLES)
    @given(st.randoms(use_true_random=True))
    def check(random: Random) -> None:
        made = tree(random, tables, model)
        expected = None if tables.refused(model, made) else tables.matching(model, made)
        found = asyncio.run_coroutine_threadsafe(search(client, model, made), loop).result(30)
        assert found == expected, f"{written(made)}: {sorted((found or set()) ^ (expected or set()))}"
        met.add(None if expected is None else 0 < len(expected) < len(tables.rows[model]))

    await asyncio.to_thread(check)
    assert met == {None, False, True}, "some are refused, and some select a part of the rows"


async def search(client: Sutler, model: str, made: Tree) -> set[int] | None:
    """Returns the ids that a filter selects; None if it is refused."""
    request = erp_pb2.SearchRecordsRequest(
        connection=MAIN, model=model, filter=written(made), fields=["id"], show_archived=True, page_size=1000
    )
    try:
        return {one.id for one in (await client.erp.SearchRecords(request)).records}
    except Invalid as error:
        if error.reason == "FILTER_INVALID" and "leads to many records" in str(error.violations):
            return None
        raise
