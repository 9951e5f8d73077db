"""What a plug-in says it is: asked for at the start and from time to time, and kept while it cannot be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import structlog
from sutler.errors import SutlerError, Unavailable
from sutler.ids import new_id
from sutler.provider.v1 import plugin_pb2 as pb

from services.provider.adapters.plugin.calling import PluginCalls
from services.provider.adapters.plugin.config import ConfigSchema
from services.provider.adapters.plugin.faults import broken
from services.provider.providers import TypeFacts, TypeSource
from services.provider.templates import Template
from services.provider.wire import plugins as wire

log = structlog.get_logger("sutler.provider")


class Described:
    """Knows what a plug-in said last.

    Args:
        calls: Calls it.
        source: Where the type comes from.
        who: How to name it in errors, such as its address.

    Attributes:
        facts: What it said; nothing yet while ``facts.known`` is false.
    """

    def __init__(self, calls: PluginCalls, source: TypeSource, who: str) -> None:
        self._calls = calls
        self._source = source
        self._who = who
        self._schema = ConfigSchema(calls.type, {})
        self.facts = _nothing(calls.type, source, self._unreachable("it has not been asked yet"))

    async def ask(self) -> None:
        """Asks the plug-in, and keeps what it says; of what goes wrong the facts tell."""
        try:
            request = pb.DescribeRequest(call=wire.call(self._calls.type, new_id()))
            self._keep(await self._calls.ask("Describe", request, attempts=1))
        except SutlerError as error:
            told = error if error.reason == "PLUGIN_INVALID" else self._unreachable(error.message)
            if self.facts.error is None or self.facts.error.message != told.message:
                log.warning(
                    "provider type not described", type=self._calls.type, reason=told.reason, error=told.message
                )
            self.facts = replace(self.facts, error=told)

    def checked(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a config with its defaults filled in; raises Invalid (CONFIG_INVALID)."""
        return self._schema.checked(config)

    def filled(self, config: Mapping[str, Any]) -> Mapping[str, Any]:
        """Returns a config with the defaults that the schema has now, whether or not it is right."""
        return self._schema.filled(config)

    def _keep(self, answer: pb.DescribeResponse) -> None:
        found = wire.facts(answer, self._source)
        if found.type != self._calls.type:
            raise broken(self._calls.type, "Describe", f"it says that it is of type {found.type!r}")
        if not found.apis:
            raise broken(found.type, "Describe", "it has no api")
        try:
            schema = ConfigSchema(found.type, found.config_schema)
        except ValueError as error:
            raise broken(found.type, "Describe", "its config_schema is no JSON Schema") from error
        if schema.has_secrets:
            cause = "its configs have secrets (writeOnly), which cannot be kept yet; let it read them where it runs"
            raise broken(found.type, "Describe", cause)
        if self.facts.error is not None:
            log.info("provider type described", type=found.type, version=found.version)
        self._schema, self.facts = schema, found

    def _unreachable(self, cause: str) -> Unavailable:
        return Unavailable(
            f"the provider type {self._calls.type} at {self._who} cannot be asked what it is: {cause}",
            metadata={"dependency": self._who, "cause": cause},
        )


def _nothing(type: str, source: TypeSource, error: SutlerError) -> TypeFacts:
    return TypeFacts(
        type=type,
        display_name=type,
        description="",
        version="",
        config_schema={},
        apis=(),
        capabilities=(),
        regions=(),
        template_defaults=Template(),
        source=source,
        takes=wire.OPEN_FIELDS,
        error=error,
        known=False,
    )
