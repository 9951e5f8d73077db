"""CloudEvents as the official SDK makes them, posted through a real Envoy."""

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

PATH = "/v1/events:publish"
BATCH = "application/cloudevents-batch+json"
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678000, UTC)
EXTENSIONS = {"tenantid": "acme", "sequence": 7, "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}

pytestmark = pytest.mark.xdist_group("rule")


def cloud_event(id: str, data: Any, **attributes: Any) -> CloudEvent:
    values = {"id": id, "source": "/sdk", "type": "door.opened", "specversion": "1.0", "time": WHEN, **attributes}
    return CloudEvent(values, data)


def post(http: httpx.Client, message: HTTPMessage) -> httpx.Response:
    return http.post(PATH, headers=message.headers, content=message.body)


def published(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def read(http: httpx.Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get(f"/v1/{name}").json()
    return found


def test_one_event_in_structured_mode_keeps_all_that_it_says(http: httpx.Client) -> None:
    event = cloud_event("sdk-1", {"door": 7, "opened": True}, subject="door/7", datacontenttype="application/json",
                        dataschema="https://example.com/door", **EXTENSIONS)  # fmt: skip
    (first,) = published(post(http, to_structured_event(event)))
    (again,) = published(post(http, to_structured_event(event)))
    assert (again["event"], again["duplicate"]) == (first["event"], True)
    kept = read(http, first["event"])
    assert kept["data"] == event.get_data()
    assert kept["extensions"] == {name: str(value) for name, value in EXTENSIONS.items()}
    assert datetime.fromisoformat(kept["time"]) == WHEN
    for name in ("id", "source", "type", "subject", "datacontenttype", "dataschema"):
        assert kept[name] == event.get_attributes()[name]
    other = cloud_event("sdk-1", {"door": 8}, subject="door/7")
    refused = post(http, to_structured_event(other))
    assert (refused.status_code, refused.json()["details"][0]["reason"]) == (409, "EVENT_ID_REUSED")


def test_bytes_and_text_come_as_they_were(http: httpx.Client) -> None:
    image = cloud_event("sdk-bytes", b"\x00\xffbytes", datacontenttype="image/png")
    text = cloud_event("sdk-text", "plain words", datacontenttype="text/plain")
    kept = [read(http, published(post(http, to_structured_event(each)))[0]["event"]) for each in (image, text)]
    assert (kept[0]["binaryData"], kept[1]["data"]) == ("AP9ieXRlcw==", "plain words")


def test_a_batch_answers_each_event_in_its_order(http: httpx.Client) -> None:
    events = [cloud_event(f"sdk-b{n}", {"n": n}, datacontenttype="application/json") for n in range(3)]
    rows = [json.loads(bytes(to_structured_event(event).body)) for event in events]
    rows.insert(1, {**rows[0], "id": "sdk-old", "specversion": "0.3"})
    results = published(http.post(PATH, headers={"content-type": BATCH}, content=json.dumps(rows)))
    assert ["status" in result for result in results] == [False, True, False, False]
    assert results[1]["status"]["details"][0]["reason"] == "EVENT_INVALID"
    accepted = [read(http, result["event"]) for result in results if "event" in result]
    assert [kept["data"]["n"] for kept in accepted] == [0, 1, 2]


def test_what_breaks_the_rules_is_told_to_who_posts_it_and_to_nobody_else(http: httpx.Client) -> None:
    """``error.validation_failed`` is for events that come where nobody waits for an answer."""
    event = cloud_event("sdk-binary", {"n": 1}, datacontenttype="application/json")
    binary = post(http, to_binary_event(event))
    assert binary.status_code == 400
    error = binary.json()["details"][0]
    assert (error["reason"], error["metadata"]["content_type"]) == ("CONTENT_TYPE_UNSUPPORTED", "application/json")
    assert "application/cloudevents+json" in binary.json()["message"]
    unmatched = post(http, to_structured_event(cloud_event("sdk-bad", {}, type="door opened")))
    assert (unmatched.status_code, unmatched.json()["details"][0]["reason"]) == (400, "FIELD_INVALID")
    listed = http.get("/v1/events", params={"filter": 'type = "error.*"'}).json()
    assert not listed.get("events")
