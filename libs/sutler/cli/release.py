"""What the contracts have and this release does not offer: it can be called, and is not proposed."""

from __future__ import annotations

UNBUILT = frozenset(
    {
        "sutler.provider.v1.ProviderService.CreatePriceTable",
        "sutler.provider.v1.ProviderService.DeletePriceTable",
        "sutler.provider.v1.ProviderService.DiscoverInfrastructure",
        "sutler.provider.v1.ProviderService.ExtendLease",
        "sutler.provider.v1.ProviderService.GetPriceTable",
        "sutler.provider.v1.ProviderService.GetUsage",
        "sutler.provider.v1.ProviderService.ListPriceTables",
        "sutler.provider.v1.ProviderService.ListRecommendations",
        "sutler.provider.v1.ProviderService.ReconcileProvider",
        "sutler.provider.v1.ProviderService.UpdatePriceTable",
        "sutler.rule.v1.RuleService.AnalyzeRules",
        "sutler.rule.v1.RuleService.CancelOperation",
        "sutler.rule.v1.RuleService.CompleteTask",
        "sutler.rule.v1.RuleService.CreateSchedule",
        "sutler.rule.v1.RuleService.DeleteSchedule",
        "sutler.rule.v1.RuleService.ExtendTask",
        "sutler.rule.v1.RuleService.FailTask",
        "sutler.rule.v1.RuleService.GetOperation",
        "sutler.rule.v1.RuleService.GetSchedule",
        "sutler.rule.v1.RuleService.GetTask",
        "sutler.rule.v1.RuleService.ListOperations",
        "sutler.rule.v1.RuleService.ListSchedules",
        "sutler.rule.v1.RuleService.ListTasks",
        "sutler.rule.v1.RuleService.PullTasks",
        "sutler.rule.v1.RuleService.PurgeDeadLetters",
        "sutler.rule.v1.RuleService.ReplayDeadLetters",
        "sutler.rule.v1.RuleService.ReplayEvents",
        "sutler.rule.v1.RuleService.SimulateEvent",
        "sutler.rule.v1.RuleService.UpdateSchedule",
        "sutler.rule.v1.RuleService.WaitOperation",
        "sutler.rule.v1.RuleService.WatchEvents",
        "sutler.rule.v1.RuleService.WatchOperation",
        "sutler.rule.v1.RuleService.WatchSubjects",
    }
)
"""Methods by their full names."""
