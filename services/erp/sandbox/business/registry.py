"""Which model does what beyond the common operations."""

from collections.abc import Mapping

from services.erp.sandbox.business.lines import LineBehaviour
from services.erp.sandbox.business.listings import ListingBehaviour
from services.erp.sandbox.business.orders import OrderBehaviour
from services.erp.sandbox.business.partners import PartnerBehaviour
from services.erp.sandbox.business.products import ProductBehaviour
from services.erp.sandbox.business.users import UserBehaviour
from services.erp.sandbox.orm.behaviour import Behaviour
from services.erp.sandbox.schema.models import Registry

OWN: Mapping[str, Behaviour] = {
    "ir.model": ListingBehaviour(),
    "res.partner": PartnerBehaviour(),
    "res.users": UserBehaviour(),
    "product.product": ProductBehaviour(),
    "sale.order": OrderBehaviour(),
    "sale.order.line": LineBehaviour(),
}


def build_behaviours(registry: Registry) -> Mapping[str, Behaviour]:
    """Return the behaviour of every model."""
    plain = Behaviour()
    return {model.name: OWN.get(model.name, plain) for model in registry}
