from .altered import check_masked_forecasts, check_redated_forecasts, check_reidentification
from .cutoff import check_alpha_decay, check_cutoff_split
from .result import MemoryProbe

__all__ = [
    "MemoryProbe",
    "check_alpha_decay",
    "check_cutoff_split",
    "check_masked_forecasts",
    "check_redated_forecasts",
    "check_reidentification",
]
