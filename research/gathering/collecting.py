"""Building an archive free of look-ahead: the newest news of every source, stamped with the moment it was seen.

A collection is a TOML file that names a store and what to take from Yahoo and Bybit. Sources are visited one after the
other; one that fails does not lose the other. Runs may overlap: the store is append-only, and what it knows already is
not added again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import pandas as pd
from pydantic import Field, model_validator

from embargo.data_loaders.bybit import connect
from embargo.data_loaders.errors import ConfigError, DataError, ServiceError
from embargo.data_loaders.retries import Patience
from embargo.data_loaders.store import Store
from embargo.research.config.settings import BarLength, Instant, Section, checked, place_of, read_toml
from embargo.research.gathering import downloads
from embargo.research.gathering.downloads import Visit, visiting
from embargo.research.gathering.fetching import Now, Tally
from embargo.research.progress import Stages

Errand = Callable[[Visit], None]


class YahooSource(Section):
    """Newest articles of shares, and their prices if asked."""

    symbols: Annotated[tuple[str, ...], Field(min_length=1)]
    """Tickers to ask for."""
    news: bool = True
    """Whether the newest articles are taken."""
    prices: bool = False
    """Whether bars, dividends and splits are taken, once a day, when the session is over."""
    bar: BarLength = "1d"
    """Length of a bar."""
    start: Instant | None = None
    """From when on prices are wanted."""
    calendars: dict[str, str] = Field(default_factory=dict)
    """Calendars of symbols, where Yahoo's own word for the exchange does not tell."""

    @model_validator(mode="after")
    def _does_something(self) -> YahooSource:
        if not self.news and not self.prices:
            raise ValueError("news and prices are both off, so nothing is left to collect")
        _needs_a_start(self.prices, self.start)
        return self


class BybitSource(Section):
    """Announcements of the exchange as news; listings, candles and funding rates if asked."""

    announcements: bool = True
    """Whether the exchange's announcements are taken as news."""
    locale: str = "en-US"
    """Language of the announcements."""
    market: Literal["spot", "linear"] = "linear"
    """Spot, or perpetuals settled in a stable coin."""
    instruments: bool = False
    """Whether it is recorded what is listed and since when, so that what vanishes later stays known."""
    symbols: tuple[str, ...] = ()
    """Coins whose prices or funding are wanted."""
    prices: bool = False
    """Whether candles are taken."""
    bar: BarLength = "1h"
    """Length of a bar."""
    funding: bool = False
    """Whether funding rates are taken; only perpetuals pay them."""
    start: Instant | None = None
    """From when on prices and funding are wanted."""

    @model_validator(mode="after")
    def _does_something(self) -> BybitSource:
        if not (self.announcements or self.instruments or self.prices or self.funding):
            raise ValueError("announcements, instruments, prices and funding are all off: nothing is left to collect")
        if (self.prices or self.funding) and not self.symbols:
            raise ValueError("symbols is missing; name those whose prices or funding to collect")
        if self.funding and self.market != "linear":
            raise ValueError("funding: only perpetuals pay funding; set market = 'linear'")
        _needs_a_start(self.prices or self.funding, self.start)
        return self


def _needs_a_start(prices: bool, start: pd.Timestamp | None) -> None:
    if prices and start is None:
        raise ValueError("start is missing; say from when on prices are wanted, such as start = 2020-01-01")


class Collection(Section):
    """What to collect, and the store that receives it."""

    store: str
    """Root of the store that receives it: a folder, from this file's on, or an address such as `"s3://bucket/store"`.
    """
    yahoo: YahooSource | None = None
    """What to take from Yahoo."""
    bybit: BybitSource | None = None
    """What to take from Bybit."""

    @model_validator(mode="after")
    def _has_a_source(self) -> Collection:
        if self.yahoo is None and self.bybit is None:
            raise ValueError("neither [yahoo] nor [bybit] is there, so nothing can be collected")
        return self


@dataclass(frozen=True)
class Collected:
    """What one run of a collection did.

    Attributes
    ----------
    tallies : dict of str to Tally
        By source, also of those that failed half-way.
    failures : dict of str to str
        Sources that failed as a whole, and why.
    """

    tallies: dict[str, Tally]
    failures: dict[str, str]

    def failure_lines(self) -> list[str]:
        """Everything that failed, one line each: sources first, then single symbols."""
        whole = [f"{source}: {reason}" for source, reason in self.failures.items()]
        parts = [f"{source}: {line}" for source, tally in self.tallies.items() for line in tally.failure_lines()]
        return whole + parts


def load_collection(path: Path, *, env: Iterable[str] = ()) -> Collection:
    """Read and check a collection; `env` names the environment variables that its store's path may take in.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, or a key is unknown, missing or out of range; the message names each key.
    """
    document = read_toml(path, remedy="Copy research/experiments/collect.toml to begin with.")
    if isinstance(document.get("store"), str):
        document["store"] = place_of(document["store"], path, "store", tuple(env))
    return checked(Collection, document, where=str(path))


def collect(collection: Collection, *, clock: Now, stages: Stages, patience: Patience) -> Collected:
    """Visit every source of a collection once; one that fails does not lose the others.

    Parameters
    ----------
    collection : Collection
    clock : callable
        Gives the current instant, asked anew for every answer.
    stages : Stages
    patience : Patience
    """
    store = Store.create(collection.store)
    tallies: dict[str, Tally] = {}
    failures: dict[str, str] = {}
    for source, errands in _errands(collection).items():
        with visiting(store, source, clock=clock, stages=stages, patience=patience) as visit:
            tallies[source] = visit.tally
            try:
                for errand in errands:
                    errand(visit)
            except (ServiceError, ConfigError, DataError) as failure:
                failures[source] = str(failure)
    return Collected(tallies, failures)


def _errands(collection: Collection) -> dict[str, list[Errand]]:
    """List what to do at each source, news first: prices can be had tomorrow, the moment an article was seen cannot."""
    errands = {}
    if collection.yahoo is not None:
        errands["yahoo"] = _yahoo_errands(collection.yahoo)
    if collection.bybit is not None:
        errands["bybit"] = [_bybit_errand(collection.bybit)]
    return errands


def _yahoo_errands(settings: YahooSource) -> list[Errand]:
    errands: list[Errand] = []
    if settings.news:
        errands.append(lambda visit: downloads.yahoo_news(visit, settings.symbols))
    if settings.prices and settings.start is not None:
        prices = partial(
            downloads.yahoo_prices,
            start=settings.start,
            end=None,
            bar=settings.bar,
            calendars={symbol.upper(): code for symbol, code in settings.calendars.items()},
        )
        errands.append(lambda visit: prices(visit, settings.symbols))
    return errands


def _bybit_errand(settings: BybitSource) -> Errand:
    def errand(visit: Visit) -> None:
        connection = connect(patience=visit.patience)
        if settings.announcements:
            downloads.bybit_announcements(visit, connection, locale=settings.locale)
        if settings.instruments:
            downloads.bybit_instruments(visit, connection, settings.market)
        if settings.start is None:
            return
        symbols, start = settings.symbols, settings.start
        if settings.prices:
            downloads.bybit_candles(
                visit, connection, symbols, market=settings.market, start=start, end=None, bar=settings.bar
            )
        if settings.funding:
            downloads.bybit_funding(visit, connection, symbols, start=start, end=None)

    return errand
