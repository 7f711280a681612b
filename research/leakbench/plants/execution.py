"""Plants in the fills, in funding and in costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from embargo.data_loaders.schemas import Prices
from embargo.research.leakbench.edits import Edit
from embargo.research.leakbench.plants.plant import Plant, Planted, code_only, with_inputs, with_settings
from embargo.research.leakbench.worlds import Clean
from embargo.research.run.world import Inputs


def _own_volume(fill_conditions: Callable[..., Any]) -> Callable[..., Any]:
    """Cap an order by the volume of the very bar it is filled on."""

    def changed(prices: Prices, rows: slice, *rest: Any, **settings: Any) -> Any:
        volume, volatility = fill_conditions(prices, rows, *rest, **settings)
        return (None if volume is None else prices.volume.iloc[rows]), volatility

    return changed


def _better_fills(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Fill part of the way from the open to the best price of the bar: buys to its low, sales to its high."""

    def rewrite(trade: Callable[..., Any]) -> Callable[..., Any]:
        def changed(plan: Any, *rest: Any) -> Any:
            result = trade(plan, *rest)
            orders = result.books.orders
            if orders.empty:
                return result
            rows, prices = plan.rows, plan.world.prices
            column = prices.open.columns.get_indexer(pd.Index(orders["symbol"]))
            place = orders["bar"].to_numpy(), column
            opened, low, high = (getattr(prices, name).iloc[rows].to_numpy()[place] for name in ("open", "low", "high"))
            bought = (orders["size"] > 0).to_numpy() if "side" not in orders else (orders["side"] == "buy").to_numpy()
            # A position that is written out after its last bar has no range to be filled in.
            gain = dose * np.nan_to_num(np.where(bought, opened - low, high - opened))
            price = orders["price"].to_numpy() + np.where(bought, -gain, gain)
            equity = result.books.equity
            earned = np.bincount(orders["bar"], gain * orders["size"].abs().to_numpy(), minlength=len(equity))
            before = equity.shift(1).fillna(plan.config.portfolio.initial_cash)
            returns = result.books.returns + earned / before
            grown = plan.config.portfolio.initial_cash * (1.0 + returns).cumprod()
            books = replace(result.books, orders=orders.assign(price=price), returns=returns, equity=grown)
            return replace(result, books=books)

        return changed

    return Planted(clean.config, clean.inputs, (Edit("embargo.research.run.trading:trade", rewrite),))


def _at_the_close_before(simulate: Callable[..., Any]) -> Callable[..., Any]:
    """Fill at the close on which the overnight news had not come yet."""

    def changed(weights: pd.DataFrame, opens: pd.DataFrame, closes: pd.DataFrame, **settings: Any) -> Any:
        return simulate(weights, closes.shift(1).fillna(opens), closes, **settings)

    return changed


def _open_and_low(simulate: Callable[..., Any]) -> Callable[..., Any]:
    """Take every fill at the middle of the bar's open and close."""

    def changed(weights: pd.DataFrame, opens: pd.DataFrame, closes: pd.DataFrame, **settings: Any) -> Any:
        return simulate(weights, (opens + closes) / 2.0, closes, **settings)

    return changed


def _limit_from_close(simulate: Callable[..., Any]) -> Callable[..., Any]:
    """Call a symbol untradable on the bars that close far against the position, as a limit-up flag would."""

    def changed(weights: pd.DataFrame, opens: pd.DataFrame, closes: pd.DataFrame, **settings: Any) -> Any:
        against = np.sign(weights) * (closes / opens - 1.0) < -0.02
        return simulate(weights.mask(against, 0.0), opens, closes, **settings)

    return changed


def _funding_early(inputs: Inputs, clean: Clean, dose: float, rng: np.random.Generator) -> Inputs:
    """Stamp funding eight hours before it settles."""
    assert inputs.funding is not None
    return replace(inputs, funding=inputs.funding.shift(-8).fillna(0.0))


def _knows_funding(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    """Stand aside on rows on which the position is about to pay funding above the usual."""

    def rewrite(decide: Callable[..., Any]) -> Callable[..., Any]:
        def changed(plan: Any, *rest: Any) -> Any:
            decision = decide(plan, *rest)
            if plan.world.funding is None:
                return decision
            due = plan.world.funding.reindex(decision.weights.index)
            pays = (due * np.sign(decision.weights)) > 1.1e-4
            return replace(decision, weights=decision.weights.mask(pays, 0.0))

        return changed

    return Planted(clean.config, clean.inputs, (Edit("embargo.research.run.trading:decide", rewrite),))


def _no_costs(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    free = {"fee": 0.0, "slippage": 0.0, "borrow_annual": 0.0}
    return Planted(with_settings(clean.config, costs=free), clean.inputs)


def _no_trading_costs(clean: Clean, dose: float, rng: np.random.Generator) -> Planted:
    return Planted(with_settings(clean.config, costs={"fee": 0.0, "slippage": 0.0}), clean.inputs)


_IN_THE_WEIGHTS = "what a fill knows of its bar moves decisions or books, whichever is looked at first"

PLANTS = (
    Plant("own volume caps", "T7", "an order at the open is capped by the volume of the bar it opens", "capped",
          code_only(Edit("embargo.backtest.books.execution:fill_conditions", _own_volume))),
    Plant("best price of the bar", "T7", "orders are filled between the open and the best price of the bar; dose: "
          "share of the way", "word list", _better_fills, (1.0, 0.3, 0.1)),
    Plant("close before", "T7", "orders are filled at the close before, not at the open", "word list",
          code_only(Edit("embargo.backtest.books.simulation:simulate", _at_the_close_before)),
          also={"T1": _IN_THE_WEIGHTS}),
    Plant("middle of the bar", "T7", "orders are filled half-way between open and close", "word list",
          code_only(Edit("embargo.backtest.books.simulation:simulate", _open_and_low)), also={"T1": _IN_THE_WEIGHTS}),
    Plant("limit known from the close", "T7", "no position on bars that close 2 % against it", "word list",
          code_only(Edit("embargo.backtest.books.simulation:simulate", _limit_from_close)),
          also={"T1": _IN_THE_WEIGHTS}),
    Plant("funding stamped early", "T8", "funding is stamped eight hours before it settles", "hourly",
          with_inputs(_funding_early)),
    Plant("funding known before", "T8", "no position on rows on which it would pay much funding", "hourly",
          _knows_funding, also={"T1": "a decision that moves when later data change"}),
    Plant("no costs", "P7", "trading costs nothing", "word list", _no_costs),
    Plant("no costs of trading", "P7", "neither fees nor a spread; borrowing alone costs", "word list",
          _no_trading_costs),
)  # fmt: skip
