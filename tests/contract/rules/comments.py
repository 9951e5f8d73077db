"""Comments are the API reference: everything has one (AIP-192)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.contract.descriptors import Contracts, Element, Method, elements, methods
from tests.contract.rule import rules


def has_comment(element: Element, _: Contracts) -> Iterator[str]:
    """Every service, RPC, message, field, oneof, enum and value has a comment."""
    if not element.comment:
        yield "has no comment"


def comment_is_a_sentence(element: Element, _: Contracts) -> Iterator[str]:
    """A comment begins with a capital letter, a digit or code, and its first paragraph ends with a full stop."""
    if not element.comment:
        return
    first = re.split(r"\n\s*\n", element.comment)[0].strip()
    if not re.match(r"[A-Z0-9`{(\"'-]", first):
        yield "its comment does not begin with a capital letter"
    if "." not in element.comment and not element.comment.endswith((":", "!")):
        yield "its comment has no full stop"


def comment_is_finished(element: Element, _: Contracts) -> Iterator[str]:
    """No comment promises work for later."""
    for word in re.findall(r"\b(TODO|FIXME|XXX|TBD)\b", element.comment):
        yield f"its comment says {word}"


def comment_is_third_person(method: Method, _: Contracts) -> Iterator[str]:
    """The comment of an RPC begins with a verb in the third person: `Gets`, `Lists`."""
    if method.comment and not re.match(r"[A-Z][a-z]+s\b", method.comment):
        yield f"its comment begins with {method.comment.split()[0]!r}, not with a verb in the third person"


RULES = [
    *rules(elements, has_comment, comment_is_a_sentence, comment_is_finished),
    *rules(methods, comment_is_third_person),
]
