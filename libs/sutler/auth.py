"""Tokens, permissions and tenants: who calls, and what they may do.

A token is a JWT with the claims ``sub``, ``exp``, ``permissions`` (a list of ``<area>.<collection>.<verb>[:<pattern>]``
where each part may be ``*``), ``tenant`` (``default`` if absent) and, for Sutler's own services, ``service: true``.
"""

from __future__ import annotations

import base64
import fnmatch
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import jwt
import orjson

from sutler.context import DEFAULT_TENANT, Principal
from sutler.errors import PermissionDenied, Unauthenticated
from sutler.jwks import JwksKeys, check_file

LEEWAY_SECONDS = 10
MAX_CACHED_TOKENS = 10_000
MAX_TOKEN_BYTES = 16 * 1024
MIN_SECRET_BYTES = 32
RECHECK_SECONDS = 300.0
"""How long a token is taken as good without a look at the keys: so long a key that is withdrawn goes on to work."""

IGNORES_CASE = frozenset(
    (
        "resource.resources",
        "resource.resourceTypes",
        "resource.resourceRevisions",
        "resource.stacks",
        "rule.rules",
        "rule.revisions",
    )
)
"""The permissions, without their verb, for things that are found whatever the letter case of their names: there a
pattern ignores case too, or another spelling would get around it."""

MAX_SHOWN = 200
"""How many characters of a name an error shows."""

ASYMMETRIC = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class Keys(Protocol):
    """Where the keys that sign tokens come from."""

    algorithms: Sequence[str]

    async def find(self, token: str) -> Any:
        """Returns the key that signed ``token``.

        Raises:
            Unauthenticated: If no known key did.
            Unavailable: If the keys cannot be fetched and none are known yet.
        """
        ...


class SharedSecret:
    """One secret known to all services, for development.

    Args:
        secret: At least 32 bytes.
    """

    algorithms: Sequence[str] = ("HS256",)

    def __init__(self, secret: str) -> None:
        if len(secret.encode()) < MIN_SECRET_BYTES:
            raise ValueError("the shared secret has fewer than 32 bytes; `sutler token --new-secret` makes one")
        self._secret = secret

    async def find(self, token: str) -> str:
        """Returns the secret."""
        return self._secret


class Authenticator:
    """Turns bearer tokens into principals; a token seen before costs a dictionary look-up.

    Args:
        keys: The keys that may sign.
        issuer: The only accepted ``iss``; any if empty.
        audience: What ``aud`` must contain; not checked if empty.
    """

    def __init__(self, keys: Keys, *, issuer: str = "", audience: str = "") -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._known: dict[str, tuple[float, Principal, bool]] = {}

    async def principal(self, token: str, on_behalf_of: str = "") -> Principal:
        """Returns who a token belongs to.

        Args:
            token: The JWT.
            on_behalf_of: What :func:`encode_principal` made; only a service's token may carry it.

        Raises:
            Unauthenticated: If the token is malformed, expired, or not signed by a known key.
            PermissionDenied: If a token that is not a service's acts on somebody's behalf.
        """
        found = self._known.get(token)
        if found is None or found[0] <= time.time():
            found = await self._verify(token)
            if len(self._known) >= MAX_CACHED_TOKENS:
                self._known.clear()
            self._known[token] = found
        _, principal, service = found
        if not on_behalf_of:
            return principal
        if not service:
            raise PermissionDenied(
                "only a service's token may act on somebody's behalf", metadata={"permission": "service"}
            )
        behind = decode_principal(on_behalf_of)
        return replace(principal, tenant=behind.tenant, on_behalf_of=behind)

    def expire_time(self, token: str) -> float:
        """Returns until when a token that was accepted stays accepted, in seconds since 1970."""
        return self._known[token][0] if token in self._known else 0.0

    async def _verify(self, token: str) -> tuple[float, Principal, bool]:
        if len(token) > MAX_TOKEN_BYTES:
            raise _refused("too long")
        key = await self._keys.find(token)
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=list(self._keys.algorithms),
                issuer=self._issuer or None,
                audience=self._audience or None,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "sub"], "verify_aud": bool(self._audience)},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused("expired") from error
        except (jwt.PyJWTError, ArithmeticError) as error:  # an infinite exp overflows
            raise _refused(str(error)) from error
        grants = claims.get("permissions", [])
        tenant = claims.get("tenant", DEFAULT_TENANT)
        if not isinstance(grants, list) or not all(isinstance(g, str) for g in grants):
            raise _refused("the claim permissions is not a list of strings")
        if not isinstance(tenant, str) or not tenant:
            raise _refused("the claim tenant is not a string")
        principal = Principal(str(claims["sub"]), tenant, tuple(grants))
        until = min(float(claims["exp"]) + LEEWAY_SECONDS, time.time() + RECHECK_SECONDS)
        return until, principal, claims.get("service") is True


