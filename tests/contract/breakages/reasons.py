"""Cases for error reasons and for what comments name."""

from __future__ import annotations

from tests.contract.breakages.case import GADGET, WIDGET, Case

EXAMPLE = '  // Example: {"reason": "GADGET_HOT", "metadata":\n  // {"gadget": "gadgets/g1"}}\n'
VALUE = "ErrorReason.ERROR_REASON_GADGET_HOT"
REASONS = """enum ErrorReason {
  // Never sent.
  ERROR_REASON_UNSPECIFIED = 0;
"""

CASES = (
    Case("reason_has_example", GADGET, EXAMPLE, "", VALUE),
    Case("reason_has_example", GADGET, '"gadgets/g1"}}', '"gadgets/g1"}', VALUE),
    Case("reason_has_example", GADGET, '"reason": "GADGET_HOT"', '"reason": "ERROR_REASON_GADGET_HOT"', VALUE),
    Case("reason_has_example", GADGET, '"gadgets/g1"}}', "7}}", VALUE),
    Case("reason_has_example", GADGET, '{"gadget": "gadgets/g1"}', '{"The gadget": "gadgets/g1"}', VALUE),
    Case("reason_has_example", GADGET, '"metadata":', '"details":', VALUE),
    Case("reason_has_code", GADGET, "first. FAILED_PRECONDITION.", "first.", VALUE),
    Case(
        "reason_is_top_level",
        GADGET,
        "  // The name, `gadgets/{gadget}`.",
        f"  // Nested.\n  {REASONS}}}\n  // The name, `gadgets/{{gadget}}`.",
        "Gadget.ErrorReason",
    ),
    Case(
        "reason_is_not_shared",
        GADGET,
        "ERROR_REASON_GADGET_HOT",
        "ERROR_REASON_IN_USE",
        "ErrorReason.ERROR_REASON_IN_USE",
    ),
    Case(
        "reason_is_used",
        GADGET,
        "(HAS_CHILDREN, GADGET_HOT)",
        "(HAS_CHILDREN)",
        VALUE,
        (("FAILED_PRECONDITION: GADGET_HOT", "FAILED_PRECONDITION (STATE_INVALID)"),),
    ),
    Case("rpc_names_its_reasons", WIDGET, "Fails with NOT_FOUND (NOT_FOUND) if", "Fails if", "WidgetService.GetWidget"),
    Case("reasons_exist", WIDGET, "NOT_FOUND (NOT_FOUND) if", "NOT_FOUND (WIDGET_LOST) if", "WidgetService.GetWidget"),
    Case("reasons_exist", WIDGET, "NOT_FOUND (NOT_FOUND) if", "ABORTED (NOT_FOUND) if", "WidgetService.GetWidget"),
    Case(
        "reasons_exist",
        WIDGET,
        "(FILTER_INVALID, ORDER_BY_INVALID,\n  // PAGE_TOKEN_INVALID)",
        "(FILTER_INVALID and\n  // PAGE_TOKEN_WRONG)",
        "WidgetService.ListWidgets",
    ),
    Case(
        "reasons_exist",
        GADGET,
        "FAILED_PRECONDITION: GADGET_HOT",
        "FAILED_PRECONDITION: GADGET_COLD",
        "GadgetService.StartGadget",
    ),
    Case("upper_case_names_exist", GADGET, "It is STATE_ACTIVE", "It is STATE_PASSIVE", "Gadget.state"),
)
