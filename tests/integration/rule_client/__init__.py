"""Tests of the worker client of RuleService, against real servers."""
