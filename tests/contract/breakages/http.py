"""Cases for HTTP bindings."""

from __future__ import annotations

from tests.contract.breakages.case import GADGET, HANDLER, WIDGET, Case

BINDING = '    option (google.api.http) = {get: "/v1/{name=widgets/*}"};\n'
FEED = '    option (sutler.type.v1.permission) = "gadget.gadgets.feed";\n'
START = 'post: "/v1/{name=gadgets/*}:start" body: "*"'

CASES = (
    Case("has_binding", WIDGET, BINDING, "", "WidgetService.GetWidget"),
    Case("has_binding", GADGET, " gRPC only.", "", "GadgetService.FeedGadget"),
    Case(
        "has_binding",
        GADGET,
        FEED,
        f'    option (google.api.http) = {{post: "/v1/gadgets:feed" body: "*"}};\n{FEED}',
        "GadgetService.FeedGadget",
    ),
    Case(
        "plugin_has_no_binding",
        HANDLER,
        "    option (sutler",
        '    option (google.api.http) = {post: "/v1/x:apply" body: "*"};\n    option (sutler',
        "ResourceHandler.Apply",
        (('import "google/api/field', 'import "google/api/annotations.proto";\nimport "google/api/field'),),
    ),
    Case(
        "path_has_version",
        WIDGET,
        'get: "/v1/{name=widgets/*}"',
        'get: "/v1.1/{name=widgets/*}"',
        "WidgetService.GetWidget",
    ),
    Case(
        "path_has_version",
        WIDGET,
        'get: "/v1/{name=widgets/*}"',
        'get: "/v1/{name=widgets/*"',
        "WidgetService.GetWidget",
    ),
    Case(
        "path_has_version",
        WIDGET,
        'get: "/v1/{name=widgets/*}"',
        'get: "/v1/{name=widgets/**}/parts"',
        "WidgetService.GetWidget",
    ),
    Case(
        "http_method", WIDGET, 'get: "/v1/{name=widgets/*}"', 'post: "/v1/{name=widgets/*}"', "WidgetService.GetWidget"
    ),
    Case("http_method", GADGET, START, 'get: "/v1/{name=gadgets/*}:start"', "GadgetService.StartGadget"),
    Case("http_body", WIDGET, ' body: "widget"', ' body: "*"', "WidgetService.CreateWidget"),
    Case("http_body", GADGET, START, 'post: "/v1/{name=gadgets/*}:start"', "GadgetService.StartGadget"),
    Case("http_body", GADGET, START, 'post: "/v1/{name=gadgets/*}:start" body: "gadget"', "GadgetService.StartGadget"),
    Case(
        "http_body",
        WIDGET,
        'get: "/v1/{name=widgets/*}"',
        'get: "/v1/{name=widgets/*}" body: "*"',
        "WidgetService.GetWidget",
    ),
    Case("standard_path", WIDGET, 'post: "/v1/widgets"', 'post: "/v1/things"', "WidgetService.CreateWidget"),
    Case("standard_path", WIDGET, 'post: "/v1/widgets"', 'post: "/v1/widgets:create"', "WidgetService.CreateWidget"),
    Case("custom_verb", GADGET, "{name=gadgets/*}:start", "{name=gadgets/*}:begin", "GadgetService.StartGadget"),
    Case("custom_verb", GADGET, "{name=gadgets/*}:start", "{name=gadgets/*}", "GadgetService.StartGadget"),
    Case(
        "paths_do_not_collide",
        GADGET,
        'delete: "/v1/{name=gadgets/*}"',
        'get: "/v1/{name=*/*}"',
        "GadgetService.DeleteGadget",
    ),
    Case(
        "paths_do_not_collide",
        GADGET,
        'get: "/v1/{parent=gadgets/*}/parts"',
        'get: "/v1/{parent=**}"',
        "GadgetService.GetOperation",
    ),
    Case(
        "paths_do_not_collide",
        GADGET,
        START,
        'post: "/v1/{name=gadgetOperations/**}:cancel" body: "*"',
        "GadgetService.CancelOperation",
    ),
    Case(
        "own_paths_do_not_collide",
        GADGET,
        'get: "/v1/{parent=gadgets/*}/parts:batchCheck"',
        'post: "/v1/{parent=*/*}/parts:batchCheck" body: "*"',
        "GadgetService.BatchCheckParts",
    ),
    Case(
        "path_variable_is_field",
        WIDGET,
        'get: "/v1/{name=widgets/*}"',
        'get: "/v1/{id=widgets/*}"',
        "WidgetService.GetWidget",
    ),
    Case(
        "path_variable_is_field",
        WIDGET,
        "{widget.name=widgets/*}",
        "{widget.create_time=widgets/*}",
        "WidgetService.UpdateWidget",
    ),
    Case(
        "path_variable_is_name",
        WIDGET,
        'get: "/v1/{name=widgets/*}"',
        'get: "/v1/widgets/{name}"',
        "WidgetService.GetWidget",
    ),
    Case(
        "standard_path_variable",
        WIDGET,
        "{widget.name=widgets/*}",
        "{widget.uid=widgets/*}",
        "WidgetService.UpdateWidget",
    ),
    Case(
        "standard_path_variable",
        GADGET,
        "/v1/{parent=gadgets/*}/parts",
        "/v1/gadgets/x/parts",
        "GadgetService.ListParts",
    ),
    Case(
        "path_matches_pattern",
        WIDGET,
        'get: "/v1/{name=widgets/*}"',
        'get: "/v1/{name=wodgets/*}"',
        "WidgetService.GetWidget",
    ),
    Case(
        "query_can_carry_request",
        GADGET,
        "repeated string parts = 2",
        "map<string, string> parts = 2",
        "GadgetService.BatchCheckParts",
        (
            (
                "(buf.validate.field).repeated = {\n      max_items: 1000\n      items",
                "(buf.validate.field).map = {\n      max_pairs: 1000\n      keys",
            ),
            ('    (google.api.resource_reference).type = "gadget.sutler.dev/Part",\n', ""),
            ('additional_bindings {post: "/v1/{parent=gadgets/*}/parts:batchCheck" body: "*"}', ""),
        ),
    ),
    Case(
        "query_can_carry_request",
        GADGET,
        "bool force = 4",
        "google.protobuf.Struct force = 4",
        "GadgetService.DeleteGadget",
    ),
)
