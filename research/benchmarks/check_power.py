"""Judge worlds without and with a leak by the checks whose bounds rest on chance: false alarms and power.

Run by ``python -m embargo.research.benchmarks.check_power --draws 300 --write docs/check_power.md``. Articles, bars,
weights and books are made; the very checks of the audit say what they think of the clean ones, and of the same ones
with a fault of two sizes. Other seeds than these set no bound: bounds come from theory, as the page says.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import beta

from embargo.backtest.books import Costs, simulate
from embargo.backtest.leakage import (
    check_books,
    check_exclusions,
    check_exposure,
    check_fills,
    check_lag_decay,
    check_undated,
)
from embargo.data_loaders.schemas import Prices
from embargo.research.benchmarks.size_and_power import markdown

PAGE, COMMAND = "docs/check_power.md", "python -m embargo.research.benchmarks.check_power"
INTRODUCTION = """\
The worlds are made: articles, bars, weights and books without a fault, and the same ones with a fault of two sizes. The
bounds come from theory, none from these draws:

- **P4** doubts where the ranks of the moves across lost sessions would be as high by chance in 0.3 % of runs (Fisher's
  sum of logarithms). One lost day among 250 can be doubted only if its move is beyond all others.
- **P5** wants average weights ahead of timing by 2.75 standard errors (0.3 %, one-sided). Its clean worlds are those in
  which timing earned as much; a market whose rise is no clearer than chance is passed.
- **T7** holds fills at the best price of their bar against how often bars open there by chance, and opens that repeat
  the close before against how often they are one tick away.
- **T1** doubts only Sharpe ratios above 6 that are above 5 by 2.75 standard errors (0.3 %, one-sided, where 5 is earned
  honestly and gone in a bar). A paired test, which asks whether less is left a bar later than the likeness
  of the weights explains, is shown beside it. It sees smaller peeks where weights last, and none where they do not;
  yet it takes for a peek what an honest reader earns on fresh news with weights that fade (the row of that name), as
  the half-life of a signal makes them. So it is no check.
"""
BARS, SYMBOLS = 250, 6
DAY = pd.Timedelta(days=1)
FREE = Costs(fee=0.0005, slippage=0.001)
MARKETS = ("daily", "hourly", "trending", "crash", "low turnover", "coarse ticks", "flat bars", "dividends and splits")

Draw = Callable[[np.random.Generator, int], str]


@dataclass(frozen=True)
class Case:
    """One check on one kind of world; ``draw(rng, dose)`` gives the verdict at dose 0 (clean), 1 or 2."""

    check: str
    world: str
    doses: tuple[str, str]
    draw: Draw


def exact(count: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Clopper and Pearson 1934)."""
    low = float(beta.ppf(0.025, count, n - count + 1)) if count else 0.0
    return low, float(beta.ppf(0.975, count + 1, n - count)) if count < n else 1.0


