from .adjustment import adjust
from .archive import LoadedNews, LoadedPrices, read_label_set, read_news, read_prices, stream_news
from .calendars import ROUND_THE_CLOCK, bars_per_year, decision_times, label_sessions, last_closed_bar, length_of, sessions
from .checks import Check, Grade, check_news, check_prices, first_seen, near_duplicate_clusters
from .errors import ConfigError, DataError, EmbargoError, LeakError, MissingPartError, ServiceError
from .funding import funding_panel
from .labels import Labelled, cut_classes, fit_thresholds, forward_returns, samples_from_news, samples_from_returns
from .records import DATASETS, validate_facts
from .retries import Patience
from .schemas import CLASSES, Prices, validate_news, validate_prices, validate_scores
from .simulated import SimulatedMarket, Simulation, Truth, simulate_market
from .splits import CombinatorialSplit, Fold, SplitSamples, Window, assert_disjoint, assert_no_leakage, backtest_paths, combinatorial, groups_by_calendar, groups_by_count, holdout, part_of, path_series, split_undated, walk_forward, walk_forward_by_count
from .store import Snapshot, Store, import_bars, import_news

__all__ = [
    "CLASSES",
    "DATASETS",
    "ROUND_THE_CLOCK",
    "Check",
    "CombinatorialSplit",
    "ConfigError",
    "DataError",
    "EmbargoError",
    "Fold",
    "Grade",
    "Labelled",
    "LeakError",
    "LoadedNews",
    "LoadedPrices",
    "MissingPartError",
    "Patience",
    "Prices",
    "ServiceError",
    "SimulatedMarket",
    "Simulation",
    "Snapshot",
    "SplitSamples",
    "Store",
    "Truth",
    "Window",
    "adjust",
    "assert_disjoint",
    "assert_no_leakage",
    "backtest_paths",
    "bars_per_year",
    "check_news",
    "check_prices",
    "combinatorial",
    "cut_classes",
    "decision_times",
    "first_seen",
    "fit_thresholds",
    "forward_returns",
    "funding_panel",
    "groups_by_calendar",
    "groups_by_count",
    "holdout",
    "import_bars",
    "import_news",
    "label_sessions",
    "last_closed_bar",
    "length_of",
    "near_duplicate_clusters",
    "part_of",
    "path_series",
    "read_label_set",
    "read_news",
    "read_prices",
    "samples_from_news",
    "samples_from_returns",
    "sessions",
    "simulate_market",
    "split_undated",
    "stream_news",
    "validate_facts",
    "validate_news",
    "validate_prices",
    "validate_scores",
    "walk_forward",
    "walk_forward_by_count",
]
