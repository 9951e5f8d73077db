"""What every ``ProviderPlugin`` must do: tests for those who bring one of their own, in any language.

Against one that runs, with a config and a template that are right for it (pytest and pytest-asyncio are needed)::

    python -m sutler.testing.provider_plugins 127.0.0.1:50062 sheds --config '{"room": 20}'

Or within tests in Python, with pytest-asyncio in its ``auto`` mode::

    class TestMine(ProviderPluginTests):
        @pytest.fixture
        async def subject(self):
            async with connect("127.0.0.1:50062") as client:
                yield Subject(client.stub(SERVICE), "mine", config={}, template=pb.Template(api="make"))

They start up to six small machines at a time for a provider of their own, and end them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import jsonschema_rs
import pytest
from google.protobuf.json_format import ParseDict

from sutler.client import connect
from sutler.errors import FailedPrecondition, Invalid, SutlerError
from sutler.ids import new_id
from sutler.provider.v1 import plugin_pb2
from sutler.provider.v1 import provider_pb2 as pb
from sutler.status import from_status
from sutler.testing.waiting import wait_until
from sutler.validation import validate_message
from sutler.wire import from_struct, to_struct

SERVICE = "sutler.provider.v1.ProviderPlugin"
SECONDS = 120.0
M = pb.Machine
ENDED = (M.STATE_TERMINATED, M.STATE_FAILED)
Verdict = plugin_pb2.ProvisionVerdict


@dataclass
class Subject:
    """The plug-in under test.

    Attributes:
        stub: Calls it, as that of ``sutler.client``.
        type: Its type.
        config: A config that it accepts.
        template: A template that it accepts.
        seconds: How long its machines may take to run, stop or end.
        provider: The name of the provider that the tests act for.
    """

    stub: Any
    type: str
    config: Mapping[str, Any] = field(default_factory=dict)
    template: pb.Template = field(default_factory=pb.Template)
    seconds: float = SECONDS
    provider: str = field(default_factory=lambda: f"providers/t-{new_id()}")

    def call(self, key: str = "", config: Mapping[str, Any] | None = None, attempt: int = 1) -> plugin_pb2.PluginCall:
        """Returns what a call carries; a new key if none is given."""
        return plugin_pb2.PluginCall(
            idempotency_key=key or new_id(),
            attempt=attempt,
            provider_type=self.type,
            provider=self.provider,
            config=to_struct(self.config if config is None else config),
            tenant="conformance",
            principal="user:test",
        )

    def wish(self, count: int, tag: str, key: str = "", attempt: int = 1) -> plugin_pb2.ProvisionRequest:
        """Returns a request for machines that carry a tag."""
        return plugin_pb2.ProvisionRequest(
            call=self.call(key, attempt=attempt),
            template=self.template,
            count=count,
            machine_request="machineRequests/conformance",
            tags={"conformance": tag, "suite": self.provider.partition("/")[2]},
        )

    async def provision(self, wish: plugin_pb2.ProvisionRequest) -> list[str]:
        """Asks for machines, checks how they are told, and returns their ids when all of them run."""
        said = [response async for response in self.stub.Provision(wish, timeout=self.seconds)]
        for response in said:
            validate_message(response)
        assert said, "Provision ended without a verdict"
        assert [response.HasField("verdict") for response in said] == [False] * (len(said) - 1) + [True]
        verdict = said[-1].verdict
        assert verdict.state in (Verdict.STATE_FULFILLED, Verdict.STATE_IN_PROGRESS), verdict

        async def all_run() -> Sequence[plugin_pb2.PluginMachine] | None:
            found = await self.tagged(wish.tags["conformance"])
            return found if sum(machine.state == M.STATE_RUNNING for machine in found) >= wish.count else None

        running = await wait_until(all_run, self.seconds)
        assert running is not None
        told = {machine.native_id for response in said for machine in response.machines}
        assert told <= {machine.native_id for machine in running}
        return sorted(machine.native_id for machine in running)

    async def tagged(self, tag: str) -> list[plugin_pb2.PluginMachine]:
        """Returns the machines with a tag that have not ended."""
        return [machine for machine in await self.list(tags={"conformance": tag}) if machine.state not in ENDED]

    async def list(self, **which: Any) -> list[plugin_pb2.PluginMachine]:
        """Returns all pages of a list."""
        request = plugin_pb2.ListRequest(call=self.call(), **which)
        found: list[plugin_pb2.PluginMachine] = []
        while True:
            page = await self.stub.List(request, timeout=self.seconds)
            validate_message(page)
            assert len(page.machines) <= (request.page_size or 50)
            found += page.machines
            if not page.next_page_token:
                return found
            assert page.machines, "a page that is not the last is empty"
            request.page_token = page.next_page_token

    async def end_all(self) -> None:
        """Ends whatever the tests have started."""
        left = [
            machine
            for machine in await self.list(tags={"suite": self.provider.partition("/")[2]})
            if machine.state not in ENDED
        ]
        if left:
            request = plugin_pb2.TerminateRequest(
                call=self.call(), machines=keys([m.native_id for m in left]), force=True
            )
            await self.stub.Terminate(request, timeout=self.seconds)


def keys(ids: Sequence[str]) -> list[plugin_pb2.PluginMachineKey]:
    """Returns what says which machines are meant."""
    return [plugin_pb2.PluginMachineKey(native_id=native_id) for native_id in ids]


class ProviderPluginTests:
    """The suite. A subclass has a fixture ``subject``."""

    @pytest.fixture
    async def subject(self, pytestconfig: pytest.Config) -> AsyncIterator[Subject]:
        """The plug-in under test: that of the command line."""
        given = pytestconfig.pluginmanager.get_plugin("provider_plugin")
        if given is None:
            raise NotImplementedError("a subclass gives the subject")
        async with connect(given.address, token=given.token, attempts=1) as client:
            yield Subject(client.stub(SERVICE), given.type, given.config, given.template, given.seconds)

    @pytest.fixture
    async def plugin(self, subject: Subject) -> AsyncIterator[Subject]:
        """The plug-in, whose machines are ended afterwards."""
        yield subject
        await subject.end_all()

    async def test_it_says_what_it_is(self, plugin: Subject) -> None:
        """Its schema is one, and accepts the config; without a config it tells the same type."""
        with_config = await plugin.stub.Describe(plugin_pb2.DescribeRequest(call=plugin.call()), timeout=plugin.seconds)
        bare = plugin.call()
        bare.ClearField("config")
        bare.ClearField("provider")
        told = await plugin.stub.Describe(plugin_pb2.DescribeRequest(call=bare), timeout=plugin.seconds)
        validate_message(told)
        assert told.provider_type == with_config.provider_type
        assert told.provider_type.type == plugin.type and told.provider_type.apis
        schema = from_struct(told.provider_type.config_schema)
        jsonschema_rs.validator_for(schema).validate(dict(plugin.config))
        for example in told.provider_type.example_configs:
            jsonschema_rs.validator_for(schema).validate(from_struct(example))

    async def test_it_accepts_what_is_right_and_names_what_is_wrong(self, plugin: Subject) -> None:
        """A wrong config is a finding of Validate, and an error of all other calls."""
        right = plugin_pb2.ValidateRequest(call=plugin.call(), template=plugin.template, online=True)
        answer = await plugin.stub.Validate(right, timeout=plugin.seconds)
        validate_message(answer)
        assert not answer.violations and answer.HasField("effective_template")
        wrong = plugin.call(config={**plugin.config, "surely-no-field-of-it": 1})
        answer = await plugin.stub.Validate(plugin_pb2.ValidateRequest(call=wrong), timeout=plugin.seconds)
        assert any(violation.field.startswith("config.") for violation in answer.violations)
        for method, request in (
            ("List", plugin_pb2.ListRequest(call=wrong)),
            ("Check", plugin_pb2.CheckRequest(call=wrong)),
        ):
            with pytest.raises(Invalid) as caught:
                await getattr(plugin.stub, method)(request, timeout=plugin.seconds)
            assert caught.value.reason == "CONFIG_INVALID"

    async def test_it_is_well(self, plugin: Subject) -> None:
        """A check of a right config finds it usable."""
        answer = await plugin.stub.Check(plugin_pb2.CheckRequest(call=plugin.call()), timeout=plugin.seconds)
        validate_message(answer)
        assert answer.state in (pb.Provider.STATE_HEALTHY, pb.Provider.STATE_DEGRADED)

    async def test_a_repeat_starts_nothing_more(self, plugin: Subject) -> None:
        """The same key is the same work, also at the same time; another key is other work."""
        key = new_id()
        first = await plugin.provision(plugin.wish(2, "a", key))
        assert len(first) == 2
        assert await plugin.provision(plugin.wish(2, "a", key, attempt=2)) == first
        both = new_id()
        one, two = await asyncio.gather(*(plugin.provision(plugin.wish(1, "b", both)) for _ in range(2)))
        assert one == two and len(one) == 1
        other = await plugin.provision(plugin.wish(1, "c"))
        assert not {*other} & {*first, *one}

    async def test_a_caller_that_goes_away_loses_nothing(self, plugin: Subject) -> None:
        """A stream that is cut is taken up by its repeat."""
        wish = plugin.wish(3, "a")
        async with aclosing(plugin.stub.Provision(wish, timeout=plugin.seconds)) as said:
            async for _ in said:
                break
        wish.call.attempt = 2
        assert len(await plugin.provision(wish)) == 3

    async def test_machines_are_found_by_tags_and_ids_in_pages(self, plugin: Subject) -> None:
        """Each is there once, by native id, with its tags; what does not exist is left out."""
        ids = await plugin.provision(plugin.wish(3, "a"))
        await plugin.provision(plugin.wish(1, "b"))
        found = await plugin.list(tags={"conformance": "a"}, page_size=2)
        assert [machine.native_id for machine in found if machine.state not in ENDED] == ids
        assert all(machine.tags["conformance"] == "a" for machine in found)
        some = await plugin.list(machines=keys([ids[1], "surely-no-machine"]))
        assert [machine.native_id for machine in some] == [ids[1]]
        assert not await plugin.list(tags={"conformance": "a", "suite": "another"})

    async def test_it_ends_machines(self, plugin: Subject) -> None:
        """One result each, in the order asked; what does not exist has ended; a repeat changes nothing."""
        ids = await plugin.provision(plugin.wish(2, "a"))
        asked = [ids[1], "surely-no-machine", ids[0]]
        request = plugin_pb2.TerminateRequest(call=plugin.call(), machines=keys(asked))
        for _ in range(2):
            answer = await plugin.stub.Terminate(request, timeout=plugin.seconds)
            validate_message(answer)
            assert [result.native_id for result in answer.results] == asked
            assert not any(result.HasField("status") for result in answer.results)
            assert answer.results[1].state == M.STATE_TERMINATED

        async def gone() -> bool:
            return not await plugin.tagged("a")

        await wait_until(gone, plugin.seconds)

    async def test_it_stops_and_starts_machines_or_says_that_it_cannot(self, plugin: Subject) -> None:
        """As its capabilities say."""
        described = await plugin.stub.Describe(plugin_pb2.DescribeRequest(call=plugin.call()), timeout=plugin.seconds)
        told = described.provider_type
        can = {*told.capabilities, *(each for api in told.apis for each in api.capabilities)}
        (native_id,) = await plugin.provision(plugin.wish(1, "a"))
        for method, request, state in (
            ("Stop", plugin_pb2.StopRequest, M.STATE_STOPPED),
            ("Start", plugin_pb2.StartRequest, M.STATE_RUNNING),
        ):
            ask = request(call=plugin.call(), machines=keys([native_id]))
            if pb.CAPABILITY_START_STOP not in can:
                await self._refused(plugin, method, ask)
                continue
            for _ in range(2):
                answer = await getattr(plugin.stub, method)(ask, timeout=plugin.seconds)
                assert not answer.results[0].HasField("status")
            await wait_until(lambda state=state: self._stands(plugin, native_id, state), plugin.seconds)  # type: ignore[misc]

    async def _refused(self, plugin: Subject, method: str, request: Any) -> None:
        """Checks that a call is refused, as a whole or for its machine."""
        try:
            answer = await getattr(plugin.stub, method)(request, timeout=plugin.seconds)
            error: SutlerError = from_status(answer.results[0].status)
        except FailedPrecondition as refusal:
            error = refusal
        assert error.reason == "CAPABILITY_MISSING"

    async def _stands(self, plugin: Subject, native_id: str, state: int) -> bool:
        return [machine.state for machine in await plugin.list(machines=keys([native_id]))] == [state]


class _Given:
    """What the command line says."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.address, self.type, self.seconds = given.address, given.type, given.seconds
        self.token = os.environ.get("SUTLER_TOKEN", "")
        self.config = json.loads(given.config)
        self.template = ParseDict(json.loads(given.template), pb.Template())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the suite against a plug-in and returns the exit code; a token is taken from ``SUTLER_TOKEN``."""
    parser = argparse.ArgumentParser(prog="python -m sutler.testing.provider_plugins", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("address", help="where the plug-in serves")
    parser.add_argument("type", help="its type")
    parser.add_argument("--config", default="{}", help="a config that it accepts, as JSON")
    parser.add_argument("--template", default="{}", help="a template that it accepts, as JSON")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long machines may take to run or end")
    given = parser.parse_args(arguments)
    options = ["-q", "-c", os.devnull, "-p", "no:cacheprovider", "-o", "asyncio_mode=auto"]
    return int(_run([*options, "-o", "python_classes=ProviderPluginTests", __file__], _Given(given)))


def _run(options: list[str], given: _Given) -> int:
    class Plugin:
        @staticmethod
        def pytest_configure(config: pytest.Config) -> None:
            config.pluginmanager.register(given, "provider_plugin")

    return int(pytest.main(options, plugins=[Plugin]))


if __name__ == "__main__":
    sys.exit(main())
