from .exports import daily_returns, returns_for
from .finished import FinishedRun, read_run
from .folders import list_runs
from .ledger import Trial, returns_of, trials_on
from .metrics import Metrics

__all__ = [
    "FinishedRun",
    "Metrics",
    "Trial",
    "daily_returns",
    "list_runs",
    "read_run",
    "returns_for",
    "returns_of",
    "trials_on",
]
