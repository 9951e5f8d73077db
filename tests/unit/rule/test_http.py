"""HTTP requests of rules: which addresses are reached, how keys are written, and what is sent of an event."""

import base64
import time
from datetime import timedelta
from email.utils import formatdate
from ipaddress import ip_network

import pytest
from pydantic import ValidationError

from services.rule.adapters.answers import retry_after
from services.rule.adapters.networks import AddressForbiddenError, check_reachable
from services.rule.adapters.signing import key_bytes, signature
from services.rule.carrying import carrying
from services.rule.events import Cause, Content, Event, EventState
from services.rule.http_requests import HttpRequest
from services.rule.settings import Settings


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
        *("224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fd00::1", "ff02::1"),
        *("::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:0a00:0001::1", "192.0.2.1"),
    ],
)
def test_addresses_that_are_not_public_are_not_reached(address: str) -> None:
    with pytest.raises(AddressForbiddenError):
        check_reachable(address, [ip_network("10.1.0.0/16")])


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "10.1.2.3", "::ffff:10.1.2.3"]
)
def test_public_and_allowed_addresses_are_reached(address: str) -> None:
    check_reachable(address, [ip_network("10.1.0.0/16")])


def test_a_signature_is_that_of_the_libraries_of_standard_webhooks() -> None:
    key = key_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("key", ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_$$$"])
def test_keys_that_are_none_are_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(signing_keys={"shop": key})  # type: ignore[dict-item]
    assert "is not whsec_" in str(caught.value)
    assert "shop" in str(caught.value)
    assert not key or key == "whsec_" or key not in str(caught.value)


@pytest.mark.parametrize("url", ["hooks.example.com", "ftp://a", "https://a/path", "https://u@a"])
def test_an_allowed_url_is_an_origin(url: str) -> None:
    with pytest.raises(ValidationError):
        Settings(allowed_urls=[url])


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("120", 120), ("9" * 400, 366 * 86_400), ("", None), ("soon", None), ("-1", None)]
)
def test_retry_after_in_seconds(text: str, seconds: int | None) -> None:
    assert retry_after(text) == (None if seconds is None else timedelta(seconds=seconds))


def test_retry_after_as_a_time() -> None:
    later, before = retry_after(formatdate(time.time() + 100, usegmt=True)), retry_after(formatdate(0, usegmt=True))
    assert later is not None and 30 < later.total_seconds() <= 100
    assert before is not None and before.total_seconds() == 0


def test_data_that_are_no_json_are_sent_as_they_are() -> None:
    binary = _event(Content("1", "/s", "a", datacontenttype="image/png", binary=b"\x00\xff"))
    sent = carrying(HttpRequest("http://a/", event="binary"), binary)
    assert (base64.b64decode(sent.binary_data), sent.has_json, sent.headers["content-type"]) == (
        b"\x00\xff",
        False,
        "image/png",
    )
    whole = carrying(HttpRequest("http://a/", event="structured"), binary)
    assert (whole.json["data_base64"], whole.json["datacontenttype"]) == ("AP8=", "image/png")
    text = carrying(
        HttpRequest("http://a/", event="binary"),
        _event(Content("1", "/s", "a", 'x "%\n', datacontenttype="text/plain", data="hi")),
    )
    assert (text.text, text.has_json, text.headers["ce-subject"]) == ("hi", False, "x%20%22%25%0A")


def _event(content: Content) -> Event:
    return Event("events/1", 1, "t", content, Cause("p", "c"), 0.0, 0.0, EventState.ACTIVE)
