from .cards import METHODS, MethodCard, check_method
from .defaults import DefaultSetting, default_settings, explain_settings
from .settings import TuneSettings

__all__ = [
    "METHODS",
    "DefaultSetting",
    "MethodCard",
    "TuneSettings",
    "check_method",
    "default_settings",
    "explain_settings",
]
