"""The kinds of things that the command line can get, apply and delete, read from the contracts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import Any

from google.api import field_behavior_pb2, resource_pb2
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message

from sutler.cli.release import UNBUILT
from sutler.client import Sutler
from sutler.client.connection import services
from sutler.errors import invalid
from sutler.fields import behaviors

APPLY = ("Update", "Apply")
"""The verbs of which a kind that can be applied has one."""

_REFERENCE: Any = resource_pb2.resource_reference


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of thing.

    Attributes:
        name: The full message name, such as ``sutler.rule.v1.Rule``.
        collection: The plural, such as ``rules``.
        patterns: What its names look like.
        places: What the collections that hold it look like.
        shown: Such a collection for people, such as ``rules/RULE/revisions``.
        service: The full name of its service.
        methods: Its standard methods by verb: Get, List, Update, Apply, Delete; as far as the service has them.
        field: The name of its field in requests.
    """

    name: str
    collection: str
    patterns: tuple[re.Pattern[str], ...]
    places: tuple[re.Pattern[str], ...]
    shown: str
    service: str
    methods: Mapping[str, MethodDescriptor]
    field: str

    def new(self) -> Message:
        """Returns an empty message of this kind."""
        return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(self.name))()

    def request(self, verb: str, **fields: Any) -> Any:
        """Returns a request of a standard method.

        Raises:
            Invalid: If things of this kind have no such method; names the RPCs that change them.
        """
        method = self.methods.get(verb)
        if method is None:
            service, others = self.service.rpartition(".")[2], ", ".join(self._changing())
            remedy = f"changes them with {others}" if others else "has no RPC that changes them"
            raise invalid("kind", f"{self.name} cannot be used with {verb.lower()}; {service} {remedy}")
        return message_factory.GetMessageClass(method.input_type)(**fields)

    async def call(self, client: Sutler, verb: str, request: Any) -> Any:
        """Calls a standard method."""
        return await getattr(client.stub(self.service), self.methods[verb].name)(request)

    def takes(self, verb: str, field: str) -> bool:
        """Returns whether the request of a standard method has a field."""
        return verb in self.methods and field in self.methods[verb].input_type.fields_by_name

    def offers(self, *verbs: str) -> bool:
        """Returns whether this release offers one of some standard methods."""
        return any(verb in self.methods and self.methods[verb].full_name not in UNBUILT for verb in verbs)

    def _changing(self) -> list[str]:
        """Returns the service's methods that change things of this kind, by what their requests refer to."""
        own = _annotation(descriptor_pool.Default().FindMessageTypeByName(self.name)).type
        return [
            method.name
            for method in services()[self.service.split(".")[1]].methods
            if "request_id" in method.input_type.fields_by_name
            and method.full_name not in UNBUILT
            and own in [field.GetOptions().Extensions[_REFERENCE].type for field in method.input_type.fields]
        ]


@cache
def kinds() -> tuple[Kind, ...]:
    """Returns every kind that some service can list or get."""
    found = []
    for service in services().values():
        found.append(_operations(service))
        for message in service.file.message_types_by_name.values():
            annotation = _annotation(message)
            if annotation.type:
                found.append(_kind(message, annotation, service))
    known = {method.full_name for kind in found for method in kind.methods.values()}
    found += [
        kind
        for service in services().values()
        for kind in _nameless(service)
        if kind.methods["List"].full_name not in known
    ]
    return tuple(kind for kind in found if kind.methods)


def _nameless(service: ServiceDescriptor) -> Iterator[Kind]:
    """Yields what a service lists, as a whole or below any parent, by the name of the RPC."""
    for method in service.methods:
        needed = any(field_behavior_pb2.REQUIRED in behaviors(field) for field in method.input_type.fields)
        if not method.name.startswith("List") or needed:
            continue
        listed = method.output_type.fields_by_number[1].message_type
        collection = method.name[4].lower() + method.name[5:]
        anywhere = "(.+/)?" if "parent" in method.input_type.fields_by_name else ""
        places = (re.compile(anywhere + collection),)
        assert listed is not None, method.full_name
        yield Kind(listed.full_name, collection, (), places, collection, service.full_name, {"List": method}, "")


def _annotation(message: Descriptor) -> resource_pb2.ResourceDescriptor:
    return message.GetOptions().Extensions[resource_pb2.resource]  # type: ignore[index]


def _operations(service: ServiceDescriptor) -> Kind:
    """Returns the operations of a service; without methods if it has none."""
    methods = service.methods_by_name
    names = {"Get": "GetOperation", "List": "ListOperations"}
    collection = f"{service.full_name.split('.')[1]}Operations"
    standard = {verb: methods[name] for verb, name in names.items() if name in methods}
    patterns, places = (re.compile(f"{collection}/[^/]+"),), (re.compile(collection),)
    return Kind(
        "google.longrunning.Operation",
        collection,
        patterns,
        places,
        collection,
        service.full_name,
        standard,
        "operation",
    )


