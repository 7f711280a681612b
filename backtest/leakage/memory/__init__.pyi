from .cutoff import check_alpha_decay, check_cutoff_split
from .result import MemoryProbe

__all__ = ["MemoryProbe", "check_alpha_decay", "check_cutoff_split"]
