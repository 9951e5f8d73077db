"""What departs from the rules, and why: (rule, full name of the element) → reason.

An entry that nothing needs any more fails a test.
"""

from __future__ import annotations

FULL_PATH = "contracts.md, ResourceService: the name of a declared resource is its full path, of any depth and type"
ANY_PATH = "protos/README.md, decision 1: REST paths of declared resources are /v1/resources/ and the full path"
NO_RESOURCE = "contracts.md names this RPC, and what it gets has no name of its own: "
BY_KEY = f"{NO_RESOURCE}entries are addressed by cache and key"
BY_MODEL = f"{NO_RESOURCE}records are the ERP's, addressed by model and id"
COMPUTED = f"{NO_RESOURCE}it is computed at each call"
CLOUD_EVENTS = "contracts.md, RuleService: this is the subject of CloudEvents 1.0, any text, not a resource name"
BY_SOURCE_AND_ID = "contracts.md, RuleService: repeated events are told by (source, id)"
ATOMIC_LIST = "contracts.md, UpdateSubject: an atomic list of writes; muted; extra context; expected revision"
PROPERTY_NAMES = "property names are not field paths: a FieldMask's JSON form breaks them (platform.md, Traps)"
IN_TASK = "contracts.md, PullTasks: workers write subjects under the lease of their task"

CACHE = "sutler.cache.v1"
ERP = "sutler.erp.v1"
PROVIDER = "sutler.provider.v1"
RESOURCE = "sutler.resource.v1"
RULE = "sutler.rule.v1"

EXCEPTIONS: dict[tuple[str, str], str] = {
    ("standard_verb_has_resource", f"{CACHE}.CacheService.GetEntry"): BY_KEY,
    ("standard_verb_has_resource", f"{CACHE}.CacheService.DeleteEntry"): BY_KEY,
    ("standard_verb_has_resource", f"{CACHE}.CacheService.GetCacheStats"): COMPUTED,
    ("standard_verb_has_resource", f"{ERP}.ErpGateway.GetRecord"): BY_MODEL,
    ("standard_verb_has_resource", f"{ERP}.ErpGateway.CreateRecord"): BY_MODEL,
    ("standard_verb_has_resource", f"{ERP}.ErpGateway.UpdateRecord"): BY_MODEL,
    ("standard_verb_has_resource", f"{ERP}.ErpGateway.DeleteRecord"): BY_MODEL,
    ("standard_verb_has_resource", f"{ERP}.ErpGateway.GetCustomer"): BY_MODEL,
    ("path_variable_is_name", f"{ERP}.ErpGateway.GetRecord"): BY_MODEL,
    ("path_variable_is_name", f"{ERP}.ErpGateway.UpdateRecord"): BY_MODEL,
    ("path_variable_is_name", f"{ERP}.ErpGateway.DeleteRecord"): BY_MODEL,
    ("path_variable_is_name", f"{ERP}.ErpGateway.GetCustomer"): BY_MODEL,
    ("resource_fields", f"{ERP}.ConnectionStats"): COMPUTED,
    ("change_has_request_id", f"{ERP}.ErpGateway.ImportRecords"): (
        "contracts.md, ErpGateway: resumable, by the id of the import, which also tells repeats"
    ),
    ("standard_verb_has_resource", f"{PROVIDER}.ProviderService.GetUsage"): COMPUTED,
    ("resource_pattern", f"{RESOURCE}.Resource"): FULL_PATH,
    ("path_variable_is_name", f"{RESOURCE}.ResourceService.GetResource"): ANY_PATH,
    ("path_variable_is_name", f"{RESOURCE}.ResourceService.UpdateResource"): ANY_PATH,
    ("path_variable_is_name", f"{RESOURCE}.ResourceService.DeleteResource"): ANY_PATH,
    ("path_variable_is_name", f"{RESOURCE}.ResourceService.InvokeAction"): ANY_PATH,
    ("standard_request_extra", f"{RESOURCE}.ListResourcesRequest.recursive"): (
        "contracts.md, ListResources: by parent at its level or all below"
    ),
    ("standard_request_extra", f"{RESOURCE}.ListResourcesRequest.type"): "contracts.md, ListResources: by type",
    ("field_has_reference", f"{RULE}.Rule.subject"): CLOUD_EVENTS,
    ("field_has_reference", f"{RULE}.Event.subject"): CLOUD_EVENTS,
    ("field_has_reference", f"{RULE}.EventDraft.subject"): CLOUD_EVENTS,
    ("field_has_reference", f"{RULE}.SetProperty.subject"): CLOUD_EVENTS,
    ("field_has_reference", f"{RULE}.SetExtProperty.subject"): CLOUD_EVENTS,
    ("field_has_reference", f"{RULE}.DeleteProperty.subject"): CLOUD_EVENTS,
    ("change_has_request_id", f"{RULE}.RuleService.PublishEventStream"): BY_SOURCE_AND_ID,
    ("standard_request_extra", f"{RULE}.UpdateRuleRequest.staged"): (
        "contracts.md, RuleService: revisions are immutable with an active one, which ActivateRuleRevision chooses"
    ),
    ("standard_request_extra", f"{RULE}.GetSubjectRequest.properties"): PROPERTY_NAMES,
    ("standard_request_extra", f"{RULE}.ListSubjectsRequest.properties"): PROPERTY_NAMES,
    ("standard_request_extra", f"{RULE}.UpdateSubjectRequest.properties"): PROPERTY_NAMES,
    ("standard_request_extra", f"{RULE}.UpdateSubjectRequest.writes"): ATOMIC_LIST,
    ("standard_request_extra", f"{RULE}.UpdateSubjectRequest.muted"): ATOMIC_LIST,
    ("standard_request_extra", f"{RULE}.UpdateSubjectRequest.extra"): ATOMIC_LIST,
    ("standard_request_extra", f"{RULE}.UpdateSubjectRequest.expected_revision"): ATOMIC_LIST,
    ("standard_request_extra", f"{RULE}.UpdateSubjectRequest.task"): IN_TASK,
    ("standard_request_extra", f"{RULE}.UpdateSubjectRequest.lease_token"): IN_TASK,
    ("standard_request_extra", f"{RULE}.DeleteSubjectRequest.muted"): "as in UpdateSubject: a delete emits events too",
    ("standard_request_extra", f"{RULE}.DeleteSubjectRequest.extra"): "as in UpdateSubject: a delete emits events too",
}
