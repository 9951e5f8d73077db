"""Makes the HTTP requests of rules."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import orjson
from sutler.allow_lists import allows
from sutler.errors import DeadlineExceeded, Invalid, PermissionDenied, Unavailable, Violation
from yarl import URL

from services.rule.adapters.answers import read_answer
from services.rule.adapters.networks import AddressForbiddenError, Network, check_reachable, guarded
from services.rule.adapters.signing import SigningKey, key_bytes, signature
from services.rule.faults import Fault
from services.rule.http_requests import IDEMPOTENCY_KEY, HttpRequest

MAX_CONNECTIONS = 100
KEYS = "SUTLER_RULE_SIGNING_KEYS"


class HttpCaller:
    """Makes HTTP requests.

    Args:
        session: Makes the exchanges, with connections to ``networks`` and public addresses only.
        allowed_urls: The operator's list.
        networks: The private networks that may be reached.
        signing_keys: The keys that sign, by id.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        allowed_urls: Sequence[str],
        networks: Collection[Network],
        signing_keys: Mapping[str, SigningKey],
    ) -> None:
        self._session = session
        self._allowed_urls = allowed_urls
        self._networks = networks
        self._signing_keys = signing_keys

    def check(self, do: HttpRequest, field: str, tenant: str) -> Sequence[Violation]:
        """Returns what is wrong with a request of a tenant's rule.

        Raises:
            PermissionDenied: If the operator does not allow its address (ADDRESS_NOT_ALLOWED).
        """
        if do.origin:
            self._check_allowed(do)
        if not do.signing_key or not do.origin:
            return []
        why = self._why_not(do, tenant)
        return [Fault(f"{field}.signing_key", why, "FIELD_INVALID")] if why else []

    async def call(self, do: HttpRequest, *, key: str, tenant: str, timeout: float) -> Any:
        """Makes a request of a tenant's rule and returns its answer as ``{code, headers, body}``.

        Raises:
            PermissionDenied: If the operator does not allow its address any more, or the name means one that is not
                allowed (ADDRESS_NOT_ALLOWED).
            Unavailable: If nobody answers.
            DeadlineExceeded: If nobody answers in time.
            SutlerError: If the answer is an error (HTTP_ERROR), or too large (TOO_LARGE).
        """
        self._check_allowed(do)
        body = _body(do)
        headers = self._headers(do, key, tenant, body or b"")
        try:
            async with (
                asyncio.timeout(timeout),
                self._session.request(
                    do.method, _encoded(do.uri), data=body, headers=headers, allow_redirects=False
                ) as response,
            ):
                return await read_answer(response, do)
        except TimeoutError as error:
            text = f"{do.address} did not answer within {timeout:.1f} s"
            raise DeadlineExceeded(text, metadata={"address": do.address}) from error
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, AddressForbiddenError):
                raise _private(do.address) from error
            raise _unreachable(do, error.os_error) from error
        except (aiohttp.InvalidURL, ValueError) as error:
            metadata = {"address": do.address}
            raise Invalid(
                f"{do.address} cannot be asked: {error}", reason="TEMPLATE_INVALID", metadata=metadata
            ) from error
        except aiohttp.ClientError as error:
            raise _unreachable(do, error) from error

    def _check_allowed(self, do: HttpRequest) -> None:
        if not any(allows(pattern, do.origin) for pattern in self._allowed_urls):
            raise PermissionDenied(
                f"the operator does not allow rules to send requests to {do.address}: "
                "SUTLER_RULE_ALLOWED_URLS lists what is allowed",
                reason="ADDRESS_NOT_ALLOWED",
                metadata={"address": do.address},
            )
        try:
            check_reachable(do.address.rpartition(":")[0].strip("[]"), self._networks)
        except AddressForbiddenError as error:
            raise _private(do.address) from error
        except ValueError:
            return  # a name: what it means is checked when it is connected to

    def _headers(self, do: HttpRequest, key: str, tenant: str, body: bytes) -> dict[str, str]:
        names = {name.lower() for name in do.headers}
        headers = {IDEMPOTENCY_KEY: key, **do.headers}
        if body and "content-type" not in names:
            headers["content-type"] = _content_type(do)
        if do.signing_key:
            if why := self._why_not(do, tenant):
                raise Invalid(why, metadata={"field": "signing_key"})
            secret = key_bytes(self._signing_keys[do.signing_key].key.get_secret_value())
            sent = str(int(time.time()))
            headers |= {
                "webhook-id": key,
                "webhook-timestamp": sent,
                "webhook-signature": signature(secret, key, sent, body),
            }
        return headers

    def _why_not(self, do: HttpRequest, tenant: str) -> str:
        """Returns why a request may not be signed as it wants to be; empty if it may."""
        key = self._signing_keys.get(do.signing_key)
        if key is None or not key.is_for(tenant):
            return f"there is no key {do.signing_key!r} for this tenant; the operator can add it to {KEYS}"
        if not key.signs(do.origin):
            return f"the key {do.signing_key} does not sign requests to {do.address}; the operator can add it to {KEYS}"
        return ""


def _body(do: HttpRequest) -> bytes | None:
    if do.has_json:
        return orjson.dumps(do.json)
    if do.text is not None:
        return do.text.encode()
    return base64.b64decode(do.binary_data) if do.binary_data else None


def _encoded(uri: str) -> URL:
    """Returns an address as it is sent: values that were put in have been encoded, and stay as they are."""
    return URL(quote(uri, safe="%/:?#[]@!$&'()*+,;=~"), encoded=True)


def _content_type(do: HttpRequest) -> str:
    if do.has_json:
        return "application/json"
    return "text/plain; charset=utf-8" if do.text is not None else "application/octet-stream"


def _private(address: str) -> PermissionDenied:
    return PermissionDenied(
        f"{address} is not a public address: the operator can allow its network in SUTLER_RULE_ALLOWED_NETWORKS",
        reason="ADDRESS_NOT_ALLOWED",
        metadata={"address": address},
    )


def _unreachable(do: HttpRequest, error: Exception) -> Unavailable:
    cause = type(error).__name__
    return Unavailable(f"{do.address} does not answer ({cause})", metadata={"address": do.address, "cause": cause})


@asynccontextmanager
async def http_caller(
    allowed_urls: Sequence[str], networks: Collection[Network], signing_keys: Mapping[str, SigningKey]
) -> AsyncIterator[HttpCaller]:
    """Opens what makes HTTP requests; its connections end with the block."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS, socket_factory=guarded(networks)),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": "sutler-rule", "accept-encoding": "identity"},
        skip_auto_headers=["content-type"],
        timeout=aiohttp.ClientTimeout(total=None),
    ) as session:
        yield HttpCaller(session, allowed_urls, networks, signing_keys)
