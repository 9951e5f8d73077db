"""Completes a type with what its handler says of itself, so that it need not be said twice."""

from __future__ import annotations

from dataclasses import replace

from sutler.errors import FailedPrecondition

from services.resource.resource_type import Action, Description, ResourceType, Version


def described(type: str, wanted: ResourceType, said: Description | None) -> ResourceType:
    """Returns a type with the handler's schemas where it gives none, and with all of its actions if it lists none.

    What is filled in is stored like what was sent; a newer handler changes it only when it is sent empty again.

    Args:
        type: The name of the type.
        wanted: The type as it was sent.
        said: What its handler says; None if it cannot be asked.

    Raises:
        FailedPrecondition: If the type lists an action that the handler does not have (ACTION_UNKNOWN).
    """
    if said is None:
        return wanted
    known = {action.id: action for action in said.actions}
    unknown = next((action.id for action in wanted.actions if action.id not in known), None)
    if unknown is not None:
        names = ", ".join(known)
        raise FailedPrecondition(
            f"the plug-in {wanted.made_by.plugin} has no action {unknown}; it has: {names or 'none'}",
            reason="ACTION_UNKNOWN",
            metadata={"type": type, "action": unknown, "known": names},
        )
    return replace(
        wanted,
        versions=tuple(_version(version, said) for version in wanted.versions),
        actions=tuple(_action(action, known[action.id]) for action in wanted.actions) or said.actions,
    )


def _version(version: Version, said: Description) -> Version:
    return replace(
        version,
        schema=said.schema if version.schema is None else version.schema,
        output_schema=said.output_schema if version.output_schema is None else version.output_schema,
    )


def _action(action: Action, said: Action) -> Action:
    return replace(
        action,
        description=action.description or said.description,
        parameter_schema=said.parameter_schema if action.parameter_schema is None else action.parameter_schema,
        result_schema=said.result_schema if action.result_schema is None else action.result_schema,
    )
