"""What a worker can do: its handlers, their conditions, and the middleware around them."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sutler.client.rules.context import Context
from sutler.errors import FailedPrecondition, invalid
from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import duration

Handle = Callable[[Context], Awaitable[Any]]
Check = Callable[[Context], Any]
Next = Callable[[], Awaitable[Any]]
Middleware = Callable[[Context, Next], Awaitable[Any]]

F = TypeVar("F", bound=Callable[..., Any])

ID = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,62}")
"""What queues and rules may be called."""


@dataclass(frozen=True, slots=True)
class Handler:
    """One handler of a worker.

    Attributes:
        name: Tells it from the worker's others; the ``handler`` of its tasks.
        call: The function.
        rule: The rule that gives it its tasks; None if others have written one.
    """

    name: str
    call: Handle
    rule: pb.Rule | None


class Handlers:
    """Collects the handlers of one worker::

        shop = Handlers("shop")

        @shop.on("order.submitted")
        @shop.when("payload.total > 0")
        async def validate(ctx): ...

    Args:
        name: The worker's. Its tasks come through the queue of that name, which all its processes share, and a
            handler's rule is ``rules/{name}.{handler}``: so a name stays, like that of a table.

    Raises:
        Invalid: If queues cannot be called so.
    """

    def __init__(self, name: str) -> None:
        self.name = _id(name, "name")
        self._handlers: dict[str, Handler] = {}
        self._conditions: dict[Handle, list[str | Check]] = {}
        self._middleware: list[Middleware] = []
        self._workers = 0

    def on(
        self,
        *patterns: str,
        name: str = "",
        subject: str = "",
        retry: pb.RetryPolicy | None = None,
        breaker: pb.BreakerPolicy | None = None,
        timeout: float | None = None,
        priority: int = 0,
    ) -> Callable[[F], F]:
        """Handles the events whose type matches one of the patterns, in a rule of its own.

        Args:
            *patterns: Over the event type: ``*`` stands for any characters but a dot, ``**`` for any characters.
            name: What the handler is called; the function's name if empty.
            subject: A pattern over the event's subject.
            retry: What happens when it fails.
            breaker: When it pauses for a subject.
            timeout: Seconds that an event may take in all, waiting included, before it is given up.
            priority: Of handlers of one event, those with a higher number begin first.

        Raises:
            TypeError: If the function is not async.
            Invalid: If there is no pattern, or the name is taken or is none.
        """
        if not patterns:
            raise invalid("patterns", "name at least one, such as order.*")
        work = pb.Worker(queue=self.name)
        if timeout is not None:
            work.timeout.CopyFrom(duration(timeout))
        rule = pb.Rule(on=patterns, subject=subject, retry=retry, breaker=breaker, priority=priority)
        rule.actions.add().worker.CopyFrom(work)

        def register(function: F) -> F:
            self._add(name, function, rule)
            return function

        return register

    def task(self, name: str = "") -> Callable[[F], F]:
        """Does the tasks which rules that others have written put into the worker's queue for this handler.

        Args:
            name: The ``handler`` of the rule's action; the function's name if empty.

        Raises:
            TypeError: If the function is not async.
            Invalid: If the name is taken or is none.
        """

        def register(function: F) -> F:
            self._add(name, function, None)
            return function

        return register

    def when(self, *conditions: str | Check) -> Callable[[F], F]:
        """Lets a handler run only if all conditions hold; above or below ``on``.

        A string is CEL and becomes part of the rule: an event that it refuses never gets here. A function gets the
        context, may be async, and is asked by the worker. One that raises has no answer: the task fails.

        Args:
            *conditions: In the order in which they are asked, up to the first that does not hold.
        """

        def register(function: F) -> F:
            self._conditions.setdefault(function, [])[:0] = conditions
            return function

        return register

    def middleware(self, function: F) -> F:
        """Runs around each handler, after its conditions; the first that is registered is the outermost.

        It gets the context and ``next``, and goes on with ``await next()``, once; without it the handler does not run.

        Raises:
            TypeError: If the function is not async.
            FailedPrecondition: If the worker runs.
        """
        _must_be_async(function)
        self._must_not_run()
        self._middleware.append(function)
        return function

    def unregister(self, name: str) -> int:
        """Forgets a handler and returns how many there were of that name; a rule that was declared for it stays.

        Raises:
            FailedPrecondition: If the worker runs.
        """
        self._must_not_run()
        return 1 if self._handlers.pop(name, None) else 0

    def unregister_all(self) -> int:
        """Forgets all handlers and returns how many there were. Raises as :meth:`unregister`."""
        self._must_not_run()
        count = len(self._handlers)
        self._handlers.clear()
        return count

    def names(self) -> list[str]:
        """Returns the names of the handlers."""
        return list(self._handlers)

    def find(self, name: str) -> Handler:
        """Returns a handler by its name. Raises KeyError."""
        return self._handlers[name]

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Takes no more handlers while a worker runs them: it would not know of them."""
        self._workers += 1
        try:
            yield
        finally:
            self._workers -= 1

    def rules(self) -> list[pb.Rule]:
        """Returns the rules that give the handlers their tasks, whole.

        Raises:
            Invalid: If a function has conditions for rules that others write, or no ``on``.
        """
        handled = {handler.call for handler in self._handlers.values() if handler.rule is not None}
        for function, conditions in self._conditions.items():
            if function not in handled and any(isinstance(condition, str) for condition in conditions):
                raise invalid(function.__name__, "has CEL conditions for a rule, but no on")
        return [self._whole(handler, handler.rule) for handler in self._handlers.values() if handler.rule is not None]

    def checks(self, handler: Handler) -> list[Check]:
        """Returns the conditions of a handler that the worker asks itself."""
        return [condition for condition in self._conditions.get(handler.call, ()) if not isinstance(condition, str)]

    def chain(self) -> list[Middleware]:
        """Returns the middleware, the outermost first."""
        return list(self._middleware)

    def _whole(self, handler: Handler, rule: pb.Rule) -> pb.Rule:
        whole = pb.Rule(name=f"rules/{self.name}.{handler.name}")
        whole.MergeFrom(rule)
        whole.actions[0].worker.handler = handler.name
        whole.when.extend(each for each in self._conditions.get(handler.call, ()) if isinstance(each, str))
        return whole

    def _add(self, name: str, function: Handle, rule: pb.Rule | None) -> None:
        _must_be_async(function)
        self._must_not_run()
        found = name or getattr(function, "__name__", "")
        if not found:
            raise invalid("name", f"{function!r} has no name: give it one")
        if rule is not None:
            _id(f"{self.name}.{found}", "name")
        if found in self._handlers:
            raise invalid("name", f"{self.name} has a handler {found} already; give this one another name")
        self._handlers[found] = Handler(found, function, rule)

    def _must_not_run(self) -> None:
        if self._workers:
            raise FailedPrecondition(
                f"worker {self.name} runs already; register its handlers before", metadata={"worker": self.name}
            )


def _id(text: str, field: str) -> str:
    if not ID.fullmatch(text):
        raise invalid(field, f"{text!r} is no id: a letter, then up to 62 letters, digits and . _ -")
    return text


def _must_be_async(function: Callable[..., Any]) -> None:
    if not (inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)):
        raise TypeError(f"{function!r} must be async; a blocking one can be called with asyncio.to_thread")
