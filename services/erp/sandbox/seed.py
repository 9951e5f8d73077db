"""The demo data of a new database: a company, three users, a few customers and two products."""

from typing import Any

from services.erp.sandbox.business import credentials
from services.erp.sandbox.business.orders import SEQUENCE
from services.erp.sandbox.orm import externalids, writing
from services.erp.sandbox.orm.env import Env

BELGIUM, UNITED_STATES = 20, 233
USERS = (
    # id, login, name, role, partner, time zone
    (1, "__system__", "Sandbox system", "admin", 2, None),
    (2, "admin", "Sandbox administrator", "admin", 3, "Europe/Brussels"),
    (6, "demo", "Sandbox salesperson", "internal", 6, "Europe/Brussels"),
    (7, "portal", "Sandbox portal user", "portal", 7, None),
)
EXTERNAL_IDS = (
    ("res.partner", 1, "base.main_partner"),
    ("res.partner", 2, "base.partner_root"),
    ("res.partner", 3, "base.partner_admin"),
    ("res.partner", 6, "base.partner_demo"),
    ("res.company", 1, "base.main_company"),
    ("res.users", 2, "base.user_admin"),
    ("res.currency", 1, "base.USD"),
    ("res.country", BELGIUM, "base.be"),
    ("res.country", UNITED_STATES, "base.us"),
)
PARTNERS: tuple[dict[str, Any], ...] = (
    {"id": 10, "name": "Alder Hosting", "is_company": True, "email": "orders@alder.example", "phone": "+1 555 0100"},
    {"id": 11, "name": "Birch Studio", "is_company": True, "email": "hello@birch.example", "phone": "+32 9 000 00 00"},
    {"id": 12, "name": "Cedar Labs", "is_company": True, "email": "ops@cedar.example", "phone": "+1 555 0102"},
    {"id": 13, "name": "Dana Ito", "parent_id": 10, "email": "dana@alder.example", "function": "Operations"},
    {"id": 14, "name": "Noor Vos", "parent_id": 11, "email": "noor@birch.example", "type": "invoice"},
)
PRODUCTS: tuple[dict[str, Any], ...] = (
    {"name": "Small machine", "default_code": "machine-small", "list_price": 20.0, "standard_price": 8.0},
    {"name": "Large machine", "default_code": "machine-large", "list_price": 80.0, "standard_price": 30.0},
)


def fill(env: Env) -> None:
    """Write the demo data. Runs with deferred foreign keys: the first records name a user as their creator."""
    _insert(env, "res.currency", 1, {"name": "USD", "full_name": "United States dollar", "symbol": "$"})
    _insert(env, "res.currency", 2, {"name": "EUR", "full_name": "Euro", "symbol": "€"})
    _insert(env, "res.country", BELGIUM, {"name": "Belgium", "code": "BE", "currency_id": 2, "phone_code": 32})
    _insert(env, "res.country", UNITED_STATES, {"name": "United States", "code": "US", "currency_id": 1})
    company = {"name": "Sandbox Company", "is_company": True, "email": "info@sandbox.example"}
    _insert(env, "res.partner", 1, {**company, "country_id": UNITED_STATES, "phone": "+1 555 0199"})
    _insert(env, "res.company", 1, {"name": "Sandbox Company", "partner_id": 1, "currency_id": 1})
    for identifier, login, name, role, partner, zone in USERS:
        email = f"{login}@sandbox.example"
        _insert(env, "res.partner", partner, {"name": name, "email": email, "active": login != "__system__"})
        user = {"name": name, "login": login, "partner_id": partner, "company_id": 1, "tz": zone, "sandbox_role": role}
        _insert(env, "res.users", identifier, {**user, "active": login != "__system__"})
        if login != "__system__":
            credentials.keep(env.connection, identifier, login)
    for identifier, name in enumerate(("Customer", "Reseller"), start=1):
        _insert(env, "res.partner.category", identifier, {"name": name})
    _insert(env, "account.tax", 1, {"name": "15%", "amount": 15.0, "company_id": 1})
    _insert(env, "uom.uom", 1, {"name": "Units"})
    _insert(env, "product.category", 1, {"name": "All"})
    _insert(env, "product.category", 2, {"name": "Machines", "parent_id": 1})
    for values in PARTNERS:
        country = BELGIUM if 11 in (values["id"], values.get("parent_id")) else UNITED_STATES
        _insert(env, "res.partner", values["id"], {"country_id": country, "category_id": [[4, 1]], **values})
    for values in PRODUCTS:
        writing.create(env, env.model("product.product"), {**values, "type": "service", "categ_id": 2})
    for name, identifier, external in EXTERNAL_IDS:
        externalids.assign(env, env.model(name), external, identifier, noupdate=True)
    env.execute("INSERT INTO sandbox_sequence VALUES (?, 1)", (SEQUENCE,))
    _orders(env)
    _describe_models(env)


def _insert(env: Env, name: str, identifier: int, values: dict[str, Any]) -> None:
    """Create a record under a known id."""
    model = env.model(name)
    env.execute(
        "INSERT INTO sqlite_sequence (name, seq) SELECT ?, 0 WHERE ? NOT IN (SELECT name FROM sqlite_sequence)",
        (model.table, model.table),
    )
    env.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (identifier - 1, model.table))
    writing.create(env, model, {key: value for key, value in values.items() if key != "id"})


def _orders(env: Env) -> None:
    products = [row[0] for row in env.rows("SELECT id FROM product_product ORDER BY id")]
    for partner, quantity in ((10, 2.0), (11, 1.0), (12, 5.0)):
        lines = [[0, 0, {"product_id": product, "product_uom_qty": quantity}] for product in products]
        writing.create(env, env.model("sale.order"), {"partner_id": partner, "user_id": 2, "order_line": lines})


def _describe_models(env: Env) -> None:
    for model in sorted(env.registry, key=lambda model: model.name):
        values = {"name": model.description, "model": model.name, "transient": False, "modules": "sandbox"}
        writing.create(env, env.model("ir.model"), values)
