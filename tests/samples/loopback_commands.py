"""The command line in this process, with Yahoo and Bybit on loopback and a clock that the test sets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from servers import bybit_service, yahoo_service
from servers.bybit_service import BybitService
from servers.yahoo_service import YahooService
from typer.testing import CliRunner, Result

from embargo.data_loaders.store import Store
from embargo.research.cli import data, imports, sources
from embargo.research.cli.commands import app

START = pd.Timestamp("2024-03-01 00:30", tz="UTC")


def embargo(*arguments: object, stdin: str | None = None) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)


@dataclass
class Desk:
    """Both services, a store, and the time."""

    yahoo: YahooService
    bybit: BybitService
    store: Path
    now: pd.Timestamp

    def set_time(self, now: str | pd.Timestamp) -> None:
        self.now = pd.Timestamp(now)
        self.yahoo.now = self.now
        self.bybit.now = int(self.now.timestamp() * 1000)

    def fetch(self, source: str, *arguments: object) -> Result:
        return embargo("fetch", source, *arguments, "--store", self.store)

    def opened(self) -> Store:
        return Store.open(self.store)

    def bars(self, venue: str, bar: str, at: pd.Timestamp | None = None) -> pd.DataFrame:
        return self.opened().as_of(at or self.now).bars(venue=venue, bar=bar)

    def klines(self) -> int:
        return len(self.bybit.asked("/v5/market/kline"))


@contextmanager
def desk_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    with (
        YahooService(now=START) as yahoo,
        BybitService() as bybit,
        yahoo_service.redirect(yahoo.url),
        bybit_service.redirect(bybit.url),
    ):
        desk = Desk(yahoo, bybit, folder / "store", START)
        for module in (sources, imports, data):
            monkeypatch.setattr(module, "now", lambda: desk.now)
        yield desk
