"""Paging from day one (AIP-158)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from tests.contract.descriptors import Contracts, Message, Method, messages, routed_methods
from tests.contract.rule import rules
from tests.contract.standard import PAGE, standard
from tests.contract.words import snake, words

PAGE_ROWS = 1000


def list_has_pages(method: Method, contracts: Contracts) -> Iterator[str]:
    """Every List takes `page_size` and `page_token`."""
    if words(method.name)[0] != "List" or not contracts.is_ours(method.input):
        return
    for shape in PAGE:
        if not contracts.messages[method.input].field(shape.name):
            yield f"its request has no {shape.name}"


def page_fields(message: Message, contracts: Contracts) -> Iterator[str]:
    """`page_size` is an int32 that is not negative, `page_token` a string; only a batch has a token without a size."""
    takers = [
        method for method in contracts.requests.get(message.full_name, ()) if method.full_name in routed(contracts)
    ]
    if not takers:
        return
    size, token = message.field("page_size"), message.field("page_token")
    if size and not token:
        yield "has page_size without page_token"
    if token and not size and not all(method.name.startswith("BatchGet") for method in takers):
        yield "has page_token without page_size"
    if size and size.type != "int32":
        yield f"page_size is {size.type}, not int32"
    elif size and not refuses_negative(size.rules):
        yield "page_size has no int32.gte = 0"
    if size and size.rules is not None and (size.rules.int32.HasField("lte") or size.rules.int32.HasField("lt")):
        yield "page_size has a maximum, but a larger one is clamped, not refused"
    if token and token.type != "string":
        yield f"page_token is {token.type}, not string"
    for name in ("limit", "max_results", "offset"):
        if token and message.field(name):
            yield f"has {name} beside page_size"


@lru_cache(maxsize=16)
def routed(contracts: Contracts) -> frozenset[str]:
    """Returns the full names of the RPCs of services that the gateway routes to."""
    return frozenset(method.full_name for method in routed_methods(contracts))


def refuses_negative(rules: Any) -> bool:
    """Tells whether rules have `int32.gte = 0`."""
    return rules is not None and bool(rules.int32.HasField("gte")) and bool(rules.int32.gte == 0)


def list_response(method: Method, contracts: Contracts) -> Iterator[str]:
    """The answer to a request with pages holds the items as field 1 and `next_page_token`."""
    request, response = contracts.messages.get(method.input), contracts.messages.get(method.output)
    if not request or not response or not contracts.is_ours(method.input) or not request.field("page_token"):
        return
    first = next((field for field in response.fields if field.number == 1), None)
    if not first or not first.repeated:
        yield f"field 1 of {response.name} is not the list of items"
    elif not first.rules or not 0 < first.rules.repeated.max_items <= PAGE_ROWS:
        yield f"{response.name}.{first.name} has no repeated.max_items of at most {PAGE_ROWS}"
    token = response.field("next_page_token")
    if not token or token.type != "string":
        yield f"{response.name} has no string next_page_token"


def batch_get_has_token(method: Method, contracts: Contracts) -> Iterator[str]:
    """A batch that reads may end early with a token, as a list does (contracts.md, Sizes)."""
    request, response = contracts.messages.get(method.input), contracts.messages.get(method.output)
    if not method.name.startswith("BatchGet") or not request or not response:
        return
    if not request.field("page_token") or not response.field("next_page_token"):
        yield "has no page_token in its request, or no next_page_token in its response"


def list_response_is_plural(method: Method, contracts: Contracts) -> Iterator[str]:
    """The items of a List have the name of the collection, and are the resource."""
    verb, *noun = words(method.name)
    response = contracts.messages.get(method.output)
    if verb != "List" or not response or not contracts.is_ours(method.input):
        return
    found = standard(method, contracts)
    items = snake(found.plural if found else "".join(noun))
    first = response.fields[0] if response.fields else None
    # Lists below a thing may leave its name out: ListRuleRevisions → `revisions`.
    endings = {items} if found else {items.split("_", i)[-1] for i in range(len(noun))}
    if not first or first.name not in endings:
        yield f"the first field of {response.name} is {first.name if first else 'missing'}, not {items}"
    elif found and first.type_name != found.resource.full_name:
        yield f"{response.name}.{first.name} is {first.type}, not repeated {found.resource.full_name}"


RULES = [
    *rules(routed_methods, list_has_pages, list_response, list_response_is_plural, batch_get_has_token),
    *rules(messages, page_fields),
]
