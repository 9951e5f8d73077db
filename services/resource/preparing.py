"""Makes a wish ready to be stored: defaults filled in, content checked, policies heard, stages passed."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from sutler.errors import PermissionDenied, SutlerError

from services.resource.blaming import blame
from services.resource.callers import Caller
from services.resource.checks import STAGES
from services.resource.judging import Case, judge, with_defaults
from services.resource.ports import View
from services.resource.proposals import Proposal, check_content, completed


def prepared(caller: Caller, proposal: Proposal) -> Proposal:
    """Returns a proposal with all defaults, its content checked, and with what policies say of it.

    Raises:
        SutlerError: If the content is wrong, or a policy's default cannot be found.
    """
    proposal = _with_defaults(caller, proposal)
    try:
        proposal = completed(proposal)
        check_content(proposal)
    except SutlerError as error:
        blame(error, proposal.sources)
        raise
    return _judged(caller, proposal)


def _case(caller: Caller, proposal: Proposal) -> Case:
    method: Literal["create", "update"] = "create" if proposal.before is None else "update"
    return Case(caller, method, proposal.would_be, proposal.before, proposal.parent)


def _with_defaults(caller: Caller, proposal: Proposal) -> Proposal:
    if not proposal.policies:
        return proposal
    wished, sources = with_defaults(proposal.policies, _case(caller, proposal))
    return replace(proposal, wished=wished, sources=sources)


def _judged(caller: Caller, proposal: Proposal) -> Proposal:
    """Returns a proposal with what policies say of it, unless it changes nothing."""
    if not proposal.policies or proposal.idle:
        return proposal
    try:
        return replace(proposal, findings=judge(proposal.policies, _case(caller, proposal)))
    except PermissionDenied as denial:
        return replace(proposal, denial=denial)


def pass_stages(view: View, proposal: Proposal) -> None:
    """Has a completed proposal pass all stages. Raises what they raise."""
    try:
        for stage in STAGES:
            stage(view, proposal)
    except SutlerError as error:
        blame(error, proposal.sources)
        raise
