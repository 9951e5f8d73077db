"""Cases for types, behaviours and maximums of fields, and for buf.validate."""

from __future__ import annotations

from tests.contract.breakages.case import GADGET, WIDGET, Case

MAXIMUM_OF_LABELS = "      keys: {\n        string: {max_bytes: 63}\n      }\n"
MAXIMUM_OF_VALUES = "      values: {\n        string: {max_bytes: 255}\n      }\n"
ITEMS_OF_TAGS = "      max_items: 10\n      items: {\n        string: {max_bytes: 63}\n      }\n"
TIMEOUT = "google.protobuf.Duration timeout = 11 [(google.api.field_behavior) = OPTIONAL];"
PRICE = "google.type.Money hourly_price = 12"
IGNORE = ",\n    (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE"

CASES = (
    Case("type_is_allowed", GADGET, "double frequency", "float frequency", "StartGadgetRequest.frequency"),
    Case("type_is_allowed", GADGET, TIMEOUT, TIMEOUT.replace("google.protobuf.Duration", "uint32"), "Gadget.timeout"),
    Case(
        "type_is_allowed",
        GADGET,
        TIMEOUT,
        TIMEOUT.replace("google.protobuf.Duration", "map<string, fixed64>"),
        "Gadget.timeout",
    ),
    Case(
        "no_any",
        GADGET,
        "google.protobuf.Struct properties",
        "google.protobuf.Any properties",
        "Gadget.properties",
        (
            (
                'import "google/protobuf/duration.proto";\n',
                'import "google/protobuf/any.proto";\nimport "google/protobuf/duration.proto";\n',
            ),
        ),
    ),
    Case("timestamp_ends_in_time", WIDGET, "Timestamp create_time", "Timestamp created", "Widget.created"),
    Case("time_is_timestamp", WIDGET, "Timestamp create_time", "Timestamp created_at", "Widget.created_at"),
    Case(
        "time_is_timestamp", WIDGET, "google.protobuf.Timestamp create_time", "int64 create_time", "Widget.create_time"
    ),
    Case(
        "span_is_duration",
        GADGET,
        TIMEOUT,
        TIMEOUT.replace("google.protobuf.Duration timeout", "int32 timeout_seconds"),
        "Gadget.timeout_seconds",
    ),
    Case("price_is_money", GADGET, PRICE, "double hourly_price = 12", "Gadget.hourly_price"),
    Case(
        "field_behavior",
        WIDGET,
        "bool allow_missing = 3 [(google.api.field_behavior) = OPTIONAL]",
        "bool allow_missing = 3",
        "UpdateWidgetRequest.allow_missing",
    ),
    Case(
        "field_behavior",
        GADGET,
        "bool sealed = 7 [(google.api.field_behavior) = OPTIONAL]",
        "bool sealed = 7",
        "Gadget.sealed",
    ),
    Case(
        "field_behavior",
        GADGET,
        "bool sealed = 7 [",
        "bool sealed = 7 [(google.api.field_behavior) = REQUIRED, ",
        "Gadget.sealed",
    ),
    Case(
        "field_behavior",
        GADGET,
        "FeedHeader {\n  // A UUID.\n  string request_id = 1 [\n    (google.api.field_behavior) = OPTIONAL,\n",
        "FeedHeader {\n  // A UUID.\n  string request_id = 1 [\n",
        "FeedHeader.request_id",
    ),
    Case(
        "request_field_is_input",
        WIDGET,
        "bool validate_only = 4 [(google.api.field_behavior) = OPTIONAL]",
        "bool validate_only = 4 [(google.api.field_behavior) = OUTPUT_ONLY]",
        "CreateWidgetRequest.validate_only",
    ),
    Case("common_field_type", WIDGET, "bool validate_only = 4", "string validate_only = 4", "CreateWidgetRequest"),
    Case(
        "common_field_type",
        WIDGET,
        "google.protobuf.FieldMask update_mask",
        "string update_mask",
        "UpdateWidgetRequest",
    ),
    Case(
        "mask_is_optional",
        WIDGET,
        "update_mask = 2 [(google.api.field_behavior) = OPTIONAL]",
        "update_mask = 2 [(google.api.field_behavior) = REQUIRED]",
        "UpdateWidgetRequest.update_mask",
    ),
    Case("text_has_maximum", WIDGET, ",\n    (buf.validate.field).string.max_bytes = 64", "", "Widget.etag"),
    Case(
        "text_has_maximum",
        WIDGET,
        "max_bytes = 64\n",
        "max_bytes = 64,\n    (buf.validate.field).ignore = IGNORE_ALWAYS\n",
        "Widget.etag",
    ),
    Case("text_has_maximum", WIDGET, "string.max_bytes = 64", "string.uri = true", "Widget.etag"),
    Case("text_has_maximum", GADGET, ", (buf.validate.field).bytes.max_len = 1024", "", "Gadget.picture"),
    Case(
        "text_has_maximum",
        GADGET,
        "    (buf.validate.field).repeated = {",
        "    (buf.validate.field).ignore = IGNORE_ALWAYS,\n    (buf.validate.field).repeated = {",
        "Gadget.tags",
    ),
    Case("text_has_maximum", GADGET, ITEMS_OF_TAGS, "      max_items: 10\n", "Gadget.tags"),
    Case("text_has_maximum", GADGET, MAXIMUM_OF_LABELS, "", "Gadget.labels"),
    Case("text_has_maximum", GADGET, MAXIMUM_OF_VALUES, "", "Gadget.labels"),
    Case("list_has_maximum", GADGET, "max_items: 10", "min_items: 0", "Gadget.tags"),
    Case(
        "list_has_maximum",
        GADGET,
        "repeated Gadget changes = 1 [(buf.validate.field).repeated.max_items = 1000]",
        "repeated Gadget changes = 1",
        "WatchGadgetsResponse.changes",
    ),
    Case("map_has_maximum", GADGET, "max_pairs: 10", "min_pairs: 0", "Gadget.labels"),
    Case(
        "maximum_fits_a_message",
        GADGET,
        "bytes.max_len = 1048576",
        "bytes.max_len = 8388608",
        "FeedGadgetRequest.chunk",
    ),
    Case("batch_has_at_most_1000_rows", GADGET, "max_items: 1000\n", "max_items: 1001\n", "BatchCheckPartsRequest"),
    Case("rules_compile", GADGET, "!this.sealed ||", "!this.sealed_ ||", "Gadget"),
    Case("rules_compile", WIDGET, '"^widgets/[A-Za-z]', '"^widgets/([A-Za-z]', "Widget"),
    Case("rules_compile", WIDGET, "int32 = {\n      gte: 1", "int64 = {\n      gte: 1", "Widget"),
    Case("rules_do_not_ask_the_time", GADGET, "!this.sealed ||", "now > now ||", "Gadget"),
    Case(
        "rules_do_not_ask_the_time",
        GADGET,
        "Timestamp create_time = 3 [(google.api.field_behavior) = OUTPUT_ONLY]",
        "Timestamp create_time = 3 [(buf.validate.field).timestamp.lt_now = true]",
        "Gadget",
    ),
    Case("resource_may_be_sparse", WIDGET, f"lte: 1000\n    }}{IGNORE}", "lte: 1000\n    }", "Widget"),
    Case(
        "resource_may_be_sparse",
        GADGET,
        "!this.sealed ||",
        "this.sealed ||",
        "Gadget",
        (("size() == 0", "size() > 0"),),
    ),
)
