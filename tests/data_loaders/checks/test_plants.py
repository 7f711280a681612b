"""What is bad is called bad, by name and with every cell marked; what is merely odd is not."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from samples.price_faults import FAULTS, ODDITIES, SEEN

from embargo.data_loaders.checks import Check, check_news, check_prices
from embargo.data_loaders.schemas import Prices
from embargo.data_loaders.simulated.market import SimulatedMarket, Simulation, simulate_market


@cache
def market_of(seed: int) -> Simulation:
    rng = np.random.default_rng(seed)
    days = int(rng.choice([45, 250, 600, 1_200]))
    start = pd.Timestamp("2014-01-01") + pd.Timedelta(days=int(rng.integers(0, 1_500)))
    return simulate_market(
        SimulatedMarket(
            seed=seed,
            strength=float(rng.choice([0.0, 0.5, 1.0, 2.0])),
            n_symbols=int(rng.choice([2, 4, 8, 24])),
            start=str(start.date()),
            end=str((start + pd.Timedelta(days=days)).date()),
            calendar=str(rng.choice(["XNYS", "24/7", "XLON", "XTKS"])),
            articles_per_symbol_day=float(rng.choice([0.05, 0.4, 1.0])),
            duplicate_share=float(rng.choice([0.0, 0.04, 0.08])),
        )
    )


@cache
def prices_of(seed: int) -> Prices:
    return simulate_market(
        SimulatedMarket(seed=seed, n_symbols=6, start="2015-01-01", end="2016-12-31", articles_per_symbol_day=0.02)
    ).prices


def missed(name: str, seed: int) -> str:
    """What is wrong with how a fault is told; empty if nothing."""
    prices, touched = FAULTS[name](prices_of(seed % 5), np.random.default_rng(seed))
    bad = [check for check in check_prices(prices) if check.verdict == "bad"]
    if not bad:
        return "not bad"
    marking = [check.marked for check in bad if check.marked is not None]
    marked = np.any(marking, axis=0) if marking else np.zeros_like(touched)
    if (touched & ~marked).any():
        return f"{(touched & ~marked).sum()} of {touched.sum()} cells not marked"
    symbols = {prices.symbols[column] for column in np.flatnonzero(touched.any(axis=0))}
    named = {symbol for check in bad if "symbol" in check.rows for symbol in check.rows["symbol"]}
    if touched.any(axis=0).sum() == 1 and not symbols <= named:
        return f"{symbols} not named"
    if not all("bar" in check.rows for check in bad):
        return "no bar named"
    if not all(check.remedy for check in bad):
        return "no remedy"
    if len(symbols) == 1 and marked.sum() > touched.sum() + 3 + (name == "a ticker used twice") * 70:
        return f"{marked.sum()} cells marked for {touched.sum()}"
    return ""


@pytest.mark.parametrize("name", FAULTS)
def test_what_is_bad_is_called_bad(name: str) -> None:
    assert {seed: missed(name, seed) for seed in range(3)} == dict.fromkeys(range(3), "")


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_what_is_bad_is_called_bad_wherever_it_lies(name: str) -> None:
    found = [missed(name, seed) for seed in range(200)]
    assert sum(map(bool, found)) <= 4, sorted(set(found))


def asked(seed: int, every: int) -> dict[str, list[Check]]:
    """All checks of the news of an archive, and of the prices of its odd twins, or of every so many of them in turn."""
    market = market_of(seed)
    rng = np.random.default_rng(seed)
    found = {"news": check_news(market.news, market.prices, calendar=market.prices.calendar)}
    for number, (name, oddity) in enumerate(ODDITIES.items()):
        if (seed + number) % every:
            continue
        found[name] = check_prices(oddity(market.prices, rng))
    return found


def alarms(seeds: range, every: int = 1) -> tuple[list[str], list[str], int]:
    bad, look, number = [], [], 0
    for seed in seeds:
        for twin, checks in asked(seed, every).items():
            for check in checks:
                number += 1
                where = f"{seed} {twin}: {check.name}: {check.summary}"
                if check.verdict == "bad":
                    bad.append(where)
                elif check.verdict == "look" and check.name not in SEEN.get(twin, ()):
                    look.append(where)
    return bad, look, number


def test_what_is_merely_odd_is_not_called_bad() -> None:
    bad, look, number = alarms(range(20), every=4)
    assert bad == []
    assert len(look) <= 0.02 * number, look


@pytest.mark.slow
def test_what_is_merely_odd_is_not_called_bad_in_two_hundred_archives() -> None:
    bad, look, number = alarms(range(200))
    assert bad == []
    assert len(look) <= 0.02 * number, look
