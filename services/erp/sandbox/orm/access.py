"""Who may do what: by role on models and fields, and for portal users by record."""

from collections.abc import Collection, Sequence
from typing import Any

from services.erp.sandbox.errors import AccessError
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.schema.models import Model, Operation

VERBS: dict[Operation, str] = {"read": "access", "create": "create", "write": "modify", "unlink": "delete"}
GROUP_NAMES = {"base.group_erp_manager": "Administration / Access Rights"}
ROLE_NAMES = {
    "admin": "Administration/Settings",
    "internal": "User types/Internal User",
    "portal": "User types/Portal",
}


def may(env: Env, model: Model, operation: Operation) -> bool:
    """Tell whether the user's role allows the operation on the model."""
    return env.user.role in model.grants.of(operation)


def check(env: Env, model: Model, operation: Operation) -> None:
    """Raise AccessError unless the user's role allows the operation on the model."""
    if may(env, model, operation):
        return
    allowed = sorted(ROLE_NAMES[role] for role in model.grants.of(operation))
    groups = (
        "This operation is allowed for the following groups:\n" + "\n".join(f"\t- {group}" for group in allowed)
        if allowed
        else "No group currently allows this operation."
    )
    raise AccessError(
        f"You are not allowed to {VERBS[operation]} '{model.description}' ({model.name}) records.\n\n{groups}\n\n"
        "Contact your administrator to request access if necessary."
    )


def readable(env: Env, model: Model, names: Collection[str] | None = None) -> list[str]:
    """Return the fields to read: those asked for, or all that the user may see.

    BadValue for an unknown field, AccessError for one that the user may not see.
    """
    if not names:
        return [name for name, field in model.fields.items() if env.user.role not in field.hidden_from]
    hidden = [name for name in names if env.user.role in model.field(name).hidden_from]
    if hidden:
        quoted = ", ".join(f'"{name}"' for name in hidden)
        groups = {name: model.fields[name].groups for name in hidden}
        listed = "\n".join(
            f"- {name} (allowed for groups '{GROUP_NAMES.get(group, group)}')" for name, group in groups.items()
        )
        raise AccessError(
            f"You do not have enough rights to access the fields {quoted} on {model.description} ({model.name}). "
            f"Please contact your system administrator.\n\nOperation: read\nUser: {env.user.id}\nFields:\n{listed}"
        )
    return list(names)


def record_rule(env: Env, model: Model) -> list[Any] | None:
    """Return the domain that limits what the user may see of a model, or None."""
    if env.user.role != "portal":
        return None
    own = env.value("SELECT commercial_partner_id FROM res_partner WHERE id = ?", (env.user.partner_id,))
    rules: dict[str, list[Any]] = {
        "res.partner": [["id", "child_of", own]],
        "sale.order": [["partner_id", "child_of", own]],
        "sale.order.line": [["order_id.partner_id", "child_of", own]],
    }
    return rules.get(model.name)


def refuse_records(env: Env, model: Model, operation: Operation, ids: Sequence[int]) -> None:
    """Raise the AccessError for records that exist but that a record rule hides."""
    if ids:
        raise AccessError(
            "Uh-oh! Looks like you have stumbled upon some top-secret records.\n\n"
            f"Sorry, {env.user.name} (id={env.user.id}) doesn't have '{operation}' access to:\n"
            f"- {model.description} ({model.name})\n\n"
            "If you really, really need access, perhaps you can win over your friendly administrator with a batch of "
            "freshly baked cookies."
        )
