"""Reading and writing records: forms of calls and answers, relations, rights, errors."""

from typing import Any

import pytest

from services.erp.sandbox.errors import (
    AccessDenied,
    AccessError,
    BadArguments,
    BadValue,
    DatabaseFailure,
    MissingError,
    MissingPosition,
    OutOfRange,
    RpcError,
    UnknownDatabase,
    UnknownKey,
    UnknownMethod,
    UnknownServiceMethod,
    UserError,
    ValidationError,
)
from services.erp.sandbox.rpc import DATABASE
from tests.unit.erp_sandbox.conftest import Sandbox


def test_login_answers_the_user_or_false(sandbox: Sandbox) -> None:
    assert sandbox.service("common", "authenticate", DATABASE, "demo", "demo", {}) == 6
    assert sandbox.service("common", "login", DATABASE, "admin", "wrong") is False
    assert sandbox.service("common", "login", DATABASE, "__system__", "__system__") is False
    assert sandbox.service("common", "version")["server_version"] == "18.0+sandbox"


@pytest.mark.parametrize(
    ("service", "method", "args", "error"),
    [
        ("object", "execute_kw", [DATABASE, 2, "wrong", "res.partner", "search", [[]]], AccessDenied),
        ("object", "execute_kw", [DATABASE, 2, "", "res.partner", "search", [[]]], AccessDenied),
        ("object", "execute_kw", [DATABASE, 999, "x", "res.partner", "search", [[]]], MissingError),
        ("object", "execute_kw", ["other", 2, "admin", "res.partner", "search", [[]]], UnknownDatabase),
        ("object", "execute_kw", [DATABASE, "two", "admin", "res.partner", "search", [[]]], BadValue),
        ("object", "execute_kw", [DATABASE, 2], MissingPosition),
        ("object", "drop", [DATABASE, 2, "admin", "res.partner", "search", [[]]], UnknownServiceMethod),
        ("common", "about", [], RpcError),
        ("db", "drop", [], UnknownKey),
        ("report", "render", [], UnknownKey),
    ],
)
def test_errors_of_services(
    sandbox: Sandbox, service: str, method: str, args: list[Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        sandbox.service(service, method, *args)
    assert type(raised.value) is error


@pytest.mark.parametrize(
    ("model", "method", "args", "keywords", "error"),
    [
        ("no.such", "search", [[]], {}, UserError),
        ("res.partner", "explode", [[]], {}, UnknownMethod),
        ("res.partner", "_write", [[1]], {}, AccessError),
        ("res.partner", "action_confirm", [[1]], {}, UnknownMethod),
        ("res.partner", "read", [], {}, MissingPosition),
        ("res.partner", "write", [[1]], {}, BadArguments),
        ("res.partner", "search", [], {}, BadArguments),
        ("res.partner", "search", [[], 0, 1, "id", 5, 6], {}, BadArguments),
        ("res.partner", "search", [[]], {"domain": []}, BadArguments),
        ("res.partner", "search", [[]], {"order": "name; drop"}, UserError),
        ("res.partner", "search", [[]], {"limit": [5]}, DatabaseFailure),
        ("res.partner", "create", [{"name": "x", "color": 2**70}], {}, OutOfRange),
        ("res.partner", "search", [[]], {"order": "child_ids"}, BadValue),
        ("res.partner", "read", [[1], ["nope"]], {}, BadValue),
        ("res.partner", "create", [{"name": "x", "nope": 1}], {}, BadValue),
        ("res.partner", "create", [{"name": "x", "lang": "xx_XX"}], {}, BadValue),
        ("res.partner", "create", [{"name": "x", "country_id": 9999}], {}, ValidationError),
        ("res.partner", "create", [{"name": "x", "category_id": [[4, 9999]]}], {}, ValidationError),
        ("res.partner", "create", [{"name": "x", "category_id": [[9, 1, 1]]}], {}, BadValue),
        ("res.partner", "create", [{"name": "x", "category_id": "Customer"}], {}, BadValue),
        ("res.partner", "write", [[1, 9999], {"city": "x"}], {}, MissingError),
        ("res.partner", "copy", [[9999]], {}, MissingError),
        ("res.partner", "search", [[]], {"context": {"lang": "xx_XX"}}, UserError),
        ("res.partner", "search", [[]], {"context": {"allowed_company_ids": [1, 2]}}, AccessError),
        ("sale.order", "write", [[1], {"name": False}], {}, ValidationError),
        ("ir.model", "create", [{"name": "x", "model": "x"}], {}, AccessError),
    ],
)
def test_errors_of_calls(
    sandbox: Sandbox, model: str, method: str, args: list[Any], keywords: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error) as raised:
        sandbox(model, method, *args, **keywords)
    assert type(raised.value) is error


def test_execute_takes_everything_by_position(sandbox: Sandbox) -> None:
    args = [DATABASE, 2, "admin", "res.partner", "read", [10], ["name"]]

    assert sandbox.service("object", "execute", *args) == [{"id": 10, "name": "Alder Hosting"}]


def test_read_keeps_the_order_and_leaves_out_what_is_missing(sandbox: Sandbox) -> None:
    read = sandbox("res.partner", "read", [12, 9999, 10], ["country_id"])
    bare = sandbox("res.partner", "read", [12], ["country_id"], load=None)

    assert [record["id"] for record in read] == [12, 10]
    assert read[0]["country_id"] == [233, "United States"]
    assert bare == [{"id": 12, "country_id": 233}]


def test_relations_by_commands_ids_and_nothing(sandbox: Sandbox) -> None:
    one = sandbox("res.partner", "create", {"name": "One", "category_id": [1, 2]})
    assert sandbox.field("res.partner", one, "category_id") == [1, 2]
    sandbox("res.partner", "write", one, {"category_id": [[3, 1]], "child_ids": [[4, 13, 0]]})
    assert sandbox.field("res.partner", one, "category_id") == [2]
    assert sandbox.field("res.partner", 13, "display_name") == "One, Dana Ito"
    sandbox("res.partner", "write", one, {"category_id": False, "child_ids": [[5]]})
    assert sandbox.field("res.partner", one, "category_id") == []
    assert sandbox.field("res.partner", 13, "parent_id") is False


def test_a_renamed_company_renames_its_contacts(sandbox: Sandbox) -> None:
    sandbox("res.partner", "write", [10], {"name": "Alder"})

    assert sandbox.field("res.partner", 13, "display_name") == "Alder, Dana Ito"
    assert sandbox.field("res.partner", 13, "commercial_partner_id") == [10, "Alder"]


def test_ids_are_never_given_twice(sandbox: Sandbox) -> None:
    first = sandbox("res.partner", "create", {"name": "First"})
    sandbox("res.partner", "unlink", first)

    assert sandbox("res.partner", "create", {"name": "Second"}) > first


def test_copies_are_marked_unless_named(sandbox: Sandbox) -> None:
    [marked] = sandbox("res.partner", "copy", 12)
    [named] = sandbox("res.partner", "copy", [12], {"name": "Twin"})

    assert sandbox.field("res.partner", marked, "name") == "Cedar Labs (copy)"
    assert sandbox("res.partner", "read", [named], ["name", "phone", "category_id"]) == [
        {"id": named, "name": "Twin", "phone": "+1 555 0102", "category_id": [1]}
    ]


def test_names_are_searched_and_created(sandbox: Sandbox) -> None:
    assert sandbox("res.partner", "name_search", "dana") == [[13, "Alder Hosting, Dana Ito"]]
    assert sandbox("product.product", "name_search", "machine-small") == [[1, "[machine-small] Small machine"]]
    assert sandbox("res.partner", "name_search", "a", [["id", "<", 11]], "ilike", 1) == [[10, "Alder Hosting"]]
    identifier, name = sandbox("res.partner", "name_create", "Quick")
    assert sandbox.field("res.partner", identifier, "name") == name == "Quick"


def test_a_product_brings_its_template(sandbox: Sandbox) -> None:
    product = sandbox("product.product", "create", {"name": "Huge machine", "lst_price": 320.0})
    template = sandbox.field("product.product", product, "product_tmpl_id")
    sandbox("product.product", "write", [product], {"name": "Giant machine"})

    assert template[1] == "Huge machine"
    assert sandbox.field("product.template", template[0], "name") == "Giant machine"
    assert sandbox.field("product.product", product, "list_price") == 320.0


def test_groups_count_and_sum(sandbox: Sandbox) -> None:
    groups = sandbox("sale.order", "read_group", [], ["amount_total:sum"], ["partner_id", "state"])
    assert (groups[0]["partner_id"][1], groups[0]["partner_id_count"]) == ("Alder Hosting", 1)
    assert groups[0]["__context"] == {"group_by": ["state"]}
    assert sandbox("sale.order", "search", groups[0]["__domain"]) == [1]

    [month] = sandbox("sale.order", "read_group", [], ["amount_total"], ["date_order:month"])
    assert (month["date_order:month"], month["date_order_count"], month["amount_total"]) == ("November 2026", 3, 920.0)

    [total] = sandbox("sale.order", "read_group", [], ["amount_total:max", "id:count"], [], lazy=False)
    assert (total["__count"], total["id"], total["amount_total"]) == (3, 3, 575.0)


@pytest.mark.parametrize(
    ("period", "zone", "name", "start", "end"),
    [
        ("day", "UTC", "21 Nov 2026", "2026-11-21 00:00:00", "2026-11-22 00:00:00"),
        ("day", "Pacific/Auckland", "21 Nov 2026", "2026-11-20 11:00:00", "2026-11-21 11:00:00"),
        ("week", "UTC", "W47 2026", "2026-11-15 00:00:00", "2026-11-22 00:00:00"),
        ("month", "Europe/Brussels", "November 2026", "2026-10-31 23:00:00", "2026-11-30 23:00:00"),
        ("quarter", "UTC", "Q4 2026", "2026-10-01 00:00:00", "2027-01-01 00:00:00"),
        ("year", "UTC", "2026", "2026-01-01 00:00:00", "2027-01-01 00:00:00"),
        ("day", "No/Where", "21 Nov 2026", "2026-11-21 00:00:00", "2026-11-22 00:00:00"),
    ],
)
def test_periods_in_time_zones(sandbox: Sandbox, period: str, zone: str, name: str, start: str, end: str) -> None:
    spec = f"date_order:{period}"
    [group] = sandbox("sale.order", "read_group", [], [], [spec], context={"tz": zone})

    assert group[spec] == name
    assert group["__range"] == {spec: {"from": start, "to": end}}
    assert sandbox("sale.order", "search_count", group["__domain"]) == 3


def test_employees_sell_and_portal_users_see_their_own(sandbox: Sandbox) -> None:
    assert sandbox("sale.order", "create", {"partner_id": 10}, user="demo") == 4
    with pytest.raises(AccessError):
        sandbox("product.product", "write", [1], {"name": "x"}, user="demo")
    with pytest.raises(AccessError):
        sandbox("res.partner", "read", [1], ["signup_type"], user="demo")
    assert "signup_type" not in sandbox("res.partner", "fields_get", user="demo")

    own = sandbox("sale.order", "create", {"partner_id": 7, "order_line": [[0, 0, {"product_id": 1}]]})
    assert sandbox("sale.order", "search", [], user="portal") == [own]
    assert len(sandbox("sale.order.line", "search", [], user="portal")) == 1
    assert sandbox("res.partner", "search", [], user="portal") == [7]
    with pytest.raises(AccessError):
        sandbox("sale.order", "action_confirm", [own], user="portal")
    assert sandbox("sale.order", "check_access_rights", "write", False, user="portal") is False


def test_new_users_log_in_with_their_password_which_nobody_reads(sandbox: Sandbox) -> None:
    values = {"name": "Eve", "login": "eve", "password": "s3cret"}
    eve = sandbox("res.users", "create", values)

    assert sandbox.service("common", "login", DATABASE, "eve", "s3cret") == eve
    assert sandbox.field("res.users", eve, "password") == ""
    sandbox("res.users", "write", [eve], {"password": "other"})
    assert sandbox.service("common", "login", DATABASE, "eve", "s3cret") is False
    sandbox("res.users", "write", [eve], {"active": False})
    assert sandbox.service("common", "login", DATABASE, "eve", "other") is False


def test_nested_reads_and_saves(sandbox: Sandbox) -> None:
    specification: dict[str, Any] = {
        "name": {},
        "order_line": {"fields": {"product_id": {"fields": {"display_name": {}}}}},
    }
    [order] = sandbox("sale.order", "web_read", [1], specification)
    assert order["order_line"][0]["product_id"] == {"id": 1, "display_name": "[machine-small] Small machine"}

    [saved] = sandbox("res.partner", "web_save", [10], {"city": "Ghent"}, {"city": {}})
    assert saved == {"id": 10, "city": "Ghent"}


def test_exports_make_external_ids_where_there_are_none(sandbox: Sandbox) -> None:
    paths = ["id", ".id", "name", "country_id/id", "category_id"]
    [first, second] = sandbox("res.partner", "export_data", [1, 10], paths)["datas"]

    assert first == ["base.main_partner", "1", "Sandbox Company", "base.us", ""]
    assert second[0].startswith("__export__.res_partner_10_")
    assert second[1:] == ["10", "Alder Hosting", "base.us", "Customer"]
    assert sandbox("res.partner", "export_data", [10], ["id"])["datas"] == [[second[0]]]


def test_defaults_come_from_the_context_too(sandbox: Sandbox) -> None:
    asked = ["type", "city", "name"]
    assert sandbox("res.partner", "default_get", asked, context={"default_city": "Ghent"}) == {
        "type": "contact",
        "city": "Ghent",
    }
    one = sandbox("res.partner", "create", {"name": "x"}, context={"default_city": "Ghent"})
    assert sandbox.field("res.partner", one, "city") == "Ghent"
