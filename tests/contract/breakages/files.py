"""Cases for layout, comments and names."""

from __future__ import annotations

from tests.contract.breakages.case import GADGET, HANDLER, WIDGET, Case

ENUM = "// Colours.\nenum Colour {\n  // Never sent.\n  COLOUR_UNSPECIFIED = 0;\n}\n"

CASES = (
    Case("package_is_directory", WIDGET, "package sutler.widget.v1", "package sutler.widgets.v1", WIDGET),
    Case("language_options", WIDGET, "option java_multiple_files = true;\n", "", WIDGET),
    Case("licence_line", WIDGET, " SPDX-License-Identifier: Apache-2.0", "", WIDGET),
    Case(
        "imports_are_sorted",
        WIDGET,
        'import "buf/validate/validate.proto";\nimport "google/api/annotations.proto";\n',
        'import "google/api/annotations.proto";\nimport "buf/validate/validate.proto";\n',
        WIDGET,
    ),
    Case("one_service_each", WIDGET, "// Stores widgets.", "// Nothing.\nservice Nothing {}\n\n//Stores.", WIDGET),
    Case("entry_file", HANDLER, "package sutler.resource.v1", "package sutler.handler.v1", HANDLER),
    Case("service_comes_first", WIDGET, "// Stores widgets.", f"{ENUM}\n// Stores widgets.", WIDGET),
    Case(
        "resources_come_before_requests",
        WIDGET,
        "// A thing of no use.",
        "// Request of GetWidget.\nmessage GetWidgetRequest {}\n\n// A thing of no use.",
        WIDGET,
        (("// Request of GetWidget.\nmessage GetWidgetRequest {\n", "// Was that.\nmessage Other {\n"),),
    ),
    Case(
        "parents_come_first",
        GADGET,
        "gadgets/{gadget}/parts/{part}",
        "gadgets/{gadget}",
        GADGET,
        (('pattern: "gadgets/{gadget}"', 'pattern: "gadgets/{gadget}/parts/{part}"'),),
    ),
    Case("has_comment", WIDGET, "// Stores widgets.\n", "", "WidgetService"),
    Case("has_comment", WIDGET, "  // Creates it if there is none.\n", "", "UpdateWidgetRequest.allow_missing"),
    Case("has_comment", WIDGET, "// Request of GetWidget.\n", "", "GetWidgetRequest"),
    Case(
        "has_comment",
        GADGET,
        "  // Cancels an operation. Fails with NOT_FOUND (NOT_FOUND).\n",
        "",
        "GadgetService.CancelOperation",
    ),
    Case("has_comment", GADGET, "  // The life of a gadget. Values may be added.\n", "", "Gadget.State"),
    Case("has_comment", GADGET, "    // It runs.\n", "", "Gadget.State.STATE_ACTIVE"),
    Case("has_comment", GADGET, "  // How fast.\n", "", "StartGadgetRequest.speed"),
    Case("comment_is_a_sentence", WIDGET, "// Stores widgets.", "// stores widgets", "WidgetService"),
    Case("comment_is_finished", WIDGET, "// Stores widgets.", "// TODO: tell what this is.", "WidgetService"),
    Case("comment_is_third_person", WIDGET, "// Gets one widget.", "// Get one widget.", "WidgetService.GetWidget"),
    Case("rpc_has_no_preposition", GADGET, "rpc StartGadget(", "rpc StartWithGadget(", "GadgetService.StartWithGadget"),
    Case("rpc_is_verb_and_noun", GADGET, "rpc StartGadget(", "rpc Start(", "GadgetService.Start"),
    Case("rpc_verb_is_ours", WIDGET, "rpc GetWidget(", "rpc FetchWidget(", "WidgetService.FetchWidget"),
    Case("rpc_verb_is_ours", WIDGET, "rpc CreateWidget(", "rpc InsertWidget(", "WidgetService.InsertWidget"),
    Case("rpc_verb_is_ours", WIDGET, "rpc UpdateWidget(", "rpc ModifyWidget(", "WidgetService.ModifyWidget"),
    Case(
        "request_is_named_after_rpc",
        GADGET,
        "rpc StartGadget(StartGadgetRequest)",
        "rpc StartGadget(DeleteGadgetRequest)",
        "GadgetService.StartGadget",
    ),
    Case("field_has_no_preposition", WIDGET, "int32 size = 6", "int32 made_by = 6", "Widget.made_by"),
    Case("field_has_no_name_suffix", GADGET, "string display_name", "string pet_name", "Gadget.pet_name"),
    Case(
        "validate_only_has_no_synonym",
        WIDGET,
        "bool validate_only = 4",
        "bool dry_run = 4",
        "CreateWidgetRequest.dry_run",
    ),
    Case(
        "no_field_is_upper_case",
        GADGET,
        "bool sealed",
        "bool isSealed",
        "Gadget.isSealed",
        (("!this.sealed", "!this.isSealed"),),
    ),
    Case(
        "state_is_not_status",
        GADGET,
        "enum State {",
        "enum Status {",
        "Gadget.Status",
        (("  State state = 6", "  Status state = 6"),),
    ),
    Case("enum_has_zero_value", GADGET, "STATE_UNSPECIFIED = 0", "STATE_UNKNOWN = 0", "Gadget.State"),
    Case("enum_value_has_prefix", GADGET, "STATE_ACTIVE = 1", "ACTIVE = 1", "Gadget.State"),
)
