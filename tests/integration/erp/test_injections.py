"""Texts that want to be more than texts: in filters, in raw domains, in names of models, fields and methods."""

from __future__ import annotations

from typing import Any

import pytest
from sutler.client import Sutler
from sutler.erp.v1 import erp_pb2 as pb
from sutler.errors import SutlerError
from sutler.wire import to_value

from tests.conformance.sandbox.processes import SandboxProcess
from tests.integration.erp.conftest import MAIN

PARTNER = "res.partner"
TEXTS = [
    "'; DROP TABLE res_partner; --",
    '" OR 1=1 --',
    "%' OR '1'='1",
    "') OR TRUE --",
    "${jndi:x}",
    "__import__('os')",
]
DEEP: Any = ["id", "=", 1]
for _ in range(20):
    DEEP = [DEEP]

DOMAINS: list[Any] = [
    [["id) OR 1=1 --", "=", 1]],
    [["id", "= 1 OR 1 =", 1]],
    [["id", "in (select id from res_users) --", 1]],
    [["name; DROP TABLE res_partner", "=", "x"]],
    [["id", "inselect", ["SELECT id FROM res_partner", []]]],
    [["__class__.__init__", "=", 1]],
    ["|"],
    [["id", "=", 1], "|"],
    ["|", "|", ["id", "=", 1]],
    ["OR", ["id", "=", 1], ["id", "=", 2]],
    [{"id": 1}],
    ["id = 1 OR 1 = 1"],
    [["id", "=", 1, "OR 1=1"]],
    [[["id", "=", 1]]],
    DEEP,
]


def search(**more: Any) -> pb.SearchRecordsRequest:
    return pb.SearchRecordsRequest(**{"connection": MAIN, "model": PARTNER, "fields": ["name"], **more})


@pytest.fixture
def untouched(sandbox: SandboxProcess) -> Any:
    """Fails if a test has changed how many records there are."""
    models = (PARTNER, "res.users", "sale.order")
    before = [sandbox.call(model, "search_count", []) for model in models]
    yield
    assert [sandbox.call(model, "search_count", []) for model in models] == before


@pytest.mark.parametrize("raw", DOMAINS, ids=range(len(DOMAINS)))
async def test_a_raw_domain_that_is_none_is_refused(erp: Sutler, untouched: None, raw: Any) -> None:
    with pytest.raises(SutlerError) as caught:
        await erp.erp.SearchRecords(search(domain=to_value(raw).list_value))
    assert caught.value.reason in ("DOMAIN_INVALID", "FIELD_NOT_FOUND", "FIELD_INVALID", "ERP_ACCESS_DENIED")
    assert "Traceback" not in str(caught.value.metadata)


@pytest.mark.parametrize("text", TEXTS)
async def test_a_text_stays_a_text(erp: Sutler, untouched: None, text: str) -> None:
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    for request in (
        search(filter=f'name = "{quoted}"'),
        search(filter=f'name = "*{quoted}*"'),
        search(domain=to_value([["name", "=", text]]).list_value),
        search(domain=to_value([["name", "ilike", text]]).list_value),
    ):
        assert not (await erp.erp.SearchRecords(request)).records
    for request in (search(filter=text), search(order_by=text), search(fields=[text]), search(model=text)):
        with pytest.raises(SutlerError) as caught:
            await erp.erp.SearchRecords(request)
        assert caught.value.code.name in ("INVALID_ARGUMENT", "NOT_FOUND")


async def test_a_raw_domain_does_not_reach_around_the_page(erp: Sutler) -> None:
    everything = to_value(["|", ["id", ">", 0], ["id", "<=", 0]]).list_value
    seen: list[int] = []
    request = search(domain=everything, page_size=3, order_by="id")
    while True:
        page = await erp.erp.SearchRecords(request)
        seen += [one.id for one in page.records]
        request.page_token = page.next_page_token
        if not page.next_page_token or len(seen) > 30:
            break
    assert seen == sorted(set(seen))


@pytest.mark.parametrize("method", ["_write", "__class__", "search; DROP", "unlink", "sudo", "browse"])
async def test_methods_that_nobody_allowed_are_refused(erp: Sutler, untouched: None, method: str) -> None:
    with pytest.raises(SutlerError) as caught:
        await erp.erp.CallMethod(pb.CallMethodRequest(connection=MAIN, model=PARTNER, method=method, record_ids=[10]))
    assert caught.value.reason in ("METHOD_NOT_ALLOWED", "FIELD_INVALID")
