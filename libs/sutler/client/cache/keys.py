"""Keys of calls: the same for the same function and arguments, in every process."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from hashlib import blake2b
from typing import Any

from sutler.client.cache.encoding import Sink, Unencodable, encode, write

MAX_KEY_BYTES = 1024
MAX_PREFIX_BYTES = 512
REMEDY = "give the function key=…, name the parameter in ignore=…, or give the class a method __cache_key__"
MISSING = inspect.Parameter.empty

Args = tuple[Any, ...]
KwArgs = Mapping[str, Any]


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
        ValueError: If the prefix is too long, or the function has no such parameter.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        prefix: str = "",
        key: Callable[..., object] | None = None,
        ignore: Collection[str] = (),
    ) -> None:
        self.prefix = prefix or f"{function.__module__}.{function.__qualname__}"
        if len(self.prefix.encode()) > MAX_PREFIX_BYTES:
            raise ValueError(
                f"the prefix of {function.__qualname__} has more than {MAX_PREFIX_BYTES} bytes: set prefix=…"
            )
        self._signature = inspect.signature(function)
        self._name = function.__qualname__
        self._key = key
        parameters = self._signature.parameters
        if unknown := sorted(set(ignore) - set(parameters)):
            raise ValueError(f"{self._name} has no parameter {unknown[0]!r} to ignore")
        self._ignored = frozenset(ignore)
        kinds = [each.kind for each in parameters.values()]
        self._positional = kinds.count(inspect.Parameter.POSITIONAL_OR_KEYWORD)
        self._plain = self._positional + kinds.count(inspect.Parameter.KEYWORD_ONLY) == len(kinds)
        self._defaults = {each.name: each.default for each in parameters.values()}
        self._names = tuple(parameters)
        self._headers = {name: encode(name) for name in parameters}

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
        sink = Sink(blocking=blocking)
        if self._key is not None:
            given = self._key(*args, **kwargs)
            if isinstance(given, str):
                return self._literal(given)
            self._write("key", given, sink)
        else:
            for name, value in self._bound(args, kwargs):
                if name not in self._ignored:
                    sink.append(self._headers[name])
                    self._write(name, value, sink)
        return f"{self.prefix}:{blake2b(b''.join(sink), digest_size=32).hexdigest()}"

    def _bound(self, args: Args, kwargs: KwArgs) -> Iterable[tuple[str, Any]]:
        """Returns the arguments by name, in the order of the parameters; by hand, as ``bind`` is slow."""
        given = len(args)
        if self._plain and given <= self._positional:
            rest = [kwargs.get(name, self._defaults[name]) for name in self._names[given:]]
            named = sum(name in kwargs for name in self._names[given:]) if kwargs else 0
            if named == len(kwargs) and not any(value is MISSING for value in rest):
                return zip(self._names, (*args, *rest), strict=True)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments.items()

    def _write(self, name: str, value: object, sink: Sink) -> None:
        try:
            write(value, sink)
        except (Unencodable, RecursionError) as error:
            cause = error if isinstance(error, Unencodable) else "it is nested too deeply or within itself"
            raise TypeError(f"argument {name!r} of {self._name}: {cause}; {REMEDY}") from None

    def _literal(self, text: str) -> str:
        key = f"{self.prefix}:={text}"
        if len(key.encode()) > MAX_KEY_BYTES:
            raise ValueError(
                f"key= of {self._name} gave a text of {len(text)} characters; give a tuple to have it hashed"
            )
        return key
