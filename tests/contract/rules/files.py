"""Layout of a file: package, options, imports, order (AIP-191)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import PurePosixPath

from tests.contract.descriptors import SHARED, Contracts, Element, File, Message, files
from tests.contract.rule import rules
from tests.contract.words import area


def package_is_directory(file: File, _: Contracts) -> Iterator[str]:
    """The directory equals the package, which ends in a major version."""
    expected = str(PurePosixPath(file.name).parent).replace("/", ".")
    if file.package != expected:
        yield f"is in package {file.package}, but its directory says {expected}"
    if not file.package.endswith(".v1") or file.package.count(".") != 2:
        yield f"package {file.package} is not sutler.<area>.v1"


def language_options(file: File, _: Contracts) -> Iterator[str]:
    """The options for Go, Java and C# are set, all in the same way."""
    name = area(file.package)
    expected = {
        "go_package": f"sutler.dev/{name}/v1;{name}v1",
        "java_package": f"dev.sutler.{name}.v1",
        "java_multiple_files": True,
        "csharp_namespace": f"Sutler.{name.capitalize()}.V1",
    }
    for option, value in expected.items():
        if file.options[option] != value:
            yield f"option {option} is {file.options[option]!r}, not {value!r}"


def licence_line(file: File, _: Contracts) -> Iterator[str]:
    """The first line names the licence."""
    if "SPDX-License-Identifier: Apache-2.0" not in file.comment:
        yield "has no licence line above `syntax`"


def imports_are_sorted(file: File, _: Contracts) -> Iterator[str]:
    """Imports are sorted."""
    for before, after in pairwise(file.imports):
        if before > after:
            yield f"imports {after} after {before}"


def one_service_each(file: File, _: Contracts) -> Iterator[str]:
    """A file holds one service and its messages; the shared types have none."""
    expected = 0 if file.package == SHARED else 1
    if len(file.services) != expected:
        yield f"has {len(file.services)} services, not {expected}"


def entry_file(file: File, contracts: Contracts) -> Iterator[str]:
    """Each package has a file of the area's name: `sutler/cache/v1/cache.proto`."""
    expected = f"{file.package.replace('.', '/')}/{area(file.package)}.proto"
    if file.package != SHARED and expected not in {each.name for each in contracts.files}:
        yield f"its package has no {expected}"


def service_comes_first(file: File, _: Contracts) -> Iterator[str]:
    """The service stands before all messages and enums, and top-level enums stand last."""
    kinds = [file.services, top_messages(file), [enum for enum in file.enums if not enum.parent]]
    ordered = [element for kind in kinds for element in sorted(kind, key=lambda each: each.line)]
    yield from out_of_order(ordered)


def resources_come_before_requests(file: File, _: Contracts) -> Iterator[str]:
    """Resources stand first among the messages, then requests and responses in the order of the RPCs."""
    own = [message for message in top_messages(file) if message.resource]
    by_name = {message.full_name: message for message in top_messages(file) if not message.resource}
    names = [
        f"{file.package}.{m.name}{end}" for s in file.services for m in s.methods for end in ("Request", "Response")
    ]
    yield from out_of_order([*own, *(by_name[name] for name in names if name in by_name)])


def parents_come_first(file: File, _: Contracts) -> Iterator[str]:
    """A resource stands before the ones that live below it."""
    own = [message for message in top_messages(file) if message.resource]
    for child, parent in ((child, parent) for child in own for parent in own if child.line < parent.line):
        assert child.resource
        assert parent.resource
        if any(
            below.startswith(f"{above}/") for below in child.resource.patterns for above in parent.resource.patterns
        ):
            yield f"{child.name} stands before {parent.name}, its parent"


def top_messages(file: File) -> list[Message]:
    """Returns the messages of a file that are not nested."""
    return [message for message in file.messages if not message.parent]


def out_of_order(expected: Sequence[Element]) -> Iterator[str]:
    """Names the first of `expected` that stands before the one that should precede it."""
    for before, after in pairwise(expected):
        if after.line < before.line:
            yield f"{after.name} (line {after.line}) stands before {before.name} (line {before.line})"
            return


RULES = rules(
    files,
    package_is_directory,
    language_options,
    licence_line,
    imports_are_sorted,
    one_service_each,
    entry_file,
    service_comes_first,
    resources_come_before_requests,
    parents_come_first,
)
