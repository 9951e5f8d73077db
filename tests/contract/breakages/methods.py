"""Cases for permissions, standard methods, pages, repeats, watches and operations."""

from __future__ import annotations

from tests.contract.breakages.case import GADGET, HANDLER, WIDGET, Case

PERMISSION = '    option (sutler.type.v1.permission) = "widget.widgets.get";\n'
LIST = "ListWidgetsRequest"
PAGE_TOKEN = "string page_token = 2"
UUID_RULE = "    (buf.validate.field).string = {\n      uuid: true\n      max_bytes: 36\n    },\n"
INFO = """    option (google.longrunning.operation_info) = {
      response_type: "Gadget"
      metadata_type: "sutler.type.v1.OperationMetadata"
    };
"""

CASES = (
    Case("has_permission", WIDGET, PERMISSION, "", "WidgetService.GetWidget"),
    Case("has_permission", WIDGET, "widget.widgets.get", "widget/widgets/get", "WidgetService.GetWidget"),
    Case(
        "has_permission",
        HANDLER,
        'option (sutler.type.v1.permission) = "resource.handlers.apply";',
        "",
        "ResourceHandler.Apply",
        (('import "sutler/type/v1/permission.proto";\n', ""),),
    ),
    Case("permission_area", WIDGET, "widget.widgets.get", "gadget.widgets.get", "WidgetService.GetWidget"),
    Case("permission_verb", GADGET, "gadget.gadgets.start", "gadget.gadgets.begin", "GadgetService.StartGadget"),
    Case("permission_verb", GADGET, "gadget.parts.batchCheck", "gadget.parts.check", "GadgetService.BatchCheckParts"),
    Case("permission_collection", WIDGET, "widget.widgets.get", "widget.things.get", "WidgetService.GetWidget"),
    Case("permission_is_unique", WIDGET, "widget.widgets.list", "widget.widgets.get", "WidgetService.GetWidget"),
    Case("standard_verb_has_resource", WIDGET, "rpc GetWidget(", "rpc GetSomething(", "WidgetService.GetSomething"),
    Case("standard_request", WIDGET, "string request_id = 3", "string repeat_id = 3", "WidgetService.CreateWidget"),
    Case("standard_request", WIDGET, "string widget_id = 1", "string id = 1", "WidgetService.CreateWidget"),
    Case("standard_request", WIDGET, "string filter = 3", "int32 filter = 3", "WidgetService.ListWidgets"),
    Case(
        "standard_request",
        WIDGET,
        "bool allow_missing = 3 [(google.api.field_behavior) = OPTIONAL]",
        "bool allow_missing = 3 [(google.api.field_behavior) = REQUIRED]",
        "WidgetService.UpdateWidget",
    ),
    Case("standard_request", GADGET, "string parent = 1", "string gadget = 1", "GadgetService.ListParts"),
    Case("standard_request", GADGET, "bool force = 4", "bool cascade = 4", "GadgetService.DeleteGadget"),
    Case("standard_request_extra", GADGET, "bool force = 4", "bool cascade = 4", "DeleteGadgetRequest.cascade"),
    Case("standard_request_order", GADGET, "bool force = 4", "bool cascade = 4", "GadgetService.DeleteGadget"),
    Case(
        "standard_response",
        WIDGET,
        "(GetWidgetRequest) returns (Widget)",
        "(GetWidgetRequest) returns (ListWidgetsResponse)",
        "WidgetService.GetWidget",
    ),
    Case(
        "standard_response",
        GADGET,
        'response_type: "google.protobuf.Empty"',
        'response_type: "Gadget"',
        "GadgetService.DeleteGadget",
    ),
    Case(
        "standard_is_unary",
        WIDGET,
        "(GetWidgetRequest) returns (Widget)",
        "(GetWidgetRequest) returns (stream Widget)",
        "WidgetService.GetWidget",
    ),
    Case(
        "standard_signature",
        WIDGET,
        '    option (google.api.method_signature) = "widget,widget_id";\n',
        "",
        "WidgetService.CreateWidget",
    ),
    Case("signature_names_fields", WIDGET, '"widget,widget_id"', '"widget,id"', "WidgetService.CreateWidget"),
    Case(
        "id_has_pattern",
        WIDGET,
        '{\n      pattern: "^[A-Za-z][A-Za-z0-9._-]{0,62}$"\n      max_bytes: 63\n    }',
        "{max_bytes: 63}",
        "CreateWidgetRequest.widget_id",
    ),
    Case("list_has_pages", WIDGET, PAGE_TOKEN, "string cursor = 2", "WidgetService.ListWidgets"),
    Case("page_fields", WIDGET, PAGE_TOKEN, "string cursor = 2", LIST),
    Case("page_fields", WIDGET, "int32 page_size = 1", "int32 limit = 1", LIST),
    Case("page_fields", WIDGET, "int32.gte = 0", "int32.gte = 1", LIST),
    Case("page_fields", WIDGET, "int32.gte = 0", "int32 = {gte: 0, lte: 1000}", LIST),
    Case("page_fields", WIDGET, "string order_by = 4", "string offset = 4", LIST),
    Case(
        "page_fields",
        WIDGET,
        f"{PAGE_TOKEN} [\n    (google.api.field_behavior) = OPTIONAL,\n    (buf.validate.field).string",
        "bytes page_token = 2 [\n    (google.api.field_behavior) = OPTIONAL,\n    (buf.validate.field).bytes",
        LIST,
        (("bytes.max_bytes", "bytes.max_len"),),
    ),
    Case("list_response", WIDGET, "string next_page_token = 2", "string next_token = 2", "WidgetService.ListWidgets"),
    Case(
        "list_response",
        WIDGET,
        "repeated Widget widgets = 1",
        "repeated Widget widgets = 3",
        "WidgetService.ListWidgets",
    ),
    Case(
        "list_response",
        WIDGET,
        "widgets = 1 [(buf.validate.field).repeated.max_items = 1000]",
        "widgets = 1",
        "WidgetService.ListWidgets",
    ),
    Case(
        "batch_get_has_token",
        GADGET,
        "rpc BatchCheckParts(",
        "rpc BatchGetParts(",
        "GadgetService.BatchGetParts",
    ),
    Case(
        "list_response_is_plural",
        WIDGET,
        "repeated Widget widgets = 1",
        "repeated Widget items = 1",
        "WidgetService.ListWidgets",
    ),
    Case("change_has_request_id", GADGET, "string request_id = 2", "string repeat_id = 2", "GadgetService.StartGadget"),
    Case("change_has_request_id", GADGET, "string request_id = 1", "string repeat_id = 1", "GadgetService.FeedGadget"),
    Case(
        "change_has_validate_only", WIDGET, "bool validate_only = 4", "bool rehearse = 4", "WidgetService.CreateWidget"
    ),
    Case("plugin_call_has_key", HANDLER, "string idempotency_key", "string token", "ResourceHandler.Apply"),
    Case(
        "request_id_is_uuid",
        WIDGET,
        UUID_RULE,
        "    (buf.validate.field).string.max_bytes = 36,\n",
        "CreateWidgetRequest.request_id",
    ),
    Case(
        "request_id_is_uuid",
        WIDGET,
        "max_bytes: 36\n    },\n    (buf.validate.field).ignore = IGNORE_IF_ZERO_VALUE\n",
        "max_bytes: 36\n    }\n",
        "CreateWidgetRequest.request_id",
    ),
    Case(
        "watch_is_server_stream",
        GADGET,
        "(stream WatchGadgetsResponse)",
        "(WatchGadgetsResponse)",
        "GadgetService.WatchGadgets",
    ),
    Case(
        "watch_request",
        GADGET,
        "  string resume_token = 2 [(google.api.field_behavior)",
        "  string token = 2 [(google.api.field_behavior)",
        "GadgetService.WatchGadgets",
    ),
    Case(
        "watch_response",
        GADGET,
        "string resume_token = 2 [(buf",
        "string token = 2 [(buf",
        "GadgetService.WatchGadgets",
    ),
    Case("watch_response", GADGET, "google.rpc.Status status = 3", "bool status = 3", "GadgetService.WatchGadgets"),
    Case(
        "watch_response",
        GADGET,
        "repeated Gadget changes = 1 [(buf.validate.field).repeated.max_items = 1000]",
        "Gadget change = 1",
        "GadgetService.WatchGadgets",
    ),
    Case("operation_rpcs_are_complete", GADGET, "rpc WaitOperation(", "rpc AwaitOperation(", "GadgetService"),
    Case(
        "operation_rpcs_are_complete",
        GADGET,
        "returns (stream sutler.type.v1.WatchOperationResponse)",
        "returns (sutler.type.v1.WatchOperationResponse)",
        "GadgetService",
    ),
    Case("operation_info", GADGET, INFO, "", "GadgetService.StartGadget"),
    Case(
        "operation_info",
        GADGET,
        INFO,
        INFO.replace("sutler.type.v1.OperationMetadata", "Gadget"),
        "GadgetService.StartGadget",
    ),
    Case("operation_info", GADGET, INFO, INFO.replace('"Gadget"', '"Gizmo"'), "GadgetService.StartGadget"),
    Case(
        "operation_collection",
        GADGET,
        "{name=gadgetOperations/*}:cancel",
        "{name=operations/*}:cancel",
        "GadgetService.CancelOperation",
    ),
    Case(
        "operation_collection", GADGET, "/v1/gadgets:watch", "/v1/gadgetOperations:look", "GadgetService.WatchGadgets"
    ),
)
