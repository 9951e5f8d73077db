"""Providers, templates and types through the API."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from sutler.client import Sutler
from sutler.errors import AlreadyExists, Conflict, FailedPrecondition, Invalid, NotFound
from sutler.provider.v1 import provider_pb2 as pb
from sutler.wire import from_struct, to_struct

from tests.integration.provider.conftest import LAB, SMALL, Serve, ask, give_back, new_id, set_up

TYPES = pb.ListProviderTypesRequest


async def test_the_types(service: Sutler) -> None:
    (process,) = (await service.providers.ListProviderTypes(TYPES(filter='type = "process"'))).provider_types
    schema = from_struct(process.config_schema)
    assert schema["properties"]["timeout"]["default"] == 30
    assert schema["properties"]["max_retries"]["default"] == 3
    assert process.apis[0].api == "spawn"
    assert pb.CAPABILITY_OUTPUT in process.apis[0].capabilities
    for config in process.example_configs:
        await service.providers.CreateProvider(
            pb.CreateProviderRequest(
                provider_id=f"p{len(config.fields)}", provider=pb.Provider(type="process", config=config)
            )
        )
    for number, template in enumerate(process.example_templates):
        await service.providers.CreateTemplate(pb.CreateTemplateRequest(template_id=f"t{number}", template=template))
    assert not (await service.providers.ListProviderTypes(TYPES(filter='type = "azure"'))).provider_types
    with pytest.raises(Invalid) as refused:
        await service.providers.ListProviderTypes(TYPES(order_by="colour"))
    assert refused.value.reason == "ORDER_BY_INVALID"


class TestProviders:
    async def create(self, service: Sutler, id: str = "other", **fields: Any) -> pb.Provider:
        provider = pb.Provider(**{"type": "process", **fields})
        created: pb.Provider = await service.providers.CreateProvider(
            pb.CreateProviderRequest(provider_id=id, provider=provider)
        )
        return created

    async def test_defaults_are_filled_in(self, service: Sutler) -> None:
        created = await self.create(service, config=to_struct({"timeout": 5}))
        assert from_struct(created.config) == {"timeout": 5, "max_retries": 3, "path": "/bin:/usr/bin"}
        assert created.state == pb.Provider.STATE_STARTING
        assert created.uid
        got = await service.providers.GetProvider(pb.GetProviderRequest(name="providers/other"))
        assert got == created

    @pytest.mark.parametrize(
        ("fields", "reason", "field"),
        [
            ({"type": "azur"}, "PROVIDER_TYPE_UNKNOWN", "provider.type"),
            ({"config": to_struct({"timeout": -1})}, "CONFIG_INVALID", "provider.config.timeout"),
            ({"config": to_struct({"colour": 1})}, "CONFIG_INVALID", "provider.config.colour"),
            ({"regions": ["moon"]}, "REGION_UNKNOWN", "provider.regions[0]"),
        ],
    )
    async def test_refusals(self, service: Sutler, fields: dict[str, Any], reason: str, field: str) -> None:
        with pytest.raises(Invalid) as refused:
            await self.create(service, **fields)
        assert refused.value.reason == reason
        assert [v.field for v in refused.value.violations] == [field]

    async def test_every_violation_of_a_config_is_told(self, service: Sutler) -> None:
        with pytest.raises(Invalid) as refused:
            await self.create(service, config=to_struct({"timeout": -1, "max_retries": 9}))
        assert len(refused.value.violations) == 2

    async def test_an_update_changes_what_the_mask_names(self, service: Sutler) -> None:
        created = await self.create(service, priority=4, config=to_struct({"timeout": 5}))
        changed = await service.providers.UpdateProvider(
            pb.UpdateProviderRequest(
                provider=pb.Provider(
                    name=created.name, display_name="Lab", etag=created.etag, config=to_struct({"max_retries": 1})
                ),
                update_mask=FieldMask(paths=["display_name", "config"]),
            )
        )
        assert (changed.display_name, changed.priority) == ("Lab", 4)
        assert from_struct(changed.config) == {"timeout": 5, "max_retries": 1, "path": "/bin:/usr/bin"}
        with pytest.raises(Conflict):
            await service.providers.UpdateProvider(
                pb.UpdateProviderRequest(provider=pb.Provider(name=created.name, priority=1, etag=created.etag))
            )
        with pytest.raises(Invalid) as immutable:
            await service.providers.UpdateProvider(
                pb.UpdateProviderRequest(provider=pb.Provider(name=created.name, type="aws"))
            )
        assert immutable.value.reason == "FIELD_IMMUTABLE"
        with pytest.raises(Invalid) as mask:
            await service.providers.UpdateProvider(
                pb.UpdateProviderRequest(
                    provider=pb.Provider(name=created.name), update_mask=FieldMask(paths=["colour"])
                )
            )
        assert mask.value.reason == "UPDATE_MASK_INVALID"

    async def test_allow_missing_creates(self, service: Sutler) -> None:
        request = pb.UpdateProviderRequest(provider=pb.Provider(name="providers/late", type="process"))
        with pytest.raises(NotFound):
            await service.providers.UpdateProvider(request)
        request.allow_missing = True
        request.validate_only = True
        await service.providers.UpdateProvider(request)
        with pytest.raises(NotFound):
            await service.providers.GetProvider(pb.GetProviderRequest(name="providers/late"))
        request.validate_only = False
        assert (await service.providers.UpdateProvider(request)).uid

    async def test_one_that_is_switched_off_gives_no_machines_but_takes_them_back(self, service: Sutler) -> None:
        await ask(service)
        off = pb.UpdateProviderRequest(provider=pb.Provider(name=LAB, enabled=False))
        assert (await service.providers.UpdateProvider(off)).state == pb.Provider.STATE_DISABLED
        with pytest.raises(FailedPrecondition) as refused:
            await ask(service)
        assert refused.value.reason == "PROVIDER_DISABLED"
        assert (await give_back(service, all=True)).fulfilled == 1

    async def test_one_that_is_used_is_not_deleted(self, service: Sutler) -> None:
        await ask(service)
        delete = pb.DeleteProviderRequest(name=LAB)
        with pytest.raises(FailedPrecondition) as template:
            await service.providers.DeleteProvider(delete)
        assert (template.value.reason, template.value.metadata["user"]) == ("IN_USE", SMALL)
        await service.providers.DeleteTemplate(pb.DeleteTemplateRequest(name=SMALL))
        with pytest.raises(FailedPrecondition):
            await service.providers.DeleteProvider(delete)
        assert (await service.providers.GetProvider(pb.GetProviderRequest(name=LAB))).machine_count == 1
        await give_back(service, all=True)
        await service.providers.DeleteProvider(delete)
        with pytest.raises(NotFound):
            await service.providers.DeleteProvider(delete)
        delete.allow_missing = True
        await service.providers.DeleteProvider(delete)

    async def test_a_check_tells_what_it_found(self, service: Sutler) -> None:
        found = await service.providers.CheckProvider(pb.CheckProviderRequest(name=LAB))
        assert found.state == pb.Provider.STATE_HEALTHY
        assert found.identity
        assert found.HasField("latency")
        provider = await service.providers.GetProvider(pb.GetProviderRequest(name=LAB))
        assert provider.state == pb.Provider.STATE_HEALTHY
        assert provider.HasField("check_time")
        with pytest.raises(NotFound):
            await service.providers.CheckProvider(pb.CheckProviderRequest(name="providers/none"))

    async def test_pages_filters_and_order(self, serving: Serve, url: str) -> None:
        async with serving(data=url) as service:
            for id, priority in (("a", 2), ("B", 1), ("c", 1)):
                await self.create(service, id, priority=priority)
            seen, token = [], ""
            while True:
                page = await service.providers.ListProviders(
                    pb.ListProvidersRequest(page_size=2, page_token=token, order_by="priority, name desc")
                )
                seen += [p.name for p in page.providers]
                token = page.next_page_token
                if not token:
                    break
            assert seen == ["providers/c", "providers/B", "providers/a"]
            found = await service.providers.ListProviders(
                pb.ListProvidersRequest(filter='priority = 1 AND config.timeout = 30 AND name = "providers/c*"')
            )
            assert [p.name for p in found.providers] == ["providers/c"]
            with pytest.raises(Invalid) as bad:
                await service.providers.ListProviders(pb.ListProvidersRequest(filter="colour = 1"))
            assert bad.value.reason == "FILTER_INVALID"
            with pytest.raises(Invalid) as token_refused:
                await service.providers.ListProviders(pb.ListProvidersRequest(page_token="x"))
            assert token_refused.value.reason == "PAGE_TOKEN_INVALID"


class TestTemplates:
    async def create(self, service: Sutler, id: str = "other", **fields: Any) -> pb.Template:
        template = pb.Template(**{"provider": LAB, **fields})
        created: pb.Template = await service.providers.CreateTemplate(
            pb.CreateTemplateRequest(template_id=id, template=template)
        )
        return created

    async def test_it_comes_back_as_it_was_written(self, service: Sutler) -> None:
        written = pb.Template(
            provider=LAB,
            display_name="Small",
            api="spawn",
            regions=["local"],
            max_machines=5,
            max_count=2,
            tags={"size": "s"},
            process=pb.ProcessSpec(
                command=["run", "{{ tags.size }}"],
                environment={"A": "1"},
                limits=pb.ProcessLimits(open_files=100),
                output=pb.OutputRetention(max_files=2),
                stop_signal="SIGINT",
                stop_grace_duration={"seconds": 3},
            ),
        )
        created = await service.providers.CreateTemplate(
            pb.CreateTemplateRequest(template_id="other", template=written)
        )
        for field in ("name", "uid", "etag", "create_time", "update_time"):
            assert created.HasField(field) if field.endswith("_time") else getattr(created, field)
            created.ClearField(field)
        assert created == written

    @pytest.mark.parametrize(
        ("fields", "reason", "fields_told"),
        [
            ({"provider": "providers/none"}, "TEMPLATE_INVALID", ["template.provider"]),
            ({"api": "RunInstances"}, "API_UNKNOWN", ["template.api"]),
            ({"image": "ami-1", "role": "r"}, "TEMPLATE_INVALID", ["template.image", "template.role"]),
            (
                {"lease_duration": {"seconds": 61}, "max_lease_duration": {"seconds": 60}},
                "FIELD_INVALID",
                ["template"],
            ),
            ({"lease_duration": {"seconds": 4_000_000_000}}, "FIELD_INVALID", ["template.lease_duration"]),
            (
                {"process": {"restart_policy": {"mode": 2}, "limits": {"millicpus": 10}}},
                "TEMPLATE_INVALID",
                ["template.process.restart_policy", "template.process.limits.millicpus"],
            ),
            ({"process": {"command": ["{{ secret }}"]}}, "TEMPLATE_INVALID", ["template.process.command[0]"]),
            ({"process": {"stop_signal": "SIGNONE"}}, "TEMPLATE_INVALID", ["template.process.stop_signal"]),
            ({"process": {"working_directory": "a"}}, "TEMPLATE_INVALID", ["template.process.working_directory"]),
        ],
    )
    async def test_refusals(self, service: Sutler, fields: dict[str, Any], reason: str, fields_told: list[str]) -> None:
        with pytest.raises(Invalid) as refused:
            await self.create(service, **fields)
        assert refused.value.reason == reason
        assert [v.field for v in refused.value.violations] == fields_told

    async def test_programs_that_the_operator_does_not_allow(self, serving: Serve) -> None:
        async with serving(process_programs=["/usr/bin/*", "sleep"]) as service:
            await set_up(service)
            await self.create(service, "ok", process={"command": ["/usr/bin/env"]})
            with pytest.raises(Invalid) as refused:
                await self.create(service, process={"command": ["/bin/sh"]})
            assert refused.value.violations[0].reason == "PROGRAM_NOT_ALLOWED"

    async def test_updates_and_deletes(self, service: Sutler) -> None:
        created = await self.create(service, tags={"a": "1"})
        with pytest.raises(AlreadyExists):
            await self.create(service, "OTHER")
        changed = await service.providers.UpdateTemplate(
            pb.UpdateTemplateRequest(
                template=pb.Template(name=created.name, max_count=3), update_mask=FieldMask(paths=["max_count", "tags"])
            )
        )
        assert (changed.max_count, dict(changed.tags)) == (3, {})
        assert changed.etag != created.etag
        with pytest.raises(Conflict):
            await service.providers.DeleteTemplate(pb.DeleteTemplateRequest(name=created.name, etag=created.etag))
        await service.providers.DeleteTemplate(pb.DeleteTemplateRequest(name=created.name, etag=changed.etag))
        with pytest.raises(NotFound):
            await service.providers.GetTemplate(pb.GetTemplateRequest(name=created.name))

    async def test_a_repeated_create_is_answered_as_the_first(self, service: Sutler) -> None:
        request = pb.CreateTemplateRequest(template_id="once", template=pb.Template(provider=LAB), request_id=new_id())
        first = await service.providers.CreateTemplate(request)
        assert await service.providers.CreateTemplate(request) == first

    async def test_validation_says_what_is_wrong_here_and_now(self, service: Sutler) -> None:
        check = service.providers.ValidateTemplate
        found = await check(pb.ValidateTemplateRequest(name=SMALL))
        assert found.valid
        assert found.effective_template.api == "spawn"
        assert found.effective_template.process.stop_signal == "SIGTERM"
        missing = pb.Template(provider=LAB, process=pb.ProcessSpec(command=["no-such-program"]))
        found = await check(pb.ValidateTemplateRequest(template=missing))
        assert [v.field for v in found.violations] == ["template.process.command[0]"]
        found = await check(pb.ValidateTemplateRequest(template=pb.Template(provider=LAB, image="x")))
        assert (found.valid, [v.field for v in found.violations]) == (False, ["template.image"])
        with pytest.raises(NotFound):
            await check(pb.ValidateTemplateRequest(name="templates/none"))

    async def test_its_list(self, service: Sutler) -> None:
        await self.create(service, "tagged", tags={"size": "xl"})
        found = await service.providers.ListTemplates(pb.ListTemplatesRequest(filter='tags.size = "x*"'))
        assert [t.name for t in found.templates] == ["templates/tagged"]


async def test_the_default_machine_runs_until_it_is_ended(service: Sutler) -> None:
    await service.providers.CreateTemplate(
        pb.CreateTemplateRequest(template_id="plain", template=pb.Template(provider_type="process"))
    )
    request = await ask(service, 1, "templates/plain")
    assert request.provider == LAB
    assert request.candidates[0].chosen
    answers = service.providers.ReadMachineOutput(
        pb.ReadMachineOutputRequest(name=request.machines[0], follow=True, limit=9)
    )
    assert b"".join([answer.data async for answer in answers]) == b"heartbeat"
    assert (await give_back(service, all=True)).fulfilled == 1
