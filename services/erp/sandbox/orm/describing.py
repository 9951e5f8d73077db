"""What a model says about its fields, and the defaults that a new record would get."""

from collections.abc import Sequence
from typing import Any

from services.erp.sandbox.orm import access, writing
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.schema.fields import Field
from services.erp.sandbox.schema.models import Model

HTML_RULES = {"sanitize": True, "sanitize_attributes": True, "sanitize_style": False, "sanitize_tags": True}


def fields_get(
    env: Env, model: Model, allfields: Sequence[str] | None = None, attributes: Sequence[str] | None = None
) -> dict[str, dict[str, Any]]:
    """Describe the fields that the user may see, with the attributes asked for (all by default)."""
    access.check(env, model, "read")
    described = {}
    for name in access.readable(env, model):
        if allfields and name not in allfields:
            continue
        every = describe(env, model, name, model.fields[name])
        described[name] = {key: value for key, value in every.items() if not attributes or key in attributes}
    return described


def describe(env: Env, model: Model, name: str, field: Field) -> dict[str, Any]:
    """Return all attributes of one field; which there are depends on its type."""
    in_table = field.declared_stored
    derived = field.type == "binary" or field.to_many or name == "display_name"
    in_rows = (in_table and not derived) or (bool(field.related) and not field.to_many)
    description: dict[str, Any] = {
        "change_default": False,
        "company_dependent": field.company_dependent,
        "default_export_compatible": name == "name" and model.name == "res.partner",
        "depends": list(field.depends) or ([field.related] if field.related else []),
        "exportable": True,
        "groupable": in_rows or field.type == "many2many",
        "manual": False,
        "name": name,
        "readonly": field.readonly,
        "required": field.required,
        "searchable": in_table or bool(field.related) or name == "display_name",
        "sortable": in_rows,
        "store": in_table,
        "string": field.string,
        "type": field.type,
    }
    return {**description, **_of_type(env, model, name, field), **_when_set(field)}


def _of_type(env: Env, model: Model, name: str, field: Field) -> dict[str, Any]:
    match field.type:
        case "char":
            return {"translate": False, "trim": True}
        case "text":
            return {"translate": False}
        case "html":
            return {**HTML_RULES, "strip_classes": False, "strip_style": False, "translate": False}
        case "selection":
            return {"selection": [list(choice) for choice in field.selection]}
        case "binary":
            scaled = model.column(name)
            return {"attachment": True} | ({"related": scaled, "depends": [scaled]} if scaled != name else {})
        case "integer" | "float" | "monetary":
            summed = {"aggregator": "sum"} if field.declared_stored and name != "id" else {}
            digits = {"digits": list(field.digits)} if field.digits else {}
            currency = {"currency_field": "currency_id"} if field.type == "monetary" else {}
            return {**summed, **digits, **currency}
        case "many2one" | "one2many" | "many2many":
            return _of_relation(env, model, field)
        case _:
            return {}


def _of_relation(env: Env, model: Model, field: Field) -> dict[str, Any]:
    tree = bool(env.model(field.relation).parent) or field.relation == "res.users"
    description = {
        "allow_hierachy_operators": tree,
        "context": dict(field.context),
        "domain": [list(term) for term in field.only],
        "relation": field.relation,
    }
    return {**description, "relation_field": field.inverse} if field.type == "one2many" else description


def _when_set(field: Field) -> dict[str, Any]:
    optional = {"help": field.help, "groups": field.groups, "related": field.related, "size": field.size}
    return {key: value for key, value in optional.items() if value}


def default_get(env: Env, model: Model, fields_list: Sequence[str]) -> dict[str, Any]:
    """Return the defaults of the named fields; a field without a default is left out."""
    access.check(env, model, "create")
    defaults = writing.default_values(env, model)
    return {name: defaults[name] for name in fields_list if name in defaults}
