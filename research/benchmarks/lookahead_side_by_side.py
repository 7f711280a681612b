"""Hold two ways to find look-ahead side by side on functions whose fault is known: other futures, and cuts at trades.

Run by ``python -m embargo.research.benchmarks.lookahead_side_by_side``. The rival is freqtrade's lookahead-analysis,
re-made from its documentation in `tests/reference/truncation_at_trades.py`, so that this runs in a checkout alone.
``--write docs/lookahead_side_by_side.md`` renews the committed table.
"""

from __future__ import annotations

import argparse
import importlib.util
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import beta

from embargo.backtest.leakage import Finding, perturb_function, perturb_levels
from embargo.data_loaders.calendars import decision_times
from embargo.data_loaders.errors import MissingPartError
from embargo.data_loaders.fields import PRICE_FIELDS
from embargo.data_loaders.schemas import Prices
from embargo.data_loaders.simulated import SimulatedMarket, simulate_market
from embargo.research.benchmarks.size_and_power import markdown
from embargo.research.benchmarks.structure import ROOT
from embargo.signals.alignment import align

RIVAL = "tests/reference/truncation_at_trades.py"
LATENCY = pd.Timedelta(minutes=5)

Decide = Callable[[pd.DataFrame, Prices], pd.DataFrame]


@dataclass(frozen=True)
class World:
    """News with scores, bars of which one symbol lists late, and when each row is decided."""

    news: pd.DataFrame
    prices: Prices
    decided_at: pd.DatetimeIndex


def make_world(seed: int) -> World:
    """Two years of a simulated market; its levels are said to be adjusted."""
    market = simulate_market(SimulatedMarket(seed=seed, n_symbols=4, start="2018-01-01", end="2019-06-30"))
    truth = market.truth.perfect_scores.set_index("article_id")
    news = market.news[["article_id", "symbol", "published_at", "known_at", "text"]]
    news = news.assign(score=news["article_id"].map(truth["bullish"] - truth["bearish"]))
    panels = {name: getattr(market.prices, name).copy() for name in PRICE_FIELDS}
    for panel in panels.values():
        panel.iloc[: int(0.6 * len(panel)), -1] = np.nan
    prices = replace(market.prices, adjustment="splits+dividends", **panels)
    return World(news, prices, decision_times(prices.open_at, LATENCY))


