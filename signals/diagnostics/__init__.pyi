from .diagnosis import HORIZONS, Diagnosis, diagnose
from .events import ALL_HOURS, EventStudy, event_study, publication_hours
from .information import (
    HalfLife,
    forward_returns,
    half_life,
    ic_by_horizon,
    ic_by_lag,
    persistence,
    rank_ic,
    time_series_ic,
    turnover,
)
from .quantiles import Quantiles, quantile_returns
from .standard_errors import Estimate, mean_by_row, newey_west_lag

__all__ = [
    "ALL_HOURS",
    "HORIZONS",
    "Diagnosis",
    "Estimate",
    "EventStudy",
    "HalfLife",
    "Quantiles",
    "diagnose",
    "event_study",
    "forward_returns",
    "half_life",
    "ic_by_horizon",
    "ic_by_lag",
    "mean_by_row",
    "newey_west_lag",
    "persistence",
    "publication_hours",
    "quantile_returns",
    "rank_ic",
    "time_series_ic",
    "turnover",
]
