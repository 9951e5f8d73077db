"""Keys of calls: the same for the same function and arguments, in every process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sutler.client.cache.encoding import BriefSink, Sink, Unencodable, encode, module_of, write

MAX_KEY_BYTES = 1024
MAX_PREFIX_BYTES = 512
REMEDY = "give the function key=…, name the parameter in ignore=…, or give the class a method __cache_key__"
MISSING = inspect.Parameter.empty

Args = tuple[Any, ...]
KwArgs = Mapping[str, Any]


def name_of(function: Callable[..., Any]) -> str:
    """Returns the name of a function within its module; that of its type if it has none."""
    return str(getattr(function, "__qualname__", type(function).__qualname__))


def key_of(prefix: str, *values: object) -> str:
    """Returns the key for some values: the prefix, a colon and 64 hexadecimal digits.

    Args:
        prefix: What the values are of; ends the key apart from those of others.
        *values: Whatever :func:`~sutler.client.cache.encoding.encode` takes.

    Raises:
        TypeError: If no key can be made of a value.
        OSError: If a file among them cannot be read.
    """
    return f"{prefix}:{blake2b(encode(values), digest_size=32).hexdigest()}"


class CallKeys:
    """Makes the keys of the calls of one function.

    A call is taken as the function sees it: defaults count as if they were given, and whether an argument comes by
    position or by name makes no difference. A key is the prefix, a colon, and 64 hexadecimal digits; or, where ``key``
    gives a text, an equals sign and that text.

    Args:
        function: Whose calls.
        prefix: What keys begin with; the full name of the function if empty.
        key: Called as the function, gives what stands for its arguments.
        ignore: Parameters that do not count.

    Raises:
        ValueError: If the prefix is too long, or missing for a function without a name of its own, or the function has
            no such parameter.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        prefix: str = "",
        key: Callable[..., object] | None = None,
        ignore: Collection[str] = (),
    ) -> None:
        self._name = name_of(function)
        if not prefix and (self._name.endswith("<lambda>") or not hasattr(function, "__qualname__")):
            raise ValueError(f"{self._name} has no name of its own: set prefix=…")
        self.prefix = prefix or f"{module_of(function)}.{self._name}"
        if len(self.prefix.encode()) > MAX_PREFIX_BYTES:
            raise ValueError(f"the prefix of {self._name} has more than {MAX_PREFIX_BYTES} bytes: set prefix=…")
        self._signature = inspect.signature(function)
        self._key = key
        parameters = self._signature.parameters
        if unknown := sorted(set(ignore) - set(parameters)):
            raise ValueError(f"{self._name} has no parameter {unknown[0]!r} to ignore")
        kinds = [each.kind for each in parameters.values()]
        self._names = tuple(parameters)
        self._positional = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._plain = self._positional + kinds.count(inspect.Parameter.KEYWORD_ONLY) == len(kinds)
        self._defaults = tuple(each.default for each in parameters.values())
        self._least = max((place + 1 for place, value in enumerate(self._defaults) if value is MISSING), default=0)
        self._headers = tuple(None if name in ignore else encode(name) for name in parameters)
        self._places = {name: place for place, name in enumerate(parameters)}

    def of(self, args: Args, kwargs: KwArgs, *, blocking: bool = True) -> str:
        """Returns the key of one call.

        Args:
            args: The arguments by position.
            kwargs: Those by name.
            blocking: Whether files may be read and large arrays hashed.

        Raises:
            TypeError: If no key can be made of an argument, or they are not those of the function.
            ValueError: If ``key`` gives a text that is too long.
            WouldBlock: If it takes long, and may not.
        """
        sink = Sink() if blocking else BriefSink()
        if self._key is None:
            self._write(self._names, self._headers, self._bound(args, kwargs), sink)
        else:
            given = self._key(*args, **kwargs)
            if isinstance(given, str):
                return self._literal(given)
            self._write(("key",), (b"",), (given,), sink)
        return f"{self.prefix}:{blake2b(b''.join(sink), digest_size=32).hexdigest()}"

    def _bound(self, args: Args, kwargs: KwArgs) -> Sequence[Any]:
        """Returns the arguments in the order of the parameters; by hand where it can, as ``bind`` is slow."""
        given = len(args)
        if self._plain and given <= self._positional:
            values = [*args, *self._defaults[given:]]
            for name, value in kwargs.items():
                place = self._places.get(name, -1)
                if place < given:
                    break
                values[place] = value
            else:
                if given >= self._least or not any(value is MISSING for value in values):
                    return values
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(bound.arguments.values())

    def _write(self, names: Sequence[str], headers: Sequence[bytes | None], values: Sequence[Any], sink: Sink) -> None:
        place = 0
        try:
            for place, value in enumerate(values):
                header = headers[place]
                if header is not None:
                    sink.append(header)
                    write(value, sink)
        except (Unencodable, RecursionError) as error:
            cause = error if isinstance(error, Unencodable) else "it is nested too deeply or within itself"
            raise TypeError(f"argument {names[place]!r} of {self._name}: {cause}; {REMEDY}") from None

    def _literal(self, text: str) -> str:
        key = f"{self.prefix}:={text}"
        if len(key.encode()) > MAX_KEY_BYTES:
            raise ValueError(
                f"key= of {self._name} gave a text of {len(text)} characters; give a tuple to have it hashed"
            )
        return key
