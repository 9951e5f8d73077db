"""What every Tryton of the tests begins with: a company that sells one product, and a user who may read little."""

from collections.abc import Callable
from typing import Any

Call = Callable[..., Any]

LIMITED = ("limited", "secret-of-limited-9X")
"""A user who is in no group, and the password."""


def fill(call: Call) -> None:
    """Make it, by calls of model methods as admin."""
    today = {"__class__": "date", "year": 2020, "month": 1, "day": 1}
    rates = [["create", [{"date": today, "rate": decimal("1")}]]]
    euro = {"name": "Euro", "code": "EUR", "symbol": "€", "digits": 2, "rounding": decimal("0.01"), "rates": rates}
    [currency] = call("currency.currency", "create", [euro])
    [party] = call("party.party", "create", [{"name": "Tryton Hosting"}])
    [company] = call("company.company", "create", [{"party": party, "currency": currency}])
    call("res.user", "write", [1], {"companies": [["add", [company]]], "company": company})
    [unit] = call("product.uom", "search", [["symbol", "=", "u"]], 0, 1)
    widget = {"name": "Small machine", "type": "service", "list_price": decimal("12.50"), "default_uom": unit}
    widget["products"] = [["create", [{}]]]
    call("product.template", "create", [widget | {"salable": True, "sale_uom": unit}], company=company)
    login, password = LIMITED
    call("res.user", "create", [{"name": "Limited", "login": login, "password": password}])


def decimal(text: str) -> dict[str, str]:
    return {"__class__": "Decimal", "decimal": text}
