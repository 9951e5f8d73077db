"""Quotations, sales orders and their lines."""

from services.erp.sandbox.schema.fields import (
    boolean,
    char,
    date,
    datetime,
    floating,
    html,
    integer,
    many2many,
    many2one,
    monetary,
    one2many,
    selection,
    text,
)
from services.erp.sandbox.schema.models import EMPLOYEES, EVERYBODY, Constraint, Grants, Model

STATES = (("draft", "Quotation"), ("sent", "Quotation Sent"), ("sale", "Sales Order"), ("cancel", "Cancelled"))
INVOICE_STATES = (
    ("upselling", "Upselling Opportunity"),
    ("invoiced", "Fully Invoiced"),
    ("to invoice", "To Invoice"),
    ("no", "Nothing to Invoice"),
)
SEEN_BY_PORTAL = Grants(read=EVERYBODY, create=EMPLOYEES, write=EMPLOYEES, unlink=EMPLOYEES)
ORDER_STATE = "(SELECT o.state FROM sale_order o WHERE o.id = {t}.order_id)"
SOLD = f"{ORDER_STATE} = 'sale' AND {{t}}.display_type IS NULL"
SOLD_QUANTITY = f"CASE WHEN {SOLD} THEN {{t}}.product_uom_qty ELSE 0.0 END"

SUMMED = ("order_line.price_subtotal", "currency_id", "company_id")

ORDER = Model(
    name="sale.order",
    description="Sales Order",
    fields={
        "name": char("Order Reference", required=True, copied=False),
        "company_id": many2one("res.company", "Company", required=True, on_delete="restrict"),
        "partner_id": many2one("res.partner", "Customer", required=True, on_delete="restrict"),
        "state": selection("Status", STATES, readonly=True, copied=False, default="draft"),
        "locked": boolean("Locked", copied=False, default=False),
        "client_order_ref": char("Customer Reference", copied=False),
        "create_date": datetime("Creation Date", readonly=True, copied=False),
        "commitment_date": datetime("Delivery Date", copied=False),
        "date_order": datetime("Order Date", required=True, copied=False),
        "origin": char("Source Document", help="The document that this order was made from."),
        "reference": char("Payment Ref.", copied=False),
        "require_signature": boolean("Online signature", default=True),
        "require_payment": boolean("Online payment", default=False),
        "validity_date": date("Expiration", copied=False),
        "note": html("Terms and conditions"),
        "partner_invoice_id": many2one("res.partner", "Invoice Address", required=True, on_delete="restrict"),
        "partner_shipping_id": many2one("res.partner", "Delivery Address", required=True, on_delete="restrict"),
        "currency_id": many2one("res.currency", "Currency", readonly=True, on_delete="restrict"),
        "currency_rate": floating("Currency Rate", readonly=True, expression="1.0"),
        "user_id": many2one("res.users", "Salesperson"),
        "order_line": one2many("sale.order.line", "order_id", "Order Lines"),
        "amount_untaxed": monetary("Untaxed Amount", readonly=True, kept=True, copied=False, depends=SUMMED),
        "amount_tax": monetary("Taxes", readonly=True, kept=True, copied=False, depends=SUMMED),
        "amount_total": monetary("Total", readonly=True, kept=True, copied=False, depends=SUMMED),
        "invoice_status": selection(
            "Invoice Status",
            INVOICE_STATES,
            readonly=True,
            expression=(
                "CASE WHEN {t}.state = 'sale' AND EXISTS (SELECT 1 FROM sale_order_line l WHERE l.order_id = {t}.id"
                " AND l.display_type IS NULL AND l.product_uom_qty <> 0) THEN 'to invoice' ELSE 'no' END"
            ),
        ),
        "country_code": char(
            "Country code", readonly=True, related="partner_id.country_id.code", declared_stored=False
        ),
        "type_name": char(
            "Type Name",
            readonly=True,
            declared_stored=False,
            expression="CASE WHEN {t}.state IN ('draft', 'sent', 'cancel') THEN 'Quotation' ELSE 'Sales Order' END",
        ),
    },
    order="date_order desc, id desc",
    search_names=("name", "partner_id.name"),
    grants=SEEN_BY_PORTAL,
)

LINE = Model(
    name="sale.order.line",
    description="Sales Order Line",
    fields={
        "order_id": many2one("sale.order", "Order Reference", required=True, on_delete="cascade", copied=False),
        "sequence": integer("Sequence", default=10),
        "display_type": selection("Display Type", (("line_section", "Section"), ("line_note", "Note"))),
        "product_id": many2one("product.product", "Product", on_delete="restrict"),
        "name": text("Description", required=True),
        "product_uom_qty": floating("Quantity", required=True, digits=(16, 2)),
        "product_uom": many2one("uom.uom", "Unit of Measure", on_delete="restrict"),
        "price_unit": floating("Unit Price", required=True, digits=(16, 2)),
        "discount": floating("Discount (%)", default=0.0, digits=(16, 2)),
        "tax_id": many2many("account.tax", "Taxes"),
        "price_subtotal": monetary("Subtotal", readonly=True, kept=True, copied=False),
        "price_tax": floating("Total Tax", readonly=True, kept=True, copied=False),
        "price_total": monetary("Total", readonly=True, kept=True, copied=False),
        "customer_lead": floating("Lead Time", default=0.0),
        "is_downpayment": boolean("Is a down payment", default=False, copied=False),
        "qty_delivered": floating("Delivery Quantity", expression="0.0"),
        "qty_invoiced": floating("Invoiced Quantity", readonly=True, expression="0.0"),
        "qty_to_invoice": floating("Quantity To Invoice", readonly=True, expression=SOLD_QUANTITY),
        "invoice_status": selection(
            "Invoice Status",
            INVOICE_STATES,
            readonly=True,
            expression=f"CASE WHEN ({SOLD_QUANTITY}) <> 0 THEN 'to invoice' ELSE 'no' END",
        ),
        "state": selection("Order Status", STATES, readonly=True, related="order_id.state"),
        "company_id": many2one("res.company", "Company", readonly=True, related="order_id.company_id"),
        "currency_id": many2one("res.currency", "Currency", readonly=True, related="order_id.currency_id"),
        "order_partner_id": many2one("res.partner", "Customer", readonly=True, related="order_id.partner_id"),
        "salesman_id": many2one("res.users", "Salesperson", readonly=True, related="order_id.user_id"),
    },
    order="order_id, sequence, id",
    display="(SELECT o.name FROM sale_order o WHERE o.id = {t}.order_id) || ' - ' || {t}.name",
    search_names=("name", "order_id.name"),
    constraints=(
        Constraint(
            "accountable_required_fields",
            "Missing required fields on accountable sale order line.",
            condition=(
                "display_type IS NOT NULL OR is_downpayment OR (product_id IS NOT NULL AND product_uom IS NOT NULL)"
            ),
        ),
        Constraint(
            "non_accountable_null_fields",
            "Forbidden values on non-accountable sale order line",
            condition=(
                "display_type IS NULL OR (product_id IS NULL AND price_unit = 0 AND product_uom_qty = 0"
                " AND product_uom IS NULL AND customer_lead = 0)"
            ),
        ),
    ),
    grants=SEEN_BY_PORTAL,
)

MODELS = (ORDER, LINE)
