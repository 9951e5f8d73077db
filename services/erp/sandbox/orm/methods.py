"""The methods that a remote caller may call, and the binding of the caller's arguments to them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.erp.sandbox.errors import AccessError, BadArguments, MissingPosition, UnknownMethod
from services.erp.sandbox.orm import access, describing, exporting, formatted, grouping, loading, nested, operations
from services.erp.sandbox.orm.behaviour import Behaviour
from services.erp.sandbox.orm.env import Env
from services.erp.sandbox.orm.writing import as_list
from services.erp.sandbox.schema.models import Model

Function = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Method:
    """A function of the sandbox behind a method's name. `reserved` counts the arguments that the sandbox gives."""

    function: Function
    reserved: int
    on_records: bool = False
    writes: bool = False
    action: bool = False


READING: tuple[Function, ...] = (
    operations.search,
    operations.search_count,
    operations.search_read,
    operations.name_search,
    operations.check_access_rights,
    describing.fields_get,
    describing.default_get,
    grouping.read_group,
    formatted.formatted_read_group,
    nested.web_search_read,
)
READING_RECORDS: tuple[Function, ...] = (operations.read, operations.has_access, nested.web_read)
WRITING: tuple[Function, ...] = (operations.create, operations.name_create, loading.load)
WRITING_RECORDS: tuple[Function, ...] = (
    operations.write,
    operations.unlink,
    operations.copy,
    exporting.export_data,
    nested.web_save,
)

COMMON: Mapping[str, Method] = {
    **{function.__name__: Method(function, 2) for function in READING},
    **{function.__name__: Method(function, 2, on_records=True) for function in READING_RECORDS},
    **{function.__name__: Method(function, 2, writes=True) for function in WRITING},
    **{function.__name__: Method(function, 2, on_records=True, writes=True) for function in WRITING_RECORDS},
}


def find(behaviour: Behaviour, model: Model, name: str) -> Method:
    """Return the method; AccessError for a private name, UnknownMethod if the model has no such method."""
    if name.startswith("_"):
        raise AccessError(f"Private methods (such as '{model.name}.{name}') cannot be called remotely.")
    if name in behaviour.actions:
        return Method(behaviour.actions[name], 1, on_records=True, writes=True, action=True)
    if name in behaviour.class_actions:
        return Method(behaviour.class_actions[name], 1)
    if name in COMMON:
        return COMMON[name]
    raise UnknownMethod(f"The method '{model.name}.{name}' does not exist")


def call(env: Env, model: Model, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a method with the caller's arguments; BadArguments if they do not fit its signature."""
    method = find(env.behaviour(model), model, name)
    if method.on_records and not args:
        raise MissingPosition("tuple index out of range")
    given = (env, model)[: method.reserved]
    _check_arguments(method, name, args, kwargs)
    if not method.action:
        return method.function(*given, *args, **kwargs)
    ids = as_list(args[0])
    access.check(env, model, "write")
    operations.check_records(env, model, "write", ids)
    result = method.function(env, ids, *args[1:], **kwargs)
    offers_dialog = isinstance(result, dict)
    if not offers_dialog:
        operations.note(env, model, name, ids, {})
    return result


def _check_arguments(method: Method, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Compare the arguments with the signature and complain as Python does, naming `BaseModel`."""
    parameters = list(inspect.signature(method.function).parameters.values())[method.reserved :]
    hidden = 1 if method.on_records else 0
    names = [parameter.name for parameter in parameters]
    called = f"BaseModel.{name}()"
    unexpected = [key for key in kwargs if key not in names]
    if unexpected:
        raise BadArguments(f"{called} got an unexpected keyword argument {unexpected[0]!r}")
    if len(args) > len(names):
        raise BadArguments(
            f"{called} takes {len(names) + 1 - hidden} positional arguments but {len(args) + 1 - hidden} were given"
        )
    twice = [key for key in names[: len(args)] if key in kwargs]
    if twice:
        raise BadArguments(f"{called} got multiple values for argument {twice[0]!r}")
    missing = [
        parameter.name
        for parameter in parameters[len(args) :]
        if parameter.default is parameter.empty and parameter.name not in kwargs
    ]
    if missing:
        listed = " and ".join(repr(key) for key in missing)
        plural = "s" if len(missing) > 1 else ""
        raise BadArguments(f"{called} missing {len(missing)} required positional argument{plural}: {listed}")
