"""HTTP requests that rules make: what they say, and which of it an author may not say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sutler.errors import Invalid, Violation

from services.rule.faults import Fault

IDEMPOTENCY_KEY = "idempotency-key"

_ORIGIN = re.compile(r"^(https?)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?(?=[/?#]|$)")
_OWN_HEADERS = frozenset(
    (
        *("host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"),
        *("keep-alive", "proxy-authorization", "proxy-connection", IDEMPOTENCY_KEY),
        *("webhook-id", "webhook-timestamp", "webhook-signature"),
    )
)
_FORBIDDEN = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """Makes an HTTP request.

    Attributes:
        uri: Where to, a template; what is put in is percent-encoded.
        method: Such as ``POST``.
        headers: By name; the values are templates.
        json: A template for a body that is sent as JSON, if ``has_json``.
        has_json: Whether there is one; null is JSON.
        text: A template for a body that is sent as text; None if there is none.
        event: Sends the event as CloudEvents: ``structured``, ``binary``, or empty for not at all.
        binary_data: Base64 of a body that is bytes, which only the data of an event are.
        signing_key: The id of the key that signs it; empty for none.
        timeout: Seconds; what is left of the rule's if None.
    """

    uri: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    has_json: bool = False
    text: str | None = None
    event: Literal["", "structured", "binary"] = ""
    binary_data: str = ""
    signing_key: str = ""
    timeout: float | None = None
    kind: Literal["http_request"] = "http_request"

    @property
    def origin(self) -> str:
        """Scheme, host and port, such as ``https://hooks.example.com:443``; empty if they are not written out."""
        found = _ORIGIN.match(self.uri)
        if found is None or not 0 < (port := int(found[3] or (443 if found[1] == "https" else 80))) < 65536:
            return ""
        return f"{found[1]}://{found[2].lower()}:{port}"

    @property
    def address(self) -> str:
        """Host and port, for errors; the rest may hold what others shall not read."""
        return self.origin.partition("://")[2]


def faults(do: HttpRequest, field: str) -> Iterator[Violation]:
    """Returns what is wrong with a request as it is written, whatever the operator allows."""
    if not do.origin:
        yield Fault(
            f"{field}.uri",
            "must begin with scheme, host and port as they are: expressions and user names have no place in them",
            "TEMPLATE_INVALID",
        )
    for name in do.headers:
        if name.lower() in _OWN_HEADERS:
            yield Fault(f"{field}.headers.{name}", "is set by the service; leave it out", "FIELD_INVALID")


def check_headers(do: HttpRequest, field: str) -> None:
    """Checks header values that were filled in.

    Raises:
        Invalid: If one has control characters (TEMPLATE_INVALID).
    """
    for name, value in do.headers.items():
        if _FORBIDDEN.search(value):
            raise Invalid(
                f"{field}.http_request.headers.{name}: a value with control characters cannot be sent; "
                "take them out with an expression",
                reason="TEMPLATE_INVALID",
                metadata={"field": f"{field}.http_request.headers.{name}"},
            )
