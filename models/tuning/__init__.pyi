from .adapters import Adapter, open_adapter, tune
from .tiny import TinySettings, pretrain_tiny

__all__ = [
    "Adapter",
    "TinySettings",
    "open_adapter",
    "pretrain_tiny",
    "tune",
]
