"""The model of customers, contacts and companies: `res.partner`."""

from services.erp.sandbox.schema.core import LANGUAGES, TIME_ZONES
from services.erp.sandbox.schema.fields import (
    binary,
    boolean,
    char,
    floating,
    html,
    integer,
    many2many,
    many2one,
    one2many,
    selection,
)
from services.erp.sandbox.schema.models import EMPLOYEES, EVERYBODY, Constraint, Grants, Model

KINDS = (
    ("contact", "Contact"),
    ("invoice", "Invoice Address"),
    ("delivery", "Delivery Address"),
    ("other", "Other Address"),
)

PORTAL = frozenset({"portal"})

PARTNER = Model(
    name="res.partner",
    description="Contact",
    fields={
        "name": char("Name"),
        "complete_name": char(
            "Complete Name",
            readonly=True,
            kept=True,
            copied=False,
            depends=("is_company", "name", "parent_id.name", "type", "company_name", "commercial_company_name"),
        ),
        "parent_id": many2one("res.partner", "Related Company"),
        "child_ids": one2many(
            "res.partner",
            "parent_id",
            "Contact",
            copied=False,
            depends=("child_ids.active",),
            only=(("active", "=", True),),
            context={"active_test": False},
        ),
        "ref": char("Reference"),
        "lang": selection(
            "Language",
            LANGUAGES,
            default="en_US",
            help="The language of what is sent to this contact. The sandbox itself writes English only.",
        ),
        "tz": selection("Timezone", TIME_ZONES, help="The time zone in which times are shown to this contact."),
        "user_id": many2one(
            "res.users", "Salesperson", depends=("parent_id",), help="The internal user in charge of this contact."
        ),
        "user_ids": one2many("res.users", "partner_id", "Users", copied=False),
        "vat": char("Tax ID", help="The tax identification number. The sandbox does not check it."),
        "company_registry": char("Company ID", help="The number in the register of companies."),
        "website": char("Website Link"),
        "comment": html("Notes"),
        "category_id": many2many("res.partner.category", "Tags"),
        "active": boolean("Active", default=True),
        "function": char("Job Position"),
        "type": selection("Address Type", KINDS, default="contact"),
        "street": char("Street"),
        "street2": char("Street2"),
        "zip": char("Zip"),
        "city": char("City"),
        "country_id": many2one("res.country", "Country", on_delete="restrict"),
        "country_code": char(
            "Country Code",
            readonly=True,
            related="country_id.code",
            declared_stored=False,
            size=2,
            help="The ISO country code in two letters.",
        ),
        "partner_latitude": floating("Geo Latitude", digits=(10, 7)),
        "partner_longitude": floating("Geo Longitude", digits=(10, 7)),
        "email": char("Email"),
        "phone": char("Phone"),
        "mobile": char("Mobile"),
        "is_company": boolean(
            "Is a Company",
            default=False,
            help="Check if the contact is a company, otherwise it is a person",
        ),
        "company_type": selection(
            "Company Type",
            (("person", "Individual"), ("company", "Company")),
            depends=("is_company",),
            expression="CASE WHEN {t}.is_company THEN 'company' ELSE 'person' END",
            declared_stored=False,
        ),
        "company_id": many2one("res.company", "Company"),
        "company_name": char("Company Name"),
        "color": integer("Color Index", default=0),
        "commercial_partner_id": many2one(
            "res.partner",
            "Commercial Entity",
            readonly=True,
            kept=True,
            copied=False,
            depends=("is_company", "parent_id.commercial_partner_id"),
        ),
        "commercial_company_name": char(
            "Company Name Entity",
            readonly=True,
            kept=True,
            copied=False,
            depends=("company_name", "parent_id.is_company", "commercial_partner_id.name"),
        ),
        "barcode": char("Barcode", copied=False, company_dependent=True, help="Identifies this contact."),
        "credit_limit": floating(
            "Credit Limit",
            company_dependent=True,
            groups="account.group_account_invoice,account.group_account_readonly",
            hidden_from=PORTAL,
            help="Credit limit specific to this partner.",
        ),
        "signup_type": char(
            "Signup Token Type", copied=False, groups="base.group_erp_manager", hidden_from=PORTAL | {"internal"}
        ),
        "image_1920": binary("Image"),
        "image_128": binary("Image 128", readonly=True, column="image_1920"),
        "currency_id": many2one(
            "res.currency",
            "Currency",
            readonly=True,
            declared_stored=False,
            expression="(SELECT c.currency_id FROM res_company c ORDER BY c.id LIMIT 1)",
        ),
        "sale_order_ids": one2many("sale.order", "partner_id", "Sales Order", copied=False),
        "sale_order_count": integer(
            "Sale Order Count",
            readonly=True,
            groups="sales_team.group_sale_salesman",
            hidden_from=PORTAL,
            declared_stored=False,
            expression="(SELECT count(*) FROM sale_order o WHERE o.partner_id = {t}.id)",
        ),
    },
    order="complete_name ASC, id DESC",
    display="COALESCE({t}.complete_name, '')",
    search_names=("complete_name", "email", "ref", "vat", "company_registry"),
    parent="parent_id",
    constraints=(
        Constraint("check_name", "Contacts require a name", condition="type <> 'contact' OR name IS NOT NULL"),
    ),
    grants=Grants(read=EVERYBODY, create=EMPLOYEES, write=EMPLOYEES, unlink=EMPLOYEES),
)

MODELS = (PARTNER,)
