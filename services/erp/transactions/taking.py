"""One step, forward or back, until it is known what became of it."""

from __future__ import annotations

import time
from dataclasses import replace

from sutler.context import current
from sutler.errors import Internal, SutlerError
from sutler.incidents import known

from services.erp.faults import AnswerLostError
from services.erp.journal import Kind
from services.erp.transactions.calls import CALL
from services.erp.transactions.creates import CREATE
from services.erp.transactions.deletes import DELETE
from services.erp.transactions.model import Step, StepState
from services.erp.transactions.passing import passes
from services.erp.transactions.run import Run, Scenes
from services.erp.transactions.updates import UPDATE
from services.erp.transactions.ways import Act, Scene

WAYS = {Kind.CREATE: CREATE, Kind.UPDATE: UPDATE, Kind.DELETE: DELETE, Kind.CALL: CALL}
GIVE_UP_SECONDS = 86_400.0
"""How long an ERP that does not tell is waited for before somebody has to look."""
MAX_SURPRISES = 3
"""After so many exceptions that nobody expected somebody has to look: they may come again and again."""


class UnknownOutcome(Exception):
    """Nobody can know whether the ERP took a step."""


async def take(run: Run, scenes: Scenes, step: Step) -> Step:
    """Takes a step, or finds that it was taken, and returns it with what came of it.

    Before the ERP is asked the step is in the journal as RUNNING. One that is already may have been done: what it did
    is looked for first, for as long as that cannot be told.

    Raises:
        UnknownOutcome: If nobody can know.
        SutlerError: Why the ERP did not do it.
    """
    again = step.state is StepState.RUNNING
    while True:
        if again and not step.repeatable:
            raise UnknownOutcome
        try:
            scene = replace(await scenes.of(run.entry), known=run.known)
            act = await WAYS[step.spec.kind].ready(scene, replace(step, spec=run.spec(step)))
            found = await _look(act) if again else None
        except Exception as error:
            if not again:
                raise _told(error) from error
            await _wait(run, step, _told(error))
            continue
        if not again:
            run.check_halt()
            step = replace(act.step, state=StepState.RUNNING, start_time=time.time())
            await run.save(step)
        try:
            done = replace(found or await act.take(), start_time=step.start_time)
        except SutlerError:
            raise
        except Exception as error:  # lost, or one that nobody expected: it may be done
            await scene.answers.lost(scene.link, act.step.spec.model, act.step.record_ids, scene.related)
            again = True
            if step.repeatable:
                await _wait(run, step, _told(error))
        else:
            await _tell(scene, done)
            return done


async def undo(run: Run, scenes: Scenes, step: Step) -> None:
    """Undoes a step that was taken; ``step`` is in the journal as UNDOING.

    Raises:
        SutlerError: Why it cannot be undone.
    """
    again = step.state is StepState.UNDOING
    if not again:
        await run.save(replace(step, state=StepState.UNDOING))
    step = run.steps[step.position]
    last: SutlerError
    began = time.time()
    while True:
        try:
            scene = await scenes.of(run.entry)
            bound = replace(step, spec=run.spec(step))
            try:
                await WAYS[step.spec.kind].undo(scene, bound, again)
            finally:
                await _tell(scene, bound)
            return
        except Exception as error:
            again = again or not isinstance(error, SutlerError)
            last = _told(error)
            if not _may_pass(run, last):
                raise last from error
        if time.time() - began > GIVE_UP_SECONDS:
            raise last
        await run.pause()


async def _look(act: Act) -> Step | None:
    """Returns the step if it was done; what stands in the way of a look may stand in the way of a write too."""
    try:
        return await act.look()
    except SutlerError as error:
        if passes(error):
            raise
        return None


async def _wait(run: Run, step: Step, error: SutlerError) -> None:
    overdue = time.time() - (step.start_time or 0.0) > GIVE_UP_SECONDS
    if overdue or not _may_pass(run, error):
        raise UnknownOutcome from error
    await run.pause()


def _told(error: Exception) -> SutlerError:
    """Returns what is told of an exception; the log has one that nobody expected."""
    return error.error if isinstance(error, AnswerLostError) else known(error, current())


def _may_pass(run: Run, error: SutlerError) -> bool:
    if isinstance(error, Internal):
        run.surprises += 1
        return run.surprises < MAX_SURPRISES
    return passes(error)


async def _tell(scene: Scene, step: Step) -> None:
    """Drops what the cache knows of what was written, or may have been."""
    await scene.answers.changed(scene.link, step.spec.model, step.record_ids)
    await scene.answers.changed_somewhere(scene.link, scene.related)
