"""The same call in three ways: gRPC, gRPC-Web, REST; and what each answers, in one form."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from google.rpc import status_pb2
from sutler.cache.v1 import cache_pb2
from sutler.erp.v1 import erp_pb2
from sutler.provider.v1 import provider_pb2
from sutler.resource.v1 import resource_pb2
from sutler.rule.v1 import rule_pb2

from tests.e2e.gateway.answers import Answer, failed, metadata, rest_answer, web_frames, web_status
from tests.e2e.gateway.stack import Stack, open_channel


@dataclass(frozen=True)
class Get:
    """A call that every area has: something by its name."""

    area: str
    method: str
    request: Any
    response: Any
    name: str
    domain: str

    def __str__(self) -> str:
        return self.area


GETS = [
    Get(
        "resource",
        "/sutler.resource.v1.ResourceService/GetResource",
        resource_pb2.GetResourceRequest,
        resource_pb2.Resource,
        "subscriptions/s1/resourceGroups/{}",
        "resource.sutler.dev",
    ),
    Get(
        "cache",
        "/sutler.cache.v1.CacheService/GetCache",
        cache_pb2.GetCacheRequest,
        cache_pb2.Cache,
        "caches/{}",
        "cache.sutler.dev",
    ),
    Get(
        "erp",
        "/sutler.erp.v1.ErpGateway/GetConnection",
        erp_pb2.GetConnectionRequest,
        erp_pb2.Connection,
        "connections/{}",
        "erp.sutler.dev",
    ),
    Get(
        "rule",
        "/sutler.rule.v1.RuleService/GetRule",
        rule_pb2.GetRuleRequest,
        rule_pb2.Rule,
        "rules/{}",
        "rule.sutler.dev",
    ),
    Get(
        "provider",
        "/sutler.provider.v1.ProviderService/GetProvider",
        provider_pb2.GetProviderRequest,
        provider_pb2.Provider,
        "providers/{}",
        "provider.sutler.dev",
    ),
]
CACHE = GETS[1]

Way = Callable[[Stack, Get, str, Mapping[str, str]], Answer]


def by_grpc(stack: Stack, get: Get, thing: str, headers: Mapping[str, str]) -> Answer:
    """Calls by gRPC."""
    with channel(stack) as made:
        call = made.unary_unary(get.method, get.request.SerializeToString, get.response.FromString)
        try:
            message, done = call.with_call(
                get.request(name=get.name.format(thing)), timeout=10, metadata=tuple(headers.items())
            )
        except grpc.RpcError as error:
            return failed(error)
    return Answer(status_pb2.Status(), message, metadata(done))


def by_grpc_web(stack: Stack, get: Get, thing: str, headers: Mapping[str, str]) -> Answer:
    """Calls by gRPC-Web over HTTP/1.1, as browsers do."""
    request = get.request(name=get.name.format(thing)).SerializeToString()
    answer = client(stack).post(
        f"{stack.url}{get.method}",
        content=b"\0" + len(request).to_bytes(4, "big") + request,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **headers},
    )
    assert answer.headers["content-type"] == "application/grpc-web+proto"
    messages, trailers = web_frames(answer.content)
    merged = {**answer.headers, **trailers}
    parsed = get.response.FromString(messages[-1]) if messages else None
    return Answer(web_status(merged), parsed, merged, answer.status_code)


def by_rest(stack: Stack, get: Get, thing: str, headers: Mapping[str, str]) -> Answer:
    """Calls by REST."""
    collection = "resources/" if get.area == "resource" else ""
    answer = client(stack).get(f"{stack.url}/v1/{collection}{get.name.format(thing)}", headers=headers)
    return rest_answer(answer, get.response)


WAYS = {"grpc": by_grpc, "grpc-web": by_grpc_web, "rest": by_rest}


def channel(stack: Stack) -> grpc.Channel:
    """Returns a channel to the gateway."""
    return open_channel(stack.address, stack.ca)


def client(stack: Stack) -> httpx.Client:
    """Returns an HTTP/1.1 client that trusts the gateway."""
    trusted = ssl.create_default_context(cadata=stack.ca.decode()) if stack.ca else False
    return httpx.Client(verify=trusted, timeout=20)
