from .context import Context
from .settings import PromptSettings
from .templates import Template, load_template

__all__ = [
    "Context",
    "PromptSettings",
    "Template",
    "load_template",
]