def _panel(prices: Prices, values: np.ndarray | pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(np.asarray(values), index=prices.open_at, columns=prices.open.columns)


def _sides(panel: pd.DataFrame) -> pd.DataFrame:
    """1 above zero, -1 below it, and 0 at it or where nothing is known."""
    return (panel > 0.0).astype(float) - (panel < 0.0).astype(float)


def _said(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Sum of the scores that became known before each row; NaN where nothing was said."""
    placed = align(news["known_at"], news["symbol"], decision_times(prices.open_at, LATENCY), list(prices.open.columns))
    used = placed.row >= 0
    total, count = np.zeros(prices.open.shape), np.zeros(prices.open.shape)
    np.add.at(total, (placed.row[used], placed.column[used]), news["score"].to_numpy()[used])
    np.add.at(count, (placed.row[used], placed.column[used]), 1.0)
    return _panel(prices, np.where(count > 0, total, np.nan))


def follows_news(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Hold what was said last, carried forward."""
    return _sides(_said(news, prices).ffill(limit=5)) / 4


def follows_trend(_news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Hold what rose over five closed bars."""
    return _sides(prices.close.pct_change(5, fill_method=None).shift(1)) / 4


def listed_universe(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Hold what rose more than the other symbols; silent about those without a price in the data it is given."""
    gains = prices.close.pct_change(5, fill_method=None).shift(1)
    return _sides(gains.sub(gains.mean(axis=1), axis=0)).loc[:, prices.close.notna().any()] / 4


def vetoed(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Put trades off that the next bar would have punished: nothing of it is seen where trades are made."""
    wanted, ahead = follows_news(news, prices), prices.close.pct_change(fill_method=None).shift(-1)
    return wanted.mask(wanted * ahead < -0.001).ffill().fillna(0.0)


def own_candle(_news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Read the close of the bar that is decided."""
    return _sides(prices.close / prices.open - 1.0) / 4


def scaled_over_all(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Standardise by mean and deviation of all dates."""
    gains = prices.close.pct_change(5, fill_method=None).shift(1)
    return ((gains - gains.mean()) / gains.std()).clip(-1.0, 1.0).fillna(0.0) / 4 + 0.0 * follows_trend(news, prices)


def filled_backwards(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Fill rows without news from the next that have some."""
    return _sides(_said(news, prices).bfill()) / 4


def by_level(_news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Hold what stands above an even number, by levels that later splits and dividends have changed."""
    return (prices.close.shift(1) // 1.0 % 2.0 == 0.0).astype(float) / 4


def joined_by_date(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Join news to the bar of its own day, asof the wrong way."""
    bars = pd.DataFrame({"at": prices.close_at, "row": np.arange(len(prices.close_at))})
    told = news.sort_values("known_at", kind="stable")[["known_at", "symbol", "score"]].rename(
        columns={"known_at": "at"}
    )
    joined = pd.merge_asof(told, bars, on="at", direction="forward").dropna(subset="row")
    total = np.zeros(prices.open.shape)
    column = prices.open.columns.get_indexer(pd.Index(joined["symbol"]))
    np.add.at(total, (joined["row"].to_numpy(dtype=int), column), joined["score"].to_numpy())
    return _sides(_panel(prices, total)) / 4


def regime_of_all_dates(news: pd.DataFrame, prices: Prices) -> pd.DataFrame:
    """Trade only in the calm half of all dates."""
    risk = prices.close.pct_change(fill_method=None).rolling(10).std().shift(1)
    return follows_trend(news, prices) * (risk < risk.median()).astype(float)


# Name of each function, whether it knows the future, and what it does.
CASES: tuple[tuple[str, bool, Decide], ...] = (
    ("news carried forward", False, follows_news),
    ("trend of closed bars", False, follows_trend),
    ("rank in a universe that changes", False, listed_universe),
    ("a peek that only keeps from trading", True, vetoed),
    ("the candle that is decided", True, own_candle),
    ("z-score over all dates", True, scaled_over_all),
    ("backward fill", True, filled_backwards),
    ("adjusted levels", True, by_level),
    ("news joined to the bar of its day", True, joined_by_date),
    ("regime by all dates", True, regime_of_all_dates),
)


def other_futures(decide: Decide, world: World, seed: int) -> list[Finding]:
    """Ask by other futures, and by other levels."""
    found = perturb_function(decide, world.news, world.prices, world.decided_at, seed=seed)
    return [*found, perturb_levels(decide, world.news, world.prices)]


def rival() -> Callable[..., list[Finding]]:
    """Load the reference; MissingPartError outside a checkout."""
    spec = importlib.util.spec_from_file_location("truncation_at_trades", ROOT / RIVAL)
    if spec is None or spec.loader is None or not (ROOT / RIVAL).is_file():
        raise MissingPartError(f"{ROOT / RIVAL} does not exist. Run this in a checkout of the repository.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: Callable[..., list[Finding]] = module.truncation_at_trades
    return found


@dataclass(frozen=True)
class Seen:
    """How often each way spoke up, of how many worlds, and by which codes the first did."""

    worlds: int
    futures: int
    cuts: int
    codes: Counter[str]


def held_side_by_side(draws: int, seed: int) -> dict[str, Seen]:
    """Ask both of every function in as many worlds."""
    truncation = rival()
    futures, cuts = Counter[str](), Counter[str]()
    codes: dict[str, Counter[str]] = {name: Counter() for name, *_ in CASES}
    for draw in range(draws):
        world = make_world(seed + draw)
        for name, _, decide in CASES:
            found = [
                each for each in other_futures(decide, world, seed + draw) if each.verdict in ("leak", "suspicious")
            ]
            futures[name] += bool(found)
            codes[name].update({each.code for each in found})
            cut = truncation(decide, world.news, world.prices, world.decided_at, seed=seed + draw)
            cuts[name] += cut[0].verdict == "leak"
    return {name: Seen(draws, futures[name], cuts[name], codes[name]) for name, *_ in CASES}


def _share(count: int, n: int) -> str:
    """Write a share with its exact 95 % interval (Clopper and Pearson)."""
    low = 0.0 if count == 0 else float(beta.ppf(0.025, count, n - count + 1))
    high = 1.0 if count == n else float(beta.ppf(0.975, count + 1, n - count))
    return f"{count} of {n} ({100 * low:.0f} to {100 * high:.0f} %)"


def report(found: dict[str, Seen], *, seed: int) -> str:
    """Write the table and how to read it."""
    draws = next(iter(found.values())).worlds
    rows = [
        [
            name,
            "yes" if leaks else "no",
            _share(found[name].futures, draws),
            ", ".join(f"{code} {count}" for code, count in sorted(found[name].codes.items())) or "-",
            _share(found[name].cuts, draws),
        ]
        for name, leaks, _ in CASES
    ]
    heads = ["function", "knows the future", "other futures speak up", "by code", "cuts at trades speak up"]
    command = "python -m embargo.research.benchmarks.lookahead_side_by_side"
    return f"""# Two ways to find look-ahead, side by side

Made by `{command} --draws {draws} --seed {seed} --write docs/lookahead_side_by_side.md`, on simulated markets of four
symbols and a year and a half. **Other futures** is `perturb_function` with `perturb_levels`, as `embargo audit
--signal` asks; **cuts at trades** is the lookahead-analysis of freqtrade, re-made from its documentation: the data of a
traded symbol end with the bar of the trade, and the signal there is held against that of the whole run. Intervals are
exact (95 %).

{markdown(heads, rows)}

- Cuts at trades keep the bar of the trade, so that reading this very candle, or news of its day, changes nothing.
- What a peek keeps from trading is never looked at, since only trades are.
- An honest rank among symbols is another one where a symbol is cut out with its trade. Other futures leave all symbols
  in, and one that has no data yet counts as not held.
- Adjusted levels know no more at a cut than before. Scaling each history by a factor shows what hangs on them, which in
  adjusted prices is a doubt (D7), not a proof.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Ask both, and print or write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=20, help="worlds")
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--write", type=Path, help="file to renew")
    options = parser.parse_args(argv)
    text = report(held_side_by_side(options.draws, options.seed), seed=options.seed)
    if options.write is None:
        Console().print(text, markup=False)
    else:
        options.write.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
