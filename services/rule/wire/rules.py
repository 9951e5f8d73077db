"""Rules and revisions."""

from __future__ import annotations

from typing import Any

from sutler.rule.v1 import rule_pb2 as pb
from sutler.wire import timestamp

from services.rule.definitions import Definition
from services.rule.policies import BreakerPolicy, RetryPolicy
from services.rule.rules import Revision, Rule, Wanted
from services.rule.wire.actions import action_from, action_pb
from services.rule.wire.times import given, span_pb


def wanted_from(message: pb.Rule) -> Wanted:
    """Returns what a request wants a rule to be."""
    definition = Definition(
        on=tuple(message.on),
        actions=tuple(map(action_from, message.actions)),
        subject=message.subject,
        when=tuple(message.when),
        retry=_retry(message.retry) if message.HasField("retry") else None,
        breaker=_breaker(message.breaker) if message.HasField("breaker") else None,
        timeout=given(message, "timeout"),
        priority=message.priority,
    )
    enabled = message.enabled if message.HasField("enabled") else True
    return Wanted(definition, message.display_name, message.description, enabled)


def rule_pb(rule: Rule) -> pb.Rule:
    """Returns a rule as the API shows it."""
    message = pb.Rule(
        name=rule.name,
        uid=rule.uid,
        create_time=timestamp(rule.create_time),
        update_time=timestamp(rule.update_time),
        etag=rule.etag,
        display_name=rule.display_name,
        description=rule.description,
        enabled=rule.enabled,
        active_revision=f"{rule.name}/revisions/{rule.active}" if rule.active else "",
        latest_revision=f"{rule.name}/revisions/{rule.latest}" if rule.latest else "",
        principal=rule.principal,
    )
    _define(message, rule.definition)
    return message


def revision_pb(revision: Revision) -> pb.RuleRevision:
    """Returns a revision as the API shows it."""
    message = pb.RuleRevision(
        name=revision.name,
        uid=revision.uid,
        create_time=timestamp(revision.create_time),
        update_time=timestamp(revision.update_time),
        etag=revision.etag,
        state=int(revision.state),  # type: ignore[arg-type]
        snapshot=pb.Rule(
            name=revision.rule,
            uid=revision.rule_uid,
            display_name=revision.display_name,
            description=revision.description,
            principal=revision.principal,
        ),
    )
    _define(message.snapshot, revision.definition)
    return message


def _define(message: pb.Rule, definition: Definition) -> None:
    message.on.extend(definition.on)
    message.subject = definition.subject
    message.when.extend(definition.when)
    message.actions.extend(map(action_pb, definition.actions))
    message.priority = definition.priority
    if definition.timeout is not None:
        message.timeout.CopyFrom(_span(definition.timeout))
    if definition.retry is not None:
        message.retry.CopyFrom(_retry_pb(definition.retry))
    if definition.breaker is not None:
        message.breaker.CopyFrom(_breaker_pb(definition.breaker))


def _retry(message: pb.RetryPolicy) -> RetryPolicy:
    return RetryPolicy(
        message.max_attempts,
        given(message, "initial_backoff"),
        given(message, "max_backoff"),
        message.multiplier,
        given(message, "give_up_after"),
    )


def _retry_pb(policy: RetryPolicy) -> pb.RetryPolicy:
    return pb.RetryPolicy(
        max_attempts=policy.max_attempts,
        initial_backoff=span_pb(policy.initial_backoff),
        max_backoff=span_pb(policy.max_backoff),
        multiplier=policy.multiplier,
        give_up_after=span_pb(policy.give_up_after),
    )


def _breaker(message: pb.BreakerPolicy) -> BreakerPolicy:
    return BreakerPolicy(
        message.max_failures, given(message, "window"), given(message, "open_duration"), message.disabled
    )


def _breaker_pb(policy: BreakerPolicy) -> pb.BreakerPolicy:
    return pb.BreakerPolicy(
        max_failures=policy.max_failures,
        window=span_pb(policy.window),
        open_duration=span_pb(policy.open_duration),
        disabled=policy.disabled,
    )


def _span(value: float) -> Any:
    span = span_pb(value)
    assert span is not None
    return span
