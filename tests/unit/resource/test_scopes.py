import itertools

import pytest

from services.resource.checks import key_of
from services.resource.scopes import Scope

G1, G2, OTHER = (
    "subscriptions/s/resourceGroups/g1",
    "subscriptions/s/resourceGroups/g2",
    "subscriptions/t/resourceGroups/g1",
)


def held(name: str, *scopes: Scope, group: str = "") -> bytes:
    from services.resource.names import parse

    return key_of(parse(name).type, name, group, scopes)


def db(group: str, server: str, id: str = "mydb") -> str:
    return f"{group}/providers/A.B/servers/{server}/databases/{id}"


@pytest.mark.parametrize(
    ("scopes", "same", "different"),
    [
        ((Scope.SUBSCRIPTION, Scope.PARENT_RESOURCE), [], [db(G1, "two"), db(G2, "one"), db(OTHER, "one")]),
        ((Scope.SUBSCRIPTION,), [db(G1, "two"), db(G2, "one")], [db(OTHER, "one")]),
        ((Scope.RESOURCE_GROUP,), [db(G1, "two")], [db(G2, "one"), db(OTHER, "one")]),
        ((Scope.PARENT_RESOURCE,), [], [db(G1, "two"), db(G2, "one")]),
        ((Scope.GLOBAL,), [db(G1, "two"), db(G2, "one"), db(OTHER, "one")], []),
        ((Scope.GLOBAL, Scope.SUBSCRIPTION), [db(G2, "two")], [db(OTHER, "one")]),
    ],
)
def test_what_shares_a_key(scopes: tuple[Scope, ...], same: list[str], different: list[str]) -> None:
    mine = held(db(G1, "one"), *scopes)
    assert mine == held(db(G1, "one").upper().replace("/PROVIDERS/", "/providers/"), *scopes)
    assert [held(name, *scopes) == mine for name in same] == [True] * len(same)
    assert [held(name, *scopes) == mine for name in different] == [False] * len(different)
    assert held(db(G1, "one", "otherdb"), *scopes) != mine


def test_any_combination_in_any_order() -> None:
    for size in range(1, 6):
        for scopes in itertools.combinations(Scope, size):
            keys = {held(db(G1, "one"), *order) for order in itertools.permutations(scopes)}
            assert len(keys) == 1


def test_types_do_not_share_keys() -> None:
    assert held(f"{G1}/providers/A.B/x/a", Scope.GLOBAL) != held(f"{G1}/providers/A.B/y/a", Scope.GLOBAL)


def test_management_group_is_the_nearest_above() -> None:
    name = f"{G1}/providers/A.B/x/a"
    other = f"{OTHER}/providers/A.B/x/a"
    scope = Scope.MANAGEMENT_GROUP
    assert held(name, scope, group="managementGroups/m") == held(other, scope, group="MANAGEMENTGROUPS/M")
    assert held(name, scope, group="managementGroups/m") != held(name, scope, group="managementGroups/n")


def test_a_level_that_is_missing_throws_nothing_together() -> None:
    """Two resources without a subscription are not both in a subscription called unknown."""
    one, two = "managementGroups/a/providers/A.B/x/i", "managementGroups/b/providers/A.B/x/i"
    for scope in (Scope.SUBSCRIPTION, Scope.RESOURCE_GROUP, Scope.PARENT_RESOURCE):
        assert held(one, scope) != held(two, scope)