def market(rng: np.random.Generator, kind: str, bars: int = BARS) -> tuple[Prices, np.ndarray]:
    """Bars of one kind, and log moves of each bar's own session, shape (bars, symbols)."""
    shape, hourly = (bars, SYMBOLS), kind == "hourly"
    size = 0.003 if hourly else 0.012
    session = rng.standard_t(4, shape) * size / np.sqrt(2) + rng.normal(0.0, size / 2, (bars, 1))
    gap = rng.normal(0.0, size / 3, shape)
    if kind == "trending":
        session += 0.002
    if kind == "crash":
        session[bars // 2] -= 0.2
    start = pd.date_range("2020-01-06 14:30", periods=bars, freq="D", tz="UTC", unit="us")
    length = pd.Timedelta(hours=6, minutes=30)
    if hourly:
        hours = pd.to_timedelta(np.arange(bars) % 6, unit="h")
        start, length = (start[np.arange(bars) // 6] + hours).as_unit("us"), pd.Timedelta(hours=1)
        gap *= np.where(np.arange(bars) % 6 == 0, 1.0, 0.05)[:, None]
    close = np.log(40.0) + np.cumsum(gap + session, axis=0)
    opened = close - session
    steps = rng.normal(0.0, size / 3, (8, *shape)).cumsum(axis=0)
    bridge = opened + np.linspace(0.0, 1.0, 8)[:, None, None] * (session - steps[-1]) + steps
    inside = np.exp(np.concatenate([opened[None], bridge, close[None]]))
    if kind == "coarse ticks":
        inside = np.maximum(np.round(inside / 0.25), 1.0) * 0.25
    panels = {"open": inside[0], "high": inside.max(axis=0), "low": inside.min(axis=0), "close": inside[-1]}
    if kind == "flat bars":
        flat = rng.random(shape) < 0.3
        flat[0] = False
        for bar in range(1, bars):
            for panel in panels.values():
                panel[bar] = np.where(flat[bar], panels["close"][bar - 1], panel[bar])
    if kind == "dividends and splits":
        factor = np.where(np.arange(bars)[:, None] >= rng.integers(50, bars, SYMBOLS), 0.5, 1.0)
        panels = {name: panel * factor for name, panel in panels.items()}
    frames = {name: pd.DataFrame(panel, index=start, columns=list("ABCDEF")) for name, panel in panels.items()}
    volume = pd.DataFrame(rng.lognormal(10.0, 0.5, shape), index=start, columns=list("ABCDEF"))
    ohlc = frames["open"], frames["high"], frames["low"], frames["close"]
    return Prices(*ohlc, volume, start, start + length, calendar="XNYS"), session


def strategy(rng: np.random.Generator, kind: str, moves: np.ndarray, skill: float = 0.1) -> np.ndarray:
    """Weights on both sides that know a little of the bar to come, as good news does."""
    guess = skill * moves / moves.std() + rng.normal(size=moves.shape)
    if kind == "low turnover":
        guess = np.repeat(guess[::20], 20, axis=0)[: len(guess)]
    return np.asarray(guess / np.abs(guess).sum(axis=1, keepdims=True))


def fills(kind: str) -> Draw:
    """Fill at raw opens; then at opens that are the best price of their bar for a share of the bars."""

    def draw(rng: np.random.Generator, dose: int) -> str:
        prices, moves = market(rng, kind)
        weights = pd.DataFrame(strategy(rng, kind, moves), prices.open_at, prices.open.columns)
        side = weights.diff().fillna(weights)
        taken = rng.random(weights.shape) < (0.0, 0.15, 0.4)[dose]
        best = prices.low.where(side > 0, prices.high).where(taken, prices.open)
        told = replace(prices, open=best)
        books = simulate(weights, best, prices.close, open_at=prices.open_at, costs=FREE, engine="kernel")
        return check_fills(books.orders, told, fill="open", half_spread=FREE.slippage).verdict

    return draw


def repeats(kind: str) -> Draw:
    """Fill at opens of the source; then at opens that repeat the close before for a share of the bars."""

    def draw(rng: np.random.Generator, dose: int) -> str:
        prices, moves = market(rng, kind)
        weights = pd.DataFrame(strategy(rng, kind, moves), prices.open_at, prices.open.columns)
        taken = (rng.random(weights.shape) < (0.0, 0.3, 1.0)[dose]) & prices.close.shift(1).notna()
        opens = prices.open.mask(taken, prices.close.shift(1))
        high, low = prices.high.where(prices.high > opens, opens), prices.low.where(prices.low < opens, opens)
        told = replace(prices, open=opens, high=high, low=low)
        books = simulate(weights, opens, prices.close, open_at=prices.open_at, costs=FREE, engine="kernel")
        return check_fills(books.orders, told, fill="open", half_spread=FREE.slippage).verdict

    return draw


def books(kind: str) -> Draw:
    """Keep books at stated fills; then one bar with 1 basis point as a gift, and a tenth of fills 5 points better."""

    def draw(rng: np.random.Generator, dose: int) -> str:
        prices, moves = market(rng, kind)
        weights = pd.DataFrame(strategy(rng, kind, moves), prices.open_at, prices.open.columns)
        filled = prices.open
        if dose == 2:
            side = np.sign(weights.diff().fillna(weights))
            filled = filled * (1 - 0.0005 * side * (rng.random(weights.shape) < 0.1))
        kept = simulate(weights, filled, prices.close, open_at=prices.open_at, costs=FREE, engine="kernel")
        returns = kept.returns.copy()
        if dose == 1:
            returns.iloc[BARS // 2] += 1e-4
        return check_books(
            weights,
            returns,
            kept.orders,
            prices.open,
            prices.close,
            initial_cash=1_000_000.0,
            half_spread=FREE.slippage,
            apart=kept.counts["beyond_tolerance"],
        ).verdict

    return draw


def undated(kind: str) -> Draw:
    """Date articles by their own stamps; then 2 % and 5 % of them at one instant."""

    def draw(rng: np.random.Generator, dose: int) -> str:
        n = 200 if kind == "small archive" else 2000
        at = pd.Timestamp("2020-01-01", tz="UTC") + pd.to_timedelta(rng.integers(0, 730 * 86_400, n), unit="s")
        at = pd.DatetimeIndex(at)
        if kind == "on the hour":
            at = at.floor("D") + rng.choice([11, 12, 13, 21], n, p=[0.3, 0.4, 0.2, 0.1]) * pd.Timedelta(hours=1)
        elif kind == "by day":
            at = at.floor("D")
        elif kind == "weekly digest":
            at = at.floor("7D")
        elif kind == "earnings seasons":
            at = at.floor("90D") + pd.to_timedelta(rng.exponential(7.0, n).clip(0, 60) * 86_400, unit="s").floor("5min")
        elif kind == "releases of 15 at once":
            at = at.where(rng.random(n) < 0.7, at.floor("18D"))
        late = round((0.0, 0.02, 0.05)[dose] * n)
        stamps = pd.Series(at).mask(pd.Series(range(n)) < late, pd.Timestamp("2020-01-01", tz="UTC"))
        return check_undated(pd.DataFrame({"article_id": range(n), "published_at": stamps})).verdict

    return draw


def exclusions(kind: str) -> Draw:
    """Lose sessions by accident; then the worst day is taken out, and the worst three."""

    def draw(rng: np.random.Generator, dose: int) -> str:
        bars = 500
        calm = np.exp(np.cumsum(rng.normal(0.0, 0.15, bars))) if kind == "clustered volatility" else np.ones(bars)
        calm = calm / calm.mean() if kind == "clustered volatility" else calm
        freedom = 2.5 if kind == "fat tails" else 5
        noise = rng.standard_t(freedom, (bars, 1)) + 0.7 * rng.standard_t(freedom, (bars, SYMBOLS))
        moves = 0.008 * np.minimum(calm, 10.0)[:, None] * noise
        close = np.exp(4.0 + moves.cumsum(axis=0))
        at = pd.date_range("2020-01-06 14:30", periods=bars, freq="D", tz="UTC", unit="us")
        frame = pd.DataFrame(close, index=at)
        opens = pd.DataFrame(close * np.exp(-0.8 * moves), index=at)
        lost = {"one day": 1, "twenty days": 20}.get(kind, 5)
        rows = rng.choice(np.arange(2, bars - 2), lost, replace=False)
        if kind == "a week":
            rows = int(rng.integers(2, bars - 10)) + np.arange(5)
        if dose:
            across = np.abs(np.log(opens.to_numpy()[2:] / close[:-2]).mean(axis=1))
            rows = np.argsort(across, kind="stable")[::-1][: (0, 1, 3)[dose]] + 1
        prices = Prices(opens, frame, frame, frame, frame, at, at + pd.Timedelta(hours=6), "XNYS")
        left = prices.select(bars=np.setdiff1d(np.arange(bars), rows))
        return check_exclusions(left, at, gate={}).verdict

    return draw


def exposure(kind: str) -> Draw:
    """Time as well as the average weights earn; then not at all, in a market with a Sharpe ratio of 1.5 or 3."""

    def draw(rng: np.random.Generator, dose: int) -> str:
        bars = 250 if kind == "one year" else 750
        drift = (0.5, 1.5, 3.0)[dose] * 0.008 / np.sqrt(252)
        common = rng.normal(drift, 0.008, (bars, 1))
        if kind == "regimes":
            common = common * np.repeat(rng.choice([0.5, 1.0, 2.5], bars // 50), 50)[:, None]
        own = rng.normal(0.0, 0.012, (bars, SYMBOLS))
        guess = rng.normal(size=own.shape)
        weights = (guess > 0) / SYMBOLS
        if kind == "both sides":
            weights = weights - weights.mean(axis=1, keepdims=True)
        if not dose and kind != "both sides":
            # What the departures earn a bar is what the average weights earn a bar.
            own += np.sign(guess) * drift * (1.5 if kind == "skill ahead" else 1.0)
        return check_exposure(pd.DataFrame(weights), pd.DataFrame(common + own), periods_per_year=252).verdict

    return draw


def lag_decay(kind: str) -> Draw:
    """Trade edges that last or are gone in a bar; then a tenth and a third of the rows that read their own bar."""

    def draw(rng: np.random.Generator, dose: int) -> str:
        weights, earned, year = _edges(rng, kind, dose)
        return check_lag_decay(weights, earned, periods_per_year=year).verdict

    return draw


def paired(kind: str) -> Draw:
    """Judge the same worlds by a paired test: less is left a bar later than the likeness of the weights explains."""

    def draw(rng: np.random.Generator, dose: int) -> str:
        weights, earned, _ = _edges(rng, kind, dose)
        held, gain = weights.to_numpy(), earned.to_numpy()
        likeness = (held[1:] * held[:-1]).sum() / (held**2).sum()
        gap = (likeness * held[1:] * gain[1:] - held[:-1] * gain[1:]).sum(axis=1)
        return "suspicious" if gap.mean() / gap.std(ddof=1) * np.sqrt(len(gap)) > 2.75 else "pass"

    return draw


def _edges(rng: np.random.Generator, kind: str, dose: int) -> tuple[pd.DataFrame, pd.DataFrame, float]:
    bars, year = (1500, 252.0 * 7) if kind == "hourly" else (500, 252.0)
    size = 0.004 if kind == "hourly" else 0.015
    earned = rng.normal(0.0, size, (bars, SYMBOLS)) + rng.normal(0.0, size / 2, (bars, 1))
    noise = rng.normal(size=earned.shape)
    skill = {"edge gone in a bar": 0.05, "fresh edge, fading weights": 0.12, "strong edge gone in a bar": 0.12}.get(
        kind, 0.03
    )
    target = earned / size
    if kind in ("edge that lasts", "low turnover"):
        target = pd.DataFrame(target)[::-1].rolling(20, min_periods=1).sum()[::-1].to_numpy() / np.sqrt(20)
        noise = pd.DataFrame(noise).ewm(halflife=10).mean().to_numpy() * 5
        skill = 0.1
    signal = skill * target + noise
    if kind == "fresh edge, fading weights":
        # Weights carry yesterday's news on, as a half-life does; only today's earns.
        signal = pd.DataFrame(signal).ewm(alpha=0.4).mean().to_numpy()
    if kind == "low turnover":
        signal = np.repeat(signal[::20], 20, axis=0)[:bars]
    peek = rng.random((bars, 1)) < (0.0, 0.1, 1 / 3)[dose]
    signal = np.where(peek, np.abs(signal) * np.sign(earned), signal)
    weights = signal / np.abs(signal).sum(axis=1, keepdims=True)
    return pd.DataFrame(weights), pd.DataFrame(earned), year


STAMPS = (
    "to the second",
    "on the hour",
    "by day",
    "weekly digest",
    "earnings seasons",
    "releases of 15 at once",
    "small archive",
)
EDGES = (
    "edge that lasts",
    "low turnover",
    "edge gone in a bar",
    "strong edge gone in a bar",
    "fresh edge, fading weights",
    "hourly",
)
CASES: tuple[Case, ...] = (
    *(Case("D4 check_undated", kind, ("2 % at one instant", "5 %"), undated(kind)) for kind in STAMPS),
    *(
        Case("T7 check_books", kind, ("1 bp on one bar", "a tenth of fills 5 bp better"), books(kind))
        for kind in MARKETS
    ),
    *(Case("T7 check_fills, best price", kind, ("15 % of bars", "40 %"), fills(kind)) for kind in MARKETS),
    *(Case("T7 check_fills, no opens", kind, ("30 % of bars", "all"), repeats(kind)) for kind in MARKETS),
    *(
        Case("P4 check_exclusions", kind, ("the worst day", "the worst three"), exclusions(kind))
        for kind in ("one day", "five days", "twenty days", "a week", "fat tails", "clustered volatility")
    ),
    *(
        Case("P5 check_exposure", kind, ("market of Sharpe 1.5", "of 3"), exposure(kind))
        for kind in ("skill as much", "skill ahead", "one year", "regimes", "both sides")
    ),
    *(
        Case(name, kind, ("a tenth of rows", "a third"), make(kind))
        for name, make in (("T1 check_lag_decay", lag_decay), ("(a paired test instead)", paired))
        for kind in EDGES
    ),
)


def judged(case: Case, draws: int, seed: int) -> tuple[int, int, int]:
    """Worlds doubted at each dose, of ``draws``."""
    counts = []
    for dose in range(3):
        rng = np.random.default_rng([seed, dose, zlib.crc32(f"{case.check} {case.world}".encode())])
        n = draws if dose == 0 else max(draws // 5, 1)
        counts.append(sum(case.draw(rng, dose) in ("suspicious", "leak") for _ in range(n)))
    return counts[0], counts[1], counts[2]


def tables(draws: int, seed: int, cases: Sequence[Case]) -> tuple[list[list[str]], Mapping[str, tuple[int, int]]]:
    """Return rows of the page, and false alarms of each check over all its worlds."""
    rows: list[list[str]] = []
    whole: dict[str, tuple[int, int]] = {}
    few = max(draws // 5, 1)
    for case in cases:
        clean, *caught = judged(case, draws, seed)
        low, high = exact(clean, draws)
        told = [f"{dose}: {each / few:.0%} ({exact(each, few)[0]:.0%} to {exact(each, few)[1]:.0%})"
                for dose, each in zip(case.doses, caught, strict=True)]  # fmt: skip
        rows.append([case.check, case.world, f"{clean} ({low:.1%} to {high:.1%})", *told])
        before = whole.get(case.check, (0, 0))
        whole[case.check] = before[0] + clean, before[1] + draws
    return rows, whole


def page(draws: int, seed: int, rows: list[list[str]], whole: Mapping[str, tuple[int, int]]) -> str:
    totals = [
        [check, f"{count} of {n}", f"{count / n:.2%}", f"{exact(count, n)[0]:.2%} to {exact(count, n)[1]:.2%}"]
        for check, (count, n) in whole.items()
    ]
    return "\n".join(
        [
            "# What the checks with bounds of chance see",
            "",
            f"Made by `{COMMAND} --draws {draws} --seed {seed} --write {PAGE}`.",
            *INTRODUCTION.splitlines(),
            f"Each cell has {draws} clean worlds and {max(draws // 5, 1)} of each dose; intervals are exact (95 %).",
            "",
            "## False alarms over all clean worlds",
            "",
            markdown(["check", "doubted", "share", "interval"], totals),
            "",
            "## By world",
            "",
            markdown(["check", "world", f"clean, doubted of {draws}", "low dose", "high dose"], rows),
            "",
        ]
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="", help="checks whose name holds this")
    parser.add_argument("--write", type=Path)
    told = parser.parse_args(arguments)
    rows, whole = tables(told.draws, told.seed, [case for case in CASES if told.only in case.check])
    text = page(told.draws, told.seed, rows, whole)
    if told.write:
        told.write.write_text(text, encoding="utf-8")
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
