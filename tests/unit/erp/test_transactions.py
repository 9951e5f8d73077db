"""What transactions and upserts compare and replace, without an ERP."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sutler.errors import Invalid

from services.erp.batches.finding import Rows, find
from services.erp.batches.sameness import has, same
from services.erp.creating import NewRecord
from services.erp.journal import Kind
from services.erp.links import Link
from services.erp.ports import Capability, Prepared
from services.erp.records import Row
from services.erp.schemas import FieldType, Model, ModelField, ModelSchema
from services.erp.transactions.model import MethodCall, StepSpec
from services.erp.transactions.references import check_references, resolved
from services.erp.users import Ask

ORDER = "${steps.order.id}"


def field(kind: FieldType, **more: Any) -> ModelField:
    return ModelField(field="f", type=kind, **more)


@pytest.mark.parametrize(
    ("kind", "found", "wanted", "expected"),
    [
        (FieldType.MONETARY, "99.5", "99.50", True),
        (FieldType.FLOAT, 0.1, "0.1", True),
        (FieldType.FLOAT, 0.1, 0.2, False),
        (FieldType.DATETIME, "2026-11-21T09:30:00Z", "2026-11-21T10:30:00+01:00", True),
        (FieldType.STRING, None, "", True),
        (FieldType.STRING, None, None, True),
        (FieldType.INTEGER, 0, None, False),
        (FieldType.BOOLEAN, False, None, True),
        (FieldType.MANY_TO_ONE, {"id": 7, "display_name": "x"}, 7, True),
        (FieldType.MANY_TO_ONE, {"id": 7}, {"id": 8}, False),
        (FieldType.MANY_TO_ONE, {"id": 7}, {"external_id": "a.b"}, False),
        (FieldType.MANY_TO_MANY, [{"id": 2}, {"id": 1}], [1, {"id": 2}], True),
        (FieldType.MANY_TO_MANY, [{"id": 2}], {"add": [2], "remove": [1]}, True),
        (FieldType.MANY_TO_MANY, [{"id": 1}], {"remove": [1]}, False),
        (FieldType.MANY_TO_MANY, [], {"add": [{"external_id": "a.b"}]}, False),
        (FieldType.ONE_TO_MANY, [{"id": 1}], {"create": [{"name": "x"}]}, False),
    ],
)
def test_values_are_the_same_whatever_their_form(kind: FieldType, found: Any, wanted: Any, expected: bool) -> None:
    assert same(field(kind), found, wanted) is expected


def test_numbers_are_compared_as_the_field_keeps_them() -> None:
    assert same(field(FieldType.FLOAT, scale=2), 1.13, "1.125") is False
    assert same(field(FieldType.FLOAT, scale=2), 1.12, "1.1249") is True


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=9), st.just(ORDER)), max_size=4))
def test_references_are_replaced_wherever_they_stand_and_nothing_else_is(values: dict[str, Any]) -> None:
    call = MethodCall(method="m", positional=([ORDER],), named={"deep": {"er": ORDER}})
    spec = StepSpec(step_id="2", kind=Kind.CALL, model="m", targets=(ORDER, 3), values=(values,), call=call)
    done = resolved(spec, {"order": 8})
    assert done.targets == (8, 3)
    assert done.values == ({key: 8 if value == ORDER else value for key, value in values.items()},)
    assert done.call == MethodCall(method="m", positional=([8],), named={"deep": {"er": 8}})


def test_a_reference_within_a_text_stays_a_text() -> None:
    spec = StepSpec(step_id="1", kind=Kind.CREATE, model="m", values=({"name": f"see {ORDER}"},))
    check_references([spec])
    assert resolved(spec, {}) == spec


def test_a_step_cannot_refer_to_itself() -> None:
    spec = StepSpec(step_id="order", kind=Kind.CREATE, model="m", values=({"parent_id": ORDER},))
    with pytest.raises(Invalid) as caught:
        check_references([spec])
    assert caught.value.metadata == {"step": "order", "reference": ORDER}


async def test_two_external_ids_of_one_record_are_one_key() -> None:
    schema = ModelSchema(Model(model="m"), {"f": field(FieldType.STRING)})

    class Driver:
        info = SimpleNamespace(capabilities=(Capability.EXTERNAL_IDS,))

        async def find_externals(self, ask: Ask, model: str, external_ids: list[str]) -> dict[str, int]:
            return {"a.one": 7, "a.two": 7, "a.three": 8}

        async def read(
            self, ask: Ask, schema: ModelSchema, ids: list[int], fields: list[str], **more: Any
        ) -> list[Row]:
            return [Row(id=one, values={"f": "x"}) for one in ids]

    keys = ("a.one", "a.two", "a.three", "a.four")
    rows = Rows(schema, [NewRecord(values={"f": "x"}, external_id=key) for key in keys], [Prepared({})] * 4)
    found = await find(cast(Link, SimpleNamespace(driver=Driver())), cast(Ask, None), rows)
    assert [one.error.reason if one.error else "" for one in found] == ["KEY_NOT_UNIQUE", "KEY_NOT_UNIQUE", "", ""]
    assert [(one.record_id, one.unchanged) for one in found[2:]] == [(8, True), (None, False)]
    assert has(schema, {"f": "x"}, {"f": "x"})
