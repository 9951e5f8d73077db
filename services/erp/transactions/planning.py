"""Checks a transaction before anything is written: its steps, what the caller may do, and whether it can be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sutler.auth import authorize
from sutler.errors import PermissionDenied, SutlerError, Violation, invalid_fields

from services.erp.etags import Etags
from services.erp.journal import Kind
from services.erp.reach import reachable
from services.erp.transactions import faults
from services.erp.transactions.model import StepSpec, Wish
from services.erp.transactions.references import check_references, resolved
from services.erp.transactions.taking import WAYS
from services.erp.transactions.ways import Scene

MAX_BYTES = 1024 * 1024
PERMISSIONS = {
    Kind.CREATE: "erp.records.create",
    Kind.UPDATE: "erp.records.update",
    Kind.DELETE: "erp.records.delete",
    Kind.CALL: "erp.methods.call",
}
RIGHTS = {Kind.CREATE: "creatable", Kind.UPDATE: "writable", Kind.DELETE: "deletable"}
SOME_ID = 1
"""Stands for the id of a record that is not yet created, while values are checked."""


async def check(scene: Scene, wish: Wish, etags: Etags) -> None:
    """Checks a transaction.

    Args:
        scene: Where it is to work, as the caller.
        wish: What the caller wants.
        etags: Tells what etags cover.

    Raises:
        Invalid: If it is too large, a value is wrong, or a reference (STEP_REFERENCE_INVALID).
        PermissionDenied: If the caller may not do what a step does.
        FailedPrecondition: If a step could not be undone (STEP_NOT_UNDOABLE).
        SutlerError: As the RPCs of the single writes.
    """
    if wish.byte_size > MAX_BYTES:
        raise faults.too_large(wish.byte_size, MAX_BYTES)
    check_ids(wish.steps)
    check_references(wish.steps)
    for spec in wish.steps:
        authorize(scene.principal, PERMISSIONS[spec.kind], [f"{scene.link.connection.id}/{spec.model}"])
    supposed = {spec.step_id: SOME_ID for spec in wish.steps if spec.kind is Kind.CREATE}
    for index, spec in enumerate(wish.steps):
        cause = await _checked(scene, index, resolved(spec, supposed))
        if cause and spec is not wish.steps[-1]:
            raise faults.not_undoable(spec.step_id, cause)
        for target, etag in zip(spec.targets, spec.etags, strict=False):
            if etag and etag != "*":
                needed = PERMISSIONS[spec.kind]
                await etags.view(
                    scene.link, scene.principal, spec.model, target, etag, scene.context, permission=needed
                )
        if wish.validate_only:
            await _check_rights(scene, spec)


def check_ids(specs: Sequence[StepSpec]) -> None:
    """Refuses steps of one id, and records whose id is none.

    Raises:
        Invalid: With a violation for each.
    """
    wrong = []
    known: set[str] = set()
    for index, spec in enumerate(specs):
        if spec.step_id in known:
            wrong.append(Violation(f"steps[{index}].step_id", f"another step is {spec.step_id} too", "REPEATED"))
        known.add(spec.step_id)
        place = "record_ids" if spec.kind is Kind.CALL else "id"
        wrong += [
            Violation(f"steps[{index}].{spec.kind}.{place}", "is an id from 1 on, or ${steps.<step id>.id}", "ID")
            for target in spec.targets
            if not (isinstance(target, str) and target.startswith("${")) and not _is_id(target)
        ]
    if wrong:
        raise invalid_fields(wrong)


async def _checked(scene: Scene, index: int, spec: StepSpec) -> str:
    """Checks one step and returns why it could not be undone; its faults have its place."""
    allowed = reachable(scene.link, scene.ask, scene.principal, PERMISSIONS[spec.kind])
    try:
        return await WAYS[spec.kind].check(replace(scene, reachable=allowed), spec)
    except SutlerError as error:
        raise faults.of_checked_step(error, index, spec) from error


async def _check_rights(scene: Scene, spec: StepSpec) -> None:
    right = RIGHTS.get(spec.kind)
    if right and not getattr((await scene.link.catalogue.rights(scene.ask, spec.model)).value, right):
        raise PermissionDenied(
            f"the ERP does not allow {scene.ask.username!r} to do this with {spec.model}",
            reason="ERP_ACCESS_DENIED",
            metadata={"model": spec.model, "username": scene.ask.username, "step": spec.step_id},
        )


def _is_id(target: object) -> bool:
    return isinstance(target, int) and not isinstance(target, bool) and target >= 1
