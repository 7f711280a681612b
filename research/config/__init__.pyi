from .adapt import AdaptConfig, load_adapt
from .experiment import Config, load_config, parse_config

__all__ = [
    "AdaptConfig",
    "Config",
    "load_adapt",
    "load_config",
    "parse_config",
]
