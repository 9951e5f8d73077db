"""The types of provider: one line each, read by the settings, ListProviderTypes and the tests alike."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from sutler.errors import FailedPrecondition
from sutler.neighbours import neighbour

from services.provider.adapters.aws import TYPE as AWS
from services.provider.adapters.aws import aws_type, installed
from services.provider.adapters.plugin import PluginKind, own_kind, plugin_kinds
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


@asynccontextmanager
async def make_kinds(settings: Settings) -> AsyncIterator[tuple[Kinds, Mapping[str, PluginKind]]]:
    """Yields every type that this deployment offers, by name, and those that are called as plug-ins are.

    Raises:
        FailedPrecondition: If one cannot be used here at all, or the settings give its name to a plug-in.
    """
    own = {name: make(settings) for name, make in KINDS.items()}
    for name in {*own, AWS} & settings.plugin_addresses.keys():
        raise FailedPrecondition(
            f"the type {name} comes with the service: take it out of SUTLER_PROVIDER_PLUGIN_ADDRESSES",
            metadata={"setting": "SUTLER_PROVIDER_PLUGIN_ADDRESSES", "type": name},
        )
    async with AsyncExitStack() as stack:
        amazon = {}
        if installed():
            one = await stack.enter_async_context(aws_type(settings.aws_endpoint_url))
            amazon[AWS] = await own_kind(one, settings.plugin_seconds)
        others = await stack.enter_async_context(
            plugin_kinds(
                allowed=settings.plugins,
                addresses=settings.plugin_addresses,
                taken={*own, *amazon},
                connect=partial(neighbour, settings, "provider"),
                seconds=settings.plugin_seconds,
            )
        )
        yield {**own, **amazon, **others}, {**amazon, **others}
