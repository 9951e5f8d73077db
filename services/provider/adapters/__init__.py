"""The types of provider: one line each, read by the settings, ListProviderTypes and the tests alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from services.provider.adapters.process import ProcessKind
from services.provider.adapters.process.folder import Folder
from services.provider.adapters.process.programs import Programs
from services.provider.ports import Kinds, ProviderKind
from services.provider.settings import Settings

KINDS: Mapping[str, Callable[[Settings], ProviderKind]] = {
    "process": lambda settings: ProcessKind(
        Folder(settings.machines, settings.host_name),
        Programs(settings.process_programs, settings.process_path),
    ),
}
"""Each type with what makes it."""


def make_kinds(settings: Settings) -> Kinds:
    """Returns every type that this deployment offers, by name.

    Raises:
        FailedPrecondition: If one cannot be used here at all.
    """
    return {name: make(settings) for name, make in KINDS.items()}
