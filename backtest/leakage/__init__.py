"""Checks that find look-ahead in news, splits, models and execution; each returns a finding, none repairs.

They are functions of plain frames, arrays and callables and know nothing of pipelines, configs, files or models.
"""

from embargo.backtest.leakage.causality import check_decisions_are_causal
from embargo.backtest.leakage.declarations import check_costs, check_latency, check_trials, check_undated
from embargo.backtest.leakage.duplicates import article_keys, check_duplicates
from embargo.backtest.leakage.execution import check_fill_order, check_lag_decay
from embargo.backtest.leakage.findings import GRAVITY, Finding, Verdict, is_invalid, overall_verdict
from embargo.backtest.leakage.partition import check_label_overlap, check_split_order
from embargo.backtest.leakage.provenance import check_adapter_manifest, check_base_cutoff
from embargo.backtest.leakage.timing import check_time_zones, check_tradable_instants

__all__ = [
    "GRAVITY",
    "Finding",
    "Verdict",
    "article_keys",
    "check_adapter_manifest",
    "check_base_cutoff",
    "check_costs",
    "check_decisions_are_causal",
    "check_duplicates",
    "check_fill_order",
    "check_label_overlap",
    "check_lag_decay",
    "check_latency",
    "check_split_order",
    "check_time_zones",
    "check_tradable_instants",
    "check_trials",
    "check_undated",
    "is_invalid",
    "overall_verdict",
]
