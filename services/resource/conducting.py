"""Carries operations out, in whichever process holds them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType

from sutler.operations.model import Operation

from services.resource.acting import Acting
from services.resource.attempting import Attempt
from services.resource.compiling import Compiler
from services.resource.declaring import Declarations
from services.resource.deprovisioning import Deprovisioning
from services.resource.judging import PolicyBook
from services.resource.ports import Handlers, SecretBox, Store
from services.resource.provisioning import Provisioning
from services.resource.removing import Removals
from services.resource.stacks.running import Running
from services.resource.work import Verb


class Conductor:
    """Makes attempts at operations.

    Args:
        store: Where they are kept.
        handlers: Calls handlers.
        compiler: Compiles types.
        policies: Compiles policies.
        box: Opens secrets.
        limits: How many resources of a type may stand in one scope, by the key of the type.
    """

    def __init__(
        self,
        store: Store,
        handlers: Handlers,
        compiler: Compiler,
        policies: PolicyBook,
        box: SecretBox,
        *,
        limits: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self._store = store
        run = Running(Declarations(store, compiler, policies, handlers, limits=limits), Removals(store, policies)).run
        self._carry_out: Mapping[Verb, Callable[[Attempt], Awaitable[None]]] = {
            "apply": Provisioning(handlers, compiler).run,
            "delete": Deprovisioning(handlers).run,
            "invoke": Acting(handlers, compiler, box).run,
            "apply_stack": run,
            "delete_stack": run,
        }

    async def attempt(self, operation: Operation, cancelled: asyncio.Event) -> None:
        """Makes one attempt, which ends the operation, or gives it back for another one.

        Args:
            operation: The operation as this process claimed it.
            cancelled: Set when somebody asks for its end.

        Raises:
            Conflict: If another process holds it by now (LEASE_LOST); then nothing was changed.
            SutlerError: If the store does not work.
        """
        attempt = Attempt(self._store, operation, cancelled)
        await self._carry_out[attempt.work.verb](attempt)
