"""Turns a serialised descriptor set (with imports and source info) into the view of `descriptors`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, message_factory
from google.protobuf.descriptor_pool import DescriptorPool

from tests.contract.descriptors import (
    OURS,
    Binding,
    Contracts,
    Enum,
    Field,
    File,
    Message,
    Method,
    Oneof,
    Resource,
    Service,
    Value,
)

# Field numbers in descriptor.proto, of which source positions are made.
MESSAGE, ENUM, SERVICE, EXTENSION, SYNTAX = 4, 5, 6, 7, 12
FIELD, NESTED, NESTED_ENUM, ONEOF, NESTED_EXTENSION = 2, 3, 4, 8, 6
MEMBER = 2

FILE_OPTIONS = ("go_package", "java_package", "java_multiple_files", "csharp_namespace")

Place = tuple[int, ...]


def load(path: Path) -> Contracts:
    """Reads the descriptor set at `path`."""
    return parse(path.read_bytes())


def parse(data: bytes) -> Contracts:
    """Reads a serialised descriptor set; its own pool keeps it apart from generated modules and other sets."""
    pool = DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(data).file:
        pool.Add(file)
    # Parsed once more with the pool's own class, so that extensions are known.
    cls = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.protobuf.FileDescriptorSet"))
    raw: Any = cls.FromString(data)
    every = [FileReader(file, pool).read() for file in raw.file]
    ours = tuple(file for file in every if f"{file.package}.".startswith(OURS))
    messages = {message.full_name: message for file in every for message in file.messages}
    return Contracts(
        files=ours,
        messages=messages,
        enums={enum.full_name: enum for file in every for enum in file.enums},
        classes={
            message.full_name: message_factory.GetMessageClass(pool.FindMessageTypeByName(message.full_name))
            for file in ours
            for message in file.messages
        },
        resource_types={m.resource.type: m for m in messages.values() if m.resource},
    )


class FileReader:
    """Reads one FileDescriptorProto."""

    def __init__(self, raw: Any, pool: DescriptorPool) -> None:
        self.raw = raw
        self.pool = pool
        self.places: dict[Place, Any] = {tuple(place.path): place for place in raw.source_code_info.location}

    def read(self) -> File:
        """Returns the view of the file."""
        raw = self.raw
        messages = list(self.messages(raw.message_type, (MESSAGE,), raw.package, ""))
        return File(
            **self.element(raw.name, (SYNTAX,), raw.name),
            options={name: getattr(raw.options, name) for name in FILE_OPTIONS},
            imports=tuple(raw.dependency),
            services=tuple(self.service(each, (SERVICE, i)) for i, each in enumerate(raw.service)),
            messages=tuple(message for message, _ in messages),
            enums=tuple(
                [self.enum(each, (ENUM, i), raw.package, "") for i, each in enumerate(raw.enum_type)]
                + [enum for _, nested in messages for enum in nested]
            ),
            extensions=tuple(
                self.field(each, (EXTENSION, i), raw.package, {}, ()) for i, each in enumerate(raw.extension)
            ),
        )

    def element(self, name: str, place: Place, full_name: str) -> dict[str, Any]:
        """Returns what all elements share, for use as keyword arguments."""
        source = self.places.get(place)
        return {
            "name": name,
            "full_name": full_name,
            "package": self.raw.package,
            "file": self.raw.name,
            "line": source.span[0] + 1 if source else 0,
            "comment": source.leading_comments.strip() if source else "",
        }

    def option(self, options: Any, name: str) -> Any:
        """Returns the value of the extension `name`, or None if it is unknown or not set."""
        try:
            extension = self.pool.FindExtensionByName(name)
        except KeyError:
            return None
        if extension.is_repeated:
            return options.Extensions[extension]
        return options.Extensions[extension] if options.HasExtension(extension) else None

    def service(self, raw: Any, place: Place) -> Service:
        """Reads a service with its RPCs."""
        full_name = f"{self.raw.package}.{raw.name}"
        methods = tuple(self.method(each, (*place, MEMBER, i), full_name) for i, each in enumerate(raw.method))
        return Service(**self.element(raw.name, place, full_name), methods=methods)

    def method(self, raw: Any, place: Place, service: str) -> Method:
        """Reads an RPC with its options."""
        http = self.option(raw.options, "google.api.http")
        info = self.option(raw.options, "google.longrunning.operation_info")
        return Method(
            **self.element(raw.name, place, f"{service}.{raw.name}"),
            service=service,
            input=raw.input_type.lstrip("."),
            output=raw.output_type.lstrip("."),
            client_stream=raw.client_streaming,
            server_stream=raw.server_streaming,
            bindings=tuple(bindings(http)) if http else (),
            permission=self.option(raw.options, "sutler.type.v1.permission") or "",
            signatures=tuple(self.option(raw.options, "google.api.method_signature") or ()),
            operation_info=(info.response_type, info.metadata_type) if info else None,
        )

    def messages(self, raws: Any, place: Place, scope: str, parent: str) -> Iterator[tuple[Message, list[Enum]]]:
        """Reads messages and, after each, the ones nested in it; with each come the enums directly in it."""
        for i, raw in enumerate(raws):
            if raw.options.map_entry:
                continue
            here = (*place, i)
            full_name = f"{scope}.{raw.name}"
            enums = [
                self.enum(each, (*here, NESTED_ENUM, n), full_name, full_name) for n, each in enumerate(raw.enum_type)
            ]
            yield self.message(raw, here, full_name, parent), enums
            yield from self.messages(raw.nested_type, (*here, NESTED), full_name, full_name)

    def message(self, raw: Any, place: Place, full_name: str, parent: str) -> Message:
        """Reads a message without what is nested in it."""
        maps = {f".{full_name}.{each.name}": each for each in raw.nested_type if each.options.map_entry}
        synthetic = {each.oneof_index for each in raw.field if each.proto3_optional}
        names = ["" if i in synthetic else each.name for i, each in enumerate(raw.oneof_decl)]
        resource = self.option(raw.options, "google.api.resource")
        return Message(
            **self.element(raw.name, place, full_name),
            parent=parent,
            fields=tuple(
                self.field(each, (*place, FIELD, i), full_name, maps, names) for i, each in enumerate(raw.field)
            ),
            oneofs=tuple(
                Oneof(**self.element(name, (*place, ONEOF, i), f"{full_name}.{name}"))
                for i, name in enumerate(names)
                if name
            ),
            resource=resource and Resource(resource.type, tuple(resource.pattern), resource.singular, resource.plural),
        )

    def enum(self, raw: Any, place: Place, scope: str, parent: str) -> Enum:
        """Reads an enum with its values."""
        full_name = f"{scope}.{raw.name}"
        values = tuple(
            Value(**self.element(each.name, (*place, MEMBER, i), f"{full_name}.{each.name}"), number=each.number)
            for i, each in enumerate(raw.value)
        )
        return Enum(**self.element(raw.name, place, full_name), parent=parent, values=values)

    def behaviors(self, options: Any) -> frozenset[str]:
        """Returns the names of google.api.field_behavior, such as `REQUIRED`."""
        numbers = self.option(options, "google.api.field_behavior")
        if not numbers:
            return frozenset()
        values: Any = self.pool.FindExtensionByName("google.api.field_behavior").enum_type
        return frozenset(values.values_by_number[number].name for number in numbers)

    def field(self, raw: Any, place: Place, message: str, maps: dict[str, Any], oneofs: Sequence[str]) -> Field:
        """Reads a field; `maps` are the map entries of its message, `oneofs` the names by index."""
        entry = maps.get(raw.type_name)
        reference = self.option(raw.options, "google.api.resource_reference")
        info = self.option(raw.options, "google.api.field_info")
        full_name = f"{message}.{raw.name}"
        key_value = [self.field(each, (), full_name, {}, ()) for each in entry.field] if entry else []
        return Field(
            **self.element(raw.name, place, full_name),
            message=message,
            number=raw.number,
            kind="map" if entry else enum_name(raw, "type").removeprefix("TYPE_").lower(),
            type_name="" if entry else raw.type_name.lstrip("."),
            repeated=not entry and enum_name(raw, "label") == "LABEL_REPEATED",
            oneof=oneofs[raw.oneof_index] if raw.HasField("oneof_index") else "",
            behaviors=self.behaviors(raw.options),
            format=enum_name(info, "format") if info else "",
            reference=reference.type if reference else "",
            child_reference=reference.child_type if reference else "",
            rules=self.option(raw.options, "buf.validate.field"),
            map_of=(key_value[0], key_value[1]) if key_value else None,
        )


def enum_name(message: Any, field: str) -> str:
    """Returns the name of the value that an enum field of a message has."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    return str(descriptor.enum_type.values_by_number[getattr(message, field)].name)


def bindings(http: Any) -> Iterator[Binding]:
    """Reads a google.api.HttpRule with its additional bindings."""
    kind = http.WhichOneof("pattern")
    if kind == "custom":
        yield Binding(http.custom.kind.lower(), http.custom.path, http.body)
    elif kind:
        yield Binding(kind, getattr(http, kind), http.body)
    for each in http.additional_bindings:
        yield from bindings(each)
