"""A loader whose package is an extra says which one to install."""

import importlib.util
import sys

import pytest

from embargo.data_loaders import yahoo
from embargo.data_loaders.errors import MissingPartError


def test_yahoo_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "yfinance", None)
    place = f"{next(iter(yahoo.__path__))}/client.py"
    spec = importlib.util.spec_from_file_location("embargo.data_loaders.yahoo.another_client", place)
    with pytest.raises(MissingPartError, match=r"pip install 'embargo-backtest\[yahoo\]'"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def test_bybit_names_its_extra(monkeypatch):
    from embargo.data_loaders.bybit.transport import Transport

    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(MissingPartError, match=r"pip install 'embargo-backtest\[bybit\]'"):
        Transport(hostname="bybit.com", patience=None, clock=None)
