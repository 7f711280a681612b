"""What an account of the kernel trades against, checked and laid out as the compiled loops take it.

Nothing here imports numba before it is called.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from embargo.backtest.books.costs import Costs
from embargo.backtest.books.execution import Execution
from embargo.data_loaders.errors import ConfigError, DataError

_NONE = np.full((1, 0), np.nan)
_NO_FLAG = np.zeros((1, 0), dtype=np.bool_)


@dataclass(frozen=True)
class Market:
    """Prices and whatever else fills depend on; float arrays of shape (bars, symbols) unless said.

    Attributes
    ----------
    fill : array
        Price at which row t trades, NaN where it cannot: the opens, or the closes for fills at the close.
    close : array
        The closes; they value positions that have no fill price later.
    years : array, shape (bars,)
        Calendar length of each row, from `bar_years`.
    volume : array, optional
        Trailing mean volume in shares, known when row t is decided. Needed for a participation cap and for impact.
    volatility : array, optional
        Trailing standard deviation of bar returns. Needed for impact.
    funding : array, optional
        Funding rates settled inside each row, summed; positive: longs pay. NaN counts as 0.
    dead : bool array, optional
        Bars on which nothing traded, from `embargo.backtest.books.dead_bars`: no order fills there.

    Examples
    --------
    >>> import numpy as np
    >>> from embargo.backtest.books.kernel import Market
    >>> fill = np.array([[100.0], [102.0], [101.0]])
    >>> market = Market(fill=fill, close=fill, years=np.full(3, 1 / 365))
    >>> market.fill.shape, market.volume is None
    ((3, 1), True)
    """

    fill: np.ndarray
    close: np.ndarray
    years: np.ndarray
    volume: np.ndarray | None = None
    volatility: np.ndarray | None = None
    funding: np.ndarray | None = None
    dead: np.ndarray | None = None


def compiled_loops() -> Any:
    """Load the loops that numba compiles."""
    # Loading numba takes about a second, which only those who trade should pay.
    from embargo.backtest.books import compiled

    return compiled


def is_plain(market: Market, costs: Costs, execution: Execution) -> bool:
    """Whether the account knows rates only, so that the fast path applies."""
    unlimited = execution.participation is None and execution.lot == 0.0 and execution.haircut == 0.0
    rates = costs.fee_per_share == costs.fee_minimum == costs.impact == 0.0
    return unlimited and rates and execution.leverage == 1.0 and market.funding is None and market.dead is None


def terms_of(costs: Costs, execution: Execution) -> Any:
    """Return what the loops need to know of costs and execution: a ``compiled.Terms``."""
    return compiled_loops().Terms(
        costs.fee,
        costs.slippage,
        costs.borrow_annual,
        costs.fee_per_share,
        costs.fee_minimum,
        costs.impact,
        costs.interest_annual,
        execution.leverage,
        execution.maintenance,
        execution.participation or 0.0,
        execution.unfilled == "drop",
        execution.lot,
        execution.stale_after,
        execution.haircut,
    )


def panels_of(market: Market, costs: Costs | Sequence[Costs], execution: Execution) -> tuple[np.ndarray, ...]:
    """Return fill, close, years, volume, volatility, funding and dead bars as the loops take them, empty for none."""
    each = [costs] if isinstance(costs, Costs) else list(costs)
    impact = any(cost.impact > 0.0 for cost in each)
    if market.volume is None and (execution.participation is not None or impact):
        raise ConfigError(
            "kernel: a participation cap and impact need the trailing volume. Pass it, or leave them out."
        )
    if market.volatility is None and impact:
        raise ConfigError("kernel: impact needs the trailing volatility. Pass it, or set impact = 0.")
    fill, years = unwritten(market.fill), unwritten(market.years)
    if years.shape != (len(fill),):
        raise DataError(f"kernel: {len(fill)} bars but years of shape {years.shape}. Use the same bars.")
    panels = [fill, _panel(market.close, fill, "close")]
    extra = (("volume", market.volume), ("volatility", market.volatility), ("funding", market.funding))
    others = [_NONE if panel is None else _panel(panel, fill, name) for name, panel in extra]
    dead = _NO_FLAG if market.dead is None else _panel(market.dead, fill, "dead", np.bool_)
    return (*panels, years, *others, dead)


def unwritten(panel: np.ndarray, dtype: type = float) -> np.ndarray:
    """Give a panel in rows that cannot be written to: loops are compiled, or loaded, apart for those that can."""
    view: np.ndarray = np.ascontiguousarray(panel, dtype=dtype).view()
    view.flags.writeable = False
    return view


def panel_by_symbol(panel: np.ndarray) -> tuple[np.ndarray, bool]:
    """Give a panel in rows that cannot be written to, and whether these are its symbols, as pandas lays them."""
    turned = panel.flags.f_contiguous and not panel.flags.c_contiguous
    return unwritten(panel.T if turned else panel), turned


def _panel(panel: np.ndarray, fill: np.ndarray, name: str, dtype: type = float) -> np.ndarray:
    values = unwritten(panel, dtype)
    if values.shape != fill.shape:
        raise DataError(f"kernel: fill has shape {fill.shape}, {name} {values.shape}. They must agree.")
    return values


def check_shape(name: str, panel: np.ndarray, market: Market) -> None:
    """Raise DataError if a panel has other bars or symbols than the market."""
    if panel.shape != np.shape(market.fill):
        raise DataError(f"kernel: {name} has shape {panel.shape}, fill {np.shape(market.fill)}. They must agree.")


def check_gross(gross: np.ndarray, execution: Execution) -> None:
    """Refuse weights whose gross exposure, shape (bars,), is not finite or beyond the leverage."""
    # A row with a missing or infinite weight has no finite gross, so the sum finds both faults.
    wrong = ~(gross <= execution.leverage + 1e-9)
    if wrong.any():
        row = int(np.argmax(wrong))
        if not np.isfinite(gross[row]):
            raise DataError(f"kernel: a weight of row {row} is not finite. Write 0 to hold nothing.")
        raise ConfigError(
            f"kernel: gross exposure {gross[row]:.6f} of row {row} exceeds the leverage {execution.leverage}. Lower it."
        )
