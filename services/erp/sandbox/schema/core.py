"""The few models that partners, products and orders refer to: users, companies, currencies, countries, models."""

from zoneinfo import available_timezones

from services.erp.sandbox.schema.fields import boolean, char, floating, integer, many2one, selection
from services.erp.sandbox.schema.models import (
    EMPLOYEES,
    EVERYBODY,
    MACHINERY,
    NOBODY,
    Constraint,
    Grants,
    Model,
)

TIME_ZONES = tuple((zone, zone) for zone in sorted(available_timezones()))
LANGUAGES = (("en_US", "English (US)"), ("fr_FR", "French / Français"))
READ_BY_ALL = Grants(read=EVERYBODY)

CURRENCY = Model(
    name="res.currency",
    description="Currency",
    fields={
        "name": char("Currency", required=True),
        "full_name": char("Name"),
        "symbol": char("Symbol", required=True),
        "decimal_places": integer("Decimal Places", default=2),
        "active": boolean("Active", default=True),
    },
    order="active desc, name",
    constraints=(Constraint("unique_name", "The currency code must be unique!", columns=("name",)),),
    grants=READ_BY_ALL,
)

COUNTRY = Model(
    name="res.country",
    description="Country",
    fields={
        "name": char("Country Name", required=True),
        "code": char("Country Code", required=True),
        "currency_id": many2one("res.currency", "Currency"),
        "phone_code": integer("Country Calling Code"),
    },
    order="name",
    search_names=("name", "code"),
    constraints=(
        Constraint("name_uniq", "The name of the country must be unique!", columns=("name",)),
        Constraint("code_uniq", "The code of the country must be unique!", columns=("code",)),
    ),
    grants=READ_BY_ALL,
)

COMPANY = Model(
    name="res.company",
    description="Companies",
    fields={
        "name": char("Company Name", required=True),
        "partner_id": many2one("res.partner", "Partner", required=True, on_delete="restrict"),
        "parent_id": many2one("res.company", "Parent Company"),
        "currency_id": many2one("res.currency", "Currency", required=True, on_delete="restrict"),
        "active": boolean("Active", default=True),
        "sequence": integer("Sequence", default=10),
    },
    order="sequence, name",
    parent="parent_id",
    constraints=(Constraint("name_uniq", "The company name must be unique!", columns=("name",)),),
    grants=READ_BY_ALL,
)

USER = Model(
    name="res.users",
    description="User",
    fields={
        "name": char("Name", required=True),
        "login": char("Login", required=True, help="Used to log into the system"),
        "password": char("Password", expression="''", declared_stored=True, copied=False),
        "partner_id": many2one("res.partner", "Related Partner", required=True, on_delete="restrict"),
        "company_id": many2one("res.company", "Company", required=True, on_delete="restrict"),
        "email": char("Email", related="partner_id.email"),
        "lang": selection("Language", LANGUAGES, default="en_US"),
        "tz": selection("Timezone", TIME_ZONES),
        "active": boolean("Active", default=True),
        "share": boolean("Share User", readonly=True, expression="({t}.sandbox_role = 'portal')"),
        "sandbox_role": selection(
            "Role in the sandbox",
            (("admin", "Administrator"), ("internal", "Internal user"), ("portal", "Portal user")),
            required=True,
            default="internal",
            help="Stands for the groups of a real server, which the sandbox does not have.",
        ),
    },
    order="name, login",
    search_names=("name", "login"),
    constraints=(Constraint("login_key", "You can not have two users with the same login!", columns=("login",)),),
)

CATEGORY = Model(
    name="res.partner.category",
    description="Partner Tags",
    fields={
        "name": char("Name", required=True),
        "color": integer("Color"),
        "parent_id": many2one("res.partner.category", "Category", on_delete="cascade"),
        "active": boolean("Active", default=True),
    },
    order="name, id",
    parent="parent_id",
)

TAX = Model(
    name="account.tax",
    description="Tax",
    fields={
        "name": char("Tax Name", required=True),
        "amount": floating("Amount", required=True, default=0.0, digits=(16, 4), help="Per cent of the price."),
        "active": boolean("Active", default=True),
        "company_id": many2one("res.company", "Company", required=True, on_delete="restrict"),
    },
    order="id",
)

IR_MODEL = Model(
    name="ir.model",
    description="Models",
    fields={
        "name": char("Model Description", required=True),
        "model": char("Model", required=True),
        "transient": boolean("Transient Model"),
        "state": selection("Type", (("manual", "Custom Object"), ("base", "Base Object")), default="base"),
        "modules": char("In Apps"),
    },
    order="model",
    search_names=("name", "model"),
    constraints=(Constraint("obj_name_uniq", "Each model must have a unique name.", columns=("model",)),),
    grants=MACHINERY,
)

EXTERNAL_ID = Model(
    name="ir.model.data",
    description="Model Data",
    fields={
        "name": char("External Identifier", required=True),
        "module": char("Module", required=True, default=""),
        "complete_name": char("Complete ID", expression="({t}.module || '.' || {t}.name)", declared_stored=False),
        "model": char("Model Name", required=True),
        "res_id": integer("Record ID"),
        "reference": char("Reference", expression="({t}.model || ',' || {t}.res_id)", declared_stored=False),
        "noupdate": boolean("Non Updatable"),
    },
    order="module, model, name",
    constraints=(Constraint("module_name_uniq_index", "An external id names one record.", columns=("module", "name")),),
    grants=Grants(read=EMPLOYEES, create=NOBODY, write=NOBODY, unlink=NOBODY),
)

MODELS = (CURRENCY, COUNTRY, COMPANY, USER, CATEGORY, TAX, IR_MODEL, EXTERNAL_ID)
