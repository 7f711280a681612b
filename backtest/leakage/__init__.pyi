from .accounts import check_books, check_fills
from .catalogue import CHECKS, LEAKS, NOT_TESTED, ON_REQUEST, LeakCheck, not_tested
from .causality import assert_causal, check_decisions_are_causal
from .declarations import check_costs, check_latency, check_undated
from .duplicates import article_keys, check_duplicates
from .exclusions import check_exclusions
from .execution import check_fill_order, check_lag_decay
from .exposure import check_exposure
from .findings import GRAVITY, AuditVerdict, Finding, is_invalid, overall_verdict
from .memory import check_alpha_decay, check_contamination, check_cutoff_split
from .partition import check_label_overlap, check_split_order
from .provenance import check_base_cutoff, check_calibration_record, check_training_record
from .timing import check_time_zones, check_tradable_instants

__all__ = [
    "CHECKS",
    "GRAVITY",
    "LEAKS",
    "NOT_TESTED",
    "ON_REQUEST",
    "AuditVerdict",
    "Finding",
    "LeakCheck",
    "article_keys",
    "assert_causal",
    "check_alpha_decay",
    "check_base_cutoff",
    "check_books",
    "check_calibration_record",
    "check_contamination",
    "check_costs",
    "check_cutoff_split",
    "check_decisions_are_causal",
    "check_duplicates",
    "check_exclusions",
    "check_exposure",
    "check_fill_order",
    "check_fills",
    "check_label_overlap",
    "check_lag_decay",
    "check_latency",
    "check_split_order",
    "check_time_zones",
    "check_tradable_instants",
    "check_training_record",
    "check_undated",
    "is_invalid",
    "not_tested",
    "overall_verdict",
]
