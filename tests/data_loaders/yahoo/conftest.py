"""Stocks as Yahoo knows them, generated once for all tests; a service that changes one replaces it for itself."""

from __future__ import annotations

import pytest
from servers.yahoo_service import Stock, market


@pytest.fixture(scope="session")
def stocks() -> list[Stock]:
    return list(market())
