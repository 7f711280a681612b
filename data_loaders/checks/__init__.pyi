from .all_checks import check_news, check_prices
from .check import Check, Grade
from .near_duplicates import DEFAULT_THRESHOLD, DEFAULT_WINDOW, near_duplicate_clusters
from .repeats import first_seen, normalise_text, text_keys

__all__ = [
    "DEFAULT_THRESHOLD",
    "DEFAULT_WINDOW",
    "Check",
    "Grade",
    "check_news",
    "check_prices",
    "first_seen",
    "near_duplicate_clusters",
    "normalise_text",
    "text_keys",
]
