from .accounts import check_books, check_fills
from .catalogue import CHECKS, LEAKS, NOT_TESTED, LeakCheck, not_tested
from .causality import assert_causal, check_decisions_are_causal
from .declarations import check_costs, check_latency, check_undated
from .duplicates import article_keys, check_duplicates
from .exclusions import check_exclusions
from .execution import check_fill_order, check_lag_decay
from .exposure import check_exposure
from .findings import GRAVITY, AuditVerdict, Finding, is_invalid, overall_verdict
from .partition import check_label_overlap, check_split_order
from .provenance import check_base_cutoff, check_calibration_record, check_training_record
from .settled import check_settled
from .timing import check_time_zones, check_tradable_instants

__all__ = [
    "CHECKS",
    "GRAVITY",
    "LEAKS",
    "NOT_TESTED",
    "AuditVerdict",
    "Finding",
    "LeakCheck",
    "article_keys",
    "assert_causal",
    "check_base_cutoff",
    "check_books",
    "check_calibration_record",
    "check_costs",
    "check_decisions_are_causal",
    "check_duplicates",
    "check_exclusions",
    "check_exposure",
    "check_fill_order",
    "check_fills",
    "check_label_overlap",
    "check_lag_decay",
    "check_latency",
    "check_settled",
    "check_split_order",
    "check_time_zones",
    "check_tradable_instants",
    "check_training_record",
    "check_undated",
    "is_invalid",
    "not_tested",
    "overall_verdict",
]
