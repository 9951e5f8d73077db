"""Types of provider: how machines are started, ended and watched."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from sutler.errors import Violation

from services.provider.machines import Machine, Observation
from services.provider.output import Chunk, Stream
from services.provider.providers import Checkup, Provider, TypeFacts
from services.provider.reconcile.findings import Found
from services.provider.templates import Template


class ProviderKind(Protocol):
    """A type of provider: how its machines are started, ended and watched.

    Every method may be repeated, after a crash too, and has its effect once. One process at a time looks after the
    machines of a place: the one inside of :meth:`owned`; only it calls :meth:`launch`, :meth:`end`, :meth:`look`,
    :meth:`list` and :meth:`endings`.

    Attributes:
        place: Where the machines are that this process can look after.
    """

    place: str

    @property
    def facts(self) -> TypeFacts:
        """What it is and can do."""
        ...

    def check_config(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a config with its defaults filled in.

        Raises:
            Invalid: If it breaks the schema (CONFIG_INVALID), with all violations.
        """
        ...

    def check_template(self, template: Template) -> Sequence[Violation]:
        """Returns what is wrong with a template whose defaults are filled in, without calling the provider."""
        ...

    def max_attempts(self, config: Mapping[str, Any]) -> int:
        """Returns how often one machine request may ask the provider."""
        ...

    def grace(self, template: Template) -> float:
        """Returns how many seconds a machine may take to end by itself."""
        ...

    async def check(self, provider: Provider) -> Checkup:
        """Calls the provider and returns what it found; a refusal is in there too."""
        ...

    async def check_there(self, template: Template, config: Mapping[str, Any]) -> Sequence[Violation]:
        """Returns what is wrong with a template at the provider, such as a program that does not exist."""
        ...

    def owned(self) -> AbstractAsyncContextManager[None]:
        """Waits until this process alone looks after its place, and does so until the block ends."""
        ...

    async def launch(self, machine: Machine, template: Template, config: Mapping[str, Any]) -> Observation:
        """Launches a machine, or finds that this launch of it has been made already, and begins to watch it.

        Raises:
            ProviderFailed: If it was not started, and this launch never will be.
        """
        ...

    async def end(self, machine: Machine, template: Template, config: Mapping[str, Any], *, force: bool) -> Observation:
        """Asks a machine to end, or with ``force`` makes it; one that was never launched never will be after this."""
        ...

    async def look(self, machine: Machine, config: Mapping[str, Any]) -> Observation:
        """Returns what is there of a machine now, and begins to watch it if it lives."""
        ...

    def list(self, provider: Provider) -> AsyncIterator[Sequence[Found]]:
        """Yields all machines of a provider that are there now, found by their tags, in pages and in any order.

        Raises:
            Unavailable: If they cannot be seen: then nothing is known of any of them.
        """
        ...

    def endings(self) -> AsyncIterator[Observation]:
        """Yields machines as they end, for ever."""
        ...

    async def tend(self, machine: Machine, template: Template) -> None:
        """Does what has to be done from time to time for a machine that lives, such as discarding old output."""
        ...

    async def forget(self, machine: Machine) -> None:
        """Removes what is kept of a machine that has ended, such as its output."""
        ...

    def read_output(self, machine: Machine, stream: Stream, offset: int | None, limit: int) -> AsyncIterator[Chunk]:
        """Yields the output that is there.

        Args:
            machine: Whose output.
            stream: Which of its outputs.
            offset: Where to begin; at the oldest byte that is kept if None, from the end if negative.
            limit: The most bytes; all if 0.

        Raises:
            OutOfRange: If the offset is not kept, or after the end (OUTPUT_DISCARDED).
            FailedPrecondition: If the output is not here (OUTPUT_UNAVAILABLE).
        """
        ...


Kinds = Mapping[str, ProviderKind]
"""The types of provider by their names."""
