"""News and prices from a loader of the user's own: called once, held to the contracts, cut to what the config asks for.

What a loader returns is validated like any archive, and the source that it was imported from counts into the
experiment.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.archive.news import LoadedNews, one_row_per_key
from embargo.data_loaders.archive.prices import LoadedPrices, NoPricesError
from embargo.data_loaders.errors import ConfigError, DataError
from embargo.data_loaders.own_code import LOADERS, READERS, OwnCode, open_own
from embargo.data_loaders.schemas import Prices, validate_news, validate_prices
from embargo.research.config.archives import BUILT_IN_LOADERS
from embargo.research.config.experiment import Config


def own_news(config: Config) -> LoadedNews:
    """Load news with the function that ``news.loader`` names.

    It returns a frame as `embargo.data_loaders.validate_news` describes it, or `LoadedNews` with counts of what it
    left out. Symbols, dates and the length of texts are cut as for an archive.

    Raises
    ------
    ConfigError, MissingPartError
        If it was not allowed, cannot be imported, or is no such function.
    DataError
        If what it returns is no news, or nothing is left of it.
    """
    news, what = config.news, f"news.loader = {config.news.loader!r}"
    loaded = _called(config, "news", news.loader, news.settings)
    counts: dict[str, int] = {}
    if isinstance(loaded, LoadedNews):
        counts, loaded = dict(loaded.counts), loaded.frame
    if not isinstance(loaded, pd.DataFrame):
        raise ConfigError(f"{what}: returned {type(loaded).__name__}. Return a DataFrame of news, or LoadedNews.")
    frame = one_row_per_key(validate_news(loaded, where=what), what, counts)
    counts = {"rows": len(frame)} | counts
    if config.prices.symbols:
        frame = _kept(frame, frame["symbol"].isin(config.prices.symbols), "other_symbols", counts)
    start, end = config.split.start, config.split.end
    inside = pd.Series(True, index=frame.index)
    if start is not None:
        inside &= frame["published_at"] >= start
    if end is not None:
        inside &= frame["published_at"] < end
    frame = _kept(frame, inside, "outside_range", counts)
    if frame.empty:
        raise DataError(f"{what}: no article is left ({counts}). Widen the range, or the symbols.")
    long = frame["text"].str.len() > news.max_characters
    frame = frame.assign(text=frame["text"].str.slice(0, news.max_characters)).reset_index(drop=True)
    return LoadedNews(frame, counts | {"truncated": int(long.sum()), "kept": len(frame)})


def _kept(frame: pd.DataFrame, keep: pd.Series, why: str, counts: dict[str, int]) -> pd.DataFrame:
    counts[why] = counts.get(why, 0) + int((~keep).sum())
    return frame.loc[keep]


def own_prices(config: Config, symbols: list[str] | None) -> LoadedPrices:
    """Load prices with the function that ``prices.loader`` names.

    It returns `Prices` of the calendar of the config, or `LoadedPrices` with counts of what it left out.

    Raises
    ------
    ConfigError, MissingPartError
        If it was not allowed, cannot be imported, is no such function, or its prices follow another calendar.
    NoPricesError
        If symbols that were asked for have none.
    DataError
        If what it returns are no prices.
    """
    section, what = config.prices, f"prices.loader = {config.prices.loader!r}"
    loaded = _called(config, "prices", section.loader, section.settings)
    counts: dict[str, int] = {}
    if isinstance(loaded, LoadedPrices):
        counts, loaded = dict(loaded.counts), loaded.prices
    if not isinstance(loaded, Prices):
        raise ConfigError(f"{what}: returned {type(loaded).__name__}. Return Prices, or LoadedPrices.")
    prices = validate_prices(loaded, where=what)
    if prices.calendar != section.trading_calendar:
        raise ConfigError(
            f"{what}: its bars follow the calendar {prices.calendar!r}, and prices.calendar is "
            f"{section.trading_calendar!r}. Set the one that they follow."
        )
    if symbols is not None:
        absent = [name for name in symbols if name not in prices.symbols]
        if absent:
            written = {name.casefold(): name for name in prices.symbols}
            alike = {name: written[name.casefold()] for name in absent if name.casefold() in written}
            raise NoPricesError(f"{what}: no prices for {absent[:10]}. Load them too.", absent, alike)
        prices = prices.select(symbols=list(dict.fromkeys(symbols)))
    if config.split.end is not None:
        prices = prices.select(bars=np.asarray(prices.open_at < config.split.end))
    if not len(prices.open_at):
        raise DataError(f"{what}: no bar is left before split.end = {config.split.end}. Load earlier ones.")
    return LoadedPrices(prices, {"rows": int(prices.close.notna().to_numpy().sum())} | counts)


def _called(config: Config, section: str, reference: str, settings: Mapping[str, Any]) -> Any:
    """Call a loader with its settings, of which it may change its own copy."""
    what = f"{section}.loader = {reference!r}"
    loader = open_own(reference, what=f"{section}.loader", group=LOADERS, allow=config.allow).value
    if not callable(loader):
        raise ConfigError(f"{what}: is {type(loader).__name__}, no function. Name a function of its settings.")
    try:
        inspect.signature(loader).bind({})
    except TypeError as failure:
        raise ConfigError(
            f"{what}: {getattr(loader, '__name__', loader)}{inspect.signature(loader)} must take one mapping, its "
            f"settings ({failure})."
        ) from failure
    except ValueError:
        pass  # of what is no Python nobody can tell
    return loader(copy.deepcopy(dict(settings)))


def own_code(config: Config) -> dict[str, OwnCode]:
    """Say where the code of a config's own comes from, by the setting that names it; empty where all is the product's.

    Raises
    ------
    ConfigError, MissingPartError
        As `embargo.data_loaders.own_code.open_own`.
    """
    named = {
        f"{name}.loader": (section.loader, LOADERS)
        for name, section in (("news", config.news), ("prices", config.prices))
        if section.loader not in BUILT_IN_LOADERS
    }
    model = config.model
    if model.is_own:
        named["model.kind"] = model.kind, READERS
    if model.distill is not None and model.distill.teacher.is_own:
        named["model.distill.teacher.kind"] = model.distill.teacher.kind, READERS
    return {
        what: open_own(reference, what=what, group=group, allow=config.allow).code
        for what, (reference, group) in named.items()
    }


def own_code_told(config: Config) -> list[str]:
    """Say which code of one's own an experiment runs, one sentence each."""
    return [
        f"{what} = {code.reference}: {len(code.sources)} module{'s' * (len(code.sources) != 1)} of your own, sha256 "
        f"{code.sha256[:12]}{'' if code.distribution is None else f', of {code.distribution}'}."
        for what, code in own_code(config).items()
    ]
