"""Dead letters with their snapshots."""

from __future__ import annotations

from sutler.rule.v1 import rule_pb2 as pb

from services.rule.letters import DeadLetter
from services.rule.wire.events import event_pb
from services.rule.wire.executions import execution_pb, letter_fields
from services.rule.wire.subjects import subject_pb


def letter_pb(letter: DeadLetter) -> pb.DeadLetter:
    """Returns a dead letter as the API shows it, with its snapshots where it has them."""
    message = letter_fields(letter)
    if letter.snapshot is not None:
        message.event_snapshot.CopyFrom(event_pb(letter.snapshot.event, full=True))
        message.execution_snapshot.CopyFrom(execution_pb(letter.snapshot.execution))
        if letter.snapshot.subject is not None:
            message.subject_snapshot.CopyFrom(subject_pb(letter.snapshot.subject))
    return message
