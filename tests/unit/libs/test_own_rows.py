"""Rows that an RPC checks itself, because each has its own result, do not fail the whole request."""

import pytest
from sutler.errors import Invalid
from sutler.rule.v1 import rule_pb2 as pb
from sutler.validation import validate_message, validate_open_data


def test_a_row_with_its_own_result_is_left_to_the_rpc() -> None:
    event = pb.Event(id="")
    event.data.string_value = "x" * 2_000_000
    request = pb.BatchPublishEventsRequest(events=[event])
    validate_message(request)
    validate_open_data(request)
    with pytest.raises(Invalid) as caught:
        validate_open_data(event)
    assert caught.value.violations[0].reason == "TOO_LARGE"


def test_all_other_open_data_are_checked() -> None:
    request = pb.UpdateSubjectRequest(subject=pb.Subject(name="subjects/s"))
    request.subject.properties["x"] = "y" * 2_000_000
    with pytest.raises(Invalid):
        validate_open_data(request)
