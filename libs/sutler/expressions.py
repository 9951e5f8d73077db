"""CEL expressions: compiled once, evaluated often, with errors that say where and why.

The engine stops an evaluation by itself at about 10,000 iterations, so no expression runs for ever. What one of them
may cost is bounded in :mod:`sutler.expression_limits`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import cel_expr_python.cel as cel
import cel_expr_python.ext.ext_strings as ext_strings
from google.protobuf import struct_pb2, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.timestamp_pb2 import Timestamp

from sutler.errors import Violation
from sutler.expression_limits import Cost, Measure, measure

MAX_BYTES = 16_384
"""The longest expression; a contract may allow less."""

Kind = Literal["dyn", "map", "string", "int", "bool", "timestamp"]
Fields = Mapping[str, Kind]
"""The fields of a variable that has no others: naming another one does not compile."""

_KINDS: dict[Kind, cel.Type] = {
    "dyn": cel.Type.DYN,
    "map": cel.Type.Map(cel.Type.STRING, cel.Type.DYN),
    "string": cel.Type.STRING,
    "int": cel.Type.INT,
    "bool": cel.Type.BOOL,
    "timestamp": cel.Type.TIMESTAMP,
}
_MAY_BE_BOOL = (cel.Type.BOOL, cel.Type.DYN)
_FIELDS: dict[Kind, tuple[FieldDescriptorProto.Type.ValueType, str]] = {
    "dyn": (FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.Value"),
    "map": (FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.Struct"),
    "string": (FieldDescriptorProto.TYPE_STRING, ""),
    "int": (FieldDescriptorProto.TYPE_INT64, ""),
    "bool": (FieldDescriptorProto.TYPE_BOOL, ""),
    "timestamp": (FieldDescriptorProto.TYPE_MESSAGE, ".google.protobuf.Timestamp"),
}
_PACKAGE = "sutler.expressions"
_PLACE = re.compile(r"<input>:(-?\d+):(-?\d+): (.*)")


class ExpressionInvalid(Exception):
    """An expression that does not compile.

    Args:
        reason: What is wrong with it.
        position: Where, as ``line:column``; empty if unknown.
    """

    def __init__(self, reason: str, position: str) -> None:
        super().__init__(f"{position}: {reason}" if position else reason)
        self.reason = reason
        self.position = position

    def violation(self, field: str) -> Violation:
        """Returns it as a violation of a field."""
        return Violation(field, f"is not a valid CEL expression: {self}", "EXPRESSION_INVALID")


class EvaluationFailed(Exception):
    """An expression that compiled and could not be evaluated on these values, such as for a missing key."""


@dataclass(frozen=True)
class Bindings:
    """Values bound once for many expressions of one environment. Made by :meth:`Environment.bind`."""

    activation: cel.Activation
    values: Mapping[str, Any]

    @cached_property
    def measure(self) -> Measure:
        """How large the values are."""
        return measure(self.values)


class Expression:
    """A compiled expression. Made by :meth:`Environment.compile`."""

    def __init__(self, text: str, compiled: cel.Expression) -> None:
        self.text = text
        self._compiled = compiled
        self._cost = Cost(text)

    def evaluate(self, bindings: Bindings) -> Any:
        """Returns the value as plain Python.

        Raises:
            EvaluationFailed: If a key is missing, types do not fit, the iteration budget is used up, or the values are
                too large for what the expression does with them.
        """
        if self._cost.matters and (refusal := self._cost.refusal(bindings.measure)):
            raise EvaluationFailed(refusal)
        try:
            value = self._compiled.eval(bindings.activation)
        except RuntimeError as error:
            raise EvaluationFailed(_message(str(error))) from error
        if value.type() == cel.Type.ERROR:
            raise EvaluationFailed(_message(str(value.value())))
        return value.plain_value()

    def test(self, bindings: Bindings) -> bool:
        """Returns the value of a condition.

        Raises:
            EvaluationFailed: As :meth:`evaluate`, and if the value is not a bool.
        """
        value = self.evaluate(bindings)
        if not isinstance(value, bool):
            raise EvaluationFailed(f"the condition is a {type(value).__name__}, not a bool")
        return value


class Environment:
    """The variables that expressions of one kind may use.

    Args:
        variables: Each variable's type; ``dyn`` takes anything. Fields are checked when an expression is compiled; when
            it is evaluated, the variable is a map that must hold all of them.
    """

    def __init__(self, variables: Mapping[str, Kind | Fields]) -> None:
        types = {name: _KINDS[kind] if isinstance(kind, str) else _KINDS["map"] for name, kind in variables.items()}
        self._env = cel.NewEnv(variables=types, extensions=[ext_strings.ExtStrings()])
        fixed = {name: kind for name, kind in variables.items() if not isinstance(kind, str)}
        self._checker = _checker(types, fixed) if fixed else self._env

    def compile(self, text: str) -> Expression:
        """Compiles an expression.

        Raises:
            ExpressionInvalid: On a syntax error, an unknown variable or field, or more than 16 KiB.
        """
        return self._compiled(text)[0]

    def compile_condition(self, text: str) -> Expression:
        """Compiles an expression that gives a bool, as far as that can be known before there are values.

        Raises:
            ExpressionInvalid: As :meth:`compile`, and if it can give nothing but something else.
        """
        expression, gives = self._compiled(text)
        if gives not in _MAY_BE_BOOL:
            raise ExpressionInvalid(f"a condition gives a bool, and this gives {gives.name().lower()}", "")
        return expression

    def _compiled(self, text: str) -> tuple[Expression, cel.Type]:
        """Returns a compiled expression and the type of what it gives."""
        if len(text.encode()) > MAX_BYTES:
            raise ExpressionInvalid(f"longer than {MAX_BYTES} bytes", "")
        try:
            gives = self._checker.compile(text).return_type()
            return Expression(text, self._env.compile(text)), gives
        except RuntimeError as error:
            place = _PLACE.search(str(error))
            if place is None:
                raise ExpressionInvalid(_message(str(error)), "") from error
            position = "" if place[1].startswith("-") else f"{place[1]}:{place[2]}"
            raise ExpressionInvalid(_message(place[3]), position) from error

    def bind(self, values: Mapping[str, Any]) -> Bindings:
        """Binds values to variables: whole numbers as int, times as timestamps."""
        bound = {name: bindable(value) for name, value in values.items()}
        return Bindings(self._env.Activation(bound), bound)


def _checker(types: Mapping[str, cel.Type], fixed: Mapping[str, Fields]) -> cel.Env:
    """Returns an environment where variables with fixed fields are messages, so that CEL itself checks the fields."""
    file = FileDescriptorProto(name="sutler/expressions.proto", package=_PACKAGE, syntax="proto3")
    pool = DescriptorPool()
    for known in (struct_pb2.DESCRIPTOR, timestamp_pb2.DESCRIPTOR):
        pool.AddSerializedFile(known.serialized_pb)
        file.dependency.append(known.name)
    for name, fields in fixed.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            field_type, type_name = _FIELDS[kind]
            message.field.add(name=field, number=number, type=field_type, type_name=type_name or None, label=1)
    pool.AddSerializedFile(file.SerializeToString())
    messages = {name: cel.Type(f"{_PACKAGE}.{name}") for name in fixed}
    return cel.NewEnv(pool, variables={**types, **messages}, extensions=[ext_strings.ExtStrings()])


_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def bindable(value: Any) -> Any:
    """Returns a value as CEL wants it: JSON's whole doubles become int, so that ``old + 1`` works."""
    if value is None or isinstance(value, str | int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < 2**63 else value
    if isinstance(value, datetime.datetime):
        since = (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)) - _EPOCH
        return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)
    if isinstance(value, dict | Mapping):
        return {str(key): bindable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [bindable(item) for item in value]
    return value


def _message(text: str) -> str:
    """Returns the engine's message without its status name and without the copy of the expression."""
    first = text.splitlines()[0] if text else "no value"
    first = re.sub(r"\s*\[[A-Z_]+\]$", "", first)
    return re.sub(r"^[A-Z_]+: ", "", first)
