from .counterfactuals import Flipped, flip_outcomes, put_dates, shift_dates
from .lending import lend_news
from .likelihood import TokenLikelihoods, base_familiarity, membership_scores, min_k_plus_plus
from .masking import Entities, leftovers, mask
from .orders import put_orders
from .readings import log_odds, tilts
from .recall import recall
from .reidentification import Reidentification, reidentify

__all__ = [
    "Entities",
    "Flipped",
    "Reidentification",
    "TokenLikelihoods",
    "base_familiarity",
    "flip_outcomes",
    "leftovers",
    "lend_news",
    "log_odds",
    "mask",
    "membership_scores",
    "min_k_plus_plus",
    "put_dates",
    "put_orders",
    "recall",
    "reidentify",
    "shift_dates",
    "tilts",
]
