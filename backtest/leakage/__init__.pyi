from .causality import assert_causal, check_decisions_are_causal
from .declarations import check_costs, check_latency, check_trials, check_undated
from .duplicates import article_keys, check_duplicates
from .execution import check_fill_order, check_lag_decay
from .findings import GRAVITY, AuditVerdict, Finding, is_invalid, overall_verdict
from .partition import check_label_overlap, check_split_order
from .provenance import check_adapter_manifest, check_base_cutoff
from .texts import check_concentration, check_outcome_words, check_stated_moves
from .timing import check_time_zones, check_tradable_instants

__all__ = [
    "GRAVITY",
    "AuditVerdict",
    "Finding",
    "article_keys",
    "assert_causal",
    "check_adapter_manifest",
    "check_base_cutoff",
    "check_concentration",
    "check_costs",
    "check_decisions_are_causal",
    "check_duplicates",
    "check_fill_order",
    "check_label_overlap",
    "check_lag_decay",
    "check_latency",
    "check_outcome_words",
    "check_split_order",
    "check_stated_moves",
    "check_time_zones",
    "check_tradable_instants",
    "check_trials",
    "check_undated",
    "is_invalid",
    "overall_verdict",
]
