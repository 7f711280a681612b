from .masking import Entities, leftovers, mask
from .readings import log_odds, tilts
from .reidentification import Reidentification, reidentify

__all__ = ["Entities", "Reidentification", "leftovers", "log_odds", "mask", "reidentify", "tilts"]
