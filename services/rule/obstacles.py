"""What stops a rule, as a simulation tells it."""

from __future__ import annotations

from services.rule.breakers import deferred_until
from services.rule.events import Event
from services.rule.executions import Execution
from services.rule.patterns import SUBJECT_SEPARATOR, TYPE_SEPARATOR, Pattern
from services.rule.policies import BreakerPolicy
from services.rule.simulations import Candidate, Obstacle, Setting


def obstacle_to_begin(candidate: Candidate, event: Event) -> Obstacle:
    """Returns what keeps an execution of a rule from being made for an event."""
    definition, content = candidate.rule.definition, event.content
    if not any(Pattern(pattern, TYPE_SEPARATOR).matches(content.type) for pattern in definition.on):
        return Obstacle.TYPE
    wanted = definition.subject
    if wanted and not (content.subject and Pattern(wanted, SUBJECT_SEPARATOR).matches(content.subject)):
        return Obstacle.SUBJECT
    return Obstacle.NONE if candidate.enabled else Obstacle.DISABLED


def obstacle_now(execution: Execution, candidate: Candidate, setting: Setting, now: float) -> Obstacle:
    """Returns what makes an execution wait that would do something."""
    uid = candidate.rule.uid
    policy = candidate.rule.definition.breaker or BreakerPolicy()
    if deferred_until(setting.breakers.get(uid), policy, execution.name, now) is not None:
        return Obstacle.BREAKER
    return Obstacle.ORDER if uid in setting.busy and execution.subject else Obstacle.NONE
