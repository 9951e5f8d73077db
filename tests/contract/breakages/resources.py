"""Cases for resources and references."""

from __future__ import annotations

from tests.contract.breakages.case import GADGET, WIDGET, Case

REFERENCE = '    (google.api.resource_reference).type = "widget.sutler.dev/Widget",\n'
TO_GADGET = '    (google.api.resource_reference).type = "gadget.sutler.dev/Gadget",\n'
STATE = """  enum State {
    // Never sent.
    STATE_UNSPECIFIED = 0;
    // It runs.
    STATE_ACTIVE = 1;
  }
"""

CASES = (
    Case("resource_type", WIDGET, '    singular: "widget"\n', "", "Widget"),
    Case("resource_type", WIDGET, '    plural: "widgets"\n', "", "Widget"),
    Case("resource_type", WIDGET, '    pattern: "widgets/{widget}"\n', "", "Widget"),
    Case("resource_type", WIDGET, 'type: "widget.sutler.dev/Widget"', 'type: "widget.example.com/Widget"', "Widget"),
    Case("resource_pattern", WIDGET, 'pattern: "widgets/{widget}"', 'pattern: "widgets/{widget_id}"', "Widget"),
    Case("resource_pattern", WIDGET, 'pattern: "widgets/{widget}"', 'pattern: "things/{widget}"', "Widget"),
    Case("resource_pattern", WIDGET, 'pattern: "widgets/{widget}"', 'pattern: "{widget}"', "Widget"),
    Case("resource_fields", WIDGET, "google.protobuf.Timestamp update_time = 4", "bool seen = 4", "Widget"),
    Case("resource_fields", WIDGET, "string uid = 2", "string id = 2", "Widget"),
    Case(
        "resource_fields",
        WIDGET,
        "(google.api.field_behavior) = IDENTIFIER",
        "(google.api.field_behavior) = OPTIONAL",
        "Widget",
    ),
    Case("resource_fields", WIDGET, "google.protobuf.Timestamp create_time = 3", "string create_time = 3", "Widget"),
    Case("name_comes_first", WIDGET, "string name = 1", "string name = 7", "Widget"),
    Case("uid_is_uuid4", WIDGET, "    (google.api.field_info).format = UUID4,\n", "", "Widget"),
    Case(
        "identifier_is_name",
        GADGET,
        "string display_name = 14 [(google.api.field_behavior) = OPTIONAL",
        "string display_name = 14 [(google.api.field_behavior) = IDENTIFIER",
        "Gadget.display_name",
    ),
    Case(
        "state_is_nested",
        GADGET,
        f"  // The life of a gadget. Values may be added.\n{STATE}",
        "",
        "State",
        (("// The reasons of", f"// The life.\n{STATE}\n// The reasons of"),),
    ),
    Case(
        "state_is_output",
        GADGET,
        "State state = 6 [(google.api.field_behavior) = OUTPUT_ONLY]",
        "State state = 6 [(google.api.field_behavior) = OPTIONAL]",
        "Gadget.state",
    ),
    Case("state_field_is_state", GADGET, "State state = 6", "bool state = 6", "Gadget.state"),
    Case("state_field_is_state", GADGET, "State state = 6", "State run_status = 6", "Gadget.run_status"),
    Case("reference_exists", WIDGET, 'dev/Widget",\n    (buf', 'dev/Wodget",\n    (buf', "GetWidgetRequest.name"),
    Case("name_has_reference", WIDGET, REFERENCE, "", "GetWidgetRequest.name"),
    Case("field_has_reference", GADGET, TO_GADGET, "", "Part.gadget"),
    Case("etag_is_once", WIDGET, "bool allow_missing = 3", "string etag = 3", "UpdateWidgetRequest"),
    Case(
        "reference_is_of_resource",
        GADGET,
        'child_type = "gadget.sutler.dev/Part"',
        'child_type = "gadget.sutler.dev/Gadget"',
        "ListPartsRequest.parent",
    ),
)