def _refused(cause: str) -> Unauthenticated:
    return Unauthenticated(f"the token is not valid: {cause}", metadata={"cause": cause})


def make_keys(*, jwks: str = "", secret: str = "") -> Keys | None:
    """Returns where keys come from: a JWKS file or URL, a shared secret, or None if neither is set.

    Raises:
        FailedPrecondition: If the JWKS is a file that cannot be used. Of a URL it is seen later: it may come up later.
    """
    if "://" in jwks:
        return JwksKeys(jwks, ASYMMETRIC)
    if jwks:
        check_file(Path(jwks))
        return JwksKeys(Path(jwks), ASYMMETRIC)
    return SharedSecret(secret) if secret else None


def authorize(principal: Principal, permission: str, targets: Sequence[str] | None) -> None:
    """Checks that a principal, and whoever stands behind it, may do something.

    Args:
        principal: Who calls.
        permission: ``<area>.<collection>.<verb>``; an empty one is granted to every authenticated caller.
        targets: The names of the things concerned. None asks only for some grant of the permission.

    Raises:
        PermissionDenied: Naming the permission that is missing, and the first of the targets for which it is.
    """
    if not permission:
        return
    behind = principal.on_behalf_of
    for who in (principal,) if behind is None else (principal, behind):
        if not is_granted(who.grants, permission, targets):
            raise _missing(who, permission, targets or ())


def _missing(who: Principal, permission: str, targets: Sequence[str]) -> PermissionDenied:
    target = next((each for each in targets if not is_granted(who.grants, permission, (each,))), "")
    shown = target if len(target) <= MAX_SHOWN else f"{target[:MAX_SHOWN]}…"
    metadata = {"permission": permission, "principal": who.subject}
    return PermissionDenied(
        f"{who.subject} lacks the permission {permission}" + (f" for {shown}" if shown else ""),
        metadata=metadata | ({"target": shown} if shown else {}),
    )


def is_granted(grants: Sequence[str], permission: str, targets: Sequence[str] | None) -> bool:
    """Returns whether the grants cover a permission on all targets."""
    patterns = []
    for grant in grants:
        name, _, pattern = grant.partition(":")
        if _covers(name, permission):
            if not pattern or targets is None:
                return True
            patterns.append(pattern)
    if not patterns or not targets:
        return False
    ignores_case = permission.rpartition(".")[0] in IGNORES_CASE
    fits = [_matcher(pattern, ignores_case) for pattern in patterns]
    return all(any(fit(target) for fit in fits) for target in targets)


@lru_cache(maxsize=4096)
def _matcher(pattern: str, ignores_case: bool) -> Callable[[str], object]:
    return re.compile(fnmatch.translate(pattern), re.IGNORECASE if ignores_case else 0).match


def _covers(granted: str, permission: str) -> bool:
    if granted == permission:
        return True
    have, want = granted.split("."), permission.split(".")
    return len(have) == len(want) and all(h in ("*", w) for h, w in zip(have, want, strict=True))


def may_act_for(principal: Principal, area: str, tenant: str) -> None:
    """Checks that a principal may act for another tenant than its own.

    Raises:
        PermissionDenied: If it lacks ``<area>.tenants.actAs``.
    """
    authorize(principal, f"{area}.tenants.actAs", [tenant])


def encode_principal(principal: Principal) -> str:
    """Returns a principal as a header value, for calls on its behalf."""
    fields = {"sub": principal.subject, "tenant": principal.tenant, "permissions": list(principal.grants)}
    return base64.urlsafe_b64encode(orjson.dumps(fields)).decode()


def decode_principal(text: str) -> Principal:
    """Returns the principal that :func:`encode_principal` wrote.

    Raises:
        Unauthenticated: If the text is something else.
    """
    try:
        fields = orjson.loads(base64.urlsafe_b64decode(text))
        return Principal(str(fields["sub"]), str(fields["tenant"]), tuple(map(str, fields["permissions"])))
    except (ValueError, KeyError, TypeError) as error:
        raise _refused("the principal acted for is malformed") from error


def make_token(
    secret: str,
    subject: str,
    *,
    permissions: Sequence[str] = ("*.*.*",),
    tenant: str = DEFAULT_TENANT,
    lifetime_seconds: int = 86_400,
    issuer: str = "",
    audience: str = "",
    service: bool = False,
) -> str:
    """Returns a token signed with a shared secret (HS256), for development and for services of one installation."""
    now = int(time.time())
    claims: dict[str, Any] = {
        "sub": subject,
        "tenant": tenant,
        "permissions": list(permissions),
        "iat": now,
        "exp": now + lifetime_seconds,
    }
    claims |= {"iss": issuer} if issuer else {}
    claims |= {"aud": audience} if audience else {}
    claims |= {"service": True} if service else {}
    return jwt.encode(claims, secret, algorithm="HS256")
