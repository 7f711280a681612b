from .accounts import check_books, check_fills
from .anticipation import anticipated_news
from .arrival import check_backfill
from .bar_stamps import check_bar_stamps
from .batch_mates import check_batch_mates
from .catalogue import CHECKS, NOT_TESTED, not_tested
from .causality import check_decisions_are_causal
from .clocks import check_mixed_clocks
from .dates import check_dates_in_texts
from .declarations import check_costs, check_latency, check_undated
from .duplicates import article_keys, check_duplicates
from .exclusions import check_exclusions
from .execution import check_fill_order, check_lag_decay
from .exposure import check_exposure
from .findings import GRAVITY, AuditVerdict, Finding, is_invalid, overall_verdict
from .funding import check_funding
from .groups import check_concentration, check_repeated_texts
from .hit_rate import check_hit_rate, check_label_readings
from .injection import check_injection
from .label_agreement import check_label_agreement
from .last_bar import check_last_bar
from .leaks import LEAKS, LeakCheck
from .levels import check_levels
from .memory import check_alpha_decay, check_contamination, check_cutoff_split
from .on_request import ON_REQUEST
from .partition import check_label_overlap, check_split_order
from .prompts import check_example_outcomes, check_prompts
from .protocol import assert_causal, perturb_function
from .provenance import check_base_cutoff, check_calibration_record, check_training_record
from .rereading import check_rereading
from .scaling import perturb_levels
from .selection import check_attempts, check_selection
from .settled import check_settled
from .template_words import check_template
from .texts import check_outcome_words, check_price_echo, check_stated_moves
from .timing import check_time_zones, check_tradable_instants
from .universe import check_universe

__all__ = [
    "CHECKS",
    "GRAVITY",
    "LEAKS",
    "NOT_TESTED",
    "ON_REQUEST",
    "AuditVerdict",
    "Finding",
    "LeakCheck",
    "anticipated_news",
    "article_keys",
    "assert_causal",
    "check_alpha_decay",
    "check_attempts",
    "check_backfill",
    "check_bar_stamps",
    "check_base_cutoff",
    "check_batch_mates",
    "check_books",
    "check_calibration_record",
    "check_concentration",
    "check_contamination",
    "check_costs",
    "check_cutoff_split",
    "check_dates_in_texts",
    "check_decisions_are_causal",
    "check_duplicates",
    "check_example_outcomes",
    "check_exclusions",
    "check_exposure",
    "check_fill_order",
    "check_fills",
    "check_funding",
    "check_hit_rate",
    "check_injection",
    "check_label_agreement",
    "check_label_overlap",
    "check_label_readings",
    "check_lag_decay",
    "check_last_bar",
    "check_latency",
    "check_levels",
    "check_mixed_clocks",
    "check_outcome_words",
    "check_price_echo",
    "check_prompts",
    "check_repeated_texts",
    "check_rereading",
    "check_selection",
    "check_settled",
    "check_split_order",
    "check_stated_moves",
    "check_template",
    "check_time_zones",
    "check_tradable_instants",
    "check_training_record",
    "check_undated",
    "check_universe",
    "is_invalid",
    "not_tested",
    "overall_verdict",
    "perturb_function",
    "perturb_levels",
]
