"""The registry of all models that the sandbox has."""

from services.erp.sandbox.schema import core, partners, products, sales
from services.erp.sandbox.schema.models import Registry


def build_registry() -> Registry:
    """Return every model of the sandbox."""
    return Registry((*core.MODELS, *partners.MODELS, *products.MODELS, *sales.MODELS))
