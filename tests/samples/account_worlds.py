"""Markets, weights and settings for the witnesses of the books: the same world handed to each in its own tongue."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd
from hypothesis import strategies as st
from reference.ledger import Ledger, keep_ledger

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution
from embargo.backtest.books.simulation import Books, bar_years, simulate

CASH = 100_000.0
FREE = Costs(fee=0.0, slippage=0.0, borrow_annual=0.0)


@dataclass(frozen=True)
class World:
    """Panels of shape (bars, symbols); ``volume`` and ``volatility`` are the lagged ones that the books take."""

    weights: pd.DataFrame
    open: pd.DataFrame
    close: pd.DataFrame
    volume: pd.DataFrame
    volatility: pd.DataFrame
    funding: pd.DataFrame
    dead: pd.DataFrame | None = None

    @property
    def open_at(self) -> pd.DatetimeIndex:
        """Opening instant of each bar."""
        return self.weights.index

    def panels(self) -> dict[str, pd.DataFrame]:
        """The panels there are."""
        return {name: panel for name, panel in vars(self).items() if panel is not None}

    def upto(self, bars: int) -> World:
        """The same world whose data end earlier."""
        return World(**{name: panel.iloc[:bars] for name, panel in self.panels().items()})

    def ordered(self, names: list[str]) -> World:
        """The same world with its symbols in another order."""
        return World(**{name: panel[names] for name, panel in self.panels().items()})

    def but(self, **panels: pd.DataFrame) -> World:
        """The same world with other panels."""
        return replace(self, **panels)


def trailing(panel: np.ndarray, bars: int, statistic) -> np.ndarray:
    """Statistic of the known values in the ``bars`` rows before each row."""
    rows = []
    for t in range(len(panel)):
        window = panel[max(0, t - bars) : t]
        rows.append([statistic(column[~np.isnan(column)]) for column in window.T])
    return np.array(rows).reshape(panel.shape)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else math.nan


def _deviation(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def build(
    seed: int, bars: int = 24, symbols: int = 4, gaps: float = 0.1, swing: float = 0.05, gross: float = 1.0
) -> World:
    """Prices with overnight moves, halts, a late listing and a delisting; weights that at times stay or are nothing."""
    rng = np.random.default_rng(seed)
    shape = (bars, symbols)
    level = np.exp(rng.normal(4.0, 1.0, symbols))
    close = level * np.exp(np.cumsum(rng.normal(0, swing, shape), axis=0))
    opening = close * np.exp(rng.normal(0, swing / 3, shape))
    volume = np.exp(rng.normal(7.0, 1.5, shape))
    returns = np.vstack([np.full((1, symbols), np.nan), close[1:] / close[:-1] - 1.0])
    missing = rng.random(shape) < gaps
    if gaps and symbols > 2:
        missing[: bars // 5, 1] = True
        missing[2 * bars // 3 :, 2] = True
    opening[missing] = volume[missing] = np.nan
    close[missing | (rng.random(shape) < gaps / 3)] = np.nan
    weights = rng.normal(size=shape) * (rng.random(shape) < 0.8)
    weights *= gross * rng.choice([0.5, 0.95, 1.0]) / np.maximum(np.abs(weights).sum(axis=1, keepdims=True), 1e-9)
    for t in range(1, bars):
        if rng.random() < 0.4:
            weights[t] = weights[t - 1]
    funding = np.where(rng.random(shape) < 0.3, rng.normal(0, 1e-3, shape), 0.0)
    funding[rng.random(shape) < 0.05] = np.nan
    index = pd.DatetimeIndex(pd.date_range("2020-01-01 14:30", periods=bars, freq="D", tz="UTC", unit="us"), freq=None)
    panels = {
        "weights": weights,
        "open": opening,
        "close": close,
        "volume": trailing(volume, 5, _mean),
        "volatility": trailing(returns, 20, _deviation),
        "funding": funding,
    }
    names = list("ABCDEFGH"[:symbols])
    return World(**{name: pd.DataFrame(panel, index=index, columns=names) for name, panel in panels.items()})


def asleep(world: World, seed: int, share: float = 0.15) -> World:
    """The same world in which on some bars of some symbols nothing traded."""
    dead = np.random.default_rng(seed).random(world.open.shape) < share
    return world.but(dead=pd.DataFrame(dead, index=world.open.index, columns=world.open.columns))


COSTS = st.builds(
    Costs,
    fee=st.sampled_from([0.0, 0.0005, 0.01]),
    slippage=st.sampled_from([0.0, 0.002]),
    borrow_annual=st.sampled_from([0.0, 0.05, 1.0]),
    fee_per_share=st.sampled_from([0.0, 0.01]),
    fee_minimum=st.sampled_from([0.0, 0.0, 5.0, 400.0]),
    impact=st.sampled_from([0.0, 0.5]),
    interest_annual=st.sampled_from([0.0, 0.06]),
)
EXECUTIONS = st.builds(
    Execution,
    fill=st.sampled_from(["open", "close"]),
    leverage=st.sampled_from([1.0, 1.0, 2.0, 4.0]),
    maintenance=st.sampled_from([0.25, 0.5]),
    participation=st.sampled_from([None, 0.02, 0.3]),
    unfilled=st.sampled_from(["carry", "drop"]),
    lot=st.sampled_from([0.0, 0.0, 1.0, 25.0]),
    stale_after=st.sampled_from([1, 2, 5]),
    haircut=st.sampled_from([0.0, 0.3]),
)


@st.composite
def cases(draw, bars: int = 24, executions=EXECUTIONS, costs=COSTS) -> tuple[World, Costs, Execution]:
    """A world with the costs and rules of an account in it."""
    execution = draw(executions)
    world = build(
        draw(st.integers(0, 1_000_000)),
        bars=bars,
        symbols=draw(st.integers(1, 5)),
        gaps=draw(st.sampled_from([0.0, 0.1, 0.4])),
        swing=draw(st.sampled_from([0.01, 0.05, 0.2])),
        gross=execution.leverage,
    )
    if draw(st.booleans()):
        world = world.but(weights=world.weights.abs())
    if draw(st.booleans()):
        world = asleep(world, draw(st.integers(0, 1_000)))
    return world, draw(costs), execution


def by_hand(world: World, costs: Costs, execution: Execution, cash: float = CASH) -> Ledger:
    """The ledger's account of a world."""
    rules = asdict(costs) | asdict(execution)
    rules |= {"borrow": rules.pop("borrow_annual"), "interest": rules.pop("interest_annual")}
    del rules["volume_bars"]
    panels = {name: panel.to_numpy().tolist() for name, panel in world.panels().items()}
    opens, closes = panels.pop("open"), panels.pop("close")
    return keep_ledger(
        panels.pop("weights"), opens, closes, years=bar_years(world.open_at).tolist(), cash=cash, **panels, **rules
    )


def books_of(world: World, costs: Costs, execution: Execution, engine: str = "kernel", cash: float = CASH) -> Books:
    """What ``simulate`` makes of a world."""
    return simulate(
        world.weights,
        world.open,
        world.close,
        open_at=world.open_at,
        costs=costs,
        execution=execution,
        volume=world.volume,
        volatility=world.volatility,
        funding=world.funding,
        dead=world.dead,
        initial_cash=cash,
        engine=engine,
    )
