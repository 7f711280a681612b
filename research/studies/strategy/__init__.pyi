from .audit import COLUMNS, NOT_TESTED, audit_strategy, takes_news

__all__ = [
    "COLUMNS",
    "NOT_TESTED",
    "audit_strategy",
    "takes_news",
]
