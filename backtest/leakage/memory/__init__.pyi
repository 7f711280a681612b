from .altered import check_leading_names, check_masked_forecasts, check_redated_forecasts, check_reidentification
from .counterfactual import check_counterfactual_readings
from .cutoff import check_alpha_decay, check_cutoff_split
from .membership import check_contamination, check_membership
from .propensity import (
    ClusteredRegression,
    check_date_recall,
    check_lent_news,
    check_lookahead_propensity,
    check_recall_after_cutoff,
    regress_by_cluster,
)
from .repeated import check_repeated_readings
from .result import ProbeResult

__all__ = [
    "ClusteredRegression",
    "ProbeResult",
    "check_alpha_decay",
    "check_contamination",
    "check_counterfactual_readings",
    "check_cutoff_split",
    "check_date_recall",
    "check_leading_names",
    "check_lent_news",
    "check_lookahead_propensity",
    "check_masked_forecasts",
    "check_membership",
    "check_recall_after_cutoff",
    "check_redated_forecasts",
    "check_reidentification",
    "check_repeated_readings",
    "regress_by_cluster",
]
