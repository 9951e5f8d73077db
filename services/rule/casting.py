"""The rules of a simulation: those that are stored, with drafts in their places."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from sutler.context import Principal
from sutler.errors import invalid, not_found

from services.rule.authoring import compiled
from services.rule.events import Event
from services.rule.matching import Entry, RuleIndex
from services.rule.programs import Program, compile_program
from services.rule.rules import Rule
from services.rule.simulations import Candidate, Scene, Supposition


class Cast:
    """The rules that take part.

    Args:
        scene: What is stored.
        tenant: Whose rules they are.
        entries: What matching needs to know of all of them.
        drafts: Those that are drafts, by uid.
        chosen: The uids of those that take part whatever they match; None if all may.
    """

    def __init__(
        self,
        scene: Scene,
        tenant: str,
        entries: Sequence[Entry],
        drafts: Mapping[str, Candidate],
        chosen: Collection[str] | None,
    ) -> None:
        self._scene = scene
        self._tenant = tenant
        self._known = dict(drafts)
        self._chosen = chosen
        self._by_type = RuleIndex()
        for entry in entries:
            if chosen is None or entry.uid in chosen:
                self._by_type.put(replace(entry, subject=""))

    @classmethod
    async def of(cls, scene: Scene, tenant: str, author: Principal, supposition: Supposition) -> Cast:
        """Returns the rules of a simulation.

        Raises:
            Invalid: If a draft does not compile, or has no name of its own.
            NotFound: If a chosen rule does not exist.
        """
        by_name = {entry.rule.lower(): entry for entry in await scene.entries(tenant)}
        drafts: dict[str, Candidate] = {}
        for rule, draft in zip(supposition.drafts, compiled_drafts(supposition.drafts), strict=True):
            stored = by_name.get(rule.name.lower())
            rule = replace(rule, uid=stored.uid if stored else rule.uid)
            drafts[rule.uid] = Candidate(rule, draft, author, rule.enabled)
            definition = rule.definition
            by_name[rule.name.lower()] = Entry(rule.uid, rule.name, 1, definition.priority, definition.on)
        missing = [name for name in supposition.rules if name.lower() not in by_name]
        if missing:
            raise not_found(missing[0])
        chosen = {by_name[name.lower()].uid for name in supposition.rules} or None
        return cls(scene, tenant, list(by_name.values()), drafts, chosen)

    async def candidates(self, event: Event) -> Sequence[Candidate]:
        """Returns the rules to tell of for an event, those with a higher priority first."""
        uids = [entry.uid for entry in self._by_type.match(event.content.type, "")]
        if not event.cause.execution:  # the chosen ones are told of the first event, whether or not they match
            uids += [uid for uid in self._chosen or () if uid not in uids]
        unknown = [uid for uid in uids if uid not in self._known]
        if unknown:
            for uid, (rule, author) in (await self._scene.rules(self._tenant, unknown)).items():
                program, _ = compile_program(rule.definition)
                self._known[uid] = Candidate(rule, program, author, rule.enabled and rule.active > 0)
        found = [self._known[uid] for uid in uids if uid in self._known]
        return sorted(found, key=lambda candidate: (-candidate.rule.definition.priority, candidate.rule.name))


def compiled_drafts(drafts: Sequence[Rule]) -> list[Program]:
    """Returns drafts compiled.

    Raises:
        Invalid: If one does not compile, or has no name, or that of another one.
    """
    names: set[str] = set()
    programs = []
    for index, rule in enumerate(drafts):
        if not rule.name or rule.name.lower() in names:
            raise invalid(f"drafts[{index}].name", "must be set, and that of no other draft", reason="FIELD_INVALID")
        names.add(rule.name.lower())
        programs.append(compiled(rule.definition, f"drafts[{index}]"))
    return programs


def with_drafts(stored: Sequence[Rule], drafts: Sequence[Rule]) -> list[Rule]:
    """Returns rules with drafts in the places of those of their names, or at the end."""
    by_name = {rule.name.lower(): rule for rule in stored}
    by_name.update((draft.name.lower(), draft) for draft in drafts)
    return list(by_name.values())
