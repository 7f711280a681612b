from .adapters import Adapter, open_adapter, tune
from .tiny import TinySettings, pretrain_tiny
from .tiny_lm import TinyLmSettings, pretrain_tiny_lm

__all__ = [
    "Adapter",
    "TinyLmSettings",
    "TinySettings",
    "open_adapter",
    "pretrain_tiny",
    "pretrain_tiny_lm",
    "tune",
]
