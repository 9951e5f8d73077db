"""Connections: what is allowed, who works as whom, where secrets stay, and how states move."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sutler.allow_lists import allows
from sutler.errors import Invalid, PermissionDenied, SutlerError, Unavailable

from services.erp.conditions import Observer
from services.erp.connections import (
    CachePolicy,
    Condition,
    Connection,
    ConnectionSpec,
    Effect,
    MethodRule,
    State,
    UserMapping,
)
from services.erp.permitting import check_spec, with_secrets
from services.erp.users import Login, choose_login

LOOPBACK = ["http://127.0.0.1:*"]


def a_connection(**spec: Any) -> Connection:
    return Connection(
        tenant="default",
        id="main",
        uid="c",
        spec=ConnectionSpec(**{"driver": "odoo-jsonrpc", "url": "http://127.0.0.1:8069", "username": "admin", **spec}),
    )


@pytest.mark.parametrize(
    ("pattern", "url", "allowed"),
    [
        ("http://127.0.0.1:*", "http://127.0.0.1:8069", True),
        ("http://127.0.0.1:*", "http://127.0.0.1:8069/odoo", True),
        ("http://127.0.0.1:*", "https://127.0.0.1:8069", False),
        ("http://127.0.0.1:*", "http://127.0.0.1.evil.example:80", False),
        ("http://127.0.0.1:*", "http://127.0.0.1:80.evil.example", False),
        ("http://[::1]:*", "http://[::1]:8069", True),
        ("https://example.com/odoo", "https://example.com/odoo", True),
        ("https://example.com/odoo", "https://example.com/other", False),
        ("https://example.com/odoo", "https://example.com", False),
        ("https://example.com", "https://example.com:8443", False),
        ("https://*.example.com", "https://erp.example.com", True),
        ("https://*.example.com", "https://erp.example.com/x", True),
        ("https://*.example.com", "https://evil.org/erp.example.com", False),
        ("https://erp.example.com", "https://ERP.example.com", True),
    ],
)
def test_only_the_operators_addresses_are_allowed(pattern: str, url: str, allowed: bool) -> None:
    assert allows(pattern, url) is allowed


@pytest.mark.parametrize(
    ("spec", "kind", "reason"),
    [
        ({"driver": "sap"}, Invalid, "DRIVER_UNKNOWN"),
        ({"driver": ""}, Invalid, "FIELD_INVALID"),
        ({"url": "http://10.0.0.1:80"}, PermissionDenied, "ADDRESS_NOT_ALLOWED"),
        ({"skip_certificate_check": True}, Invalid, "FIELD_INVALID"),
        ({"user_mappings": (UserMapping(caller="a"), UserMapping(caller="a"))}, Invalid, "FIELD_INVALID"),
    ],
)
def test_settings_that_do_not_fit(spec: dict[str, Any], kind: type[SutlerError], reason: str) -> None:
    with pytest.raises(kind) as caught:
        check_spec(a_connection(**spec).spec, ["odoo-jsonrpc"], LOOPBACK, insecure=False)
    assert caught.value.reason == reason


def test_the_first_mapping_that_matches_counts() -> None:
    mapped = a_connection(
        user_mappings=(
            UserMapping(caller="user:anna", username="anna"),
            UserMapping(caller="service:*", username="bot"),
        )
    )
    assert choose_login(mapped, "user:anna") == Login("anna", "user:anna\nanna")
    assert choose_login(mapped, "service:rule").username == "bot"
    assert choose_login(mapped, "user:ben") == Login("admin", "")
    strict = replace(mapped, spec=replace(mapped.spec, require_user_mapping=True))
    with pytest.raises(PermissionDenied) as caught:
        choose_login(strict, "user:ben")
    assert caught.value.reason == "USER_MAPPING_MISSING"


def test_secrets_that_are_not_given_stay_as_long_as_their_user_does() -> None:
    anna = UserMapping(caller="anna", username="a")
    first = with_secrets(a_connection(user_mappings=(anna,)), {"": b"1", "anna\na": b"2"}, 10.0, keep={})
    assert first.spec.secret_update_time == 10.0
    assert first.spec.user_mappings[0].secret_update_time == 10.0
    kept = with_secrets(first, {"anna\na": b"3"}, 20.0, keep=first.secrets)
    assert kept.secrets == {"": b"1", "anna\na": b"3"}
    assert (kept.spec.secret_update_time, kept.spec.user_mappings[0].secret_update_time) == (10.0, 20.0)
    gone = with_secrets(replace(kept, spec=replace(kept.spec, user_mappings=())), {}, 30.0, keep=kept.secrets)
    assert gone.secrets == {"": b"1"}


def test_the_first_policy_and_the_first_rule_count() -> None:
    spec = a_connection(
        cache_policies=(CachePolicy(model="product.*", record_ttl=5.0), CachePolicy(model="*", search_ttl=0.0)),
        method_rules=(
            MethodRule(model="sale.*", method="action_*", effect=Effect.CHANGES),
            MethodRule(model="*", method="*", effect=Effect.READ_ONLY),
        ),
    ).spec
    assert spec.ttl("product.product", search=False) == 5.0
    assert spec.ttl("product.product", search=True) == 60.0
    assert spec.ttl("sale.order", search=True) == 0.0
    assert spec.ttl("sale.order", search=False) == 300.0
    rule = spec.method_rule("sale.order", "action_confirm")
    assert rule is not None
    assert rule.effect is Effect.CHANGES
    assert spec.method_rule("sale.order", "_private") is None
    assert a_connection().spec.method_rule("sale.order", "action_confirm") is None


def test_states_follow_what_calls_tell() -> None:
    told: list[Condition] = []
    observer = Observer(a_connection(), lambda _, condition: told.append(condition), Condition())
    observer.call_ended(None, breaker_open=False)
    assert told == []
    observer.logged_in("18.0", 0.4)
    observer.call_ended(Unavailable("slow"), breaker_open=False)
    observer.call_ended(Unavailable("slow"), breaker_open=False)
    observer.call_ended(Unavailable("slow"), breaker_open=True)
    observer.call_ended(None, breaker_open=False)
    observer.logged_in("18.0", 0.9)
    assert [one.state for one in told] == [
        State.STARTING,
        State.HEALTHY,
        State.DEGRADED,
        State.UNHEALTHY,
        State.HEALTHY,
    ]
    assert told[-1].reason == ""
    assert told[-1].server_version == "18.0"
    assert told[-2].reason == "slow"
