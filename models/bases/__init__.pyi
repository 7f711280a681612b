from .registry import KnownBase, known_bases
from .resolve import Base, open_base, resolve_base

__all__ = [
    "Base",
    "KnownBase",
    "known_bases",
    "open_base",
    "resolve_base",
]
