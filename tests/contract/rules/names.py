"""Names of RPCs, messages, fields and enums (AIP-122, 131 to 136, 140, 163, 216)."""

from __future__ import annotations

from collections.abc import Iterator

from tests.contract.descriptors import Contracts, Enum, Field, Method, enums, fields, methods, routed_methods
from tests.contract.rule import rules
from tests.contract.words import snake, words

# `before` and `after` are left out: contracts.md names the two sides of a change so.
PREPOSITIONS = frozenset(
    [
        "at",
        "by",
        "except",
        "for",
        "from",
        "in",
        "into",
        "of",
        "since",
        "to",
        "toward",
        "until",
        "upon",
        "via",
        "with",
        "within",
        "without",
    ]
)
# AIP's own names, and adjectives.
USUAL_NAMES = frozenset({"order_by", "group_by", "built_in"})
# What not to call a method, and the word that the contracts use.
SYNONYMS = {
    "Acquire": "Get", "Fetch": "Get", "Lookup": "Get", "Retrieve": "Get", "Insert": "Create", "Make": "Create",
    "Post": "Create", "Edit": "Update", "Modify": "Update", "Patch": "Update", "Set": "Update", "Destroy": "Delete",
    "Remove": "Delete", "Query": "Search", "Find": "Search",
}  # fmt: skip
NAME_FIELDS = ("display_name", "given_name", "family_name")
DRY_RUN = ("dry_run", "is_dry_run", "test_run", "check_only", "preview_only")


def rpc_has_no_preposition(method: Method, _: Contracts) -> Iterator[str]:
    """The name of an RPC has no preposition (AIP-136)."""
    for word in words(method.name):
        if word.lower() in PREPOSITIONS:
            yield f"has the preposition {word!r} in its name"


def rpc_is_verb_and_noun(method: Method, _: Contracts) -> Iterator[str]:
    """An RPC is called by a verb and a noun (AIP-136)."""
    if len(words(method.name)) < 2:
        yield "is not a verb and a noun"


def rpc_verb_is_ours(method: Method, _: Contracts) -> Iterator[str]:
    """An RPC does not use a synonym of a standard verb (AIP-131 to 135)."""
    verb = words(method.name)[0]
    if verb in SYNONYMS:
        yield f"begins with {verb}; the word is {SYNONYMS[verb]}"


def request_is_named_after_rpc(method: Method, contracts: Contracts) -> Iterator[str]:
    """Our requests are called `<Rpc>Request`, and our responses, where they are not a thing, `<Rpc>Response`.

    Where two services of a package have an RPC of the same name, the service's name may come first.
    """
    names = (method.name, method.service.rpartition(".")[2] + method.name)
    own = method.input.rpartition(".")[2]
    if contracts.is_ours(method.input) and own not in [f"{name}Request" for name in names]:
        yield f"takes {own}, not {method.name}Request"
    answer = method.output.rpartition(".")[2]
    allowed = [f"{name}Response" for name in names]
    if contracts.is_ours(method.output) and answer.endswith("Response") and answer not in allowed:
        yield f"answers {answer}, not {method.name}Response"


def field_has_no_preposition(field: Field, _: Contracts) -> Iterator[str]:
    """The name of a field has no preposition (AIP-140): `creator`, not `created_by`."""
    for word in field.name.split("_"):
        if word in PREPOSITIONS and field.name not in USUAL_NAMES:
            yield f"has the preposition {word!r} in its name"


def field_has_no_name_suffix(field: Field, _: Contracts) -> Iterator[str]:
    """No field but `display_name` and people's names ends in `_name` (AIP-122)."""
    if field.name.endswith("_name") and field.name not in NAME_FIELDS:
        yield f"ends in _name; use {field.name.removesuffix('_name')!r} or 'display_name'"


def validate_only_has_no_synonym(field: Field, _: Contracts) -> Iterator[str]:
    """A call that changes nothing is asked for with `validate_only` (AIP-163)."""
    if field.name in DRY_RUN:
        yield "is a synonym of validate_only"


def no_field_is_upper_case(field: Field, _: Contracts) -> Iterator[str]:
    """Fields are in lower snake case."""
    if field.name != field.name.lower() or "__" in field.name or field.name.strip("_") != field.name:
        yield "is not in lower snake case"


def state_is_not_status(enum: Enum, _: Contracts) -> Iterator[str]:
    """The life of a thing is its State, not its Status (AIP-216)."""
    if enum.name.endswith("Status"):
        yield "is called Status; use State"


def enum_has_zero_value(enum: Enum, _: Contracts) -> Iterator[str]:
    """Each enum begins with `<ENUM>_UNSPECIFIED = 0` (AIP-126)."""
    expected = f"{snake(enum.name).upper()}_UNSPECIFIED"
    first = enum.values[0]
    if first.name != expected or first.number != 0:
        yield f"begins with {first.name} = {first.number}, not {expected} = 0"


def enum_value_has_prefix(enum: Enum, _: Contracts) -> Iterator[str]:
    """The values of an enum begin with its name (style.md A4)."""
    prefix = f"{snake(enum.name).upper()}_"
    for value in enum.values:
        if not value.name.startswith(prefix):
            yield f"value {value.name} does not begin with {prefix}"


RULES = [
    *rules(routed_methods, rpc_is_verb_and_noun),
    *rules(methods, rpc_has_no_preposition, rpc_verb_is_ours, request_is_named_after_rpc),
    *rules(
        fields,
        field_has_no_preposition,
        field_has_no_name_suffix,
        validate_only_has_no_synonym,
        no_field_is_upper_case,
    ),
    *rules(enums, state_is_not_status, enum_has_zero_value, enum_value_has_prefix),
]
