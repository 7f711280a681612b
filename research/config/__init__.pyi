from .experiment import Config, load_config, parse_config

__all__ = [
    "Config",
    "load_config",
    "parse_config",
]