def _kind(message: Descriptor, annotation: resource_pb2.ResourceDescriptor, service: ServiceDescriptor) -> Kind:
    methods = service.methods_by_name
    names = {verb: f"{verb}{message.name}" for verb in ("Get", "Update", "Apply", "Delete")}
    names["List"] = f"List{annotation.plural[0].upper()}{annotation.plural[1:]}"
    standard = {verb: methods[name] for verb, name in names.items() if name in methods}
    patterns = tuple(_pattern(pattern) for pattern in annotation.pattern if pattern != "*")
    shown = re.sub(r"\{([a-z_]+)[^}]*\}", lambda part: part[1].upper(), annotation.pattern[0].rpartition("/")[0])
    if "*" in annotation.pattern:
        patterns += (re.compile(r"(subscriptions|managementGroups|locations|providers/[^/]+/[^/]+)/.+"),)
        shown = annotation.plural
    field = re.sub(r"(?<!^)(?=[A-Z])", "_", message.name).lower()
    places = tuple(_pattern(pattern.rpartition("/")[0]) for pattern in annotation.pattern)
    return Kind(message.full_name, annotation.plural, patterns, places, shown, service.full_name, standard, field)


def _pattern(pattern: str) -> re.Pattern[str]:
    text = re.sub(r"\{[a-z_]+=\*\*\}", ".+", pattern)
    return re.compile(re.sub(r"\{[a-z_]+\}", "[^/]+", text))


def nearest(word: str, known: Mapping[str, str]) -> str:
    """Returns `` (did you mean …?)`` for the nearest of some words, or nothing.

    Args:
        word: What somebody wrote.
        known: What to propose, by the lower-case words that may have been meant.
    """
    found = get_close_matches(word.lower(), known, n=1)
    return f" (did you mean {known[found[0]]}?)" if found else ""


def by_name(name: str) -> Kind:
    """Returns the kind of a full message name.

    Raises:
        Invalid: If there is none, or things of it are not applied.
    """
    usable = {kind.name: kind for kind in kinds() if set(APPLY) & set(kind.methods)}
    if name in usable:
        return usable[name]
    offered = sorted(kind.name for kind in usable.values() if kind.offers(*APPLY))
    meant = {name.lower(): name for name in offered} | {full.rpartition(".")[2].lower(): full for full in offered}
    problem = "cannot be applied" if name in {kind.name for kind in kinds()} else "is unknown"
    raise invalid("kind", f"{name!r} {problem}{nearest(name, meant)}; possible: {', '.join(offered)}")


def collections() -> list[str]:
    """Returns the collections that this release lists, as people write them."""
    return sorted(kind.shown for kind in kinds() if kind.offers("List"))


def of_resource(name: str) -> Kind:
    """Returns the kind of the thing that has a name.

    Raises:
        Invalid: If no kind has names like it.
    """
    for kind in kinds():
        if "Get" in kind.methods and any(pattern.fullmatch(name) for pattern in kind.patterns):
            return kind
    raise invalid("name", f"{name!r} is no resource name, such as rules/my-rule{_proposals(name)}")


def _proposals(path: str) -> str:
    """Returns what to say of a path that nothing has."""
    known = {shown.lower(): shown for shown in collections()}
    first = path.partition("/")[0]
    near = "" if first.lower() in known and first in known.values() else nearest(first, known)
    return f"{near}; collections: {', '.join(known.values())}"


@dataclass(frozen=True, slots=True)
class Collection:
    """What can be listed.

    Attributes:
        kind: The kind that it holds.
        fields: What a List request says to mean it: ``parent``, ``type``.
    """

    kind: Kind
    fields: Mapping[str, str]


def of_collection(path: str) -> Collection:
    """Returns the collection of a path, such as ``rules``, ``rules/r/revisions`` or ``subscriptions/s/resourceGroups``.

    Raises:
        Invalid: If there is no such collection.
    """
    listed = [kind for kind in kinds() if "List" in kind.methods]
    for kind in listed:
        parent, _, last = path.rpartition("/")
        if last == kind.collection == "resources":
            return Collection(kind, {"parent": parent} if parent else {})
        if kind.collection != "resources" and any(place.fullmatch(path) for place in kind.places):
            holder = {"parent": parent, "name": path}
            fields = {name: value for name, value in holder.items() if value and kind.takes("List", name)}
            return Collection(kind, fields)
    found = _RESOURCES.fullmatch(path)
    if found:
        return Collection(next(kind for kind in listed if kind.collection == "resources"), _typed(found))
    raise invalid("collection", f"{path!r} is no collection{_proposals(path)}")


_RESOURCES = re.compile(
    r"(?P<scope>((managementGroups|subscriptions|resourceGroups|locations)/[^/]+/)*)"
    r"((?P<built_in>managementGroups|subscriptions|resourceGroups|locations|policies|quotas)"
    r"|providers/(?P<namespace>[^/]+\.[^/]+)/(?P<above>([^/]+/[^/]+/)*)(?P<last>[^/]+))"
)


def _typed(path: re.Match[str]) -> dict[str, str]:
    """Returns the parent and the type of resources whose names begin with a path."""
    scope = path["scope"].rstrip("/")
    if path["built_in"]:
        fields = {"parent": scope, "type": f"Sutler.Resource/{path['built_in']}"}
    else:
        above = path["above"].rstrip("/")
        parent = f"{path['scope']}providers/{path['namespace']}/{above}" if above else scope
        collections = [*above.split("/")[::2], path["last"]] if above else [path["last"]]
        fields = {"parent": parent, "type": "/".join([path["namespace"], *collections])}
    return {name: value for name, value in fields.items() if value}
