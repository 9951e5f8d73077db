"""Every RPC names its permission (contracts.md, Permissions)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.contract.descriptors import Contracts, Method, methods
from tests.contract.rule import rules
from tests.contract.standard import standard
from tests.contract.words import area, beginnings, verbs

FORM = re.compile(r"([a-z][a-z0-9]*)\.([a-z][a-zA-Z0-9]*)\.([a-z][a-zA-Z0-9]*)")


def has_permission(method: Method, _: Contracts) -> Iterator[str]:
    """Every RPC has a permission of the form `<area>.<collection>.<verb>`."""
    if not method.permission:
        yield "has no (sutler.type.v1.permission)"
    elif not FORM.fullmatch(method.permission):
        yield f"permission {method.permission!r} is not <area>.<collection>.<verb>"


def permission_area(method: Method, _: Contracts) -> Iterator[str]:
    """The area of a permission is the one of the package."""
    if method.permission and method.permission.split(".")[0] != area(method.package):
        yield f"permission {method.permission!r} is not of area {area(method.package)!r}"


def permission_verb(method: Method, _: Contracts) -> Iterator[str]:
    """The verb of a permission is what the name of the RPC begins with, or the name without the collection."""
    collection, dot, verb = method.permission.partition(".")[2].partition(".")
    if dot and verb not in verbs(method.name, collection):
        yield f"permission {method.permission!r} does not end with the RPC's verb ({beginnings(method.name)[0]} …)"


def permission_collection(method: Method, contracts: Contracts) -> Iterator[str]:
    """The permission of a standard method names the collection and the verb."""
    found = standard(method, contracts)
    if not found or not method.permission:
        return
    expected = [f"{area(method.package)}.{name}.{found.verb.lower()}" for name in found.collections]
    if method.permission not in expected:
        yield f"permission {method.permission!r} is not {' or '.join(expected)}"


def permission_is_unique(method: Method, contracts: Contracts) -> Iterator[str]:
    """No two RPCs share a permission."""
    for other in methods(contracts):
        if other is not method and method.permission and other.permission == method.permission:
            yield f"permission {method.permission!r} is also that of {other.full_name}"


RULES = rules(methods, has_permission, permission_area, permission_verb, permission_collection, permission_is_unique)
