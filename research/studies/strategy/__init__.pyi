from .audit import COLUMNS, NOT_TESTED, audit_strategy

__all__ = [
    "COLUMNS",
    "NOT_TESTED",
    "audit_strategy",
]
