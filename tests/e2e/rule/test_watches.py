"""Watches of RuleService through a real Envoy, as a browser or curl reads them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

NDJSON, SSE = "application/json", "text/event-stream"

pytestmark = pytest.mark.xdist_group("rule")


def messages(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """The messages of a stream, in either form."""
    for line in answer.iter_lines():
        if text := line.removeprefix("data:").strip():
            yield json.loads(text)


def until(answer: Iterator[dict[str, Any]], enough: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """The changes up to one that is enough."""
    found = []
    for message in answer:
        for change in message.get("changes", ()):
            found.append(change)
            if enough(change):
                return found
    raise AssertionError("the watch ended")


@pytest.mark.parametrize("accept", [NDJSON, SSE])
def test_watches_over_rest(http: httpx.Client, accept: str) -> None:
    kind = "paint.ndjson" if accept == NDJSON else "paint.sse"
    wanted, headers = {"filter": f'type = "{kind}"'}, {"accept": accept}
    with (
        http.stream("GET", "/v1/events:watch", params=wanted, headers=headers) as events,
        http.stream("GET", "/v1/subjects:watch", params={"properties": "color"}, headers=headers) as subjects,
    ):
        assert events.headers["content-type"].startswith(accept)
        flow, facts = messages(events), messages(subjects)
        token = next(flow)["resumeToken"]
        next(facts)
        written = http.patch(
            f"/v1/subjects/{kind}", params={"allowMissing": True}, json={"properties": {"color": "red"}}
        )
        assert written.status_code == 200, written.text
        event = {"id": kind, "source": "/shop", "type": kind}
        assert http.post("/v1/events:batchPublish", json={"events": [event]}).status_code == 200
        told = until(flow, lambda change: change["kind"] == "KIND_CASCADE_ENDED")
        assert [change["kind"] for change in told] == ["KIND_ACCEPTED", "KIND_ENDED", "KIND_CASCADE_ENDED"]
        (change,) = until(facts, lambda change: change["subject"]["name"] == f"subjects/{kind}")
        assert change["subject"]["properties"] == {"color": "red"}
    with http.stream("GET", "/v1/events:watch", params={**wanted, "resumeToken": token}, headers=headers) as again:
        assert until(messages(again), lambda change: change["kind"] == "KIND_CASCADE_ENDED") == told
    refused = http.get("/v1/subjects:watch", params={"resumeToken": token}, headers=headers)
    assert refused.status_code == 400
    assert refused.json()["details"][0]["reason"] == "RESUME_TOKEN_INVALID"
