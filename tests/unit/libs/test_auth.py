from __future__ import annotations

import base64
import json
import time
from typing import Any

import jwt
import pytest
from sutler.auth import (
    ASYMMETRIC,
    LEEWAY_SECONDS,
    MAX_SHOWN,
    MAX_TOKEN_BYTES,
    RECHECK_SECONDS,
    Authenticator,
    SharedSecret,
    authorize,
    decode_principal,
    encode_principal,
    is_granted,
    make_keys,
    make_token,
    may_act_for,
)
from sutler.context import ANONYMOUS, Principal
from sutler.errors import PermissionDenied, Unauthenticated
from sutler.testing import wait_until

SECRET = "a secret of more than thirty-two bytes"
OTHER = "another secret of more than thirty-two bytes"


def authenticator(**expected: str) -> Authenticator:
    return Authenticator(SharedSecret(SECRET), **expected)


def signed(secret: str = SECRET, algorithm: str = "HS256", **claims: Any) -> str:
    now = int(time.time())
    wanted = {"sub": "user:anna", "exp": now + 60, "permissions": ["*.*.*"], **claims}
    return jwt.encode({k: v for k, v in wanted.items() if v is not None}, secret, algorithm=algorithm)


def unsigned(**claims: Any) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, {"sub": "user:anna", "exp": int(time.time()) + 60, **claims})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


