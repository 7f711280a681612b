"""Leak-free backtests of trading signals that language models read from news."""

__version__ = "0.1.0"
