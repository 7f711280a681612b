from .shared import SharedBase

__all__ = [
    "SharedBase",
]