async def cause(token: str, **expected: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await authenticator(**expected).principal(token)
    assert caught.value.reason == "CREDENTIALS_INVALID"
    assert SECRET not in caught.value.message
    return caught.value.metadata["cause"]


class TestTokens:
    async def test_what_a_good_one_says(self) -> None:
        token = make_token(SECRET, "user:anna", permissions=["cache.*.get"], tenant="acme")
        assert await authenticator().principal(token) == Principal("user:anna", "acme", ("cache.*.get",))

    async def test_without_a_tenant_and_permissions(self) -> None:
        found = await authenticator().principal(signed(permissions=None))
        assert found == Principal("user:anna", "default", ())

    async def test_wrong_signature(self) -> None:
        assert await cause(signed(OTHER))

    @pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
    async def test_only_the_agreed_algorithm(self, algorithm: str) -> None:
        assert "alg" in await cause(jwt.encode({"sub": "a", "exp": 2**40}, SECRET * 3, algorithm=algorithm))

    async def test_no_algorithm_at_all(self) -> None:
        assert await cause(unsigned())
        assert await cause(unsigned() + "AAAA")

    @pytest.mark.parametrize("token", ["", "a", "a.b", "a.b.c", "....", "é", "eyJhbGciOiJIUzI1NiJ9.e30.", "\0"])
    async def test_rubbish(self, token: str) -> None:
        assert await cause(token)

    async def test_expired(self) -> None:
        assert await cause(signed(exp=int(time.time()) - LEEWAY_SECONDS - 1)) == "expired"
        assert await authenticator().principal(signed(exp=int(time.time()) - LEEWAY_SECONDS // 2))

    async def test_not_valid_yet(self) -> None:
        assert await cause(signed(nbf=int(time.time()) + 3600))

    @pytest.mark.parametrize("exp", [None, "tomorrow", float("inf"), [], {}])
    async def test_expiry_of_a_wrong_kind(self, exp: Any) -> None:
        assert await cause(signed(exp=exp))

    async def test_no_subject(self) -> None:
        assert await cause(signed(sub=None))

    async def test_issuer(self) -> None:
        for issuer in (None, "https://evil", "https://good/"):
            assert await cause(signed(iss=issuer), issuer="https://good")
        assert await authenticator(issuer="https://good").principal(signed(iss="https://good"))
        assert await authenticator().principal(signed(iss="https://any"))

    async def test_audience(self) -> None:
        for audience in (None, "others", ["others"]):
            assert await cause(signed(aud=audience), audience="sutler")
        for audience in ("sutler", ["others", "sutler"]):
            assert await authenticator(audience="sutler").principal(signed(aud=audience))
        assert await authenticator().principal(signed(aud="others"))

    @pytest.mark.parametrize("permissions", ["*.*.*", {"*.*.*": True}, [1], [["*.*.*"]], [None], 7, True])
    async def test_permissions_of_a_wrong_kind(self, permissions: Any) -> None:
        assert "permissions" in await cause(signed(permissions=permissions))

    @pytest.mark.parametrize("tenant", ["", 7, ["acme"], True])
    async def test_tenant_of_a_wrong_kind(self, tenant: Any) -> None:
        assert "tenant" in await cause(signed(tenant=tenant))

    async def test_too_long(self) -> None:
        token = make_token(SECRET, "user:anna", permissions=["x" * MAX_TOKEN_BYTES])
        assert await cause(token) == "too long"

    async def test_one_seen_before_is_refused_once_it_expires(self) -> None:
        known, token = authenticator(), signed(exp=int(time.time()) - LEEWAY_SECONDS + 2)
        await known.principal(token)

        async def refused() -> bool:
            try:
                await known.principal(token)
            except Unauthenticated as error:
                return error.metadata["cause"] == "expired"
            return False

        await wait_until(refused, 10)

    async def test_one_seen_before_is_looked_at_again_after_a_while(self) -> None:
        known, token = authenticator(), signed(exp=int(time.time()) + 86_400)
        await known.principal(token)
        assert time.time() < known.expire_time(token) <= time.time() + RECHECK_SECONDS


class TestServiceTokens:
    async def test_carry_the_principal_for_whom_they_act(self) -> None:
        service = make_token(SECRET, "service:rule", service=True)
        anna = Principal("user:anna", "acme", ("cache.caches.get",))
        found = await authenticator().principal(service, encode_principal(anna))
        assert (found.subject, found.tenant, found.on_behalf_of, found.actor) == (
            "service:rule",
            "acme",
            anna,
            "user:anna",
        )

    @pytest.mark.parametrize("service", [None, False, "true", 1])
    async def test_only_a_service_acts_for_others(self, service: Any) -> None:
        with pytest.raises(PermissionDenied):
            await authenticator().principal(signed(service=service), encode_principal(ANONYMOUS))

    @pytest.mark.parametrize("text", ["x", "e30=", "W10=", "bnVsbA==", "é"])
    async def test_malformed_principal(self, text: str) -> None:
        with pytest.raises(Unauthenticated):
            await authenticator().principal(make_token(SECRET, "service:rule", service=True), text)

    def test_principal_as_a_header(self) -> None:
        anna = Principal("user:änna", "acme", ("cache.caches.get:caches/a*", "rule.*.*"))
        text = encode_principal(anna)
        assert text.isascii() and text.isprintable()
        assert decode_principal(text) == anna


class TestGrants:
    @pytest.mark.parametrize(
        ("grant", "target", "granted"),
        [
            ("cache.caches.get", "caches/a", True),
            ("cache.caches.*", "caches/a", True),
            ("cache.*.get", "caches/a", True),
            ("*.caches.get", "caches/a", True),
            ("*.*.*", "caches/a", True),
            ("cache.caches.list", "caches/a", False),
            ("cache.cache.get", "caches/a", False),
            ("rule.*.*", "caches/a", False),
            ("cache.caches", "caches/a", False),
            ("cache.caches.get.more", "caches/a", False),
            ("*", "caches/a", False),
            ("", "caches/a", False),
            ("c*.caches.get", "caches/a", False),
            ("CACHE.caches.get", "caches/a", False),
            ("cache.caches.get:caches/a", "caches/a", True),
            ("cache.caches.get:caches/*", "caches/a", True),
            ("cache.caches.get:*", "caches/a", True),
            ("*.*.*:caches/?", "caches/a", True),
            ("cache.caches.get:caches/[ab]", "caches/a", True),
            ("cache.caches.get:caches/b*", "caches/a", False),
            ("cache.caches.get:Caches/*", "caches/a", False),
            ("cache.caches.get:aches/a", "caches/a", False),
            ("cache.caches.get:caches/a", "caches/ab", False),
            ("cache.caches.get:caches/a", "caches/a\n", False),
            ("cache.caches.list:caches/*", "caches/a", False),
        ],
    )
    def test_table(self, grant: str, target: str, granted: bool) -> None:
        assert is_granted([grant], "cache.caches.get", [target]) is granted

    @pytest.mark.parametrize(
        ("pattern", "target", "granted"),
        [
            ("subscriptions/[!p]*", "subscriptions/shop", True),
            ("subscriptions/[!p]*", "subscriptions/prod", False),
            ("subscriptions/[!p]*", "subscriptions/Prod", False),
            ("subscriptions/[!P]*", "Subscriptions/prod", False),
            ("subscriptions/[!O-Q]*", "subscriptions/prod", False),
            ("subscriptions/s/resourceGroups/a*", "Subscriptions/S/resourcegroups/Admin", True),
            ("subscriptions/S/*", "subscriptions/s/resourceGroups/g", True),
            ("subscriptions/t*", "subscriptions/s", False),
        ],
    )
    @pytest.mark.parametrize("permission", ["resource.resources.delete", "rule.rules.delete"])
    def test_patterns_ignore_case_where_names_do(
        self, permission: str, pattern: str, target: str, granted: bool
    ) -> None:
        assert is_granted([f"{permission}:{pattern}"], permission, [target]) is granted

    @pytest.mark.parametrize("permission", ["resource.tenants.actAs", "rule.subjects.get", "erp.records.get"])
    def test_elsewhere_they_do_not(self, permission: str) -> None:
        assert not is_granted([f"{permission}:Acme*"], permission, ["acme"])

    def test_every_target_must_be_covered_by_some_pattern(self) -> None:
        grants = ["cache.caches.get:caches/a*", "cache.caches.*:caches/b*"]
        assert is_granted(grants, "cache.caches.get", ["caches/a1", "caches/b1"])
        assert not is_granted(grants, "cache.caches.get", ["caches/a1", "caches/c1"])

    def test_pattern_covers_nothing_where_nothing_is_named(self) -> None:
        assert not is_granted(["cache.caches.get:*"], "cache.caches.get", [])
        assert is_granted(["cache.caches.get"], "cache.caches.get", [])

    def test_some_grant_is_enough_where_the_target_is_not_known_yet(self) -> None:
        assert is_granted(["cache.caches.get:caches/a"], "cache.caches.get", None)
        assert not is_granted(["cache.caches.list"], "cache.caches.get", None)

    def test_no_permission_is_granted_to_everybody(self) -> None:
        authorize(Principal("user:anna"), "", ["x"])

    def test_missing_permission_is_named(self) -> None:
        with pytest.raises(PermissionDenied) as caught:
            authorize(Principal("user:anna", grants=("cache.caches.get:caches/b",)), "cache.caches.get", ["caches/a"])
        assert caught.value.reason == "PERMISSION_MISSING"
        assert caught.value.metadata == {
            "permission": "cache.caches.get",
            "principal": "user:anna",
            "target": "caches/a",
        }

    @pytest.mark.parametrize(
        ("targets", "named"),
        [
            (["caches/b", "caches/a", "caches/c"], "caches/a"),
            (["x" * 1000], "x" * MAX_SHOWN + "…"),
            ([""], None),
            ([], None),
        ],
    )
    def test_for_what_it_is_missing_is_named(self, targets: list[str], named: str | None) -> None:
        with pytest.raises(PermissionDenied) as caught:
            authorize(Principal("user:anna", grants=("cache.caches.get:caches/b",)), "cache.caches.get", targets)
        assert caught.value.metadata.get("target") == named
        assert named is None or named in caught.value.message

    @pytest.mark.parametrize(("own", "behind"), [(True, True), (True, False), (False, True), (False, False)])
    def test_service_and_the_one_behind_it_both_need_it(self, own: bool, behind: bool) -> None:
        wanted = "cache.caches.get"
        principal = Principal(
            "service:rule",
            grants=(wanted,) if own else (),
            on_behalf_of=Principal("user:anna", grants=(wanted,) if behind else ()),
        )
        if own and behind:
            authorize(principal, wanted, ["caches/a"])
            return
        with pytest.raises(PermissionDenied) as caught:
            authorize(principal, wanted, ["caches/a"])
        assert caught.value.metadata["principal"] == ("user:anna" if own else "service:rule")

    def test_acting_for_another_tenant(self) -> None:
        may_act_for(Principal("user:anna", grants=("cache.tenants.actAs:ac*",)), "cache", "acme")
        with pytest.raises(PermissionDenied):
            may_act_for(Principal("user:anna", grants=("cache.tenants.actAs:ac*",)), "cache", "other")
        with pytest.raises(PermissionDenied):
            may_act_for(Principal("user:anna", grants=("rule.tenants.actAs",)), "cache", "acme")


def test_where_keys_come_from() -> None:
    assert make_keys() is None
    assert isinstance(make_keys(secret=SECRET), SharedSecret)
    keys = make_keys(jwks="https://example.com/jwks")
    assert keys is not None and list(keys.algorithms) == ASYMMETRIC
    assert not any(name.startswith("HS") or name == "none" for name in ASYMMETRIC)


def test_short_secret_is_refused() -> None:
    with pytest.raises(ValueError):
        SharedSecret("x" * 31)
