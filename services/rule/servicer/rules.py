"""The RPCs about rules and their revisions."""

from __future__ import annotations

from typing import Any

from google.protobuf.empty_pb2 import Empty
from sutler import masks
from sutler.context import current
from sutler.field_values import clear_output_only
from sutler.interceptors.idempotency import once
from sutler.rule.v1 import rule_pb2 as pb

from services.rule.rules import Rule, Wanted
from services.rule.servicer.parts import Rpcs, author
from services.rule.wire.rules import revision_pb, rule_pb, wanted_from


class RuleRpcs(Rpcs):
    """RPCs about rules and their revisions."""

    async def GetRule(self, request: pb.GetRuleRequest, context: Any) -> pb.Rule:
        return rule_pb(await self._parts.rule_store.get(current().tenant, request.name))

    async def ListRules(self, request: pb.ListRulesRequest, context: Any) -> pb.ListRulesResponse:
        found = await self._parts.reading.rules(current().tenant, self._parts.query("ListRules", request))
        rules, token = self._parts.page("ListRules", request, found, [rule_pb(rule) for rule in found.items])
        return pb.ListRulesResponse(rules=rules, next_page_token=token)

    async def CreateRule(self, request: pb.CreateRuleRequest, context: Any) -> pb.Rule:
        clear_output_only(request.rule)
        rule = await self._parts.rules.create(
            current().tenant,
            author(),
            request.rule_id,
            wanted_from(request.rule),
            once(rule_pb),
            staged=False,
            dry=request.validate_only,
        )
        return rule_pb(rule)

    async def UpdateRule(self, request: pb.UpdateRuleRequest, context: Any) -> pb.Rule:
        clear_output_only(request.rule)
        mask = request.update_mask if request.HasField("update_mask") else None

        def merge(stored: Rule | None) -> Wanted:
            before = rule_pb(stored) if stored else pb.Rule(name=request.rule.name)
            request.rule.name = before.name
            return wanted_from(masks.merge(before, request.rule, mask, below="rule"))

        rule = await self._parts.rules.update(
            current().tenant,
            author(),
            request.rule.name,
            merge,
            request.rule.etag,
            once(rule_pb),
            allow_missing=request.allow_missing,
            staged=request.staged,
            dry=request.validate_only,
        )
        return rule_pb(rule)

    async def DeleteRule(self, request: pb.DeleteRuleRequest, context: Any) -> Empty:
        await self._parts.rules.delete(
            current().tenant,
            request.name,
            request.etag,
            once(lambda _: Empty()),
            allow_missing=request.allow_missing,
            force=request.force,
            dry=request.validate_only,
        )
        return Empty()

    async def GetRuleRevision(self, request: pb.GetRuleRevisionRequest, context: Any) -> pb.RuleRevision:
        return revision_pb(await self._parts.rule_store.revision(current().tenant, request.name))

    async def ListRuleRevisions(
        self, request: pb.ListRuleRevisionsRequest, context: Any
    ) -> pb.ListRuleRevisionsResponse:
        query = self._parts.query("ListRuleRevisions", request)
        found = await self._parts.reading.revisions(current().tenant, request.parent, query)
        messages = [revision_pb(revision) for revision in found.items]
        revisions, token = self._parts.page("ListRuleRevisions", request, found, messages)
        return pb.ListRuleRevisionsResponse(rule_revisions=revisions, next_page_token=token)

    async def ActivateRuleRevision(self, request: pb.ActivateRuleRevisionRequest, context: Any) -> pb.Rule:
        rule = await self._parts.rules.activate(
            current().tenant, author(), request.name, request.etag, once(rule_pb), dry=request.validate_only
        )
        return rule_pb(rule)
